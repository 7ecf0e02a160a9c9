//! Which references must go for an object to go.

use crate::account::Ledger;
use crate::graph::To;
use crate::users::{Emptied, hidden_users, is_user, user_references};
use model::{By, Facts};
use rustc_hash::FxHashMap;

/// How much of an object's references must go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// Those of user space: the kernel then takes out what a map runs ([`Emptied`]),
    /// whoever else still uses the map.
    User,
    All,
}

/// The objects on the chains that must be cut, and how much of each.
pub(super) struct Needs {
    parts: FxHashMap<usize, Part>,
    /// In the order in which they were met, the object itself first.
    order: Vec<usize>,
}

impl Needs {
    pub fn of(ledger: &Ledger, target: usize) -> Self {
        let graph = &ledger.graph;
        let mut needs = Self {
            parts: FxHashMap::default(),
            order: Vec::new(),
        };
        let mut open = Vec::new();
        needs.add(target, Part::All, &mut open);
        while let Some(object) = open.pop() {
            let part = needs.parts[&object];
            for at in graph.refs_to(object) {
                let reference = &graph.refs[at];
                if part == Part::User && !is_user(reference.by) {
                    continue;
                }
                for &to in &graph.holds[reference.holds.clone()] {
                    if let To::Object(holder) = to {
                        let part = needed_part(ledger.facts(holder), reference.by);
                        needs.add(holder, part, &mut open);
                    }
                }
            }
        }
        needs
    }

    fn add(&mut self, object: usize, part: Part, open: &mut Vec<usize>) {
        let known = self.parts.insert(object, part);
        if known.is_none() {
            self.order.push(object);
        }
        match known {
            // What was needed of it once stays needed.
            Some(known) if known >= part => {
                self.parts.insert(object, known);
            }
            _ => open.push(object),
        }
    }

    pub fn objects(&self) -> &[usize] {
        &self.order
    }

    pub fn part(&self, object: usize) -> Option<Part> {
        self.parts.get(&object).copied()
    }
}

/// How much of a holder must go so that it drops such a reference. A map that user space
/// does not hold any more was not emptied when that happened: then only its own end helps.
fn needed_part(holder: &Facts, by: By) -> Part {
    let emptied_by_user =
        Emptied::of(holder, by).is_some() && (user_references(holder) > 0 || hidden_users(holder));
    if emptied_by_user {
        Part::User
    } else {
        Part::All
    }
}
