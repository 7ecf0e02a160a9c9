//! What lets an object go, in order, and what goes with it.

mod caveats;
mod needs;
mod simulate;
mod words;

use crate::account::Ledger;
use crate::graph::EndKind;
use model::{ObjectId, ReleaseStep};
use needs::Needs;
use rustc_hash::FxHashMap;
use simulate::Simulation;

/// What lets an object go.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReleasePlan {
    /// In this order, one per process (per descriptor table) or pin: who holds
    /// most comes first. `frees` and `bytes` of a step are what it frees beyond
    /// the steps before it. Without caveats that say otherwise, the last one
    /// frees the object.
    pub steps: Vec<ReleaseStep>,
    /// Why these steps may not be enough, and what else they do: one sentence each.
    pub caveats: Vec<String>,
}

/// One end, and what of it must go.
struct Hold {
    end: usize,
    /// References that it has a share in.
    units: u64,
    grips: Vec<usize>,
}

impl Ledger {
    /// What lets an object go. Simulated on the counts that were read: an object
    /// whose references are all gone is freed, and drops what it held itself.
    /// Only references on the object's own chains are dropped, not everything
    /// that their holders hold. Empty if there is no such object.
    pub fn release_plan(&self, id: ObjectId) -> ReleasePlan {
        let Some(target) = self.graph.index_of(id) else {
            return ReleasePlan::default();
        };
        let needs = Needs::of(self, target);
        let mut simulation = Simulation::new(self);
        let mut steps = Vec::new();
        for hold in self.holds_to_drop(&needs) {
            if simulation.is_freed(target) {
                break;
            }
            let gone = simulation.drop_grips(hold.end, &hold.grips);
            let bytes = gone.iter().filter_map(|&o| self.facts(o).memory_bytes);
            let bytes = bytes.fold(0, u64::saturating_add);
            let frees = gone.iter().filter_map(|&o| self.facts(o).object_id());
            let fds = self.merged_fds(&hold.grips);
            let holder = self.graph.end_holder(hold.end, |o| self.facts(o), fds);
            let mapped = hold.grips.iter().map(|&g| &self.graph.grips[g]);
            let mapped = mapped.filter(|g| g.mapped);
            let mapped: Vec<String> = mapped.map(|g| words::name(self.facts(g.object))).collect();
            steps.push(ReleaseStep {
                action: words::action(&holder, &mapped),
                holder,
                frees: frees.collect(),
                bytes,
            });
        }
        let caveats = caveats::caveats(self, target, &needs, &simulation);
        ReleasePlan { steps, caveats }
    }

    /// The processes and pins among the needed holders, largest first.
    fn holds_to_drop(&self, needs: &Needs) -> Vec<Hold> {
        let mut by_end: FxHashMap<usize, Hold> = FxHashMap::default();
        for &object in needs.objects() {
            for grip in self.graph.grips_on(object) {
                let found = &self.graph.grips[grip];
                if self.graph.ends[found.end].kind == EndKind::Lost {
                    continue;
                }
                let hold = by_end.entry(found.end).or_insert_with(|| Hold {
                    end: found.end,
                    units: 0,
                    grips: Vec::new(),
                });
                hold.units = hold.units.saturating_add(found.units);
                hold.grips.push(grip);
            }
        }
        let mut holds: Vec<Hold> = by_end.into_values().collect();
        holds.sort_unstable_by_key(|h| (std::cmp::Reverse(h.units), h.end));
        holds
    }

    fn merged_fds(&self, grips: &[usize]) -> Vec<u32> {
        let fds = grips.iter().flat_map(|&grip| self.graph.fds(grip));
        let mut fds: Vec<u32> = fds.copied().collect();
        fds.sort_unstable();
        fds.dedup();
        fds
    }
}
