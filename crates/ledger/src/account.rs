//! Accounts: each object's count against the references that were found.

use crate::ends::Ends;
use crate::graph::Graph;
use crate::reach::{Flags, Reach};
use crate::state;
use crate::totals::{Totals, totals};
use model::{Facts, Object, ObjectId};

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
}

/// The accounts of one pass, closed.
#[derive(Debug)]
pub struct Ledger {
    pub(crate) objects: Vec<Object>,
    pub(crate) graph: Graph,
    pub(crate) reach: Reach,
    pub(crate) out_of_sight: Option<String>,
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
        let sums: Vec<u64> = readings.iter().map(|r| explained(&r.facts)).collect();
        let graph = Graph::build(readings.iter().map(|r| &r.facts));
        let own: Vec<Flags> = readings
            .iter()
            .zip(&sums)
            .map(|(r, &sum)| state::own_flags(&r.facts, sum))
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
            out_of_sight: sight.holders_out_of_sight.clone(),
        }
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

fn explained(facts: &Facts) -> u64 {
    let counts = facts.references.iter().map(|r| r.count);
    counts.fold(0, u64::saturating_add)
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
    let before = reading
        .facts
        .object_id()
        .and_then(|id| previous.and_then(|ledger| ledger.get(id)));
    // A remainder must also have stood still: what is freed all the time leaves one
    // that differs only by chance.
    let still = reading.steady || explained == refcnt;
    still && before.is_some_and(|b| b.facts.refcnt == Some(refcnt) && b.explained == explained)
}

/// Fills in `unexplained`, or says why it stays null.
fn balance(object: &mut Object, sight: &Sight) {
    let Some(refcnt) = object.facts.refcnt else {
        return;
    };
    let left = i128::from(refcnt) - i128::from(object.explained);
    match &sight.holders_out_of_sight {
        Some(reason) if left > 0 => {
            let sentence = format!(
                "{left} of {refcnt} references are not accounted for: \
                 their holders may be out of sight ({reason})"
            );
            object.facts.unreadable.push(sentence);
        }
        _ => {
            let left = left.clamp(i64::MIN.into(), i64::MAX.into());
            object.unexplained = i64::try_from(left).ok();
        }
    }
}
