//! Growth: what one holder holds of objects that are alike, from sweep to sweep.
//!
//! ```text
//! objects of a sweep ─► Members by series (holder + how + kind, name, type; never an id)
//!                        └─► Course of each: does it grow? ─► events, where that has changed
//! ```

mod course;
mod series;

pub(crate) use series::{Key, Members};

use course::Course;
use model::{Created, Holder, Kind, Leak, LeakEvent, Object, ObjectGroup, Trend};
use rustc_hash::FxHashMap;

/// Ids that an event lists.
const IDS: usize = 16;

/// One series.
#[derive(Debug)]
struct Series {
    /// Number in its events; given when the first is told.
    number: Option<u32>,
    course: Course,
    members: Members,
    acquired: u64,
    released: u64,
    said: Option<(Trend, Leak)>,
}

/// All series of a watch.
#[derive(Debug)]
pub struct Growth {
    series: FxHashMap<Key, Series>,
    window: f64,
    sweeps: u64,
    numbers: u32,
    /// The highest id of each kind that was seen, and how many were handed out since the first sweep.
    highest: FxHashMap<Kind, (u32, u64)>,
}

impl Growth {
    /// Growth through so many seconds is called a leak.
    pub fn new(window: f64) -> Self {
        Self {
            series: FxHashMap::default(),
            window,
            sweeps: 0,
            numbers: 0,
            highest: FxHashMap::default(),
        }
    }

    /// What has changed with this sweep, `t` seconds after the watch began. Of series whose holder
    /// `keep` does not want nothing is told.
    pub fn observe(
        &mut self,
        t: f64,
        objects: &[Object],
        keep: &dyn Fn(&Holder) -> bool,
    ) -> Vec<LeakEvent> {
        self.count_ids(objects);
        let mut found = series::members(objects, keep);
        let first = self.sweeps == 0;
        self.sweeps += 1;
        let mut changed = Vec::new();
        let mut keys: Vec<Key> = Vec::new();
        for (key, series) in &mut self.series {
            let now = found.remove(key).unwrap_or_default();
            if series.look(t, now, self.window) {
                keys.push(key.clone());
            }
        }
        for (key, members) in found {
            // What was not there before the first sweep may have been acquired any time before it.
            let begin = if first { members.value() } else { 0 };
            let mut series = Series {
                number: None,
                course: Course::new(t, begin),
                members: Members::default(),
                acquired: 0,
                released: 0,
                said: None,
            };
            if first {
                series.members = members;
            } else if series.look(t, members, self.window) {
                keys.push(key.clone());
            }
            self.series.insert(key, series);
        }
        keys.sort_unstable();
        for key in keys {
            if self.is_told_by_another(&key) {
                continue;
            }
            let Some(series) = self.series.get_mut(&key) else {
                continue;
            };
            let number = *series.number.get_or_insert_with(|| {
                self.numbers += 1;
                self.numbers
            });
            series.said = series.course_said();
            changed.extend(series.event(&key, number, t));
        }
        self.forget();
        changed
    }

    /// How each series that was told of stands now, the fastest growth first.
    pub fn standing(&self, t: f64) -> Vec<LeakEvent> {
        let told = self.series.iter().filter_map(|(key, series)| {
            let number = series.number?;
            series.event(key, number, t)
        });
        let mut told: Vec<LeakEvent> = told.collect();
        told.sort_by(|a, b| {
            (b.leak.cmp(&a.leak))
                .then(b.per_second.total_cmp(&a.per_second))
                .then_with(|| a.id.cmp(&b.id))
        });
        told
    }

    /// Objects of each kind that were made since the first sweep, at least.
    pub fn created(&self) -> Created {
        let of = |kind| self.highest.get(&kind).map_or(0, |(_, created)| *created);
        Created {
            map: of(Kind::Map),
            prog: of(Kind::Prog),
            link: of(Kind::Link),
        }
    }

    /// Sweeps so far.
    pub fn sweeps(&self) -> u64 {
        self.sweeps
    }

    /// Something was acquired or released between the last two sweeps.
    pub fn is_moving(&self) -> bool {
        self.series.values().any(|series| series.members.moved)
    }

    /// Ids are handed out in order (`idr_alloc_cyclic`): what lies between the highest of two sweeps
    /// was made meanwhile, though it may be gone. Ours does not count.
    fn count_ids(&mut self, objects: &[Object]) {
        for kind in [Kind::Map, Kind::Prog, Kind::Link] {
            let ids = || {
                let all = objects.iter().filter(|o| o.facts.kind == kind);
                all.filter_map(|o| Some((o.facts.id?, o.facts.own)))
            };
            let Some(highest) = ids().map(|(id, _)| id).max() else {
                continue;
            };
            let seen = self.highest.entry(kind).or_insert((highest, 0));
            let ours = ids().filter(|(id, own)| *own && *id > seen.0).count() as u64;
            let new = u64::from(highest.saturating_sub(seen.0)).saturating_sub(ours);
            // Numbering began anew: nothing is known of what came before.
            *seen = (highest, seen.1 + new);
        }
    }

    /// Of a program's processes together nothing is told where one of them alone grows.
    fn is_told_by_another(&self, key: &Key) -> bool {
        let Some(program) = key.program() else {
            return false;
        };
        self.series.iter().any(|(other, series)| {
            other.is_process_of(program, key)
                && matches!(series.course_said(), Some((Trend::Growing, _)))
        })
    }

    /// What is over and was told of, or never was, needs no memory.
    fn forget(&mut self) {
        self.series.retain(|_, series| series.members.value() > 0);
    }
}

impl Series {
    /// True if something is to be told.
    fn look(&mut self, t: f64, mut now: Members, window: f64) -> bool {
        let (came, went) = now.against(&self.members);
        self.acquired += came;
        self.released += went;
        now.moved = came + went > 0;
        let said = self.course.observe(t, now.value(), went > 0, window);
        if now.value() == 0 {
            // The last words are about what was held last.
            self.members.end();
        } else {
            self.members = now;
        }
        said != self.said
    }

    fn course_said(&self) -> Option<(Trend, Leak)> {
        self.course.said()
    }

    fn event(&self, key: &Key, number: u32, t: f64) -> Option<LeakEvent> {
        let (state, leak) = self.said?;
        let members = &self.members;
        let ids = members.newest(IDS);
        Some(LeakEvent {
            id: format!("L{number}"),
            t,
            first_seen: self.course.since(),
            state,
            leak,
            holder: members.holder()?,
            holders: members.holders(),
            pattern: members.pattern(key.program().map(|(comm, _)| comm)),
            by: key.by,
            objects: ObjectGroup {
                kind: key.kind,
                name: key.name.to_string(),
                type_name: key.type_name.to_string(),
                count: members.objects(),
                ids,
            },
            site: None,
            open: members.handles,
            open_fds: members.fds,
            acquired: Some(self.acquired),
            released: Some(self.released),
            lower_bound: true,
            per_second: match state {
                Trend::Growing => self.course.per_second(t),
                Trend::LateRelease | Trend::Plateau | Trend::Over => 0.0,
            },
            memory_bytes: members.memory_bytes,
            charged_to: members.charged_to.clone(),
            exhausts: vec![],
        })
    }
}
