//! The raw results, as they are written.

use bench_sweep::host::Host;
use bench_sweep::measure::Cost;
use serde::Serialize;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub struct Results {
    /// `lastref.bench-explain/0`
    pub schema: &'static str,
    /// Day, UTC.
    pub date: String,
    /// The machine.
    pub host: Host,
    /// The load of the minute before.
    pub load_before: Option<f64>,
    /// And at the end; the benchmark's own work is in it.
    pub load_after: Option<f64>,
    /// What was left out, and why.
    pub notes: Vec<String>,
    /// lastref, on each process.
    pub scenes: Vec<Scene>,
    /// The others.
    pub peers: Vec<PeerRun>,
}

/// One process that was looked at.
#[derive(Debug, Serialize)]
pub struct Scene {
    /// Module files of the lab.
    pub library: String,
    /// Handles that it holds.
    pub handles: u64,
    /// On so many maps.
    pub maps: u64,
    /// Live data, in small objects with pointers.
    pub heap_mib: u64,
    /// `VmRSS`.
    pub resident_kib: u64,
    /// The verdicts, with their numbers of handles.
    pub said: String,
    /// One look at a time.
    pub steps: Vec<Steps>,
    /// `lastref explain --for 0 --json`, the whole command.
    pub one_look: Vec<Cost>,
    /// The same with `--for 2s`.
    pub looks: Vec<Cost>,
    /// The largest gap of a thread that never sleeps, in windows where nobody looks.
    pub gaps_alone_ns: Vec<u64>,
    /// In windows of the same length, while the command with one look runs.
    pub gaps_explained_ns: Vec<u64>,
}

/// What the parts of one look took.
#[derive(Debug, Clone, Copy, Serialize)]
#[expect(clippy::struct_field_names, reason = "all are nanoseconds")]
pub struct Steps {
    /// Loading the kernel's walks.
    pub loaded_ns: u64,
    /// Executable, mappings, libraries.
    pub described_ns: u64,
    /// The kernel's accounts of all objects of the host.
    pub counted_ns: u64,
    /// Opening the memory, finding the runtime.
    pub found_ns: u64,
    /// Specials, marks, queues, goroutines, and whose descriptors are whose.
    pub owned_ns: u64,
    /// Meanwhile, before and after the memory is read, the kernel lists the descriptors once more, and in the end says of each object
    /// that it still is there. Not in the former.
    pub listed_ns: u64,
    /// From evidence to verdicts.
    pub judged_ns: u64,
}

impl Steps {
    /// From opening the memory to verdicts, without the kernel's lists.
    pub fn memory_ns(self) -> u64 {
        self.found_ns + self.owned_ns + self.judged_ns
    }

    /// The same, with them.
    pub fn with_lists_ns(self) -> u64 {
        self.memory_ns() + self.listed_ns
    }
}

/// One run of another program.
#[derive(Debug, Serialize)]
pub struct PeerRun {
    /// Which one.
    pub peer: &'static str,
    /// Live data of the process.
    pub heap_mib: u64,
    /// What was done.
    pub what: &'static str,
    /// Until it ended.
    pub wall_ns: u64,
    /// The largest gap of a thread that never sleeps; null if the process was not touched.
    pub stood_ns: Option<u64>,
    /// It ended well.
    pub ok: bool,
    /// What it said that is about the handles.
    pub said: String,
}
