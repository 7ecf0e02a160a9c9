//! Which process of a scenario holds what it is about: it may be a child of the one that the lab started.

use crate::catalog::Scenario;
use crate::own;
use crate::program::Running;
use model::Kind;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// The process of a scenario that has the most descriptors on what leaks, or on anything if nothing does; `None` if none has
/// any.
pub fn of(scenario: &Scenario, running: &Running) -> Option<u32> {
    let leaks = scenario.leaks();
    let groups = scenario.manifest.groups.iter();
    let wanted: BTreeSet<(Kind, u32)> = groups
        .filter(|group| group.leaks == leaks)
        .flat_map(|group| {
            let book = running.said().book(&group.name);
            let ids = book.held.into_iter().chain(book.dropped);
            ids.map(|id| (group.object.kind, id))
        })
        .collect();
    let pids = own::processes_beside(running.pid());
    let counts = pids.into_iter().map(|pid| {
        let held = own::descriptors(&[pid]);
        let of_it = held.iter().filter(|(object, _)| wanted.contains(object));
        (pid, of_it.map(|(_, count)| count).sum())
    });
    most(&counts.collect(), running.pid())
}

/// The one with the most; of several the first, or the oldest.
fn most(counts: &BTreeMap<u32, u64>, first: u32) -> Option<u32> {
    let holding = counts.iter().filter(|(_, count)| **count > 0);
    let (pid, _) = holding.max_by_key(|&(&pid, &count)| (count, pid == first, Reverse(pid)))?;
    Some(*pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_holds_is_named() {
        for (counts, named) in [
            (&[(1, 0), (2, 0)][..], None),
            (&[(1, 0), (2, 1), (3, 1)], Some(2)),
            (&[(1, 1), (2, 1), (9, 1)], Some(9)),
            (&[(1, 4), (9, 3)], Some(1)),
        ] {
            let counts = counts.iter().copied().collect();
            assert_eq!(most(&counts, 9), named, "{counts:?}");
        }
    }
}
