//! What `lastref explain` says: why a process still holds its handles.

use crate::{CannotSee, Exhaustion, Leak, ObjectGroup, Site};
use serde::{Deserialize, Serialize};

mod verdict;
pub use verdict::Verdict;

/// `lastref explain PID --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExplainReport {
    /// `lastref.explain/0`
    pub schema: String,
    /// The process.
    pub process: ExplainedProcess,
    /// Its handles, the largest group first. None if it has none.
    pub groups: Vec<ExplainGroup>,
    /// What was out of sight, why, and what that would take.
    pub cannot_see: Vec<CannotSee>,
}

impl ExplainReport {
    /// Name and version of the schema.
    pub const SCHEMA: &'static str = "lastref.explain/0";
}

/// The process that holds the handles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExplainedProcess {
    /// In lastref's own pid namespace.
    pub pid: u32,
    /// `comm`, at most 15 bytes.
    pub comm: String,
    /// Target of `/proc/PID/exe`; `None` if it could not be read.
    pub exe: Option<String>,
    /// Release of its Go runtime, such as `go1.26.6`; `None` if it has none, or none was seen.
    pub runtime: Option<String>,
    /// What it is written in, as far as it shows: `go`, `c`, `c++`, `rust`, `python`.
    pub language: Option<String>,
    /// Libraries that make handles on BPF objects.
    pub libraries: Vec<LibraryVersion>,
    /// Its garbage collector; `None` if it has none, or it could not be read.
    pub gc: Option<GcSummary>,
    /// How long it was stopped for this: 0 unless paths were asked for.
    pub paused_seconds: f64,
}

/// A library of a process.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LibraryVersion {
    /// Module path of Go, or a name such as `libbpf`.
    pub path: String,
    /// As the library writes it: `v0.20.0`; `None` where nothing tells it.
    pub version: Option<String>,
}

/// What a garbage collector has done.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GcSummary {
    /// Completed collections.
    pub cycles: u64,
    /// How long ago the last one ended; `None` before the first.
    pub last_seconds_ago: Option<f64>,
}

/// Handles on objects that are alike, held for the same reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExplainGroup {
    /// Why they are held.
    pub verdict: Verdict,
    /// Whether there will be ever more of them. Said from growth alone.
    pub leak: Leak,
    /// How they came.
    pub origin: Origin,
    /// Handles.
    pub count: u64,
    /// Their descriptors, ascending: a dup adds one, and no handle.
    pub fds: Vec<u32>,
    /// What they are open on.
    pub objects: ObjectGroup,
    /// The Go object that wraps the descriptor, if one was found.
    pub owner: Option<OwnerSummary>,
    /// From the root that retains them; `None` where roots were not searched.
    pub path: Option<Vec<PathStep>>,
    /// Where they were acquired, if that was traced.
    pub acquired: Option<Site>,
    /// Growth in handles or descriptors a second; `None` if it was looked at once only.
    pub per_second: Option<f64>,
    /// What all processes of its program hold of such objects, if that grows and none of them alone does.
    #[serde(default)]
    pub program: Option<ProgramGrowth>,
    /// Limits ahead, the nearest first.
    pub exhausts: Vec<Exhaustion>,
    /// Kernel memory of the objects; `None` where that of none is known.
    pub memory_bytes: Option<u64>,
    /// What the verdict rests on, and what else is known.
    pub evidence: Vec<EvidenceLine>,
    /// What lets them go: the call to make, and on which type.
    pub fix: String,
}

/// Growth of a program by its processes: each holds as much as it ever did, and there are ever more of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ProgramGrowth {
    /// Whether that leaks.
    pub leak: Leak,
    /// In handles or descriptors a second.
    pub per_second: f64,
    /// How many processes of the program hold some.
    pub processes: u64,
}

/// How handles came to a process.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A trace saw the process acquire them.
    Acquired,
    /// An ancestor shares the same file.
    Inherited,
    /// A process that is neither ancestor nor descendant shares the file.
    Received,
    /// Nothing tells.
    #[default]
    Unknown,
}

impl Origin {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Acquired => "acquired",
            Self::Inherited => "inherited",
            Self::Received => "received",
            Self::Unknown => "unknown",
        }
    }
}

/// The Go objects that own a group's descriptors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerSummary {
    /// As Go prints it: `*sys.FD`; `None` where a stripped program tells the function only.
    #[serde(rename = "type")]
    pub type_name: Option<String>,
    /// What would release it.
    pub release: Release,
    /// What became of that; `None` if there is nothing that would.
    pub release_state: Option<ReleaseState>,
    /// The function that would be called: `(*FD).finalize`.
    pub function: Option<String>,
}

/// What the runtime calls once an object is unreachable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Release {
    /// `runtime.SetFinalizer`
    Finalizer,
    /// `runtime.AddCleanup`
    Cleanup,
    /// Nothing.
    None,
}

impl Release {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Finalizer => "finalizer",
            Self::Cleanup => "cleanup",
            Self::None => "none",
        }
    }
}

/// How far a release has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReleaseState {
    /// Registered; the collector has not called for it.
    Pending,
    /// The sweeper has queued it.
    Queued,
    /// A goroutine has called it, and it has not returned.
    Running,
}

impl ReleaseState {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Queued => "queued",
            Self::Running => "running",
        }
    }
}

/// A step from a root to an owner; the first is the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathStep {
    /// What kind of step.
    pub kind: PathKind,
    /// In words of the program: `main.cache`.
    pub text: String,
    /// It rests on a conservative reading.
    pub weak: bool,
}

/// What kind of step a path takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum PathKind {
    Global,
    Goroutine,
    Timer,
    Finalizer,
    Runtime,
    Field,
    Index,
    Key,
    Chan,
    Closure,
    Frame,
    Interface,
}

/// One measured fact, in a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceLine {
    /// Where it comes from.
    pub kind: EvidenceKind,
    /// The sentence, without a full stop. Names in it may hold anything.
    pub says: String,
}

/// Where a fact comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EvidenceKind {
    /// The books of Go's collector: mark bits, specials, queues.
    GoGc,
    /// A search of the heap.
    GoPath,
    /// The goroutine that runs finalizers or cleanups.
    Stack,
    /// The program and its libraries.
    Libraries,
    /// References of the kernel.
    KernelAccount,
    /// `/proc/PID/smaps`: mappings, and what they hold.
    MemoryMap,
    /// The heap profile of the program.
    HeapProfile,
    /// How many there were from look to look.
    Growth,
}

impl EvidenceKind {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GoGc => "go-gc",
            Self::GoPath => "go-path",
            Self::Stack => "stack",
            Self::Libraries => "libraries",
            Self::KernelAccount => "kernel-account",
            Self::MemoryMap => "memory-map",
            Self::HeapProfile => "heap-profile",
            Self::Growth => "growth",
        }
    }
}

#[cfg(test)]
mod tests;
