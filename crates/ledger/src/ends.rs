//! `kept_by`: the ends of an object's chains, each once.

use crate::graph::{Graph, object_holder};
use crate::reach::{Keeper, Keepers};
use model::{Facts, Holder};

/// How much all `kept_by` of a ledger may hold together, in ends (a process
/// with many descriptors weighs more), before each is cut to [`SPARSE`] ends.
const PLENTY: usize = 200_000;
const FDS_PER_WEIGHT: usize = 32;
const SPARSE: usize = 16;

/// Makes the `kept_by` of one object after another, within a common bound.
pub(crate) struct Ends<'a> {
    graph: &'a Graph,
    facts: Vec<&'a Facts>,
    spent: usize,
}

impl<'a> Ends<'a> {
    pub fn new(graph: &'a Graph, facts: Vec<&'a Facts>) -> Self {
        Self {
            graph,
            facts,
            spent: 0,
        }
    }

    /// The ends, and whether there are more than are listed.
    pub fn of(&mut self, keepers: &Keepers) -> (Vec<Holder>, bool) {
        let graph = self.graph;
        let end = |keeper: &Keeper| match *keeper {
            Keeper::Grip(grip) => Ok(graph.grips[grip].end),
            Keeper::Object(object) => Err(object),
        };
        let mut kept_by = Vec::new();
        for same_end in keepers.list.chunk_by(|a, b| end(a) == end(b)) {
            if self.spent > PLENTY && kept_by.len() == SPARSE {
                return (kept_by, true);
            }
            let holder = match end(&same_end[0]) {
                Ok(end) => graph.end_holder(end, |o| self.facts[o], self.fds(same_end)),
                Err(object) => object_holder(self.facts[object]),
            };
            let weight = match &holder {
                Holder::Process(process) => 1 + process.fds.len() / FDS_PER_WEIGHT,
                _ => 1,
            };
            self.spent = self.spent.saturating_add(weight);
            kept_by.push(holder);
        }
        (kept_by, keepers.cut)
    }

    fn fds(&self, keepers: &[Keeper]) -> Vec<u32> {
        let mut fds = Vec::new();
        for keeper in keepers {
            if let Keeper::Grip(grip) = *keeper {
                for grip in self.graph.same_end(grip) {
                    fds.extend_from_slice(self.graph.fds(grip));
                }
            }
        }
        fds.sort_unstable();
        fds.dedup();
        fds
    }
}
