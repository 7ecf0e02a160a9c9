//! The capabilities that lastref runs with, and those that it lacks.

use rustix::process::{Pid, geteuid, test_kill_process};
use rustix::thread::{CapabilitySet, capabilities};

/// A capability, and its name.
type Capability = (CapabilitySet, &'static str);

/// What enters other network namespaces, and lists BTF and links by id.
pub const SYS_ADMIN: Capability = (CapabilitySet::SYS_ADMIN, "CAP_SYS_ADMIN");
/// What `/proc/PID/exe`, `root`, `ns` and `fdinfo` of others want.
pub const SYS_PTRACE: Capability = (CapabilitySet::SYS_PTRACE, "CAP_SYS_PTRACE");
/// What reads root's files, and looks into `/proc/PID/fd` of others.
pub const READ_SEARCH: Capability = (CapabilitySet::DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH");

fn has(capability: Capability) -> bool {
    // Root needs none to read its own files.
    let is_owner = capability == READ_SEARCH && geteuid().is_root();
    is_owner || capabilities(None).is_ok_and(|sets| sets.effective.contains(capability.0))
}

/// Whether we have `CAP_SYS_PTRACE`. Kernel threads and zombies have no executable and no
/// namespaces either way.
pub fn may_look_at_all() -> bool {
    has(SYS_PTRACE)
}

/// Those of these that we do not have, in words.
pub fn lacking(wanted: &[Capability]) -> Option<String> {
    let lacking = wanted.iter().filter(|&&capability| !has(capability));
    let names: Vec<&str> = lacking.map(|&(_, name)| name).collect();
    (!names.is_empty()).then(|| names.join(" and "))
}

/// Whether there is such a process: the kernel tells that also of one that `/proc` hides.
pub fn lives(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

/// `1 process`, `2 processes`
pub fn counted(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}
