//! What happens in the kernel when references are dropped.

use super::needs::hidden_users;
use crate::account::Ledger;
use crate::graph::is_user;
use crate::walks::{is_program_array, user_references};
use model::By;

/// The counts of all objects, as they become step by step.
pub(super) struct Simulation<'a> {
    ledger: &'a Ledger,
    /// Per reference: how many of its holders still have it.
    holders: Vec<usize>,
    /// Per object: references that are left of those that were found.
    left: Vec<u64>,
    /// Per object: those of user space among them.
    user_left: Vec<u64>,
    freed: Vec<bool>,
    /// Program arrays whose slots the kernel emptied.
    emptied: Vec<bool>,
}

impl<'a> Simulation<'a> {
    pub fn new(ledger: &'a Ledger) -> Self {
        let objects = ledger.objects();
        let refs = ledger.graph.refs.iter();
        Self {
            ledger,
            holders: refs.map(|r| r.holds.len()).collect(),
            left: objects.iter().map(|o| o.explained).collect(),
            user_left: objects.iter().map(|o| user_references(&o.facts)).collect(),
            freed: vec![false; objects.len()],
            emptied: vec![false; objects.len()],
        }
    }

    pub fn is_freed(&self, object: usize) -> bool {
        self.freed[object]
    }

    pub fn is_emptied(&self, object: usize) -> bool {
        self.emptied[object]
    }

    /// An end lets go of what it holds by these grips. Returns what that frees.
    pub fn drop_grips(&mut self, end: usize, grips: &[usize]) -> Vec<usize> {
        let graph = &self.ledger.graph;
        let mut freed = Vec::new();
        // References of which a holder goes.
        let mut dropped: Vec<usize> = Vec::new();
        for &grip in grips {
            debug_assert_eq!(graph.grips[grip].end, end);
            dropped.extend_from_slice(graph.grip_refs(grip));
        }
        while let Some(at) = dropped.pop() {
            self.holders[at] = self.holders[at].saturating_sub(1);
            if self.holders[at] > 0 {
                continue;
            }
            let reference = &graph.refs[at];
            let object = reference.object;
            self.left[object] = self.left[object].saturating_sub(reference.count);
            if is_user(reference.by) {
                let user_left = &mut self.user_left[object];
                *user_left = user_left.saturating_sub(reference.count);
                if self.is_emptied_now(object) {
                    self.emptied[object] = true;
                    let slots = graph.refs_by(object).iter();
                    dropped.extend(slots.filter(|&&r| graph.refs[r].by == By::ProgArray));
                }
            }
            if self.is_freed_now(object) {
                self.freed[object] = true;
                freed.push(object);
                let emptied = self.emptied[object];
                let held = graph.refs_by(object).iter();
                dropped.extend(held.filter(|&&r| !(emptied && graph.refs[r].by == By::ProgArray)));
            }
        }
        freed
    }

    fn is_emptied_now(&self, object: usize) -> bool {
        let facts = self.ledger.facts(object);
        self.user_left[object] == 0
            && !self.emptied[object]
            && !self.freed[object]
            && is_program_array(facts)
            && !hidden_users(facts)
    }

    /// Only an account that is known to the last reference says when it is over.
    fn is_freed_now(&self, object: usize) -> bool {
        let account = &self.ledger.objects()[object];
        self.left[object] == 0
            && !self.freed[object]
            && account.facts.refcnt == Some(account.explained)
    }
}
