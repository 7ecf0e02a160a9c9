//! Who has a descriptor table, told so that another sweep knows it again.

use crate::rows::types;

/// What tells a process from another that has its pid, and from what it was before. While all of it
/// is the same, so are its start, executable, name and cgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Who {
    /// Start of the main thread, in nanoseconds since boot.
    pub start: u64,
    /// Number of its execs, and of those that it comes from.
    pub exec: u64,
    /// Address of its `struct css_set`: another in any other cgroup, of any hierarchy.
    pub css_set: u64,
    /// Id of its cgroup in the unified hierarchy. It is not used again; an address may be.
    pub cgroup: u64,
    /// Its name, ended by a zero.
    pub comm: [u8; 16],
}

impl Who {
    pub(super) fn from_row(row: &types::who) -> Self {
        Self {
            start: row.start,
            exec: row.exec,
            css_set: row.css_set,
            cgroup: row.cgroup,
            comm: row.comm.map(i8::cast_unsigned),
        }
    }

    /// As `/proc/PID/comm` has it.
    pub fn comm(&self) -> &[u8] {
        let end = self.comm.iter().position(|&byte| byte == 0);
        &self.comm[..end.unwrap_or(self.comm.len())]
    }
}
