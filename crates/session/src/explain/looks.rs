//! The kernel's side of one process: its handles, and what of it grows from look to look.

use super::sight;
use super::target::Target;
use crate::handles::Handle;
use crate::watch::ahead;
use crate::watch::collectors::Collectors;
use crate::{Error, Sweep, Sweeper};
use explain::evidence::{Growth as Grown, GrowthSource};
use ledger::{Growth, Samples};
use model::{
    By, CannotSee, Exhaustion, Holder, Kind, Leak, LeakEvent, Object, Process, ProgramGrowth,
    Scope, SeriesSample, SweepSample, fold_digits,
};
use process::Proc;
use rustc_hash::FxHashMap;
use std::sync::Arc;
use std::time::Instant;

/// Looks at one process, one after the other.
#[derive(Debug)]
pub struct Looks {
    who: Who,
    begun: Instant,
    samples: Samples,
    course: Course,
    collectors: Collectors,
    count: u32,
    last: Option<Sweep>,
}

impl Looks {
    /// None yet.
    pub fn new(sweeper: &mut Sweeper, target: &Target, window: f64) -> Self {
        sweeper.list_handles(target.pid);
        Self {
            who: Who::of(target),
            begun: Instant::now(),
            samples: Samples::default(),
            course: Course::new(window),
            collectors: Collectors::default(),
            count: 0,
            last: None,
        }
    }

    /// One look more; the last one is a whole sweep, so that accounts settle.
    pub fn look(&mut self, sweeper: &mut Sweeper, last: bool) -> Result<(), Error> {
        let sweep = if last {
            sweeper.sweep()?
        } else {
            sweeper.look()?
        };
        self.take(&sweep, sweeper.proc());
        self.count += 1;
        // Of those before, growth is all that is kept: so they are freed while there is time.
        self.last = last.then_some(sweep);
        Ok(())
    }

    /// The one look that there is: nothing is compared with it.
    pub fn only(&mut self, sweeper: &mut Sweeper) -> Result<(), Error> {
        self.last = Some(sweeper.sweep()?);
        self.count += 1;
        Ok(())
    }

    /// What a look says of growth.
    fn take(&mut self, sweep: &Sweep, proc: &Proc) {
        let t = self.begun.elapsed().as_secs_f64();
        let wanted = |_: &Object, holder: &Holder| matches!(holder, Holder::Process(p) if self.who.is_of_program(p));
        let mut sample = self.samples.take(t, sweep.ledger.objects(), &wanted);
        sample.collections = self.collectors.read(proc, &self.course.growth);
        self.course.observe(&sample);
    }

    /// Descriptors and mappings as of the last look.
    pub fn take_handles(&mut self) -> Vec<Handle> {
        let last = self.last.as_mut();
        last.map_or_else(Vec::new, |sweep| std::mem::take(&mut sweep.handles))
    }

    /// All objects of the last look.
    pub fn objects(&self) -> &[Object] {
        let last = self.last.as_ref();
        last.map_or(&[], |sweep| sweep.ledger.objects())
    }

    /// What the last look could not see, and concerns a process that holds these.
    pub fn cannot_see(&self, held: &[Handle]) -> Vec<CannotSee> {
        let held = held.iter().map(|handle| handle.object).collect();
        let last = self.last.as_ref();
        last.map_or_else(Vec::new, |sweep| sight::concerning(sweep, &held))
    }

    /// What grew; nothing is known after one look.
    pub fn growth(&self, sweeper: &Sweeper) -> Vec<Grown> {
        /// The fastest, whose limits are looked at: each counts the descriptor table.
        const LIMITS_OF: usize = 32;

        if self.count < 2 {
            return vec![];
        }
        let source = GrowthSource::Looks {
            looks: self.count,
            seconds: self.course.seconds(),
        };
        let mut grown = self.course.grown(&self.who, source);
        grown.sort_by(|(a, _), (b, _)| b.per_second.total_cmp(&a.per_second));
        for (grown, event) in grown.iter_mut().take(LIMITS_OF) {
            if let Some(event) = event {
                grown.exhausts = ahead::exhausts(sweeper.proc(), event, self.objects());
            }
        }
        grown.into_iter().map(|(grown, _)| grown).collect()
    }
}

/// A process, and its program, which may be leaked a process at a time.
#[derive(Debug)]
pub struct Who {
    pid: u32,
    /// Another may have had its pid.
    start_ticks: Option<u64>,
    /// Name, with `*` for digits, and executable.
    program: (String, Option<String>),
}

impl Who {
    pub fn of(target: &Target) -> Self {
        Self {
            pid: target.pid,
            start_ticks: target.start_ticks,
            program: (fold_digits(&target.comm).into_owned(), target.exe.clone()),
        }
    }

    fn is(&self, process: &Process) -> bool {
        (process.pid, process.start_ticks) == (self.pid, self.start_ticks)
    }

    fn is_of_program(&self, process: &Process) -> bool {
        let (comm, exe) = &self.program;
        process.exe.as_deref() == exe.as_deref() && fold_digits(&process.comm) == *comm
    }
}

/// Growth from sample to sample, and what each series began with.
#[derive(Debug)]
pub struct Course {
    growth: Growth,
    begin: FxHashMap<u32, u64>,
    /// Limits ahead of series as they were recorded last, by the id of the event.
    ahead: FxHashMap<String, Vec<Exhaustion>>,
    first: f64,
    last: f64,
    samples: u32,
}

impl Course {
    pub fn new(window: f64) -> Self {
        Self {
            growth: Growth::new(window),
            begin: FxHashMap::default(),
            ahead: FxHashMap::default(),
            first: 0.0,
            last: 0.0,
            samples: 0,
        }
    }

    /// Takes one sample; with it may be recorded which limits are ahead.
    pub fn observe(&mut self, sample: &SweepSample) {
        if self.samples == 0 {
            self.first = sample.t;
            let begin = sample.series.iter();
            self.begin = begin.map(|s| (s.series, s.value())).collect();
        }
        self.samples += 1;
        self.last = sample.t;
        for event in self.growth.observe(sample) {
            let ahead = sample.ahead.iter().find(|ahead| ahead.id == event.id);
            if let Some(ahead) = ahead {
                self.ahead.insert(event.id, ahead.exhausts.clone());
            }
        }
    }

    /// Seconds from the first sample to the last.
    pub fn seconds(&self) -> f64 {
        self.last - self.first
    }

    /// What is said of the series of this process alone, each with the event that says it, if one was told.
    pub fn grown(&self, who: &Who, source: GrowthSource) -> Vec<(Grown, Option<LeakEvent>)> {
        let held = |series: &SeriesSample| matches!(series.by, By::Fd | By::Mmap | By::Iterator);
        let ours = |series: &SeriesSample| {
            series.scope == Scope::Process
                && matches!(&series.holder, Holder::Process(p) if who.is(p))
                && held(series)
        };
        let programs = self.of_program(who);
        let series = self.growth.stands(self.last);
        let of = series
            .filter(|(series, _)| ours(series))
            .map(|(series, event)| {
                let began = self.begin.get(&series.series).copied().unwrap_or(0);
                let more = series.value().saturating_sub(began);
                let (leak, per_second) = match &event {
                    Some(event) => (event.leak, event.per_second),
                    // It has grown, and not enough to say anything.
                    None if more > 0 => (Leak::Unknown, more as f64 / self.seconds().max(1e-3)),
                    None => (Leak::No, 0.0),
                };
                let program = programs.iter().find(|(of, _)| of.is_alike(series));
                let grown = Grown {
                    kind: series.objects.kind,
                    name: Arc::from(series.objects.name.as_str()),
                    type_name: Arc::from(series.objects.type_name.as_str()),
                    mapped: series.by == By::Mmap,
                    leak,
                    per_second,
                    more,
                    // It is told what grows, and not what it is a part of.
                    program: program
                        .filter(|_| leak < Leak::Suspected)
                        .map(|(_, program)| *program),
                    exhausts: event
                        .as_ref()
                        .and_then(|event| self.ahead.get(&event.id).cloned())
                        .unwrap_or_default(),
                    source,
                };
                (grown, event)
            });
        of.collect()
    }

    /// What grows of its program: where each new process holds the same, none of them grows, and the program does.
    fn of_program(&self, who: &Who) -> Vec<(Alike, ProgramGrowth)> {
        let all = self.growth.stands(self.last);
        let of = all.filter_map(|(series, event)| {
            let event = event.filter(|event| event.leak >= Leak::Suspected)?;
            let same = matches!(&series.holder, Holder::Process(p) if who.is_of_program(p));
            (series.scope == Scope::Program && same).then(|| {
                let program = ProgramGrowth {
                    leak: event.leak,
                    per_second: event.per_second,
                    processes: series.holders,
                };
                (Alike::of(series), program)
            })
        });
        of.collect()
    }
}

/// What series have in common that are about the same: how, and kind, folded name and type.
#[derive(PartialEq, Eq)]
struct Alike(By, Kind, String, String);

impl Alike {
    fn of(series: &SeriesSample) -> Self {
        let objects = &series.objects;
        let name = fold_digits(&objects.name).into_owned();
        Self(series.by, objects.kind, name, objects.type_name.clone())
    }

    fn is_alike(&self, series: &SeriesSample) -> bool {
        *self == Self::of(series)
    }
}

#[cfg(test)]
#[path = "looks_tests.rs"]
mod tests;
