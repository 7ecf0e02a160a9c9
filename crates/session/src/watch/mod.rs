//! A watch: sweeps, one after the other, and what grows from one to the next.
//!
//! No hook on any system call: what comes and goes between two sweeps is not seen, and what is
//! counted is said to be a lower bound. Of Go processes in which something grows it is read how often their collector has
//! run, and nothing of others.

pub(crate) mod ahead;
pub(crate) mod collectors;
mod command;
mod measures;

pub use command::{Followed, StartError};

use crate::{Error, Sweep, Sweeper};
use collectors::Collectors;
use kernel::sys::processor_time;
use ledger::{Growth, Samples};
use measures::Measures;
use model::{
    Ahead, CannotSee, Holder, Leak, LeakEvent, Metrics, Object, ObjectId, SweepSample, WatchCost,
    WatchStart, WatchSummary,
};
use rustc_hash::FxHashSet;
use std::time::{Duration, Instant};

/// How a watch shall look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WatchOptions {
    /// Growth through so long is called a leak.
    pub window: Duration,
    /// Between two sweeps, where nothing moves. `None`: a second, and longer where sweeps take long.
    pub interval: Option<Duration>,
    /// Keep what [`Watch::metrics`] tells.
    pub metrics: bool,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self {
            // Longer than the two minutes after which Go forces a collection
            // (forcegcperiod in runtime/proc.go), which releases what nobody closed.
            window: Duration::from_secs(150),
            interval: None,
            metrics: false,
        }
    }
}

/// Whose references are watched.
pub type Keep = Box<dyn Fn(&Object, &Holder) -> bool>;

/// A watch under way.
pub struct Watch {
    sweeper: Sweeper,
    samples: Samples,
    growth: Growth,
    collectors: Collectors,
    options: WatchOptions,
    keep: Keep,
    begun: Instant,
    /// Processor time before the first sweep: loading the walks is in it.
    before: Duration,
    /// How long the last sweep kept a processor.
    last_took: Duration,
    cannot_see: Vec<CannotSee>,
    /// Objects that the first sweep found.
    first: FxHashSet<ObjectId>,
    /// Walks that showed not all in the first sweep either.
    incomplete: FxHashSet<&'static str>,
    kernel: String,
    measures: Option<Measures>,
}

/// Between two sweeps, unless something else is asked for.
const INTERVAL: Duration = Duration::from_secs(1);
/// Of a processor's time, sweeps take at most this, then.
const SHARE: f64 = 0.01;
/// No pause is longer, however long a sweep takes.
const LONGEST: Duration = Duration::from_secs(30);

impl Watch {
    /// Begins with the first sweep, which nothing is compared with.
    pub fn begin(
        mut sweeper: Sweeper,
        options: WatchOptions,
        keep: Keep,
    ) -> Result<(Self, WatchStart, SweepSample), Error> {
        let first = sweeper.sweep()?;
        let before = processor_time();
        let mut samples = Samples::default();
        let sample = samples.take(0.0, first.ledger.objects(), &*keep);
        let mut growth = Growth::new(options.window.as_secs_f64());
        growth.observe(&sample);
        let mut measures = options.metrics.then(Measures::default);
        if let Some(measures) = &mut measures {
            let objects = first.ledger.objects();
            measures.note(0.0, objects, &growth, sweeper.proc(), &[]);
            measures.seconds = first.snapshot.seconds;
        }
        let start = WatchStart {
            schema: WatchStart::SCHEMA.into(),
            t: 0.0,
            time: first.snapshot.time.clone(),
            source: "sweep".into(),
            cost: "no hook on any system call; each sweep goes over all descriptor tables".into(),
            window_seconds: options.window.as_secs_f64(),
            kernel: first.snapshot.kernel.clone(),
            boot_id: first.snapshot.boot_id.clone(),
            cannot_see: first.snapshot.cannot_see.clone(),
        };
        let watch = Self {
            sweeper,
            samples,
            growth,
            collectors: Collectors::default(),
            options,
            keep,
            begun: Instant::now(),
            before,
            last_took: Duration::ZERO,
            first: ids(first.ledger.objects()),
            incomplete: first.incomplete,
            kernel: start.kernel.clone(),
            measures,
            cannot_see: first.snapshot.cannot_see,
        };
        Ok((watch, start, sample))
    }

    /// One sweep more: what it found, and what is to be said after it. `None` if it could not see what
    /// the first could: what is not seen has not gone.
    pub fn look(&mut self) -> Result<Option<(SweepSample, Vec<LeakEvent>)>, Error> {
        let loading = self.sweeper.loading();
        let before = processor_time();
        let sweep = self.sweeper.look()?;
        let sees_less = !sweep.incomplete.is_subset(&self.incomplete);
        let found = (!sees_less).then(|| self.compare(&sweep));
        self.cannot_see.clone_from(&sweep.snapshot.cannot_see);
        // Of thousands of objects that takes its time, too.
        drop(sweep);
        let loaded = self.sweeper.loading().saturating_sub(loading);
        self.before += loaded;
        self.last_took = processor_time()
            .saturating_sub(before)
            .saturating_sub(loaded);
        Ok(found)
    }

    /// A sweep with the one before.
    fn compare(&mut self, sweep: &Sweep) -> (SweepSample, Vec<LeakEvent>) {
        let t = self.elapsed();
        let objects = sweep.ledger.objects();
        let mut sample = self.samples.take(t, objects, &*self.keep);
        sample.collections = self.collectors.read(self.sweeper.proc(), &self.growth);
        let mut changed = self.growth.observe(&sample);
        self.look_ahead(&mut changed, objects);
        if let Some(measures) = &mut self.measures {
            let (growth, proc) = (&self.growth, self.sweeper.proc());
            measures.note(t, objects, growth, proc, &changed);
            measures.seconds = sweep.snapshot.seconds;
        }
        let ahead = changed.iter().filter(|event| !event.exhausts.is_empty());
        let ahead = ahead.map(|event| Ahead {
            id: event.id.clone(),
            exhausts: event.exhausts.clone(),
        });
        sample.ahead = ahead.collect();
        (sample, changed)
    }

    fn look_ahead(&self, events: &mut [LeakEvent], objects: &[Object]) {
        for event in events {
            event.exhausts = ahead::exhausts(self.sweeper.proc(), event, objects);
        }
    }

    /// How long to wait before the next sweep: half as long while something moves, and, unless a pace
    /// was asked for, so long that sweeps take no more than a hundredth of a processor.
    pub fn pause(&self) -> Duration {
        let pause = self.options.interval.unwrap_or(INTERVAL);
        let pause = if self.growth.is_moving() {
            pause / 2
        } else {
            pause
        };
        match self.options.interval {
            Some(_) => pause,
            None => pause.max(self.last_took.div_f64(SHARE).min(LONGEST)),
        }
    }

    /// Seconds since it began.
    pub(crate) fn elapsed(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    /// How each series that was told of stands.
    pub fn standing(&self) -> Vec<LeakEvent> {
        self.growth.standing(self.elapsed())
    }

    /// All numbers after the last sweep, if they were asked for. `version`: lastref's own.
    pub fn metrics<'a>(&'a self, version: &'a str) -> Option<Metrics<'a>> {
        let measures = self.measures.as_ref()?;
        let t = self.elapsed();
        Some(Metrics {
            version,
            kernel: &self.kernel,
            census: &measures.census,
            series: self.growth.series().collect(),
            told: self.standing(),
            exhaustion: measures.exhaustion(t),
            created: self.growth.created(),
            sweeps: self.growth.sweeps(),
            sweep_seconds: measures.seconds,
            swept_at: measures.at,
            cpu_seconds: processor_time().as_secs_f64(),
            resident_bytes: self.sweeper.proc().resident_memory().ok(),
            cannot_see: self.cannot_see.len() as u64,
        })
    }

    /// The last words.
    pub fn summary(&self) -> WatchSummary {
        let t = self.elapsed();
        let cpu = processor_time().saturating_sub(self.before).as_secs_f64();
        let cost = WatchCost {
            cpu_seconds: cpu,
            share: if t > 0.0 { cpu / t } else { 0.0 },
            rss_bytes: self.sweeper.proc().peak_memory().unwrap_or_default(),
        };
        summary(&self.growth, t, cost, self.cannot_see.clone())
    }
}

fn summary(growth: &Growth, t: f64, cost: WatchCost, cannot_see: Vec<CannotSee>) -> WatchSummary {
    let standing = growth.standing(t);
    let leaks = standing
        .iter()
        .filter(|series| series.leak >= Leak::Suspected);
    WatchSummary {
        t,
        leaks: leaks.count() as u64,
        sweeps: growth.sweeps(),
        lost_events: 0,
        created: growth.created(),
        cost,
        cannot_see,
    }
}

/// What was recorded, told as it was live: what is to be said after each sweep, in order.
pub struct Replay {
    growth: Growth,
    /// When the last sweep was.
    t: f64,
}

impl Replay {
    /// Growth through so many seconds is called a leak.
    pub fn new(window: f64) -> Self {
        Self {
            growth: Growth::new(window),
            t: 0.0,
        }
    }

    /// What is to be said after this sweep.
    pub fn sweep(&mut self, sample: &SweepSample) -> Vec<LeakEvent> {
        self.t = sample.t;
        let mut events = self.growth.observe(sample);
        for event in &mut events {
            let ahead = sample.ahead.iter().find(|ahead| ahead.id == event.id);
            event.exhausts = ahead.map_or_else(Vec::new, |ahead| ahead.exhausts.clone());
        }
        events
    }

    /// The last words. What the watch cost, and could not see, is as recorded.
    pub fn summary(&self, recorded: Option<&WatchSummary>) -> WatchSummary {
        let cost = recorded.map_or_else(WatchCost::default, |summary| summary.cost);
        let cannot_see = recorded.map_or_else(Vec::new, |summary| summary.cannot_see.clone());
        let t = recorded.map_or(self.t, |summary| summary.t);
        summary(&self.growth, t, cost, cannot_see)
    }
}

fn ids(objects: &[Object]) -> FxHashSet<ObjectId> {
    let ids = objects.iter().filter_map(|o| o.facts.object_id());
    ids.collect()
}
