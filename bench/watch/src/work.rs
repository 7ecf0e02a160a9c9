//! What is watched: a process that leaks, and one that acquires and releases very often.

use anyhow::{Context as _, Result};
use bench_sweep::bpf;
use bench_sweep::measure::monotonic;
use bench_sweep::part::{self, Part};
use clap::ValueEnum;
use serde::Serialize;
use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::fd::{AsFd as _, IntoRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How a handle is acquired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// One more descriptor on the same file.
    Dup,
    /// `BPF_MAP_GET_FD_BY_ID`: another file on the same map.
    ById,
    /// A new map.
    NewMap,
}

impl How {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dup => "dup",
            Self::ById => "`BPF_MAP_GET_FD_BY_ID`",
            Self::NewMap => "a new map",
        }
    }

    fn argument(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    fn acquire(self, map: &OwnedFd, id: u32) -> io::Result<OwnedFd> {
        match self {
            Self::Dup => map.as_fd().try_clone_to_owned(),
            Self::ById => bpf::map_by_id(id),
            Self::NewMap => bpf::create_array("bench_leak"),
        }
    }
}

/// A process that leaks one handle a second, once it is told to.
pub struct Leaker(Part);

impl Leaker {
    /// Starts it. It holds one map.
    pub fn start(how: How) -> Result<Self> {
        let mut part = Part::start("leak", &[how.argument()])?;
        part.ready()?;
        Ok(Self(part))
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// Begins, and says when it had the first handle.
    pub fn begin(&mut self) -> Result<u64> {
        self.0.go()?;
        let mut line = String::new();
        BufReader::new(&mut self.0.stdout).read_line(&mut line)?;
        line.trim().parse().context("the leaker has ended")
    }
}

/// The leaker's own part.
pub fn leak(parent: u32, how: How) -> Result<()> {
    part::end_with(parent)?;
    let map = bpf::create_array("bench_leak")?;
    let id = bpf::map_id(&map)?;
    part::say_ready()?;
    part::wait_to_begin()?;
    thread::spawn(move || {
        let begun = Instant::now();
        for second in 1.. {
            let Ok(handle) = how.acquire(&map, id) else {
                return;
            };
            let _ = handle.into_raw_fd();
            if second == 1 {
                println!("{}", monotonic());
            }
            thread::sleep(Duration::from_secs(second).saturating_sub(begun.elapsed()));
        }
    });
    part::wait_for_end()
}

/// Threads that acquire and release.
const THREADS: u64 = 4;
/// Handles that each of them has at a time.
const HELD: usize = 8;

/// A process that acquires and releases so often a second, once it is told to.
pub struct Churner(Part);

impl Churner {
    /// Starts it.
    pub fn start(how: How, per_second: u64) -> Result<Self> {
        let mut part = Part::start("churn", &[how.argument(), per_second.to_string()])?;
        part.ready()?;
        Ok(Self(part))
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// Begins.
    pub fn begin(&mut self) -> Result<()> {
        self.0.go()
    }

    /// Ends it, and says how often it acquired.
    pub fn end(self) -> Result<u64> {
        let words = self.0.finish()?;
        words.trim().parse().context("the churner has ended")
    }
}

/// The churner's own part.
pub fn churn(parent: u32, how: How, per_second: u64) -> Result<()> {
    part::end_with(parent)?;
    let map = bpf::create_array("bench_churn")?;
    let id = bpf::map_id(&map)?;
    part::say_ready()?;
    part::wait_to_begin()?;
    let (done, ended) = (AtomicU64::new(0), AtomicBool::new(false));
    let work = || -> io::Result<()> {
        let begun = Instant::now();
        let (mut acquired, mut held) = (0, VecDeque::new());
        while !ended.load(Ordering::Relaxed) {
            let due = (begun.elapsed().as_secs_f64() * (per_second / THREADS) as f64) as u64;
            // No catching up for long where the host is too slow for that many.
            for _ in 0..due.saturating_sub(acquired).min(per_second / THREADS) {
                held.push_back(how.acquire(&map, id)?);
                acquired += 1;
                if held.len() > HELD {
                    held.pop_front();
                }
                done.fetch_add(1, Ordering::Relaxed);
                if ended.load(Ordering::Relaxed) {
                    break;
                }
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    };
    thread::scope(|scope| -> Result<()> {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        let told = part::wait_for_end();
        ended.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().ok().context("a thread panicked")??;
        }
        told
    })?;
    println!("{}", done.into_inner());
    Ok(io::stdout().flush()?)
}
