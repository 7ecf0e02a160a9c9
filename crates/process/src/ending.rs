//! Processes on their way out.

use crate::read::SMALL;
use crate::{Proc, stat};

impl Proc {
    /// Whether a process that has begun to exit, and that began at `start_ticks`, still has a thread
    /// that may let go of something.
    ///
    /// In `do_exit` a thread gives up its descriptor table (`exit_files`) long before it has released
    /// what was in it (`exit_task_work`); it is a zombie only after that (`exit_notify`), and a
    /// thread other than the first is then gone at once. So the last is the first alone, as a zombie.
    pub fn is_ending(&self, pid: u32, start_ticks: u64) -> bool {
        let Ok(dir) = self.process_dir(pid) else {
            return false;
        };
        let mut buf = Vec::new();
        if dir.read_single("stat", SMALL, &mut buf).is_err() {
            return false;
        }
        // Another process may have got its pid.
        let stat = stat::parse(&buf).filter(|stat| stat.start_ticks == start_ticks);
        stat.is_some_and(|stat| !stat.is_dead() || stat.threads > 1)
    }
}
