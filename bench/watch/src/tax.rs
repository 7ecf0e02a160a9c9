//! What a watch costs programs that have nothing to do with it: the time of a system call.

use crate::watcher::{Lastref, Watcher};
use anyhow::{Context as _, Result, ensure};
use bench_sweep::bpf;
use bench_sweep::measure::elapsed;
use bench_sweep::results::Of;
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::Serialize;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::NamedTempFile;

/// What else runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Beside {
    /// Nothing.
    Nothing,
    /// `lastref watch`
    Watch,
    /// bpftrace, with the script that pairs `bpf()` with `close()`.
    Bpftrace,
}

impl Beside {
    /// All, and how they are measured in turn.
    pub const ALL: [Self; 3] = [Self::Nothing, Self::Watch, Self::Bpftrace];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Watch => "`lastref watch`",
            Self::Bpftrace => "bpftrace, bpf() paired with close()",
        }
    }
}

/// What is called, over and over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loop {
    /// `dup` of a map's descriptor, and `close`.
    DupClose,
    /// `getppid`
    Getppid,
}

impl Loop {
    /// Both.
    pub const ALL: [Self; 2] = [Self::DupClose, Self::Getppid];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::DupClose => "dup + close",
            Self::Getppid => "getppid",
        }
    }
}

/// One loop for one block of time.
#[derive(Debug, Clone, Serialize)]
pub struct Block {
    /// What was called.
    pub of: Loop,
    /// What else ran.
    pub beside: Beside,
    /// All three are measured in each round.
    pub round: u32,
    /// Turns of the loop.
    pub turns: u64,
    /// All of them.
    pub wall_ns: u64,
    /// The middle one of batches of 1,000 turns.
    pub batch_ns: u64,
}

impl Block {
    /// Picoseconds that a turn took: whole numbers can be sorted.
    pub fn mean_ps(&self) -> u64 {
        (u128::from(self.wall_ns) * 1000 / u128::from(self.turns.max(1))) as u64
    }
}

const BATCH: u64 = 1_000;

/// Measures both loops with nothing, the watch and bpftrace beside, in turn.
pub fn measure(
    lastref: &Lastref,
    bpftrace: bool,
    rounds: u32,
    block: Duration,
) -> Result<(Vec<Block>, u64)> {
    let before = pin()?;
    let map = bpf::create_array("bench_tax")?;
    let (mut blocks, mut sweeps) = (Vec::new(), 0);
    for round in 0..rounds {
        // Not always in the same order: what comes after what could matter.
        for turn in 0..Beside::ALL.len() {
            let beside = Beside::ALL[(round as usize + turn) % Beside::ALL.len()];
            if beside == Beside::Bpftrace && !bpftrace {
                continue;
            }
            let running = Running::start(lastref, beside, &before)?;
            // What its start or the last one's end has left to do is done before.
            thread::sleep(Duration::from_millis(300));
            for of in Loop::ALL {
                let (turns, wall_ns, batch_ns) = time(of, &map, block);
                blocks.push(Block {
                    of,
                    beside,
                    round,
                    turns,
                    wall_ns,
                    batch_ns,
                });
            }
            sweeps += running.stop()?;
        }
    }
    sched_setaffinity(None, &before)?;
    Ok((blocks, sweeps))
}

/// Keeps this thread on one processor. Gives those that it might be on.
fn pin() -> Result<CpuSet> {
    let may = sched_getaffinity(None)?;
    let last = (0..CpuSet::MAX_CPU).rev().find(|&cpu| may.is_set(cpu));
    let mut one = CpuSet::new();
    one.set(last.context("no processor may be used")?);
    sched_setaffinity(None, &one)?;
    Ok(may)
}

fn time(of: Loop, map: &OwnedFd, block: Duration) -> (u64, u64, u64) {
    let fd = map.as_raw_fd();
    let mut batches = Vec::with_capacity(16 * 1024);
    let begun = Instant::now();
    let mut wall = 0;
    while u128::from(wall) < block.as_nanos() {
        match of {
            Loop::DupClose => {
                for _ in 0..BATCH {
                    // SAFETY: the descriptor is open; the new one is closed, and nobody else has it.
                    unsafe { libc::close(libc::dup(fd)) };
                }
            }
            Loop::Getppid => {
                for _ in 0..BATCH {
                    // SAFETY: no arguments.
                    unsafe { libc::getppid() };
                }
            }
        }
        let now = elapsed(begun);
        batches.push(now - wall);
        wall = now;
    }
    let turns = batches.len() as u64 * BATCH;
    (turns, wall, Of::Median.of(batches).unwrap_or_default())
}

/// What runs beside.
enum Running {
    Nothing,
    Watch(Watcher),
    Bpftrace(Bpftrace),
}

impl Running {
    /// `may`: the processors that it may use, not only the one of the loops.
    fn start(lastref: &Lastref, beside: Beside, may: &CpuSet) -> Result<Self> {
        Ok(match beside {
            Beside::Nothing => Self::Nothing,
            Beside::Watch => {
                let watcher = lastref.watch(&[])?;
                sched_setaffinity(Some(watcher.pid()), may)?;
                Self::Watch(watcher)
            }
            Beside::Bpftrace => {
                let bpftrace = Bpftrace::start()?;
                sched_setaffinity(Some(Pid::from_child(&bpftrace.child)), may)?;
                Self::Bpftrace(bpftrace)
            }
        })
    }

    /// Gives the sweeps of a watch.
    fn stop(self) -> Result<u64> {
        match self {
            Self::Nothing => {}
            Self::Watch(watcher) => return Ok(watcher.stop()?.1.sweeps),
            Self::Bpftrace(bpftrace) => drop(bpftrace),
        }
        Ok(0)
    }
}

/// bpftrace with the script. Dropping it ends it.
struct Bpftrace {
    child: Child,
    _script: NamedTempFile,
}

impl Bpftrace {
    fn start() -> Result<Self> {
        let mut script = NamedTempFile::with_suffix(".bt")?;
        script.write_all(include_bytes!("../pairs.bt"))?;
        // Says that all is attached, a second later: BEGIN would come before that.
        script.write_all(b"interval:s:1 /!@said/ { @said = 1; printf(\"ready\\n\"); }\n")?;
        script.flush()?;
        // It wants tracefs: where that is not mounted, it gets one that goes with it.
        let run = "[ -e /sys/kernel/tracing/events ] || mount -t tracefs tracefs /sys/kernel/tracing; exec bpftrace \"$0\"";
        let mut child = Command::new("unshare")
            .args(["--mount", "sh", "-c", run])
            .arg(script.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("bpftrace does not start")?;
        let stdout = child.stdout.take().context("a pipe was asked for")?;
        let running = Self {
            child,
            _script: script,
        };
        // The pipe stays open with the reader's thread, for what it writes at its end.
        let mut lines = BufReader::new(stdout);
        let mut line = String::new();
        while line.trim() != "ready" {
            line.clear();
            ensure!(
                lines.read_line(&mut line)? > 0,
                "bpftrace ended before it was ready"
            );
        }
        thread::spawn(move || lines.lines().count());
        Ok(running)
    }
}

impl Drop for Bpftrace {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::INT);
        let _ = self.child.wait();
    }
}
