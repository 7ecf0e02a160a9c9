//! Accounts: each object's count against the references that were found.

use crate::ends::Ends;
use crate::graph::Graph;
use crate::reach::{Flags, Reach};
use crate::state;
use crate::totals::{Totals, totals};
use model::{Facts, Kind, Object, ObjectId};
use rustc_hash::FxHashSet;

/// One object as one pass saw it.
#[derive(Debug, Clone)]
pub struct Reading {
    /// What was read.
    pub facts: Facts,
    /// Its count was the same before and after the walk.
    pub steady: bool,
}

/// How far the readers could look.
#[derive(Debug, Clone, Default)]
pub struct Sight {
    /// Holders of descriptors or mappings may stand where lastref cannot look
    /// (a child pid namespace, a walk that is missing); the reason, as a phrase.
    /// What is left of a count is then out of sight, not unexplained.
    pub holders_out_of_sight: Option<String>,
    /// The same of programs of some types alone, by what may run these: the types in
    /// bpftool's words, and the reason.
    pub programs_out_of_sight: Vec<(&'static [&'static str], String)>,
    /// The same of maps alone: a program uses more of them than can be read.
    pub maps_out_of_sight: Option<String>,
    /// Processes are among what is out of sight: who has a socket or a ring open may be
    /// one of them.
    pub processes_out_of_sight: bool,
}

impl Sight {
    /// Why holders of this object may stand out of sight, if they may.
    fn hides(&self, facts: &Facts) -> Option<&str> {
        if let Some(reason) = &self.holders_out_of_sight {
            return Some(reason);
        }
        if facts.kind == Kind::Map {
            return self.maps_out_of_sight.as_deref();
        }
        let mut programs = self.programs_out_of_sight.iter();
        let (_, reason) = programs.find(|(types, _)| {
            facts.kind == Kind::Prog && types.contains(&facts.type_name.as_str())
        })?;
        Some(reason)
    }
}

/// The accounts of one pass, closed.
#[derive(Debug)]
pub struct Ledger {
    pub(crate) objects: Vec<Object>,
    pub(crate) graph: Graph,
    pub(crate) reach: Reach,
    /// Whose counts changed after this pass.
    moved: FxHashSet<ObjectId>,
}

impl Ledger {
    /// Makes the accounts of a pass. `previous` is the ledger of the pass
    /// before: an account that moved during the walk, or does not add up, is settled
    /// if that one had the same count and the same sum.
    ///
    /// An account whose sum is above its count is never settled: references
    /// were found that the count does not know, so one of the two is not of this
    /// moment.
    pub fn close(readings: Vec<Reading>, sight: &Sight, previous: Option<&Self>) -> Self {
        let sums: Vec<u64> = readings.iter().map(|r| r.facts.explained()).collect();
        let graph = Graph::build(readings.iter().map(|r| &r.facts));
        let own: Vec<Flags> = readings
            .iter()
            .zip(&sums)
            .map(|(r, &sum)| state::own_flags(&r.facts, sum, sight))
            .collect();
        let (reach, keepers) = Reach::build(&graph, &own);
        let mut ends = Ends::new(&graph, readings.iter().map(|r| &r.facts).collect());
        let kept_by: Vec<_> = keepers.iter().map(|k| ends.of(k)).collect();

        let mut objects = Vec::with_capacity(readings.len());
        for (at, (reading, (kept_by, cut))) in readings.into_iter().zip(kept_by).enumerate() {
            let mut object = Object {
                settled: settled(&reading, sums[at], previous),
                state: state::state(&reading.facts, sums[at], reach.flags(at)),
                explained: sums[at],
                unexplained: None,
                kept_by,
                facts: reading.facts,
            };
            balance(&mut object, sight);
            if cut {
                let listed = object.kept_by.len();
                object.facts.unreadable.push(format!(
                    "kept_by lists the first {listed} ends; there are more"
                ));
            }
            objects.push(object);
        }
        Self {
            objects,
            graph,
            reach,
            moved: FxHashSet::default(),
        }
    }

    /// The counts of these changed between this pass and the one that is to come: that one
    /// cannot be sure of a remainder, though it may be the same.
    pub fn note_moved(&mut self, moved: impl IntoIterator<Item = ObjectId>) {
        self.moved.extend(moved);
    }

    /// The same accounts, where something turned out to be out of sight: what is left of
    /// a count is not unexplained then.
    #[must_use]
    pub fn out_of_sight(mut self, sight: &Sight) -> Self {
        // An account that is open already has said why.
        let closed = self.objects.iter_mut().filter(|o| o.unexplained.is_some());
        for object in closed {
            object.unexplained = None;
            balance(object, sight);
        }
        self
    }

    /// All accounts, in the order of the readings.
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// All accounts, in the order of the readings.
    pub fn into_objects(self) -> Vec<Object> {
        self.objects
    }

    /// The account of one object.
    pub fn get(&self, id: ObjectId) -> Option<&Object> {
        self.graph.index_of(id).map(|at| &self.objects[at])
    }

    /// True if no further pass is needed: every object whose count was read is settled.
    pub fn is_settled(&self) -> bool {
        self.objects.iter().all(|o| o.settled)
    }

    /// Sums over accounts, for instance those that are shown.
    pub fn totals<'a>(objects: impl IntoIterator<Item = &'a Object>) -> Totals {
        totals(objects)
    }

    pub(crate) fn facts(&self, at: usize) -> &Facts {
        &self.objects[at].facts
    }
}

/// Before the reason why an account stays open.
const OUT_OF_SIGHT: &str = "their holders may be out of sight (";

/// Why an account stays open, as it says itself; also one of a report that is read back.
pub(crate) fn out_of_sight(object: &Object) -> Option<&str> {
    let is_open = object.unexplained.is_none() && object.facts.refcnt > Some(object.explained);
    is_open.then(|| {
        let mut sentences = object.facts.unreadable.iter();
        let said = sentences.find_map(|sentence| {
            let (_, reason) = sentence.split_once(OUT_OF_SIGHT)?;
            reason.strip_suffix(')')
        });
        said.unwrap_or("the report does not say why")
    })
}

fn settled(reading: &Reading, explained: u64, previous: Option<&Ledger>) -> bool {
    let Some(refcnt) = reading.facts.refcnt else {
        return true;
    };
    if explained > refcnt {
        return false;
    }
    if reading.steady && explained == refcnt {
        return true;
    }
    let (Some(id), Some(previous)) = (reading.facts.object_id(), previous) else {
        return false;
    };
    let before = previous.get(id);
    // A remainder must also have stood still: what is freed all the time leaves one
    // that differs only by chance.
    let still = reading.steady && !previous.moved.contains(&id);
    (still || explained == refcnt)
        && before.is_some_and(|b| b.facts.refcnt == Some(refcnt) && b.explained == explained)
}

/// Fills in `unexplained`, or says why it stays null.
fn balance(object: &mut Object, sight: &Sight) {
    let Some(refcnt) = object.facts.refcnt else {
        return;
    };
    let left = i128::from(refcnt) - i128::from(object.explained);
    match sight.hides(&object.facts) {
        Some(reason) if left > 0 => {
            let sentence = format!(
                "{left} of {refcnt} references are not accounted for: \
                 {OUT_OF_SIGHT}{reason})"
            );
            object.facts.unreadable.push(sentence);
        }
        _ => {
            let left = left.clamp(i64::MIN.into(), i64::MAX.into());
            object.unexplained = i64::try_from(left).ok();
        }
    }
}
