//! How often the collectors of Go processes have run: only of those in which something grows.
//!
//! A thread of its own reads them, and is waited for only so long: a process may have made its executable so that
//! finding its runtime takes seconds, or have memory that a file system never delivers.

use crate::explain::inode;
use gobinary::Executable;
use goheap::{Counter, Heap, Program};
use ledger::Growth;
use model::{Collected, Holder, SeriesSample};
use process::{Proc, ProcessMemory};
use rustc_hash::FxHashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// A look waits no longer for an answer. Finding a runtime takes a millisecond or two, a count some microseconds.
const WAIT: Duration = Duration::from_millis(100);
/// Processes whose memory is open at most: each is a descriptor of ours.
const OPEN: usize = 32;
/// Processes of which is remembered that they are no Go processes, or cannot be read.
const CLOSED: usize = 4096;
/// A process is tried again after an exec, but no more often.
const TRIES: u32 = 3;
/// After a runtime was looked for, for so many times as long none is.
const REST: u32 = 100;

/// A process: its pid, and when it started.
type Who = (u32, Option<u64>);
/// The collections that processes have completed.
type Counts = FxHashMap<Who, u64>;

/// Asks the thread that reads.
#[derive(Debug, Default)]
pub struct Collectors {
    thread: Option<Thread>,
}

#[derive(Debug)]
struct Thread {
    ask: Sender<Vec<Who>>,
    answers: Receiver<Counts>,
    /// It has not answered yet.
    busy: bool,
}

impl Collectors {
    /// Of each series that grows in a Go process: the collections that its process has completed by now. What could not be
    /// read, or not in time, is missing: growth alone tells then.
    pub fn read(&mut self, proc: &Proc, growth: &Growth) -> Vec<Collected> {
        let growing = growth.growing();
        let growing: Vec<(u32, Who)> = growing.into_iter().filter_map(of_process).collect();
        if growing.is_empty() {
            return vec![];
        }
        if self.thread.is_none() {
            self.thread = Thread::start(proc);
        }
        let who = growing.iter().map(|(_, who)| *who);
        let counts = self.thread.as_mut().and_then(|thread| thread.ask(who));
        let Some(counts) = counts else {
            return vec![];
        };
        let collected = growing.into_iter().filter_map(|(series, who)| {
            let completed = *counts.get(&who)?;
            Some(Collected { series, completed })
        });
        collected.collect()
    }
}

fn of_process(series: &SeriesSample) -> Option<(u32, Who)> {
    match &series.holder {
        Holder::Process(process) => Some((series.series, (process.pid, process.start_ticks))),
        _ => None,
    }
}

impl Thread {
    /// It ends when it is asked no more.
    fn start(proc: &Proc) -> Option<Self> {
        let (ask, questions) = channel::<Vec<Who>>();
        let (answer, answers) = channel();
        let proc = proc.clone();
        let read = move || {
            let mut readers = Readers::default();
            for who in questions {
                if answer.send(readers.read(&proc, &who)).is_err() {
                    break;
                }
            }
        };
        let thread = std::thread::Builder::new().name("collections".into());
        thread.spawn(read).ok()?;
        Some(Self {
            ask,
            answers,
            busy: false,
        })
    }

    fn ask(&mut self, who: impl Iterator<Item = Who>) -> Option<Counts> {
        // What it was asked before is out of date by now.
        if self.busy && self.answers.try_recv().is_err() {
            return None;
        }
        let mut who: Vec<Who> = who.collect();
        who.sort_unstable();
        who.dedup();
        self.ask.send(who).ok()?;
        let answer = self.answers.recv_timeout(WAIT);
        self.busy = answer.is_err();
        answer.ok()
    }
}

/// A process, as far as it is known.
#[derive(Debug)]
enum Reader {
    /// Its memory, and where in it collections are counted; how often it was opened.
    Open(ProcessMemory, Counter, u32),
    /// It could be read, and cannot any more: it has called exec, or ended.
    Lost(u32),
    /// It is no Go process, or cannot be read.
    Closed,
}

#[derive(Debug, Default)]
struct Readers {
    known: FxHashMap<Who, Reader>,
    /// Until then no runtime is looked for.
    rests_until: Option<Instant>,
}

impl Readers {
    fn read(&mut self, proc: &Proc, growing: &[Who]) -> Counts {
        self.forget(growing);
        let mut counts = Counts::default();
        for &who in growing {
            let tried = match self.known.get(&who) {
                None => Some(0),
                Some(Reader::Lost(tries)) => Some(*tries),
                Some(Reader::Open(..) | Reader::Closed) => None,
            };
            if let Some(tries) = tried {
                self.open(proc, who, tries);
            }
            let Some(reader) = self.known.get_mut(&who) else {
                continue;
            };
            if let Reader::Open(memory, counter, tries) = reader {
                match counter.completed(memory) {
                    Ok(completed) => {
                        counts.insert(who, completed);
                    }
                    Err(_) => *reader = Reader::Lost(*tries),
                }
            }
        }
        counts
    }

    /// What is open and does not grow makes room; what is closed is remembered, as it may grow again.
    fn forget(&mut self, growing: &[Who]) {
        let grows = |who: &Who| growing.binary_search(who).is_ok();
        let crowded = self.known.len() > CLOSED;
        self.known.retain(|who, reader| {
            grows(who) || !crowded && matches!(reader, Reader::Closed | Reader::Lost(_))
        });
    }

    /// One at a time, and with rests: the time that it takes is up to the process.
    fn open(&mut self, proc: &Proc, who: Who, tries: u32) {
        let open = |reader: &&Reader| matches!(reader, Reader::Open(..));
        let full = self.known.values().filter(open).count() >= OPEN;
        let begun = Instant::now();
        if full || self.rests_until.is_some_and(|until| begun < until) {
            return;
        }
        let reader = match counter(proc, who) {
            Some((memory, counter)) if tries < TRIES => Reader::Open(memory, counter, tries + 1),
            _ => Reader::Closed,
        };
        self.known.insert(who, reader);
        self.rests_until = begun
            .elapsed()
            .checked_mul(REST)
            .map(|rest| Instant::now() + rest);
    }
}

/// Finds the runtime of a process. Its memory is that of the process that was meant, whoever has its pid later.
fn counter(proc: &Proc, (pid, start_ticks): Who) -> Option<(ProcessMemory, Counter)> {
    let file = proc.executable(pid).ok()?;
    let image = inode(&file);
    let executable = Executable::open(&file).ok()?;
    if !executable.is_go() {
        return None;
    }
    let mappings = proc.mappings(pid).ok()?;
    let regions: Vec<_> = mappings.into_iter().map(|mapping| mapping.region).collect();
    let memory = proc.memory(pid).ok()?;
    // It has not called exec before its memory was opened, nor is it another process.
    let same_image = proc.executable(pid).is_ok_and(|now| inode(&now) == image);
    let same = proc
        .describe(pid)
        .is_ok_and(|now| now.start_ticks == start_ticks);
    if !same || !same_image {
        return None;
    }
    let program = Program {
        executable: &executable,
        regions: &regions,
        file: image,
        layout: None,
    };
    let counter = Heap::attach(&memory, &program).ok()?.counter();
    Some((memory, counter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_go_process_is_opened_once() {
        let proc = Proc::new();
        let pid = std::process::id();
        let start = proc.describe(pid).expect("our own process").start_ticks;
        let mut readers = Readers::default();
        let (own, another) = ((pid, start), (pid, start.map(|ticks| ticks + 1)));
        for _ in 0..3 {
            readers.rests_until = None;
            assert!(readers.read(&proc, &[own]).is_empty());
            assert!(matches!(readers.known[&own], Reader::Closed));
        }
        // While it rests, nothing is opened, nor known.
        readers.rests_until = Some(Instant::now() + Duration::from_secs(60));
        assert!(readers.read(&proc, &[another]).is_empty());
        assert!(!readers.known.contains_key(&another));
        // It is remembered though it does not grow.
        assert!(readers.known.contains_key(&own));
    }

    #[test]
    fn an_answer_is_waited_for_so_long_and_asked_for_again() {
        let (ask, questions) = channel();
        let (answer, answers) = channel();
        let mut thread = Thread {
            ask,
            answers,
            busy: false,
        };
        let who = (7, Some(1));
        let begun = Instant::now();
        assert_eq!(thread.ask([who].into_iter()), None);
        assert!(begun.elapsed() >= WAIT);
        // It is not asked again before it has answered, and that answer is out of date.
        assert_eq!(thread.ask([who].into_iter()), None);
        assert_eq!(questions.try_iter().count(), 1);
        let count = move |n| Counts::from_iter([(who, n)]);
        answer.send(count(1)).expect("somebody waits");
        let late = std::thread::spawn(move || {
            let asked = questions.recv();
            answer.send(count(2)).expect("somebody waits");
            asked
        });
        assert_eq!(thread.ask([who, who].into_iter()), Some(count(2)));
        assert_eq!(late.join().expect("it ends"), Ok(vec![who]));
        // It has ended.
        assert_eq!(thread.ask([who].into_iter()), None);
    }
}
