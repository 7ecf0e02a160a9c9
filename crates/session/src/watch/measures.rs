//! What a watch keeps of its last sweep for those who ask for numbers.

use super::ahead;
use ledger::{Growth, Remainders};
use model::{Census, Exhaustion, Leak, LeakEvent, Object};
use process::Proc;
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// Between two looks at the limits of what grows. One reads the descriptor table of each process, and may
/// take long where that is large.
const LIMITS_EVERY: f64 = 10.0;
/// The fastest series whose limits are looked at.
const LIMITS_OF: usize = 32;

/// Numbers of the last sweep.
#[derive(Debug, Default)]
pub(super) struct Measures {
    remainders: Remainders,
    pub census: Census,
    /// Seconds that the sweep took.
    pub seconds: f64,
    /// When it ended: seconds since 1970.
    pub at: Option<f64>,
    /// Of each limit: when it is met, in seconds since the watch began.
    met: BTreeMap<String, f64>,
    /// When limits were looked at.
    limits_at: Option<f64>,
}

impl Measures {
    /// Counts the objects of a sweep at time `t`. `changed`: what is told of it, with its limits.
    pub fn note(
        &mut self,
        t: f64,
        objects: &[Object],
        growth: &Growth,
        proc: &Proc,
        changed: &[LeakEvent],
    ) {
        self.census = self.remainders.census(objects);
        self.at = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .ok()
            .map(|since| since.as_secs_f64());
        let due = self.limits_at.is_none_or(|at| t - at >= LIMITS_EVERY);
        if due || !changed.is_empty() {
            self.limits_at = Some(t);
            let ahead = |series: &LeakEvent| {
                let told = changed.iter().find(|event| event.id == series.id);
                // They have just been read.
                match told {
                    Some(event) => event.exhausts.clone(),
                    None => ahead::exhausts(proc, series, objects),
                }
            };
            self.met = limits(t, &growth.standing(t), ahead);
        }
    }

    /// Seconds until each limit is met by the first who meets it.
    pub fn exhaustion(&self, t: f64) -> Vec<(String, f64)> {
        let each = self.met.iter();
        each.map(|(limit, met)| (limit.clone(), (met - t).max(0.0)))
            .collect()
    }
}

/// The nearest of each limit, of those `ahead` of each series.
fn limits(
    t: f64,
    standing: &[LeakEvent],
    ahead: impl Fn(&LeakEvent) -> Vec<Exhaustion>,
) -> BTreeMap<String, f64> {
    let mut met: BTreeMap<String, f64> = BTreeMap::new();
    let growing = standing.iter().filter(|s| s.leak >= Leak::Suspected);
    for series in growing.take(LIMITS_OF) {
        for ahead in ahead(series) {
            let at = t + ahead.in_seconds as f64;
            let nearest = met.entry(ahead.limit).or_insert(at);
            *nearest = nearest.min(at);
        }
    }
    met
}
