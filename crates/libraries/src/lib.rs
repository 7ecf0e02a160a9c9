//! What each eBPF library at each version does with its handles, and its known defects. Data and look-ups.
//!
//! | question | answer |
//! |---|---|
//! | which libraries has a program? | [`of_modules`] (Go), [`of_files`], [`of_bytes`] |
//! | does a Go type own a descriptor, where, and what releases it? | [`owner`], [`cleanup`] |
//! | what is called to let an object go? | [`release`] |
//! | what does this version do wrong? | [`defects`] |

mod defect;
mod language;
mod owner;
mod recognise;
mod release;
mod version;

pub use defect::{Defect, defects};
pub use language::{Language, language};
pub use owner::{OWNERS, OwnerType, Registers, Stands, cleanup, owner};
pub use recognise::{of_bytes, of_files, of_modules};
pub use release::{Call, raw, reader, release};
pub use version::parse as parse_version;

/// A library of a process that makes handles on BPF objects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Library {
    /// Which.
    pub kind: LibraryKind,
    /// Go module path, or a name such as `libbpf`.
    pub path: String,
    /// As the library writes it: `v0.20.0`; `None` where nothing tells it.
    pub version: Option<String>,
}

/// Libraries that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LibraryKind {
    /// `github.com/cilium/ebpf`
    CiliumEbpf,
    /// `github.com/aquasecurity/libbpfgo`
    Libbpfgo,
    /// `github.com/iovisor/gobpf`
    Gobpf,
    /// Go's own: `os.File`, `net`. Every Go program has them: never recognised, only the owner of
    /// something.
    GoStd,
    /// C code in a Go program, which may open descriptors of its own.
    Cgo,
    /// libbpf, as a shared library or linked in.
    Libbpf,
    /// libxdp
    Libxdp,
    /// libbcc, in C++ or behind Python's `bcc`.
    Bcc,
    /// Rust's `aya`.
    Aya,
    /// Rust's `libbpf-rs`.
    LibbpfRs,
}

impl LibraryKind {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::CiliumEbpf => "cilium/ebpf",
            Self::Libbpfgo => "libbpfgo",
            Self::Gobpf => "gobpf",
            Self::GoStd => "Go's standard library",
            Self::Cgo => "cgo",
            Self::Libbpf => "libbpf",
            Self::Libxdp => "libxdp",
            Self::Bcc => "bcc",
            Self::Aya => "aya",
            Self::LibbpfRs => "libbpf-rs",
        }
    }
}
