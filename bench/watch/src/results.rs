//! The raw results, as they are written.

use crate::tax::Block;
use crate::watcher::{Memory, Summary};
use crate::work::How;
use bench_sweep::host::Host;
use serde::Serialize;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub struct Results {
    /// `lastref.bench-watch/0`
    pub schema: &'static str,
    /// Day, UTC.
    pub date: String,
    /// The machine.
    pub host: Host,
    /// First line of `bpftrace --version`.
    pub bpftrace: Option<String>,
    /// The load of the minute before.
    pub load_before: Option<f64>,
    /// And at the end; the benchmark's own work is in it.
    pub load_after: Option<f64>,
    /// What was left out, and why.
    pub notes: Vec<String>,
    /// System calls with and without somebody who watches.
    pub tax: Vec<Block>,
    /// Sweeps that were made meanwhile.
    pub tax_sweeps: u64,
    /// The watch's own cost, with nothing moving.
    pub cost: Vec<Cost>,
    /// From the first leaked handle to what is said of it.
    pub told: Vec<Told>,
    /// Very many acquisitions.
    pub churn: Vec<Churn>,
}

/// A watch of a host on which nothing moves.
#[derive(Debug, Clone, Serialize)]
pub struct Cost {
    /// Maps that one process holds.
    pub maps: u64,
    /// Its descriptors on them.
    pub handles: u64,
    /// By `/proc/PID/stat`, without the first second, between two readings.
    pub proc_cpu_seconds: f64,
    /// From one reading to the other.
    pub proc_seconds: f64,
    /// By `/proc/PID/status`, before its end.
    pub memory_kib: Memory,
    /// lastref's own words.
    pub summary: Summary,
}

/// A leak of one handle a second, and when it was told.
#[derive(Debug, Clone, Serialize)]
pub struct Told {
    /// How handles were acquired.
    pub how: How,
    /// Seconds between two sweeps where nothing moves; half of that where something does.
    pub interval: u32,
    /// `suspected` or `yes`.
    pub what: &'static str,
    /// From the first leaked handle until the line came; null if none came.
    pub seconds: Option<f64>,
    /// The first sweep that found a leaked handle is one.
    pub sweeps: Option<u64>,
}

/// Acquisitions and releases, as many as can be.
#[derive(Debug, Clone, Serialize)]
pub struct Churn {
    /// How handles were acquired.
    pub how: How,
    /// How long.
    pub seconds: f64,
    /// By the process's own count.
    pub true_acquired: u64,
    /// By the sweeps, as recorded.
    pub acquired: u64,
    /// Likewise.
    pub released: u64,
    /// Whether and what was ever said of it.
    pub said: Vec<String>,
    /// Resident memory of the watch each second.
    pub rss_kib: Vec<u64>,
    /// lastref's own words.
    pub summary: Summary,
}
