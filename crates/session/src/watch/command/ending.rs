//! Processes of a command whose exit was seen, and that may not have let go of all yet.

use model::Process;
use process::Proc;
use rustc_hash::FxHashSet;

/// So many are kept before those that are gone are sorted out.
const FEW: usize = 1024;

/// By pid and start.
#[derive(Debug, Default)]
pub(super) struct Ending {
    processes: FxHashSet<(u32, u64)>,
    /// How many were left when they were last sorted out.
    left: usize,
}

impl Ending {
    /// It has begun to exit. Of one that is not visible in our pid namespace nothing can be asked.
    pub fn note(&mut self, process: &Process, proc: &Proc) {
        if let (1.., Some(start)) = (process.pid, process.start_ticks) {
            self.processes.insert((process.pid, start));
        }
        if self.processes.len() > FEW.max(2 * self.left) {
            self.count(proc);
        }
    }

    /// How many have a thread that may still let go of something.
    pub fn count(&mut self, proc: &Proc) -> usize {
        let ending = |&(pid, start): &(u32, u64)| proc.is_ending(pid, start);
        self.processes.retain(ending);
        self.left = self.processes.len();
        self.left
    }
}
