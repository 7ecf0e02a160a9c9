//! What happens in the kernel when references are dropped.

use crate::account::Ledger;
use crate::users::{Emptied, hidden_users, is_program_array, is_user, user_references};

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
    /// Maps that the kernel emptied when their last user went.
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

    /// One of their holders lets go of these references. Returns what that frees.
    pub fn drop_refs(&mut self, refs: &[usize]) -> Vec<usize> {
        let graph = &self.ledger.graph;
        let mut freed = Vec::new();
        // References of which a holder goes.
        let mut dropped = refs.to_vec();
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
                    dropped.extend(self.emptied_refs(object));
                }
            }
            if self.is_freed_now(object) {
                self.freed[object] = true;
                freed.push(object);
                let facts = self.ledger.facts(object);
                let emptied = self.emptied[object];
                let gone = |r: usize| emptied && Emptied::of(facts, graph.refs[r].by).is_some();
                let held = graph.refs_by(object).iter().copied();
                dropped.extend(held.filter(|&r| !gone(r)));
            }
        }
        freed
    }

    /// What a map loses with its last user.
    fn emptied_refs(&self, map: usize) -> impl Iterator<Item = usize> + use<'a> {
        let graph = &self.ledger.graph;
        let facts = self.ledger.facts(map);
        let held = graph.refs_by(map).iter().copied();
        held.filter(move |&r| Emptied::of(facts, graph.refs[r].by).is_some())
    }

    fn is_emptied_now(&self, object: usize) -> bool {
        let facts = self.ledger.facts(object);
        self.user_left[object] == 0
            && !self.emptied[object]
            && !self.freed[object]
            && (is_program_array(facts) || self.emptied_refs(object).next().is_some())
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
