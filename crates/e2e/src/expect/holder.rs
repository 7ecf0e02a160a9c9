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
        let mut fds: Vec<_> = fds.into_iter().collect();
        fds.sort_unstable();
        Self::Process { pid, tid, fds }
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

    /// Whether the reported holder is this one.
    pub(super) fn is(&self, holder: &Value) -> bool {
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
        }
    }
}

/// The numbers of a JSON array, sorted.
fn numbers(list: &Value) -> Option<Vec<u32>> {
    let mut numbers: Vec<u32> = list
        .as_array()?
        .iter()
        .map(|v| v.as_u64().map_or(u32::MAX, |v| v as u32))
        .collect();
    numbers.sort_unstable();
    Some(numbers)
}

/// Whether the end of a chain is this holder. Of a process only the identity
/// counts: its descriptors are on whatever object the chain leads through.
pub(super) fn is_end(who: &Who, found: &Value) -> bool {
    match who {
        Who::Process { pid, .. } => found["type"] == "process" && found["pid"] == *pid,
        Who::Pin { .. } | Who::Object { .. } => who.is(found),
    }
}

/// What the report says of a process against `/proc`.
pub(super) fn about_process(holder: &Value) -> Vec<String> {
    let Some(pid) = holder["pid"].as_u64() else {
        return vec![format!("a process without a pid: {holder}")];
    };
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}"));
    let (Ok(stat), Ok(comm)) = (read("stat"), read("comm")) else {
        return vec![format!("process {pid} does not exist")];
    };
    // Field 22, counted from the state, which is field 3 (proc_pid_stat(5)).
    let after_comm = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let started = after_comm
        .split(' ')
        .nth(19)
        .and_then(|t| t.parse::<u64>().ok());
    let mut wrong = Vec::new();
    if holder["start_ticks"].as_u64() != started {
        wrong.push(format!(
            "process {pid}: start_ticks is {}, /proc says {started:?}",
            holder["start_ticks"]
        ));
    }
    if holder["comm"].as_str() != Some(comm.trim_end()) {
        wrong.push(format!(
            "process {pid}: comm is {}, /proc says {comm:?}",
            holder["comm"]
        ));
    }
    // Unreadable links are not asked of a report either.
    if let Ok(exe) = std::fs::read_link(format!("/proc/{pid}/exe"))
        && holder["exe"].as_str() != exe.to_str()
    {
        wrong.push(format!(
            "process {pid}: exe is {}, /proc says {}",
            holder["exe"],
            exe.display()
        ));
    }
    let status = read("status").unwrap_or_default();
    let inside = status.lines().find_map(|l| l.strip_prefix("NSpid:"));
    let inside = inside.and_then(|l| l.split_ascii_whitespace().last()?.parse::<u64>().ok());
    if holder["ns_pid"].as_u64() != inside {
        wrong.push(format!(
            "process {pid}: ns_pid is {}, /proc says {inside:?}",
            holder["ns_pid"]
        ));
    }
    wrong
}
