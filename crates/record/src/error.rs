//! Why a file cannot be read as a report.

use serde_json::error::Category;

/// Why bytes are no report that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is nothing.
    #[error("it is empty: `lastref ls --json` and `lastref watch --record FILE` write such files")]
    Empty,
    /// Larger than [`crate::MAX_BYTES`].
    #[error("it is larger than 1 GiB, which no report is")]
    TooLarge,
    /// It is JSON as far as it goes, and ends before its end.
    #[error("it is cut off after {bytes} bytes: write it again")]
    Truncated {
        /// How long it is.
        bytes: usize,
    },
    /// Bytes that are no JSON.
    #[error("it is not JSON: {why}")]
    NotJson {
        /// What is wrong where.
        why: String,
    },
    /// JSON, but not of lastref.
    #[error("it is JSON, but no report of lastref: {why}")]
    NotAReport {
        /// What tells.
        why: String,
    },
    /// Another report of lastref.
    #[error("it is a `{schema}` report; what is read back is `lastref.ls`: lastref ls --json")]
    OtherReport {
        /// What it says it is.
        schema: String,
    },
    /// Of a later version, or an earlier one.
    #[error("it has the schema `{schema}`; this lastref reads `{reads}`: {hint}")]
    OtherVersion {
        /// What it says it is.
        schema: String,
        /// What can be read.
        reads: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// A report of lastref in which something is missing or not understood.
    #[error("{place}: {why}")]
    Content {
        /// Which part.
        place: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Words of foreign files, that a message may repeat: not without end.
pub(crate) fn cut(text: &str) -> String {
    const LONGEST: usize = 120;
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// What serde found, in fewer words: the place is told by who calls, and a list of
/// everything that would have been right helps nobody.
pub(crate) fn why(error: &serde_json::Error) -> String {
    let mut text = error.to_string();
    if let Some(at) = text.rfind(" at line ") {
        text.truncate(at);
    }
    if text.starts_with("unknown variant")
        && let Some(at) = text.find(", expected ")
    {
        text.truncate(at);
        text.push_str(" (written by a later lastref?)");
    }
    if text.contains("untagged enum Detail") {
        return "it has not the fields of any kind: map_flags (maps); tag, maps, attached (programs); \
                detached (links); kernel_btf (BTF)"
            .into();
    }
    cut(&text)
}

/// What is wrong with the bytes as JSON.
pub(crate) fn of_syntax(error: &serde_json::Error, bytes: &[u8]) -> Error {
    match error.classify() {
        Category::Eof => Error::Truncated { bytes: bytes.len() },
        Category::Syntax if stops_at_end(error, bytes) => Error::Truncated { bytes: bytes.len() },
        Category::Syntax | Category::Io => Error::NotJson {
            why: cut(&error.to_string()),
        },
        Category::Data => Error::NotAReport { why: why(error) },
    }
}

/// `{"seconds":0.` is for serde no early end, but a wrong number.
fn stops_at_end(error: &serde_json::Error, bytes: &[u8]) -> bool {
    let lines = bytes.split(|&b| b == b'\n');
    let (count, last) = lines.fold((0, 0), |(count, _), line| (count + 1, line.len()));
    bytes.trim_ascii_start().starts_with(b"{") && error.line() == count && error.column() >= last
}
