//! Who must be found to hold something.

use crate::bpf::Kind;
use serde_json::Value;
use std::os::unix::fs::MetadataExt;

/// A holder that must be found.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub enum Who {
    /// A process with these descriptors, in any order.
    #[allow(missing_docs)]
    Process { pid: u32, tid: Tid, fds: Vec<u32> },
    /// An inode in a bpffs, with all its names.
    #[allow(missing_docs)]
    Pin {
        names: Vec<String>,
        namespace: Option<u64>,
        unlinked: bool,
    },
    /// An object.
    #[allow(missing_docs)]
    Object { kind: Kind, id: u32 },
    /// What a program is attached to without a link, and the processes that have
    /// it open (perf events only).
    #[allow(missing_docs)]
    Attachment {
        target: Target,
        attach_type: &'static str,
        pids: Vec<u32>,
    },
    /// A socket, and the processes that have it open.
    #[allow(missing_docs)]
    Socket { inode: Option<u64>, pids: Vec<u32> },
    /// An `io_uring`: the first process that has it open, and its descriptor there;
    /// and all of these processes.
    #[allow(missing_docs)]
    IoUring {
        pid: Option<u32>,
        fd: Option<u32>,
        pids: Vec<u32>,
    },
    /// A module of the kernel.
    Module(&'static str),
    /// The kernel itself, for a reason that it must give.
    Kernel,
}

/// How an attachment's target is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Exactly so.
    Is(String),
    /// It begins so: the rest is free text.
    Begins(String),
}

impl Target {
    fn fits(&self, found: &Value) -> bool {
        found.as_str().is_some_and(|found| match self {
            Self::Is(target) => found == target,
            Self::Begins(target) => found.starts_with(target.as_str()),
        })
    }
}

/// Whose descriptor table it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tid {
    /// That of the process.
    None,
    /// This thread's own.
    Own(u32),
    /// The main thread is gone. Its table is still that of the others, so
    /// either is right: none, or one of these.
    NoneOr([u32; 2]),
}

impl Who {
    /// A process, by its descriptors on the object.
    pub fn process(pid: u32, fds: impl IntoIterator<Item = u32>) -> Self {
        Self::thread(pid, Tid::None, fds)
    }

    /// A process or one of its threads.
    pub fn thread(pid: u32, tid: Tid, fds: impl IntoIterator<Item = u32>) -> Self {
        Self::Process {
            pid,
            tid,
            fds: sorted(fds),
        }
    }

    /// A pin in the mount namespace of process `pid`.
    pub fn pin(pid: u32, names: &[&str]) -> Self {
        let path = format!("/proc/{pid}/ns/mnt");
        let namespace = std::fs::metadata(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        Self::Pin {
            names: names.iter().map(ToString::to_string).collect(),
            namespace: Some(namespace.ino()),
            unlinked: false,
        }
    }

    /// A map.
    pub fn map(id: u32) -> Self {
        Self::Object {
            kind: Kind::Map,
            id,
        }
    }

    /// A program.
    pub fn prog(id: u32) -> Self {
        Self::Object {
            kind: Kind::Prog,
            id,
        }
    }

    /// A link.
    pub fn link(id: u32) -> Self {
        Self::Object {
            kind: Kind::Link,
            id,
        }
    }

    /// An attachment without a link, at exactly this target.
    pub fn attachment(target: impl Into<String>, attach_type: &'static str) -> Self {
        Self::Attachment {
            target: Target::Is(target.into()),
            attach_type,
            pids: Vec::new(),
        }
    }

    /// An attachment whose target begins so.
    pub fn attachment_at(target: impl Into<String>, attach_type: &'static str) -> Self {
        Self::Attachment {
            target: Target::Begins(target.into()),
            attach_type,
            pids: Vec::new(),
        }
    }

    /// An attachment by a perf event, which these processes have open.
    pub fn perf_event(target: impl Into<String>, pids: impl IntoIterator<Item = u32>) -> Self {
        Self::Attachment {
            target: Target::Is(target.into()),
            attach_type: "perf_event",
            pids: sorted(pids),
        }
    }

    /// A socket by its inode, which these processes have open.
    pub fn socket(inode: u64, pids: impl IntoIterator<Item = u32>) -> Self {
        Self::Socket {
            inode: Some(inode),
            pids: sorted(pids),
        }
    }

    /// A socket that nobody has open: not accepted yet, or draining.
    pub fn socket_of_nobody() -> Self {
        Self::Socket {
            inode: None,
            pids: Vec::new(),
        }
    }

    /// An `io_uring` that one process has open.
    pub fn io_uring(pid: u32, fd: u32) -> Self {
        Self::IoUring {
            pid: Some(pid),
            fd: Some(fd),
            pids: vec![pid],
        }
    }

    /// A module of the kernel.
    pub fn module(name: &'static str) -> Self {
        Self::Module(name)
    }

    /// The kernel itself.
    pub fn kernel() -> Self {
        Self::Kernel
    }

    /// Whether the reported holder is this one.
    #[must_use]
    pub fn is(&self, holder: &Value) -> bool {
        match self {
            Self::Process { pid, tid, fds } => {
                let found = numbers(&holder["fds"]);
                let tid_fits = match tid {
                    Tid::None => holder["tid"].is_null(),
                    Tid::Own(tid) => holder["tid"] == *tid,
                    Tid::NoneOr(tids) => {
                        holder["tid"].is_null() || tids.iter().any(|tid| holder["tid"] == *tid)
                    }
                };
                holder["type"] == "process"
                    && holder["pid"] == *pid
                    && tid_fits
                    && found.as_ref() == Some(fds)
            }
            Self::Pin {
                names,
                namespace,
                unlinked,
            } => {
                let mut found: Vec<&str> = holder["path"].as_str().into_iter().collect();
                let also = holder["also"].as_array().into_iter().flatten();
                found.extend(also.filter_map(Value::as_str));
                let mut names: Vec<_> = names.iter().map(String::as_str).collect();
                found.sort_unstable();
                names.sort_unstable();
                // The path of an unlinked one is nobody's business: it has none.
                holder["type"] == "pin"
                    && (*unlinked || found == names)
                    && namespace.is_none_or(|n| holder["mount_namespace"] == n)
                    && holder["unlinked"] == *unlinked
            }
            Self::Object { kind, id } => holder["type"] == kind.as_str() && holder["id"] == *id,
            Self::Attachment {
                target,
                attach_type,
                pids,
            } => {
                holder["type"] == "attachment"
                    && target.fits(&holder["target"])
                    && holder["attach_type"] == *attach_type
                    && pids_of(&holder["open_by"]).as_ref() == Some(pids)
            }
            Self::Socket { inode, pids } => {
                holder["type"] == "socket"
                    && holder["inode"].as_u64() == *inode
                    && numbers(&holder["processes"]).as_ref() == Some(pids)
                    && pids_of(&holder["open_by"]).as_ref() == Some(pids)
            }
            Self::IoUring { pid, fd, pids } => {
                holder["type"] == "io_uring"
                    && holder["pid"] == Value::from(*pid)
                    && holder["fd"] == Value::from(*fd)
                    && pids_of(&holder["open_by"]).as_ref() == Some(pids)
            }
            Self::Module(name) => holder["type"] == "module" && holder["name"] == *name,
            Self::Kernel => {
                holder["type"] == "kernel" && holder["what"].as_str().is_some_and(|w| !w.is_empty())
            }
        }
    }
}

fn sorted(numbers: impl IntoIterator<Item = u32>) -> Vec<u32> {
    let mut numbers: Vec<_> = numbers.into_iter().collect();
    numbers.sort_unstable();
    numbers
}

/// The pids of a JSON array of processes, sorted. A process stands there once for
/// each of its descriptor tables.
fn pids_of(processes: &Value) -> Option<Vec<u32>> {
    let list = processes.as_array()?;
    let pid = |p: &Value| p["pid"].as_u64().map_or(u32::MAX, |v| v as u32);
    let mut pids = sorted(list.iter().map(pid));
    pids.dedup();
    Some(pids)
}

/// The numbers of a JSON array, sorted.
fn numbers(list: &Value) -> Option<Vec<u32>> {
    let list = list.as_array()?;
    let number = |v: &Value| v.as_u64().map_or(u32::MAX, |v| v as u32);
    Some(sorted(list.iter().map(number)))
}

/// Whether the end of a chain is this holder. Of a process only the identity
/// counts: its descriptors are on whatever object the chain leads through. What
/// processes have open (a socket, an `io_uring`, a perf event) is no end: they are.
pub(super) fn is_end(who: &Who, found: &Value) -> bool {
    match who {
        Who::Process { pid, .. } => found["type"] == "process" && found["pid"] == *pid,
        Who::Attachment { pids, .. } | Who::Socket { pids, .. } | Who::IoUring { pids, .. } => {
            pids.is_empty() && who.is(found)
        }
        Who::Pin { .. } | Who::Object { .. } | Who::Module(_) | Who::Kernel => who.is(found),
    }
}
