//! What moved between two passes. What comes and goes all the time may leave the same
//! remainder twice.
//!
//! Objects that went away between two looks count too. What they held is let go a grace period and a
//! work item later (`bpf_map_free_deferred`, `bpf_prog_put_deferred`): until then it has a
//! reference more than can be found, and where such objects come and go all the time, it has
//! always one more. Looks that keep time with whoever makes them see none of them: ids do, which
//! are given out one after the other.

use crate::details::{self, Counts};
use kernel::holders::slots;
use kernel::{Addr, Objects, Own, Walks};
use model::{Kind, ObjectId};
use rustc_hash::FxHashSet;

/// Looks after a pass, one after the other.
pub struct Watched {
    /// Counts of the first of the looks that a pass begins with, and whether they stood still.
    pub counts: Counts,
    /// The last look.
    pub last: Objects,
    /// The same since the pass.
    since: Counts,
    bereft: Bereft,
    /// What came since the pass: to be looked at on, in the next one.
    pub births: Births,
}

impl Watched {
    /// The pass ended with these.
    pub fn new(after: Objects, walks: &mut Walks) -> Self {
        Self {
            births: Births::begin(walks),
            counts: Counts::new(&after),
            since: Counts::new(&after),
            bereft: Bereft::default(),
            last: after,
        }
    }

    /// One look more.
    pub fn look(&mut self, walks: &mut Walks) -> Result<(), kernel::Error> {
        let now = walks.objects()?;
        self.counts.observe(&now);
        self.since.observe(&now);
        self.bereft.compare(&self.last, &now);
        self.births.see(&now);
        self.last = now;
        Ok(())
    }

    /// What moved, or may have.
    pub fn moved(&self) -> Vec<ObjectId> {
        let mut moved = self.since.moved(&self.last);
        moved.extend(self.bereft.ids(&self.last));
        moved
    }
}

/// Programs and links that came while one looked. What came and was not seen is gone again, and
/// may have held anything that programs and links hold. Maps are left out: only one that holds
/// maps or programs matters, and plain ones are made to try out what a kernel can do. So is what
/// has no id yet: a program that the verifier is at holds its maps as well.
#[derive(Debug)]
pub struct Births {
    progs: Ids,
    links: Ids,
}

impl Births {
    fn begin(walks: &mut Walks) -> Self {
        Self {
            progs: Ids::after(walks.fresh_prog_id().ok()),
            links: Ids::after(walks.fresh_link_id().ok()),
        }
    }

    /// Another look.
    pub fn see(&mut self, objects: &Objects) {
        self.progs.see(objects.progs.iter().map(|p| p.id));
        self.links.see(objects.links.iter().map(|l| l.id));
    }

    /// A last look is about to be taken: what comes from now on need not be in it.
    pub fn end(&mut self, walks: &mut Walks) {
        self.progs.until = walks.fresh_prog_id().ok();
        self.links.until = walks.fresh_link_id().ok();
    }

    /// Whose remainder may be of what came and went unseen, when the last look is seen.
    pub fn bereft(&self, own: &Own, objects: &Objects) -> Vec<ObjectId> {
        let progs = self.progs.has_missed(Kind::Prog, own);
        let links = self.links.has_missed(Kind::Link, own);
        if !progs && !links {
            return Vec::new();
        }
        let all = held_ids(objects).map(|(_, id)| id);
        all.filter(|id| match id.kind {
            // A link holds its program, and that of struct_ops its map.
            Kind::Map | Kind::Prog => progs || links,
            Kind::Btf => progs,
            Kind::Link => false,
        })
        .collect()
    }
}

/// Ids of a kind, as they are given out.
#[derive(Debug)]
struct Ids {
    /// Before the first of them. `None`: it could not be asked.
    after: Option<u32>,
    /// Behind the last of them.
    until: Option<u32>,
    seen: FxHashSet<u32>,
}

impl Ids {
    fn after(after: Option<u32>) -> Self {
        let seen = FxHashSet::default();
        Self {
            after,
            until: None,
            seen,
        }
    }

    fn see(&mut self, ids: impl Iterator<Item = u32>) {
        let after = self.after;
        self.seen
            .extend(ids.filter(|id| after.is_some_and(|after| *id > after)));
    }

    /// Some were given out and not seen, or may have been.
    fn has_missed(&self, kind: Kind, own: &Own) -> bool {
        let (Some(after), Some(until)) = (self.after, self.until) else {
            return true;
        };
        let own = own.iter().filter(|o| o.kind == kind).map(|o| o.id);
        let known = own.filter(|id| !self.seen.contains(id));
        let known = known.chain(self.seen.iter().copied());
        let known = known.filter(|id| (after + 1..until).contains(id)).count();
        // Also where ids began anew.
        until
            .checked_sub(after)
            .is_none_or(|given| known + 1 < given as usize)
    }
}

/// What may have been held by objects that are gone.
#[derive(Debug, Default)]
pub struct Bereft {
    objects: FxHashSet<Addr>,
    /// A map of maps went: no look at it told what stood in it.
    all_maps: bool,
    /// The same of a map whose entries hold programs.
    all_progs: bool,
}

impl Bereft {
    /// Notes what went between two looks.
    pub fn compare(&mut self, before: &Objects, after: &Objects) {
        let there = details::ids(after);
        let gone = |addr, kind, id| there.get(&addr) != Some(&ObjectId { kind, id });
        for prog in before
            .progs
            .iter()
            .filter(|p| gone(p.addr, Kind::Prog, p.id))
        {
            self.objects.extend(prog.maps.iter().chain(&prog.used_btfs));
            self.objects.extend(prog.btf.into_iter().chain(prog.target));
        }
        for link in before
            .links
            .iter()
            .filter(|l| gone(l.addr, Kind::Link, l.id))
        {
            let held = [link.prog, link.target_prog, link.map];
            self.objects.extend(held.into_iter().flatten());
        }
        for map in before.maps.iter().filter(|m| gone(m.addr, Kind::Map, m.id)) {
            self.objects
                .extend(map.btf.into_iter().chain(map.inner_btf));
            self.all_maps |= slots::holds_maps(map);
            self.all_progs |= slots::holds_objects(map) && !slots::holds_maps(map);
            self.all_progs |= slots::has_entries(map);
        }
    }

    /// Their ids, if they are still there.
    pub fn ids(&self, objects: &Objects) -> Vec<ObjectId> {
        let bereft = held_ids(objects).filter(|(addr, id)| {
            self.objects.contains(addr)
                || self.all_maps && id.kind == Kind::Map
                || self.all_progs && id.kind == Kind::Prog
        });
        bereft.map(|(_, id)| id).collect()
    }
}

/// All that others may hold, by address.
fn held_ids(objects: &Objects) -> impl Iterator<Item = (Addr, ObjectId)> {
    let kind = Kind::Btf;
    let btfs = objects.btfs.iter();
    let btfs = btfs.map(move |btf| (btf.addr, ObjectId { kind, id: btf.id }));
    details::ids(objects).into_iter().chain(btfs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_and_was_not_seen_is_missed() {
        let kind = Kind::Prog;
        let own = Own::from_iter([12, 17].map(|id| ObjectId { kind, id }));
        let mut ids = Ids::after(Some(10));
        let missed = |ids: &mut Ids, until, kind| {
            ids.until = until;
            ids.has_missed(kind, &own)
        };
        ids.see([3, 9, 11].into_iter());
        assert!(!missed(&mut ids, Some(11), kind));
        // 12 is ours; 13 was missed.
        assert!(!missed(&mut ids, Some(13), kind));
        assert!(missed(&mut ids, Some(14), kind));
        ids.see([12, 13].into_iter());
        assert!(!missed(&mut ids, Some(14), kind));
        // Those of another kind are not.
        assert!(missed(&mut ids, Some(18), Kind::Link));
        assert!(missed(&mut ids, Some(5), kind), "ids began anew");
        assert!(missed(&mut ids, None, kind), "it could not be asked");
        assert!(missed(&mut Ids::after(None), Some(11), kind));
    }
}
