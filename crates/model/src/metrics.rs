//! What a watch measures, for a database of time series.

use crate::{By, Created, Kind, LeakEvent, SeriesSample, State};
use std::collections::BTreeMap;

/// Objects of one sweep, in numbers. Without lastref's own, and without the BTF of vmlinux and modules,
/// which has no account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    /// By what keeps them: all pairs of kind and state, also those of which there is none.
    pub objects: BTreeMap<(Kind, State), Tally>,
    /// By how they are held. What is held in two ways is in two of these.
    pub held: BTreeMap<(Kind, By), Held>,
    /// Pins of objects that nothing but pins keeps, by the objects' kind.
    pub orphan_pins: BTreeMap<Kind, u64>,
    /// References that nothing explains, in accounts that stand still. A kind is missing where there
    /// are none, and holders may be out of sight: nobody knows then.
    pub unexplained: BTreeMap<Kind, u64>,
}

/// Objects, and their memory as far as it is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub objects: u64,
    /// Sum of the memory that is known.
    pub memory_bytes: u64,
    /// Of how many objects it is not.
    pub memory_unknown: u64,
}

impl Tally {
    /// One object more.
    pub fn add(&mut self, memory_bytes: Option<u64>) {
        self.objects += 1;
        match memory_bytes {
            Some(bytes) => self.memory_bytes = self.memory_bytes.saturating_add(bytes),
            None => self.memory_unknown += 1,
        }
    }

    /// What is known of the memory: nothing, if no object tells.
    pub fn memory(&self) -> Option<u64> {
        (self.memory_unknown < self.objects || self.objects == 0).then_some(self.memory_bytes)
    }
}

/// What is held in one way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Objects that have at least one such reference.
    pub objects: Tally,
    /// These references.
    pub references: u64,
}

/// All that a watch tells after a sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics<'a> {
    /// Of lastref.
    pub version: &'a str,
    /// `uname -r`.
    pub kernel: &'a str,
    /// The objects of the whole host.
    pub census: &'a Census,
    /// What each holder holds.
    pub series: Vec<&'a SeriesSample>,
    /// The series that were told of as they stand, the worst first.
    pub told: Vec<LeakEvent>,
    /// Of each limit that growth will meet: seconds until the first holder meets it.
    pub exhaustion: Vec<(String, f64)>,
    /// Objects made since the first sweep: at least.
    pub created: Created,
    /// Sweeps so far.
    pub sweeps: u64,
    /// How long the last one took.
    pub sweep_seconds: f64,
    /// When it ended: seconds since 1970.
    pub swept_at: Option<f64>,
    /// Processor time of lastref since it was started.
    pub cpu_seconds: f64,
    /// Memory that lastref has now.
    pub resident_bytes: Option<u64>,
    /// How many things were out of sight.
    pub cannot_see: u64,
}
