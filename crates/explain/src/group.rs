//! Handles that are alike, and held for the same reason.

use crate::evidence::{Evidence, Growth, GrowthSource, Handle, Owner, QueueKind, State};
use crate::fix::{fix, never_collects};
use crate::judge::{Judged, Reason, judge};
use crate::says::Context;
use model::{
    ExplainGroup, Frame, Kind, Leak, ObjectGroup, Origin, OwnerSummary, Release, ReleaseState,
    Site, Verdict, fold_digits,
};
use rustc_hash::FxHashMap;
use std::borrow::Cow;
use std::hash::{Hash, Hasher};

/// Ids that are told of a group.
const IDS: usize = 16;

/// What handles of one group have in common. Never the id of an object, nor the words of a reason.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key<'e> {
    verdict: Verdict,
    origin: Origin,
    kind: Kind,
    name: Cow<'e, str>,
    type_name: &'e str,
    owner: Option<(Option<&'e str>, Option<QueueKind>)>,
    reason: Option<u8>,
    site: Option<SiteKey<'e>>,
}

/// A site, by its frames.
#[derive(Debug, PartialEq, Eq)]
struct SiteKey<'e>(&'e Site);

impl Hash for SiteKey<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for Frame { function, line, .. } in &self.0.frames {
            (function, line).hash(state);
        }
    }
}

/// A group, before it is put into words.
#[derive(Debug)]
pub(crate) struct Group<'e> {
    pub verdict: Verdict,
    pub kind: Kind,
    pub type_name: &'e str,
    /// Name of the objects, with `*` for digits.
    pub folded: Cow<'e, str>,
    /// The handles with what was found of each; never empty.
    pub members: Vec<(&'e Handle, Judged<'e>)>,
    /// Ids of the objects, ascending, each once.
    pub ids: Vec<u32>,
    /// Objects without an id: each handle is on another, as far as is known.
    without_id: u64,
}

impl<'e> Group<'e> {
    /// Handles.
    pub fn count(&self) -> u64 {
        self.members.len() as u64
    }

    /// Objects.
    pub fn objects(&self) -> u64 {
        self.ids.len() as u64 + self.without_id
    }

    pub fn owners(&self) -> impl Iterator<Item = &'e Owner> {
        self.members.iter().filter_map(|(_, judged)| judged.owner)
    }

    pub fn origin(&self) -> Origin {
        self.members
            .first()
            .map_or(Origin::Unknown, |(handle, _)| handle.origin)
    }

    pub fn reason(&self) -> Option<&Reason> {
        self.members
            .iter()
            .find_map(|(_, judged)| judged.reason.as_ref())
    }

    /// What all of them are called; with `*` where they differ.
    pub fn name(&self) -> &str {
        let mut names = self.members.iter().map(|(handle, _)| &*handle.name);
        match names.next() {
            Some(first) if names.all(|name| name == first) => first,
            _ => &self.folded,
        }
    }

    fn fds(&self) -> Vec<u32> {
        let handles = self.members.iter();
        let all = handles.flat_map(|(handle, _)| &handle.descriptors);
        let mut fds: Vec<u32> = all.map(|descriptor| descriptor.fd).collect();
        fds.sort_unstable();
        fds.dedup();
        fds
    }

    fn owner(&self) -> Option<OwnerSummary> {
        let first = self.owners().next()?;
        let mut states: FxHashMap<ReleaseState, usize> = FxHashMap::default();
        for release in self.owners().filter_map(|owner| owner.release.as_ref()) {
            *states.entry(state(release.state)).or_default() += 1;
        }
        // Of many, what most wait for: one of them may be running.
        let most = states
            .into_iter()
            .max_by_key(|(state, count)| (*count, *state));
        Some(OwnerSummary {
            type_name: first.type_name.as_deref().map(str::to_owned),
            release: match first.release.as_ref().map(|release| release.kind) {
                Some(QueueKind::Finalizer) => Release::Finalizer,
                Some(QueueKind::Cleanup) => Release::Cleanup,
                None => Release::None,
            },
            release_state: most.map(|(state, _)| state),
            function: first
                .release
                .as_ref()
                .and_then(|release| release.function.as_deref())
                .map(str::to_owned),
        })
    }

    /// Kernel memory of its objects, as far as the accounts tell it.
    fn memory(&self, context: &Context<'e>) -> Option<u64> {
        let accounts = self
            .ids
            .iter()
            .filter_map(|id| context.account(self.kind, *id));
        let known = accounts.filter_map(|object| object.facts.memory_bytes);
        known.reduce(u64::saturating_add)
    }

    /// Handles or descriptors, as growth is counted in: a dup is one more of these.
    fn size(&self) -> u64 {
        let handles = self.members.iter();
        let descriptors = handles.map(|(handle, _)| handle.descriptors.len());
        self.count().max(descriptors.sum::<usize>() as u64)
    }

    /// Too few to be what grew: those are others on such objects.
    pub fn is_few(&self, growth: &Growth) -> bool {
        /// As many as records that make a suspicion (`ledger::Growth`).
        const SEVERAL: u64 = 4;
        let came = match growth.source {
            GrowthSource::Looks { seconds, .. } => growth.per_second * seconds,
            GrowthSource::Recording { .. } => growth.more as f64,
        };
        let size = self.size();
        size < SEVERAL || ((size * SEVERAL) as f64) < came
    }

    /// Whether it leaks, if all handles on such objects together grow so. What grew between a few looks may
    /// be what the next collection releases, unless it never comes: so it is those that outlived one that tell.
    pub fn leak(&self, evidence: &Evidence<'_>, growth: &Growth) -> Leak {
        if growth.leak < Leak::Suspected {
            return growth.leak;
        }
        let looks = matches!(growth.source, GrowthSource::Looks { .. });
        let outlived = match self.verdict {
            Verdict::NotJudged => !looks || never_collects(evidence),
            Verdict::SweepPending | Verdict::ReleaseQueued => !looks,
            _ => true,
        };
        if outlived && !self.is_few(growth) {
            growth.leak
        } else {
            Leak::Unknown
        }
    }

    /// As it is told.
    pub fn report(&self, context: &Context<'e>, largest: bool) -> ExplainGroup {
        let growth = context.growth(self);
        let grows = growth.filter(|growth| self.leak(context.evidence, growth) >= Leak::Suspected);
        let site = self
            .members
            .first()
            .and_then(|(handle, _)| handle.site.as_deref());
        ExplainGroup {
            verdict: self.verdict,
            leak: growth.map_or(Leak::Unknown, |growth| self.leak(context.evidence, growth)),
            origin: self.origin(),
            count: self.count(),
            fds: self.fds(),
            objects: ObjectGroup {
                kind: self.kind,
                name: self.name().to_owned(),
                type_name: self.type_name.to_owned(),
                count: self.objects(),
                ids: self.ids.iter().rev().take(IDS).copied().collect(),
            },
            owner: self.owner(),
            path: None,
            acquired: site.cloned(),
            per_second: growth.map(|growth| growth.per_second),
            program: growth.and_then(|growth| growth.program),
            exhausts: grows
                .map(|growth| growth.exhausts.clone())
                .unwrap_or_default(),
            memory_bytes: self.memory(context),
            evidence: context.lines(self, largest),
            fix: fix(context.evidence, self),
        }
    }
}

fn state(state: State) -> ReleaseState {
    match state {
        State::Pending => ReleaseState::Pending,
        State::Queued { .. } => ReleaseState::Queued,
        State::Running { .. } => ReleaseState::Running,
    }
}

/// All groups, the largest first; of the same size in the order of verdicts and names.
pub(crate) fn groups<'e>(evidence: &'e Evidence<'_>) -> Vec<Group<'e>> {
    let mut at: FxHashMap<Key<'e>, usize> = FxHashMap::default();
    let mut groups: Vec<Group<'e>> = vec![];
    for handle in &evidence.handles {
        let judged = judge(evidence, handle);
        let owner = judged.owner.map(|owner| {
            let release = owner.release.as_ref().map(|release| release.kind);
            (owner.type_name.as_deref(), release)
        });
        let key = Key {
            verdict: judged.verdict,
            origin: handle.origin,
            kind: handle.kind,
            name: fold_digits(&handle.name),
            type_name: &handle.type_name,
            owner,
            reason: judged.reason.as_ref().map(Reason::code),
            site: handle.site.as_deref().map(SiteKey),
        };
        let folded = key.name.clone();
        let at = *at.entry(key).or_insert_with(|| {
            groups.push(Group {
                verdict: judged.verdict,
                kind: handle.kind,
                type_name: &handle.type_name,
                folded,
                members: vec![],
                ids: vec![],
                without_id: 0,
            });
            groups.len() - 1
        });
        let group = &mut groups[at];
        match handle.id {
            Some(id) => group.ids.push(id),
            None => group.without_id += 1,
        }
        group.members.push((handle, judged));
    }
    for group in &mut groups {
        group.ids.sort_unstable();
        group.ids.dedup();
    }
    let order = |group: &Group<'_>| (group.verdict, group.kind, group.folded.clone().into_owned());
    groups.sort_by(|a, b| (b.count().cmp(&a.count())).then_with(|| order(a).cmp(&order(b))));
    groups
}
