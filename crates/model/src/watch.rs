//! What `lastref watch` tells: one event a line.

use crate::{By, CannotSee, Holder, Kind, Object};
use serde::{Deserialize, Serialize};

/// One line of `lastref watch --json`. Times (`t`) are seconds since the watch began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum WatchEvent {
    /// The first.
    Start(Box<WatchStart>),
    /// The state of a series, or what is said of its leaking, has changed.
    Leak(Box<LeakEvent>),
    /// A handle that a process of the command had open when it ended.
    OpenAtExit(Box<OpenAtExit>),
    /// An object that outlives the command.
    LeftBehind(Box<LeftBehind>),
    /// The command has ended.
    Command(Box<CommandEnd>),
    /// The last.
    Summary(Box<WatchSummary>),
}

/// How a watch looks, and what it cannot see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WatchStart {
    /// `lastref.watch/0`
    pub schema: String,
    /// Always 0.
    pub t: f64,
    /// When that was, RFC 3339, UTC.
    pub time: String,
    /// What tells of handles: `sweep`.
    pub source: String,
    /// What that costs others, in words.
    pub cost: String,
    /// Growth through so many seconds is a leak.
    pub window_seconds: f64,
    /// `uname -r`.
    pub kernel: String,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: Option<String>,
    /// What is out of sight, why, and what that would take.
    pub cannot_see: Vec<CannotSee>,
}

impl WatchStart {
    /// Name and version of the schema.
    pub const SCHEMA: &'static str = "lastref.watch/0";
}

/// Whether a series grows without bound. Said from growth alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Leak {
    /// It does not: it stands still, falls again, or has ended.
    No,
    /// It was looked at too shortly to say.
    Unknown,
    /// It grows, for less than the window so far.
    Suspected,
    /// It has grown through the window.
    Yes,
}

impl Leak {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Unknown => "unknown",
            Self::Suspected => "suspected",
            Self::Yes => "yes",
        }
    }
}

/// What a series does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trend {
    /// It grows.
    Growing,
    /// It grows and falls again, time after time: something releases late, such as a collector
    /// for what nobody closed.
    LateRelease,
    /// It grew, and stands still.
    Plateau,
    /// All of it is released, or its holder is gone.
    Over,
}

impl Trend {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Growing => "growing",
            Self::LateRelease => "late-release",
            Self::Plateau => "plateau",
            Self::Over => "over",
        }
    }
}

/// The objects of a series or group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectGroup {
    /// Map, program, link or BTF.
    pub kind: Kind,
    /// Their name; where each has another, with `*` for what differs.
    pub name: String,
    /// In bpftool's words.
    #[serde(rename = "type")]
    pub type_name: String,
    /// How many objects.
    pub count: u64,
    /// Ids of the newest 16 of them, descending.
    pub ids: Vec<u32>,
}

/// A limit that growth will meet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exhaustion {
    /// `RLIMIT_NOFILE`, `fs.file-max`, `memory.max`, `memory.limit_in_bytes`, `bpf_jit_limit`.
    pub limit: String,
    /// The limit, in its own unit: descriptors, files or bytes.
    pub value: u64,
    /// How much of it is used.
    pub used: u64,
    /// Seconds until then, if it goes on as it does.
    pub in_seconds: u64,
    /// What that takes for granted.
    pub assumes: String,
}

/// Where acquisitions come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// No frame is missing.
    pub complete: bool,
    /// Innermost first.
    pub frames: Vec<Frame>,
}

/// A line of source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Frame {
    pub function: String,
    pub file: Option<String>,
    pub line: Option<u32>,
    pub inlined: bool,
}

/// A series: what one holder holds of objects that are alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeakEvent {
    /// `L1`, `L2` …: the same for all events of a series.
    pub id: String,
    /// When this was seen.
    pub t: f64,
    /// When the growth began.
    pub first_seen: f64,
    /// What it does.
    pub state: Trend,
    /// Whether that is a leak.
    pub leak: Leak,
    /// Who holds them; one of several, if `holders` says so.
    pub holder: Holder,
    /// How many processes of that name, or pins of that pattern, `holder` stands for.
    pub holders: u64,
    /// The paths of pins, or the names of several processes, with their varying part folded.
    pub pattern: Option<String>,
    /// How they are held.
    pub by: By,
    /// What is held.
    pub objects: ObjectGroup,
    /// Where they were acquired, if that was traced.
    pub site: Option<Site>,
    /// Handles, or references of another kind, that are open now.
    pub open: u64,
    /// Descriptors on them: a dup adds one, and no handle.
    pub open_fds: u64,
    /// Acquired since the watch began: at least.
    pub acquired: Option<u64>,
    /// Released since then: at least.
    pub released: Option<u64>,
    /// What came and went between two sweeps is not in `acquired` and `released`.
    pub lower_bound: bool,
    /// Growth since `first_seen`.
    pub per_second: f64,
    /// Garbage collections, at least, that left more of it than there was before, since it was suspected. `None`: it does not grow, is
    /// not of one process's descriptors, or that process is no Go program or may not be read.
    #[serde(default)]
    pub collections: Option<u32>,
    /// Kernel memory of the objects, as far as known.
    pub memory_bytes: u64,
    /// Path of the memory cgroup that is charged for the newest of them.
    pub charged_to: Option<String>,
    /// Limits ahead, the nearest first.
    pub exhausts: Vec<Exhaustion>,
}

/// What one sweep of a watch found, as far as the sweep before did not.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SweepSample {
    /// Seconds since the watch began.
    pub t: f64,
    /// Series that are new, or of which something came or went.
    pub series: Vec<SeriesSample>,
    /// Numbers of series that have nothing any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<u32>,
    /// Objects made since the first sweep.
    pub created: Created,
    /// Limits ahead of the series that were told of with this sweep, by the id of the event.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ahead: Vec<Ahead>,
    /// Of series that grow, how often the garbage collector of their process has run, where that can be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub collections: Vec<Collected>,
}

/// How often the garbage collector of a series' process has run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collected {
    /// The number of the series.
    pub series: u32,
    /// Collections completed since the process began. Read after what it holds.
    pub completed: u64,
}

/// Limits ahead of a series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "as in LeakEvent")]
pub struct Ahead {
    pub id: String,
    pub exhausts: Vec<Exhaustion>,
}

/// Who a series is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// One process.
    Process,
    /// All processes of a program together.
    Program,
    /// Pins, objects, or something in the kernel.
    Other,
}

/// A series in one sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesSample {
    /// Its number, the same in all sweeps.
    pub series: u32,
    /// Who it is about.
    pub scope: Scope,
    /// How its holder holds.
    pub by: By,
    /// The holder; one of several, if `holders` says so.
    pub holder: Holder,
    /// How many processes or pins `holder` stands for.
    pub holders: u64,
    /// What their names or paths have in common.
    pub pattern: Option<String>,
    /// What is held.
    pub objects: ObjectGroup,
    /// References.
    pub handles: u64,
    /// Descriptors.
    pub fds: u64,
    /// Acquired since the sweep before: at least.
    pub came: u64,
    /// Released since then: at least.
    pub went: u64,
    /// Kernel memory of the objects, as far as known.
    pub memory_bytes: u64,
    /// The memory cgroup that is charged for the newest of them.
    pub charged_to: Option<String>,
}

impl SeriesSample {
    /// What grows if it leaks: descriptors run out, and a dup is one more of them.
    pub fn value(&self) -> u64 {
        self.handles.max(self.fds)
    }
}

/// Handles that a process of the command had open when it ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "as in LeakEvent")]
pub struct OpenAtExit {
    pub t: f64,
    pub holder: Holder,
    pub objects: ObjectGroup,
    pub count: u64,
    pub fds: Vec<u32>,
    pub site: Option<Site>,
}

/// An object that is there after the command, and was not before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "as in LeakEvent")]
pub struct LeftBehind {
    pub t: f64,
    pub object: Object,
    /// What keeps it; `None` if that is not known.
    pub holder: Option<Holder>,
}

/// How the command ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct CommandEnd {
    pub t: f64,
    pub argv: Vec<String>,
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
}

/// What a watch was, at its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WatchSummary {
    /// When.
    pub t: f64,
    /// Series that leak, or are suspected to, at the end.
    pub leaks: u64,
    /// Sweeps that were made.
    pub sweeps: u64,
    /// Events that were lost; a sweep loses none.
    pub lost_events: u64,
    /// Objects of each kind that were made since the watch began, on the whole host: at least,
    /// as ids that were handed out tell.
    pub created: Created,
    /// What the watch itself used.
    pub cost: WatchCost,
    /// What was out of sight in the last sweep.
    pub cannot_see: Vec<CannotSee>,
}

/// Objects that were made, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Created {
    pub map: u64,
    pub prog: u64,
    pub link: u64,
}

/// What a watch used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct WatchCost {
    /// Processor time, without that for loading its programs.
    pub cpu_seconds: f64,
    /// The same as a share of one processor.
    pub share: f64,
    /// Memory, at its most.
    pub rss_bytes: u64,
}
