//! What lets an object go, in order, and what goes with it.

mod action;
mod caveats;
mod needs;
mod simulate;
mod words;

use crate::account::Ledger;
use crate::identity::EndKind;
use action::Share;
use model::{Holder, ObjectId, ReleaseStep};
use needs::Needs;
use rustc_hash::FxHashMap;
use simulate::Simulation;

/// What lets an object go.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReleasePlan {
    /// In this order, one per process (per descriptor table), pin or
    /// attachment: who holds
    /// most comes first. `frees` and `bytes` of a step are what it frees beyond
    /// the steps before it. Without caveats that say otherwise, the last one
    /// frees the object.
    pub steps: Vec<ReleaseStep>,
    /// Why these steps may not be enough, and what else they do: one sentence each.
    pub caveats: Vec<String>,
}

/// One end, and what of it must go.
struct Hold {
    holder: Holder,
    end: usize,
    grips: Vec<usize>,
    /// The references that it has a share in.
    refs: Vec<usize>,
    /// The sum of their counts.
    units: u64,
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
            let gone = simulation.drop_refs(&hold.refs);
            let bytes = gone.iter().filter_map(|&o| self.facts(o).memory_bytes);
            let bytes = bytes.fold(0, u64::saturating_add);
            let frees = gone.iter().filter_map(|&o| self.facts(o).object_id());
            let shares: Vec<Share<'_>> = hold.grips.iter().map(|&g| self.share(g)).collect();
            steps.push(ReleaseStep {
                action: action::action(&hold.holder, &shares),
                holder: hold.holder,
                frees: frees.collect(),
                bytes,
            });
        }
        let caveats = caveats::caveats(self, target, &needs, &simulation);
        ReleasePlan { steps, caveats }
    }

    /// Those among the needed holders that can be made to let go, largest first.
    fn holds_to_drop(&self, needs: &Needs) -> Vec<Hold> {
        let mut by_end: FxHashMap<usize, Vec<usize>> = FxHashMap::default();
        for &object in needs.objects() {
            for grip in self.graph.grips_on(object) {
                let end = self.graph.grips[grip].end;
                if self.graph.ends[end].kind != EndKind::Lost {
                    by_end.entry(end).or_default().push(grip);
                }
            }
        }
        let hold = |(end, grips): (usize, Vec<usize>)| {
            let fds = self.merged_fds(&grips);
            let holder = self.graph.end_holder(end, |o| self.facts(o), fds);
            let refs = grips.iter().flat_map(|&grip| self.graph.grip_refs(grip));
            let mut refs: Vec<usize> = refs.copied().collect();
            refs.sort_unstable();
            refs.dedup();
            let counts = refs.iter().map(|&r| self.graph.refs[r].count);
            let units = counts.fold(0, u64::saturating_add);
            action::can_let_go(&holder).then_some(Hold {
                holder,
                end,
                grips,
                refs,
                units,
            })
        };
        let mut holds: Vec<Hold> = by_end.into_iter().filter_map(hold).collect();
        holds.sort_unstable_by_key(|h| (std::cmp::Reverse(h.units), h.end));
        holds
    }

    fn share(&self, grip: usize) -> Share<'_> {
        let found = &self.graph.grips[grip];
        let refs = self.graph.grip_refs(grip).iter();
        Share {
            object: self.facts(found.object),
            by: refs.map(|&r| self.graph.refs[r].by).collect(),
            via: found.via.map(|via| via.holder(|o| self.facts(o))),
            mapped: found.mapped,
            fds: self.graph.fds(grip),
        }
    }

    fn merged_fds(&self, grips: &[usize]) -> Vec<u32> {
        let fds = grips.iter().flat_map(|&grip| self.graph.fds(grip));
        let mut fds: Vec<u32> = fds.copied().collect();
        fds.sort_unstable();
        fds.dedup();
        fds
    }
}
