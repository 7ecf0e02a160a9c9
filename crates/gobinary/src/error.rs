//! Why a Go program could not be read.

use crate::memory::ReadError;

/// Why a Go program, or a part of it, could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not an ELF file.
    #[error("not an ELF file")]
    NotElf,
    /// An ELF file of another processor; by its name.
    #[error("built for {0}; only 64-bit x86 and ARM are read")]
    Arch(String),
    /// No trace of Go in it.
    #[error("not a Go program")]
    NotGo,
    /// A Go program that hides or lacks what was looked for.
    #[error("a Go program, but {0} is not in it")]
    Missing(&'static str),
    /// It was read, and is not what Go writes there.
    #[error("{what} at {addr:#x} is not as Go writes it")]
    Malformed {
        /// What is wrong.
        what: &'static str,
        /// Where.
        addr: u64,
    },
    /// More than a limit of ours that no real program meets.
    #[error("{what}: more than {limit}")]
    TooMuch {
        /// Of what there is too much.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// No layout of the runtime's structs is known for that release.
    #[error("Go 1.{0} is not known")]
    Release(u16),
    /// An address space that could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file that could not be read.
    #[error("the executable cannot be read: {0}")]
    File(#[from] std::io::Error),
}
