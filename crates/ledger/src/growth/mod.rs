//! Growth: what one holder holds of objects that are alike, from sweep to sweep.
//!
//! ```text
//! objects of a sweep ─► Samples: by series (holder + how + kind, name, type; never an id), what is new
//!                        └─► Growth: the course of each ─► events, where what is to be said has changed
//! ```
//!
//! Between the two lies all that a recording has: replayed, it tells the same.

mod collections;
mod course;
#[cfg(test)]
mod course_tests;
mod series;

pub use series::{Samples, Wanted};

use course::Course;
use model::{By, Created, Holder, Leak, LeakEvent, Scope, SeriesSample, SweepSample, Trend};
use rustc_hash::FxHashMap;

/// One series.
#[derive(Debug)]
struct Series {
    /// Number in its events; given when the first is told.
    number: Option<u32>,
    course: Course,
    last: SeriesSample,
    acquired: u64,
    released: u64,
    said: Option<(Trend, Leak)>,
    /// When it had something last.
    seen: f64,
}

/// What a sweep says of a series.
struct Found<'a> {
    /// What came or went.
    new: Option<&'a SeriesSample>,
    /// It has nothing any more.
    gone: bool,
    /// Collections that its holder has completed.
    completed: Option<u64>,
}

/// All series of a watch.
#[derive(Debug)]
pub struct Growth {
    series: FxHashMap<u32, Series>,
    window: f64,
    sweeps: u64,
    numbers: u32,
    moving: bool,
    created: Created,
}

impl Growth {
    /// Growth through so many seconds is called a leak.
    pub fn new(window: f64) -> Self {
        Self {
            series: FxHashMap::default(),
            window,
            sweeps: 0,
            numbers: 0,
            moving: false,
            created: Created::default(),
        }
    }

    /// What is to be said after this sweep, and was not before.
    pub fn observe(&mut self, sample: &SweepSample) -> Vec<LeakEvent> {
        let first = self.sweeps == 0;
        self.sweeps += 1;
        self.created = sample.created;
        let moved = !sample.series.is_empty() || !sample.gone.is_empty();
        self.moving = moved && !first;
        let mut news: FxHashMap<u32, &SeriesSample> =
            sample.series.iter().map(|new| (new.series, new)).collect();
        let mut changed = Vec::new();
        let completed: FxHashMap<u32, u64> = sample
            .collections
            .iter()
            .map(|of| (of.series, of.completed))
            .collect();
        for (&number, series) in &mut self.series {
            let found = Found {
                new: news.remove(&number),
                gone: sample.gone.binary_search(&number).is_ok(),
                completed: completed.get(&number).copied(),
            };
            if series.look(sample.t, &found, self.window) {
                changed.push(number);
            }
        }
        for (number, new) in news {
            // What was there before the first sweep may have been acquired any time before it.
            let begin = if first { new.value() } else { 0 };
            let mut series = Series {
                number: None,
                course: Course::new(sample.t, begin),
                last: new.clone(),
                acquired: 0,
                released: 0,
                said: None,
                seen: sample.t,
            };
            let found = Found {
                new: Some(new),
                gone: false,
                completed: None,
            };
            if !first && series.look(sample.t, &found, self.window) {
                changed.push(number);
            }
            self.series.insert(number, series);
        }
        changed.sort_unstable();
        let mut events = Vec::new();
        for number in changed {
            if self.is_not_told(number) {
                continue;
            }
            let Some(series) = self.series.get_mut(&number) else {
                continue;
            };
            let id = *series.number.get_or_insert_with(|| {
                self.numbers += 1;
                self.numbers
            });
            series.said = series.course.said();
            events.extend(series.event(id, sample.t));
        }
        // What has nothing may be back soon, with the same number.
        let forgotten = |s: &Series| s.last.value() == 0 && sample.t - s.seen > series::REMEMBERED;
        self.series.retain(|_, series| !forgotten(series));
        events
    }

    /// How each series that was told of stands now, the fastest growth first.
    pub fn standing(&self, t: f64) -> Vec<LeakEvent> {
        let told = self.series.values();
        let told = told.filter_map(|series| series.event(series.number?, t));
        let mut told: Vec<LeakEvent> = told.collect();
        told.sort_by(|a, b| {
            (b.leak.cmp(&a.leak))
                .then(b.per_second.total_cmp(&a.per_second))
                .then_with(|| a.id.cmp(&b.id))
        });
        told
    }

    /// All series that there are now, in no order.
    pub fn series(&self) -> impl Iterator<Item = &SeriesSample> {
        self.series.values().map(|series| &series.last)
    }

    /// Descriptors of one process that grow, the lowest number first: what its collector does tells more of them.
    pub fn growing(&self) -> Vec<&SeriesSample> {
        let grows = |series: &&Series| {
            (series.last.scope, series.last.by) == (Scope::Process, By::Fd)
                && matches!(series.course.said(), Some((Trend::Growing, _)))
        };
        let all = self.series.values().filter(grows);
        let mut all: Vec<&SeriesSample> = all.map(|series| &series.last).collect();
        all.sort_unstable_by_key(|series| series.series);
        all
    }

    /// All series, each with how it stands, if it was told of.
    pub fn stands(&self, t: f64) -> impl Iterator<Item = (&SeriesSample, Option<LeakEvent>)> {
        let all = self.series.values();
        all.map(move |series| {
            let told = series.number.and_then(|number| series.event(number, t));
            (&series.last, told)
        })
    }

    /// Objects of each kind that were made since the first sweep, at least.
    pub fn created(&self) -> Created {
        self.created
    }

    /// Sweeps so far.
    pub fn sweeps(&self) -> u64 {
        self.sweeps
    }

    /// Something was acquired or released between the last two sweeps.
    pub fn is_moving(&self) -> bool {
        self.moving
    }

    /// Of what was never told of only growth is told; and of a program's processes together nothing
    /// while one of them alone grows.
    fn is_not_told(&self, number: u32) -> bool {
        let Some(all) = self.series.get(&number) else {
            return true;
        };
        let grows = |series: &Series| matches!(series.course.said(), Some((Trend::Growing, _)));
        if !grows(all) && all.number.is_none() {
            return true;
        }
        let is_one_of_them = |one: &Series| is_of(&one.last, &all.last) && grows(one);
        all.last.scope == Scope::Program && self.series.values().any(is_one_of_them)
    }
}

/// One process of a program, and the same objects.
fn is_of(one: &SeriesSample, all: &SeriesSample) -> bool {
    let (a, b) = (&all.objects, &one.objects);
    let program = |sample: &SeriesSample| match &sample.holder {
        Holder::Process(p) => Some((series::folded(&p.comm), p.exe.clone())),
        _ => None,
    };
    one.scope == Scope::Process
        && one.by == all.by
        && (a.kind, &a.type_name) == (b.kind, &b.type_name)
        && series::folded(&a.name) == series::folded(&b.name)
        && program(one) == program(all)
}

impl Series {
    /// True if something is to be told.
    fn look(&mut self, t: f64, found: &Found<'_>, window: f64) -> bool {
        if let Some(new) = found.new {
            self.acquired = self.acquired.saturating_add(new.came);
            self.released = self.released.saturating_add(new.went);
            self.last = new.clone();
        }
        if found.gone {
            // The last words are about what was held last.
            self.released = self.released.saturating_add(self.last.value());
            self.last.handles = 0;
            self.last.fds = 0;
        }
        let value = self.last.value();
        if value > 0 {
            self.seen = t;
        }
        self.course.observe(t, value, found.completed, window) != self.said
    }

    fn event(&self, number: u32, t: f64) -> Option<LeakEvent> {
        let (state, leak) = self.said?;
        let last = &self.last;
        Some(LeakEvent {
            id: format!("L{number}"),
            t,
            first_seen: self.course.since(),
            state,
            leak,
            holder: last.holder.clone(),
            holders: last.holders,
            pattern: last.pattern.clone(),
            by: last.by,
            objects: last.objects.clone(),
            site: None,
            open: last.handles,
            open_fds: last.fds,
            acquired: Some(self.acquired),
            released: Some(self.released),
            lower_bound: true,
            per_second: match state {
                Trend::Growing => self.course.per_second(),
                Trend::LateRelease | Trend::Plateau | Trend::Over => 0.0,
            },
            collections: self.course.collections(),
            memory_bytes: last.memory_bytes,
            charged_to: last.charged_to.clone(),
            exhausts: vec![],
        })
    }
}
