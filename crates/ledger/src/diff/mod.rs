//! Two reports compared: what appeared, vanished, changed and grew.
//!
//! ```text
//! objects before ─┐
//!                 ├─► pairs (same object in both) ─► appeared, vanished, changed
//! objects after ──┘      └─► sites (holder, kind, name, type) ─► growth
//! ```

mod change;
mod growth;
mod pairs;
mod site;

use model::{Detail, DiffReport, DiffTotals, ListReport, Object, ObjectId, State};
use pairs::Pair;
use std::collections::HashMap;

/// Which objects of a report are asked for.
pub type Keep<'a> = &'a dyn Fn(&Object) -> bool;

/// Compares two reports. An object counts if it is asked for in one of them: what
/// becomes an orphan has not appeared when only orphans are asked for.
///
/// Objects are the same if kind, id, name, type and tag are, within one boot. Ids are
/// cyclic and come back; across boots they mean nothing, and only groups are compared.
pub fn diff(
    before: ListReport,
    after: ListReport,
    keep_before: Keep<'_>,
    keep_after: Keep<'_>,
) -> DiffReport {
    let boots = (&before.snapshot.boot_id, &after.snapshot.boot_id);
    let same_boot = matches!(boots, (Some(a), Some(b)) if a == b);
    let reports = Reports {
        before: &before.objects,
        after: &after.objects,
        same_boot,
    };
    let mut pairs = pairs::pair(&reports);
    pairs.retain(|pair| {
        pair.before
            .is_some_and(|at| keep_before(&reports.before[at]))
            || pair.after.is_some_and(|at| keep_after(&reports.after[at]))
    });
    let growth = growth::growth(&reports, &pairs);
    let orphans = reports.new_of(&pairs, |o| u64::from(o.state == State::OrphanPin));
    let unexplained = reports.new_of(&pairs, unexplained);
    let mut totals = reports.totals(&pairs);
    totals.grown = growth.len() as u64;
    totals.new_orphans = orphans.1;
    totals.new_unexplained = unexplained.1;

    let mut report = DiffReport {
        schema: DiffReport::SCHEMA.into(),
        before: before.snapshot,
        after: after.snapshot,
        same_boot,
        appeared: vec![],
        vanished: vec![],
        changed: vec![],
        growth,
        orphans: orphans.0,
        unexplained: unexplained.0,
        totals,
    };
    if same_boot {
        let mut old: Vec<Option<Object>> = before.objects.into_iter().map(Some).collect();
        let mut new: Vec<Option<Object>> = after.objects.into_iter().map(Some).collect();
        for pair in pairs {
            let old = pair.before.and_then(|at| old[at].take());
            let new = pair.after.and_then(|at| new[at].take());
            match (old, new) {
                (None, Some(new)) => report.appeared.push(new),
                (Some(old), None) => report.vanished.push(old),
                (Some(old), Some(new)) => report.changed.extend(change::change(&old, new)),
                (None, None) => {}
            }
        }
        report.totals.appeared = report.appeared.len() as u64;
        report.totals.vanished = report.vanished.len() as u64;
        report.totals.changed = report.changed.len() as u64;
    }
    report
}

/// Both reports' objects.
struct Reports<'a> {
    before: &'a [Object],
    after: &'a [Object],
    same_boot: bool,
}

/// What makes objects alike: kind, name, type, program tag.
type Likeness<'a> = (model::Kind, &'a str, &'a str, Option<&'a str>);

fn likeness(object: &Object) -> Likeness<'_> {
    let facts = &object.facts;
    (facts.kind, &facts.name, &facts.type_name, tag(object))
}

fn tag(object: &Object) -> Option<&str> {
    match &object.facts.detail {
        Detail::Prog(prog) => Some(&prog.tag),
        _ => None,
    }
}

/// Unexplained references; what has not settled has none.
fn unexplained(object: &Object) -> u64 {
    let left = object.unexplained.filter(|_| object.settled);
    left.and_then(|left| u64::try_from(left).ok()).unwrap_or(0)
}

impl<'a> Reports<'a> {
    fn older(&self, pair: &Pair) -> Option<&'a Object> {
        pair.before.map(|at| &self.before[at])
    }

    fn newer(&self, pair: &Pair) -> Option<&'a Object> {
        pair.after.map(|at| &self.after[at])
    }

    /// The objects of which `amount` is more than before, and by how much in all.
    fn new_of(&self, pairs: &[Pair], amount: impl Fn(&Object) -> u64) -> (Vec<ObjectId>, u64) {
        // What is compared: an object with itself, or all alike across boots.
        let mut sums: HashMap<(usize, Option<Likeness<'_>>), (u64, u64)> = HashMap::new();
        let key = |at: usize, object: &'a Object| {
            if self.same_boot {
                (at, None)
            } else {
                (0, Some(likeness(object)))
            }
        };
        let not_own = |o: &&Object| !o.facts.own;
        for (at, pair) in pairs.iter().enumerate() {
            if let Some(old) = self.older(pair).filter(not_own) {
                let sum = &mut sums.entry(key(at, old)).or_default().0;
                *sum = sum.saturating_add(amount(old));
            }
            if let Some(new) = self.newer(pair).filter(not_own) {
                let sum = &mut sums.entry(key(at, new)).or_default().1;
                *sum = sum.saturating_add(amount(new));
            }
        }
        let all = sums.values().map(|(old, new)| new.saturating_sub(*old));
        let total = all.fold(0, u64::saturating_add);
        let mut ids = Vec::new();
        for (at, pair) in pairs.iter().enumerate() {
            let Some(object) = self.newer(pair).filter(not_own) else {
                continue;
            };
            let grown = sums
                .get(&key(at, object))
                .is_some_and(|(old, new)| new > old);
            if grown && amount(object) > 0 {
                ids.extend(object.facts.object_id());
            }
        }
        (ids, total)
    }

    fn totals(&self, pairs: &[Pair]) -> DiffTotals {
        let mut totals = DiffTotals::default();
        let add = |object: &Object, sums: [&mut u64; 3]| {
            let numbers = [Some(1), object.facts.refcnt, object.facts.memory_bytes];
            for (sum, number) in sums.into_iter().zip(numbers) {
                *sum = sum.saturating_add(number.unwrap_or(0));
            }
        };
        for pair in pairs {
            if let Some(old) = self.older(pair) {
                add(
                    old,
                    [
                        &mut totals.objects_before,
                        &mut totals.references_before,
                        &mut totals.memory_bytes_before,
                    ],
                );
            }
            if let Some(new) = self.newer(pair) {
                add(
                    new,
                    [
                        &mut totals.objects_after,
                        &mut totals.references_after,
                        &mut totals.memory_bytes_after,
                    ],
                );
            }
        }
        totals
    }
}
