//! Which process is meant.

use process::Proc;

/// The number names no process, or several.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PidError {
    /// Not here, and in no pid namespace below.
    #[error(
        "process {pid} does not exist (any more), or is hidden from this user; no container has such a pid either"
    )]
    None {
        /// The number.
        pid: u32,
    },
    /// Not here, and several have it in pid namespaces of their own.
    #[error(
        "process {pid} does not exist here, and several have that pid in their containers: name one by its pid here: {}",
        list(pids)
    )]
    Several {
        /// The number.
        pid: u32,
        /// Their pids here.
        pids: Vec<u32>,
    },
}

/// More would fill a screen.
const NAMED: usize = 16;

fn list(pids: &[u32]) -> String {
    let mut words: Vec<String> = pids.iter().take(NAMED).map(u32::to_string).collect();
    if pids.len() > NAMED {
        words.push("…".into());
    }
    words.join(", ")
}

/// The process of this pid here, of which it may be a thread; else the one that has it in a pid namespace of
/// its own.
pub fn find(proc: &Proc, pid: u32) -> Result<u32, PidError> {
    if let Ok(process) = proc.thread_group(pid) {
        return Ok(process);
    }
    let all = proc.processes().unwrap_or_default();
    let inside = |&other: &u32| proc.ns_pid(other).is_ok_and(|ns_pid| ns_pid == Some(pid));
    let pids: Vec<u32> = all.into_iter().filter(inside).collect();
    match pids.as_slice() {
        [] => Err(PidError::None { pid }),
        [one] => Ok(*one),
        _ => Err(PidError::Several { pid, pids }),
    }
}
