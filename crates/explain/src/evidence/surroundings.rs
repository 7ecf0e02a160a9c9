//! What is known beside the handles: growth, memory, the heap profile.

use model::{Exhaustion, Kind, Leak, ProgramGrowth, Site};
use std::sync::Arc;

/// What this process alone holds of objects that are alike, over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Growth {
    /// Of the objects.
    pub kind: Kind,
    /// Of the objects: as they are, or folded; both find their group.
    pub name: Arc<str>,
    /// Of the objects.
    pub type_name: Arc<str>,
    /// It is about what is held by mappings alone, not by descriptors.
    pub mapped: bool,
    /// Whether it grows.
    pub leak: Leak,
    /// How fast, in handles or descriptors a second.
    pub per_second: f64,
    /// How many more there are than at the beginning.
    pub more: u64,
    /// What its program grows by beside.
    pub program: Option<ProgramGrowth>,
    /// Limits ahead, the nearest first.
    pub exhausts: Vec<Exhaustion>,
    /// What tells.
    pub source: GrowthSource,
}

/// Where growth was seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum GrowthSource {
    /// A few looks of our own.
    Looks {
        /// How many.
        looks: u32,
        /// Seconds between the first and the last.
        seconds: f64,
    },
    /// A recording of `lastref watch`.
    Recording {
        /// How long it is.
        seconds: f64,
    },
}

/// The process's memory, from `/proc/PID/smaps`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Memory {
    /// Anonymous memory at the last look.
    pub anonymous_bytes: u64,
    /// How much more than at the first; `None` after one look.
    pub anonymous_growth: Option<i64>,
    /// Seconds between the looks.
    pub seconds: f64,
    /// Mappings of BPF maps; of one file there may be several.
    pub mappings: u64,
    /// Their size together.
    pub mapped_bytes: u64,
}

/// Allocations of the Go heap profile that are still in use.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfiledStack {
    /// Objects in use, as the profile estimates.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Where they were allocated.
    pub site: Site,
}
