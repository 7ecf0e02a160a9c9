//! How often the collectors of Go processes have run: only of those in which something grows.

use crate::explain::inode;
use gobinary::Executable;
use goheap::{Counter, Heap, Program};
use ledger::Growth;
use model::{Collections, Holder, SeriesSample};
use process::{Proc, ProcessMemory};
use rustc_hash::FxHashMap;

/// Processes whose memory is open at most.
const PROCESSES: usize = 32;

/// A process: its pid, and when it started.
type Who = (u32, Option<u64>);

/// The memory of processes, and where in it they count their collections.
#[derive(Debug, Default)]
pub struct Collectors {
    /// `None`: it is no Go process, or cannot be read.
    known: FxHashMap<Who, Option<(ProcessMemory, Counter)>>,
}

impl Collectors {
    /// Of each series that grows in a Go process: the collections that its process has completed by now. What could not be
    /// read is missing: growth alone tells then.
    pub fn read(&mut self, proc: &Proc, growth: &Growth) -> Vec<Collections> {
        let growing: Vec<(u32, Who)> = growth
            .growing()
            .into_iter()
            .filter_map(of_process)
            .collect();
        // Each is a descriptor of ours.
        self.known
            .retain(|who, _| growing.iter().any(|(_, grows)| grows == who));
        let mut found = Vec::new();
        for (series, who) in growing {
            if !self.known.contains_key(&who) && self.known.len() >= PROCESSES {
                continue;
            }
            let collector = self.known.entry(who).or_insert_with(|| open(proc, who));
            let Some((memory, counter)) = collector else {
                continue;
            };
            match counter.completed(memory) {
                Ok(completed) => found.push(Collections { series, completed }),
                // It has ended, or called exec.
                Err(_) => *collector = None,
            }
        }
        found
    }
}

fn of_process(series: &SeriesSample) -> Option<(u32, Who)> {
    match &series.holder {
        Holder::Process(process) => Some((series.series, (process.pid, process.start_ticks))),
        _ => None,
    }
}

/// Finds the runtime of a process. Its memory is that of the process that was meant, whoever has its pid later.
fn open(proc: &Proc, (pid, start_ticks): Who) -> Option<(ProcessMemory, Counter)> {
    let file = proc.executable(pid).ok()?;
    let executable = Executable::open(&file).ok()?;
    if !executable.is_go() {
        return None;
    }
    let mappings = proc.mappings(pid).ok()?;
    let regions: Vec<_> = mappings.into_iter().map(|mapping| mapping.region).collect();
    let memory = proc.memory(pid).ok()?;
    let program = Program {
        executable: &executable,
        regions: &regions,
        file: inode(&file),
        layout: None,
    };
    let counter = Heap::attach(&memory, &program).ok()?.counter();
    let is_it = proc
        .describe(pid)
        .is_ok_and(|now| now.start_ticks == start_ticks);
    is_it.then_some((memory, counter))
}
