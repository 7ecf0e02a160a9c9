//! What a verdict rests on, and what else is known, in sentences.

mod collector;
mod kernel;
mod libraries;
mod surroundings;

use crate::evidence::{Evidence, Gc, Growth, Runtime};
use crate::group::Group;
use model::units::duration;
use model::{EvidenceKind, EvidenceLine, Kind, Object, Verdict, fold_digits};
use rustc_hash::{FxHashMap, FxHashSet};
use std::borrow::Cow;

/// What all groups look things up in.
pub(crate) struct Context<'e> {
    pub evidence: &'e Evidence<'e>,
    accounts: FxHashMap<(Kind, u32), &'e Object>,
    growth: FxHashMap<GrowthKey<'e>, &'e Growth>,
}

/// Kind, folded name and type of objects, and whether mappings alone keep them.
type GrowthKey<'e> = (Kind, Cow<'e, str>, &'e str, bool);

/// A line, as long as it is made.
type Line = (EvidenceKind, String);

impl<'e> Context<'e> {
    pub fn new(evidence: &'e Evidence<'e>, groups: &[Group<'e>]) -> Self {
        // A host may have many more objects than the process holds.
        let held: FxHashSet<(Kind, u32)> = groups
            .iter()
            .flat_map(|group| group.ids.iter().map(|id| (group.kind, *id)))
            .collect();
        let accounts = evidence.accounts.iter().filter_map(|object| {
            let key = (object.facts.kind, object.facts.id?);
            held.contains(&key).then_some((key, object))
        });
        // Of several that are one by their folded name the worst is told.
        let mut growth: FxHashMap<GrowthKey<'e>, &'e Growth> = FxHashMap::default();
        for one in &evidence.growth {
            let key = (
                one.kind,
                fold_digits(&one.name),
                &*one.type_name,
                one.mapped,
            );
            let worst = growth.entry(key).or_insert(one);
            if one.leak > worst.leak {
                *worst = one;
            }
        }
        Self {
            evidence,
            accounts: accounts.collect(),
            growth,
        }
    }

    /// The account of an object that the process holds.
    pub fn account(&self, kind: Kind, id: u32) -> Option<&'e Object> {
        self.accounts.get(&(kind, id)).copied()
    }

    /// What is known of a group's growth.
    pub fn growth(&self, group: &Group<'e>) -> Option<&'e Growth> {
        let mapped = group.verdict == Verdict::Mapped;
        let key = (group.kind, group.folded.clone(), group.type_name, mapped);
        self.growth.get(&key).copied()
    }

    /// All lines of a group, what its verdict rests on first. What is of the whole process is told
    /// with the largest.
    pub fn lines(&self, group: &Group<'e>, largest: bool) -> Vec<EvidenceLine> {
        let mut lines: Vec<Line> = vec![];
        collector::say(self, group, &mut lines);
        libraries::say(self, group, &mut lines);
        kernel::say(self, group, &mut lines);
        surroundings::say(self, group, largest, &mut lines);
        let lines = lines.into_iter();
        lines
            .map(|(kind, says)| EvidenceLine { kind, says })
            .collect()
    }

    fn gc(&self) -> Option<&'e Gc> {
        match &self.evidence.process.runtime {
            Runtime::Go(go) => go.gc.as_ref().ok(),
            _ => None,
        }
    }
}

/// `the last collection (31 s ago)`
fn last_collection(gc: Option<&Gc>) -> String {
    match gc.and_then(|gc| gc.last_seconds_ago) {
        Some(ago) => format!("the last collection ({} ago)", duration(ago)),
        None => "the last collection".into(),
    }
}
