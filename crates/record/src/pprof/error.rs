//! Why a file is no heap profile.

use crate::error::cut;

/// How a heap profile is had. Told wherever something else was given.
const FETCH: &str = "curl -o heap.pb.gz http://HOST:PORT/debug/pprof/heap";

/// Why bytes are no heap profile that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// There is nothing.
    #[error("it is empty; to get a heap profile: {}", FETCH)]
    Empty,
    /// Larger than [`super::MAX_PROFILE_BYTES`].
    #[error("it is larger than 64 MiB, which no heap profile is")]
    TooLarge,
    /// Larger than [`super::MAX_UNPACKED_BYTES`] when unpacked.
    #[error("unpacked it is larger than 256 MiB, which no heap profile is")]
    UnpackedTooLarge,
    /// More of something than is read.
    #[error("it has more than {most} {what}, which is more than is read")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many would be read.
        most: usize,
    },
    /// It ends before its end.
    #[error("it is cut off: fetch it again")]
    Truncated,
    /// It is packed, and cannot be unpacked.
    #[error("it cannot be unpacked: {why}")]
    Gzip {
        /// What the unpacker found.
        why: String,
    },
    /// A heap profile as text, for people.
    #[error("it is a heap profile as text; fetch it without `debug=1`: {}", FETCH)]
    Text,
    /// Something else that is known.
    #[error("it is {what}, not a heap profile; to get one: {}", FETCH)]
    Other {
        /// What it is.
        what: &'static str,
    },
    /// A profile of something else.
    #[error(
        "it is {what} ({types}); a heap profile has inuse_objects and inuse_space: {}",
        FETCH
    )]
    OtherProfile {
        /// What it is, as its types tell.
        what: &'static str,
        /// Its sample types and their units.
        types: String,
    },
    /// What came and went between two moments, not what is there.
    #[error(
        "it tells what came and went in a while, not what is in use; \
         fetch it without `seconds=`, and subtract no other from it: {}",
        FETCH
    )]
    Difference,
    /// Bytes that mean nothing here.
    #[error("it is no profile: {why}; to get one: {}", FETCH)]
    NotAProfile {
        /// What tells.
        why: &'static str,
    },
    /// A profile that contradicts itself.
    #[error("it is damaged: {place}: {why}")]
    Content {
        /// Which part.
        place: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

pub(super) fn content(place: &'static str, why: impl Into<String>) -> ProfileError {
    let why = cut(&why.into());
    ProfileError::Content { place, why }
}
