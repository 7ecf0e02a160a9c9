//! From a file to the bytes of a profile, and what files are that are none.

use super::{MAX_PROFILE_BYTES, MAX_UNPACKED_BYTES, ProfileError};
use flate2::bufread::GzDecoder;
use std::borrow::Cow;
use std::io::{self, Read};

/// How files begin that are given for a heap profile.
const OTHERS: [(&str, &str); 15] = [
    ("goroutine profile:", "a goroutine profile as text"),
    ("goroutine ", "a list of goroutines as text"),
    ("threadcreate profile:", "a thread profile as text"),
    ("--- contention:", "a block profile as text"),
    ("--- mutex:", "a mutex profile as text"),
    ("PeriodType:", "what `go tool pprof -raw` prints"),
    ("go1.7 heap dump\n", "a heap dump (debug.WriteHeapDump)"),
    ("go 1.", "an execution trace"),
    ("\u{7f}ELF", "an ELF file, such as a program or a core dump"),
    ("<", "a web page"),
    (
        "404 page not found",
        "the answer of a server that has no such page",
    ),
    (
        "Unknown profile",
        "the answer of a server that has no such profile",
    ),
    ("{", "JSON"),
    ("(\u{b5}", "packed with zstd"),
    ("PK\u{3}\u{4}", "a zip archive"),
];

/// The profile's bytes, unpacked if they are packed.
pub(super) fn unpacked(bytes: &[u8]) -> Result<Cow<'_, [u8]>, ProfileError> {
    if bytes.is_empty() {
        return Err(ProfileError::Empty);
    }
    if bytes.len() > MAX_PROFILE_BYTES {
        return Err(ProfileError::TooLarge);
    }
    let bytes = if bytes.starts_with(b"\x1f\x8b") {
        Cow::Owned(gunzip(bytes)?)
    } else {
        Cow::Borrowed(bytes)
    };
    recognise(&bytes)?;
    Ok(bytes)
}

/// One member only, as Go writes it: a file of a million empty ones would cost time for nothing.
fn gunzip(bytes: &[u8]) -> Result<Vec<u8>, ProfileError> {
    let mut decoder = GzDecoder::new(bytes);
    let mut out = Vec::new();
    let most = MAX_UNPACKED_BYTES as u64 + 1;
    decoder
        .by_ref()
        .take(most)
        .read_to_end(&mut out)
        .map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ProfileError::Truncated,
            _ => ProfileError::Gzip {
                why: error.to_string(),
            },
        })?;
    if out.len() > MAX_UNPACKED_BYTES {
        return Err(ProfileError::UnpackedTooLarge);
    }
    if out.is_empty() {
        return Err(ProfileError::Empty);
    }
    if !decoder.into_inner().is_empty() {
        let why = "something follows its end".into();
        return Err(ProfileError::Gzip { why });
    }
    Ok(out)
}

/// A profile begins with a field of type bytes; nothing of these looks like one.
fn recognise(bytes: &[u8]) -> Result<(), ProfileError> {
    if bytes.starts_with(b"heap profile:") {
        return Err(ProfileError::Text);
    }
    for (begin, what) in OTHERS {
        let latin = begin.chars().map(|c| c as u8);
        if bytes.iter().copied().take(begin.chars().count()).eq(latin) {
            return Err(ProfileError::Other { what });
        }
    }
    Ok(())
}
