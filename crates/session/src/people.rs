//! Processes as holders: each is described once in a sweep.

use model::{CannotSee, Holder, Process};
use process::Proc;
use rustc_hash::FxHashMap;

/// Whether we have `CAP_SYS_PTRACE`, which `/proc/PID/exe` and `/proc/PID/ns` of
/// others want. Kernel threads and zombies have none of these either way.
pub fn may_look_at_all() -> bool {
    use rustix::thread::{CapabilitySet, capabilities};
    capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_PTRACE))
}

/// Descriptions of processes, kept for the length of a sweep.
pub struct People<'a> {
    proc: &'a Proc,
    known: FxHashMap<u32, Process>,
    /// Processes whose executable could not be read.
    hidden: u32,
    /// `/proc` could not be read at all.
    no_proc: bool,
}

impl<'a> People<'a> {
    pub fn new(proc: &'a Proc) -> Self {
        Self {
            proc,
            known: FxHashMap::default(),
            hidden: 0,
            no_proc: false,
        }
    }

    /// A process with the descriptors it has on one object. One that is gone
    /// meanwhile has a pid only: the account that it stands in will not settle.
    pub fn holder(&mut self, pid: u32, tid: Option<u32>, mut fds: Vec<u32>) -> Holder {
        let process = self.known.entry(pid).or_insert_with(|| {
            let described = self.proc.describe(pid);
            if let Err(process::Error::NotMounted { .. }) = described {
                self.no_proc = true;
            }
            let process = described.unwrap_or_else(|_| Process {
                pid,
                ..Process::default()
            });
            self.hidden += u32::from(process.exe.is_none() && process.start_ticks.is_some());
            process
        });
        fds.sort_unstable();
        fds.dedup();
        Holder::Process(Box::new(Process {
            tid,
            fds,
            ..process.clone()
        }))
    }

    /// What the descriptions lack, and what they would need.
    pub fn cannot_see(&self, into: &mut Vec<CannotSee>) {
        if self.no_proc {
            into.push(CannotSee {
                what: "names, executables, cgroups and containers of processes".into(),
                why: "no proc file system at /proc".into(),
                needs: "mount -t proc proc /proc".into(),
            });
        }
        if self.hidden > 0 && !may_look_at_all() {
            into.push(CannotSee {
                what: format!("executables of {} processes", self.hidden),
                why: "/proc/PID/exe may not be read".into(),
                needs: "CAP_SYS_PTRACE".into(),
            });
        }
    }
}
