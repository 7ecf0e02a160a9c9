//! Which references must go for an object to go.

use crate::account::Ledger;
use crate::graph::{To, is_user};
use crate::walks::{is_program_array, user_references};
use model::{By, Facts};
use rustc_hash::FxHashMap;

/// How much of an object's references must go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// Those of user space: the kernel then empties a program array
    /// (`bpf_map_put_uref` → `prog_array_map_clear`), whoever else still uses it.
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

/// How much of a holder must go so that it drops such a reference. A program
/// array that user space does not hold any more was not emptied when that
/// happened: then only its own end helps.
fn needed_part(holder: &Facts, by: By) -> Part {
    let emptied_by_user = by == By::ProgArray
        && is_program_array(holder)
        && (user_references(holder) > 0 || hidden_users(holder));
    if emptied_by_user {
        Part::User
    } else {
        Part::All
    }
}

/// True if user space may hold a map in ways that were not found.
pub(super) fn hidden_users(facts: &Facts) -> bool {
    match (facts.usercnt, facts.refcnt) {
        (Some(usercnt), _) => usercnt > user_references(facts),
        (None, Some(refcnt)) => {
            let counts = facts.references.iter().map(|r| r.count);
            refcnt > counts.fold(0, u64::saturating_add)
        }
        (None, None) => true,
    }
}
