//! Handles, their descriptors, and who owns these inside the process.

use super::{Reading, Why};
use model::{Kind, Origin, Site};
use std::sync::Arc;

/// One `struct file` on an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Handle {
    /// Map, program, link or BTF.
    pub kind: Kind,
    /// Id of the object; `None` for the few that have none.
    pub id: Option<u32>,
    /// Name of the object; empty if it has none.
    pub name: Arc<str>,
    /// Type of the object, in bpftool's words.
    pub type_name: Arc<str>,
    /// Its descriptors in this process; several after a dup, none if only a mapping is left.
    pub descriptors: Vec<Descriptor>,
    /// It has no descriptor left in this process, and a memory mapping of the file.
    pub mapped: bool,
    /// How it came.
    pub origin: Origin,
    /// Another process that shares the file, as text shows it: `tetragon (311)`.
    pub shared_with: Option<Arc<str>>,
    /// Where it was acquired, if that was traced.
    pub site: Option<Arc<Site>>,
}

/// A descriptor.
#[derive(Debug, Clone, PartialEq)]
pub struct Descriptor {
    /// Its number.
    pub fd: u32,
    /// What owns it.
    pub ownership: Ownership,
}

/// What the reading says of who owns a descriptor inside its process.
#[derive(Debug, Clone, PartialEq)]
pub enum Ownership {
    /// The process has no Go runtime.
    NotGo,
    /// The reading of this one failed.
    Unread(Why),
    /// No typed owner has this number. `Ok` if all specials and queues were read; else what was
    /// not.
    None(Reading<()>),
    /// Go objects that have this number. One, but for a number that was wrapped twice.
    Owned(Vec<Owner>),
}

/// A Go object that owns a descriptor, or the cleanup that is left of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Owner {
    /// As Go prints it, `*sys.FD`; `None` if only the function is known (cleanups of stripped
    /// programs).
    pub type_name: Option<Arc<str>>,
    /// Full path of its package: `github.com/cilium/ebpf/internal/sys`.
    pub package: Option<Arc<str>>,
    /// Its address; `None` if the object is gone and its cleanup is queued.
    pub address: Option<u64>,
    /// The number that stood in the object (or in the cleanup's argument) when it was read last:
    /// -1 once it was closed or disowned. `None` if only one look was made at it.
    pub number: Option<i64>,
    /// What is registered to release it, and how far that has come; `None` if nothing is.
    pub release: Option<RegisteredRelease>,
    /// What the last completed collection found.
    pub mark: Mark,
    /// It lies in a 16-byte block of the tiny allocator (`mcache.tiny`), which others may share: the
    /// mark is that of the block.
    pub tiny: bool,
}

/// A finalizer or cleanup.
#[derive(Debug, Clone, PartialEq)]
pub struct RegisteredRelease {
    /// Which of the two.
    pub kind: super::QueueKind,
    /// The function that it calls.
    pub function: Option<Arc<str>>,
    /// How far it has come.
    pub state: State,
}

/// How far a release has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its special stands on the object.
    Pending,
    /// It stands in a queue.
    Queued {
        /// Whether a goroutine has taken the block it stands in, and runs all of it.
        taken: Taken,
    },
    /// It was called by this goroutine, and has not returned.
    Running {
        /// The goroutine's id.
        goroutine: u64,
    },
}

/// Who has taken a block of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Nobody: whoever is free next will.
    Nobody,
    /// This goroutine.
    By(u64),
    /// One of those that run some block may have: which block that is was not read.
    Unknown,
}

/// What the last completed collection says of an object's address.
#[derive(Debug, Clone, PartialEq)]
pub enum Mark {
    /// It reached it.
    Survived,
    /// The object was allocated since.
    New,
    /// It did not reach it, and the span is not swept yet.
    DeadUnswept,
    /// No object stands there.
    Free,
    /// The object is gone; only its cleanup is left, in a queue.
    Gone,
    /// It could not be read.
    Unread(Why),
}
