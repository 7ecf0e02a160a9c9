//! What a command leaves behind.
//!
//! An object is left behind if something that is no process keeps it. That nothing is seen to hold
//! it does not make it so: whoever exits gives up its descriptor table first and releases what
//! was in it later, and what is released lets go of its own references after a grace period.

use super::{Followed, is_new};
use crate::{Error, Sweep};
use kernel::sys::wait_for_grace_period;
use model::units::counted;
use model::{CannotSee, Holder, LeftBehind, Object, ObjectId, State, SweepSample, WatchEvent};
use rustc_hash::FxHashSet;
use std::time::{Duration, Instant};

/// For so long after the command it is looked again at what is not clear.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks, at first: each pause is twice as long.
const PAUSE: Duration = Duration::from_millis(20);
/// Between two questions whether processes have ended.
const POLL: Duration = Duration::from_millis(5);
/// Objects that are named where it stayed open.
const NAMED: usize = 16;

impl Followed {
    /// After its end: last sweeps, and what they show: files that were open at an exit after all, and
    /// objects that were not there before and that no process holds. Takes two seconds longer
    /// at most while objects are held by nobody in sight.
    pub fn left_behind(&mut self) -> Result<(SweepSample, Vec<WatchEvent>), Error> {
        let until = Instant::now() + PATIENCE;
        let mut open = Vec::new();
        let mut there: Option<FxHashSet<ObjectId>> = None;
        let mut pause = PAUSE;
        let (sweep, ending) = loop {
            self.note_pids();
            // Before the sweep: who is gone by then has let go of all.
            open.extend(self.at_exit()?);
            let ending = self.ending.count(self.watch.sweeper.proc());
            let sweep = self.watch.sweeper.sweep()?;
            // What comes later is not left by what has ended.
            let there = there.get_or_insert_with(|| self.new_objects(&sweep));
            let unclear = |object: &Object| {
                let id = object.facts.object_id();
                id.is_some_and(|id| there.contains(&id))
                    && standing(object, ending) == Standing::Unclear
            };
            let again = sweep.ledger.objects().iter().any(unclear);
            let left = until.saturating_duration_since(Instant::now());
            if !again || left.is_zero() {
                break (sweep, ending);
            }
            std::thread::sleep(pause.min(left));
            pause *= 2;
            open.extend(self.wait_for_ends(until)?);
            wait_for_grace_period();
        };
        let unfinished = self.tree.unfinished();
        open.extend(self.note(unfinished));
        let t = self.watch.elapsed();
        let (sample, changed) = self.watch.compare(&sweep);
        let objects = sweep.ledger.objects();
        open.extend(self.settle(objects, t));
        let there = there.unwrap_or_default();
        let (left, unclear) = sort(objects, &there, ending);
        self.undecided = undecided(&unclear, ending);

        let open = open.into_iter().map(Box::new).map(WatchEvent::OpenAtExit);
        let leaks = changed.into_iter().map(Box::new).map(WatchEvent::Leak);
        let left = left.into_iter().map(|object| {
            WatchEvent::LeftBehind(Box::new(LeftBehind {
                t,
                holder: object.kept_by.first().cloned(),
                object: object.clone(),
            }))
        });
        Ok((sample, open.chain(leaks).chain(left).collect()))
    }

    /// Waits for processes that have begun to exit. Gives what they, and others meanwhile, had open.
    fn wait_for_ends(&mut self, until: Instant) -> Result<Vec<model::OpenAtExit>, Error> {
        let mut open = self.at_exit()?;
        while self.ending.count(self.watch.sweeper.proc()) > 0 && Instant::now() < until {
            std::thread::sleep(POLL);
            open.extend(self.at_exit()?);
        }
        Ok(open)
    }

    /// Those that were not there before the command, and are not our own.
    fn new_objects(&self, sweep: &Sweep) -> FxHashSet<ObjectId> {
        let objects = sweep.ledger.objects().iter();
        let others = objects.filter(|o| !o.facts.own && !o.facts.is_kernel_btf());
        let ids = others.filter_map(|object| object.facts.object_id());
        ids.filter(|&id| is_new(&self.before, id)).collect()
    }
}

/// How a new object stands after the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// A process holds it.
    Held,
    /// Something else does.
    Left,
    /// It is about to go, or its holders are not all known.
    Unclear,
}

/// `ending`: processes of the command that have not let go of all.
fn standing(object: &Object, ending: usize) -> Standing {
    if object.kept_by.iter().any(is_process) {
        return Standing::Held;
    }
    match object.state {
        State::Unreferenced | State::Unknown => Standing::Unclear,
        State::InUse | State::OrphanPin | State::HeldByKernel => {
            if object.settled && ending == 0 {
                Standing::Left
            } else {
                Standing::Unclear
            }
        }
    }
}

/// What is left behind, and what stayed unclear to the last. A pin keeps an object whatever else may
/// hold it, and so does an attachment, unless it is of a process that is ending.
fn sort<'a>(
    objects: &'a [Object],
    there: &FxHashSet<ObjectId>,
    ending: usize,
) -> (Vec<&'a Object>, Vec<&'a Object>) {
    let mut left = Vec::new();
    let mut unclear = Vec::new();
    for object in objects {
        let id = object.facts.object_id();
        if id.is_none_or(|id| !there.contains(&id)) {
            continue;
        }
        let keeps = |holder: &Holder| match holder {
            Holder::Pin(_) => true,
            Holder::Attachment(_) => ending == 0,
            _ => false,
        };
        match standing(object, ending) {
            Standing::Held => {}
            Standing::Left => left.push(object),
            Standing::Unclear if object.kept_by.iter().any(keeps) => left.push(object),
            Standing::Unclear => unclear.push(object),
        }
    }
    (left, unclear)
}

/// In words.
fn undecided(objects: &[&Object], ending: usize) -> Option<CannotSee> {
    const ONE: &str = "process of the command was still ending";
    const MANY: &str = "processes of the command were still ending";
    let ids = objects.iter().filter_map(|object| object.facts.object_id());
    let ids: Vec<String> = ids.take(NAMED).map(|id| id.to_string()).collect();
    let first = ids.first()?.clone();
    let more = if objects.len() > NAMED { ", …" } else { "" };
    let all = objects.len() as u64;
    let patience = PATIENCE.as_secs();
    let (why, needs) = if ending > 0 {
        (
            format!("after {patience} s {}", counted(ending as u64, ONE, MANY)),
            "a command that waits for all that it starts".to_owned(),
        )
    } else {
        (
            format!("{patience} s after the command nothing was seen that keeps them"),
            format!("a later look: lastref why {first}"),
        )
    };
    Some(CannotSee {
        what: format!(
            "whether {} left behind ({}{more})",
            counted(all, "object is", "objects are"),
            ids.join(", ")
        ),
        why,
        needs,
    })
}

fn is_process(holder: &Holder) -> bool {
    matches!(holder, Holder::Process(_)) || !holder.open_by().is_empty()
}
