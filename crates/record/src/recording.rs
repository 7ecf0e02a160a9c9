//! `lastref watch --record`: what each sweep found, a line each, written as it comes and read back.
//!
//! A watch may be killed, its disk full: a recording that is cut off tells what is whole of it.

use crate::error::{Error, cut, why};
use model::{SweepSample, WatchStart, WatchSummary};
use serde::{Deserialize, Serialize};

/// Name and version of the format.
pub const SCHEMA: &str = "lastref.recording/0";

/// One line.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Line<'a> {
    Sweep(&'a SweepSample),
    Summary(&'a WatchSummary),
}

#[derive(Serialize)]
struct First<'a> {
    recording: &'a str,
    start: &'a WatchStart,
}

/// The first line.
pub fn first_line(start: &WatchStart) -> String {
    let recording = SCHEMA;
    line(&First { recording, start })
}

/// A sweep's line.
pub fn sweep_line(sample: &SweepSample) -> String {
    line(&Line::Sweep(sample))
}

/// The last line.
pub fn last_line(summary: &WatchSummary) -> String {
    line(&Line::Summary(summary))
}

fn line(value: &impl Serialize) -> String {
    // Structs of numbers and text; that fails for keys that are no text, and there are none.
    let mut line = serde_json::to_string(value).unwrap_or_default();
    line.push('\n');
    line
}

/// A recording, read as far as it is whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// How the watch began.
    pub start: WatchStart,
    /// Its sweeps; time never goes back.
    pub sweeps: Vec<SweepSample>,
    /// How it ended; `None` if it was cut off.
    pub summary: Option<WatchSummary>,
    /// Why the rest could not be read, if there is one.
    pub cut: Option<String>,
}

#[derive(Deserialize)]
struct Head {
    recording: Option<String>,
    start: Option<serde_json::Value>,
}

/// One of these; neither in a line of a later version of the same format.
#[derive(Deserialize)]
struct Read {
    sweep: Option<SweepSample>,
    summary: Option<WatchSummary>,
}

/// Reads a recording.
pub fn recording(bytes: &[u8]) -> Result<Recording, Error> {
    if bytes.len() as u64 > crate::MAX_BYTES {
        return Err(Error::TooLarge);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.trim_ascii().is_empty() {
        return Err(Error::Empty);
    }
    let mut lines = bytes.split(|&b| b == b'\n').enumerate();
    let start = first(lines.next().map_or(&[][..], |(_, line)| line))?;
    let mut recording = Recording {
        start,
        sweeps: Vec::new(),
        summary: None,
        cut: None,
    };
    let mut t = 0.0;
    for (at, line) in lines.filter(|(_, line)| !line.trim_ascii().is_empty()) {
        let number = at + 1;
        let Read { sweep, summary } = match serde_json::from_slice(line) {
            Ok(read) => read,
            Err(error) => {
                recording.cut = Some(format!("line {number}: {}", why(&error)));
                break;
            }
        };
        if let Some(sweep) = sweep {
            if sweep.t < t {
                recording.cut = Some(format!("line {number}: time goes back"));
                break;
            }
            t = sweep.t;
            recording.sweeps.push(sweep);
        }
        if summary.is_some() {
            recording.summary = summary;
            break;
        }
    }
    Ok(recording)
}

fn first(line: &[u8]) -> Result<WatchStart, Error> {
    let not_ours = |why: String| Error::NotAReport { why };
    let head: Head = serde_json::from_slice(line).map_err(|error| not_ours(why(&error)))?;
    let Some(schema) = head.recording else {
        return Err(not_ours(
            "its first line has no `recording`: write it with `lastref watch --record FILE`".into(),
        ));
    };
    if schema != SCHEMA {
        return Err(Error::OtherVersion {
            schema: cut(&schema),
            reads: SCHEMA,
            hint: "use the lastref that wrote it, or record it again",
        });
    }
    let start = head.start.unwrap_or_default();
    serde_json::from_value(start).map_err(|error| Error::Content {
        place: "`start`".into(),
        why: why(&error),
    })
}
