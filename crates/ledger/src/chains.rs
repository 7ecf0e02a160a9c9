//! The chains of one object, as paths.

use crate::account::Ledger;
use crate::graph::object_holder;
use model::{Holder, ObjectId};
use rustc_hash::FxHashSet;
use std::collections::{HashSet, VecDeque};

/// Chains of one object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chains {
    /// Each from a holder of the object to an end: a process, a pin, something in the
    /// kernel (an attachment, a module …), an object that nothing is known to hold, or the last object of a cycle that nothing
    /// else holds. No object stands twice in one. Usually the shortest come first.
    pub chains: Vec<Vec<Holder>>,
    /// More exist than are listed, or the search gave up before it could tell.
    pub cut: bool,
}

/// Paths looked at before giving up: cycles can have far more paths than ends.
const EFFORT: usize = 100_000;

impl Ledger {
    /// At most `limit` chains of an object; none if there is no such object.
    pub fn chains(&self, id: ObjectId, limit: usize) -> Chains {
        let Some(target) = self.graph.index_of(id) else {
            return Chains::default();
        };
        let mut short = Search::new(self, target, limit);
        short.run(VecDeque::pop_front);
        let mut chains: Vec<_> = short.paths().collect();
        if short.gave_up && chains.len() < limit {
            // So many paths lead upwards that few arrive. Depth first, they arrive at once.
            let known: HashSet<Vec<Holder>> = chains.iter().cloned().collect();
            let mut deep = Search::new(self, target, limit);
            deep.run(VecDeque::pop_back);
            chains.extend(deep.paths().filter(|path| !known.contains(path)));
        }
        let cut = short.gave_up || chains.len() > limit;
        chains.truncate(limit);
        Chains { chains, cut }
    }
}

/// An object on the way up, and the step below it.
struct Step {
    object: usize,
    below: Option<usize>,
}

/// Where a chain ends: above a step, with that grip; or with the step itself.
struct Last {
    step: usize,
    grip: Option<usize>,
}

struct Search<'a> {
    ledger: &'a Ledger,
    limit: usize,
    /// The first is the object asked for, which is not part of its chains.
    steps: Vec<Step>,
    found: Vec<Last>,
    gave_up: bool,
}

impl<'a> Search<'a> {
    fn new(ledger: &'a Ledger, target: usize, limit: usize) -> Self {
        Self {
            ledger,
            limit,
            steps: vec![Step {
                object: target,
                below: None,
            }],
            found: Vec::new(),
            gave_up: false,
        }
    }

    /// Walks until there is nothing left or one chain more than the limit, which
    /// shows that there are more.
    fn run(&mut self, next: impl Fn(&mut VecDeque<usize>) -> Option<usize>) {
        let mut open = VecDeque::from([0]);
        let mut holders = Vec::new();
        let mut distinct = FxHashSet::default();
        let mut effort = 0;
        while let Some(step) = next(&mut open) {
            let graph = &self.ledger.graph;
            let object = self.steps[step].object;
            for grip in graph.grips_on(object) {
                let grip = Some(grip);
                self.found.push(Last { step, grip });
                if self.found.len() > self.limit {
                    return;
                }
            }
            distinct.clear();
            holders.clear();
            holders.extend(graph.holders_of(object).filter(|&h| distinct.insert(h)));
            effort += 1 + holders.len();
            if effort > EFFORT.max(self.limit.saturating_mul(16)) {
                self.gave_up = true;
                return;
            }
            holders.retain(|&h| !self.stands_on(step, h, &mut effort));
            let ends_here = step != 0
                && holders.is_empty()
                && graph.grips_on(object).is_empty()
                && (distinct.is_empty() || self.ledger.reach.is_rootless(object));
            if ends_here {
                self.found.push(Last { step, grip: None });
                if self.found.len() > self.limit {
                    return;
                }
            }
            for &object in &holders {
                open.push_back(self.steps.len());
                let below = Some(step);
                self.steps.push(Step { object, below });
            }
        }
    }

    fn paths(&self) -> impl Iterator<Item = Vec<Holder>> {
        self.found.iter().map(|last| self.path(last))
    }

    /// True if the object stands on the way to this step. Only objects that hold
    /// each other can meet again, and these lie together on a way.
    fn stands_on(&self, mut step: usize, object: usize, effort: &mut usize) -> bool {
        loop {
            let at = &self.steps[step];
            if !self.ledger.reach.same_component(at.object, object) {
                return false;
            }
            if at.object == object {
                return true;
            }
            *effort += 1;
            match at.below {
                Some(below) => step = below,
                None => return false,
            }
        }
    }

    fn path(&self, last: &Last) -> Vec<Holder> {
        let ledger = self.ledger;
        let mut path = Vec::new();
        if let Some(grip) = last.grip {
            let found = &ledger.graph.grips[grip];
            let fds = ledger.graph.fds(grip).to_vec();
            let facts = |object| ledger.facts(object);
            path.push(ledger.graph.end_holder(found.end, facts, fds));
            path.extend(found.via.map(|via| via.holder(facts).clone()));
        }
        let mut step = &self.steps[last.step];
        while let Some(below) = step.below {
            path.push(object_holder(ledger.facts(step.object)));
            step = &self.steps[below];
        }
        path.reverse();
        path
    }
}
