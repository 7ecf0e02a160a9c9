//! What moved between two passes. What comes and goes all the time may leave the same
//! remainder twice.
//!
//! Objects that went away between two looks count too. What they held is let go a grace period and a
//! work item later (`bpf_map_free_deferred`, `bpf_prog_put_deferred`): until then it has a
//! reference more than can be found, and where such objects come and go all the time, it has
//! always one more.

use crate::details::{self, Counts};
use kernel::holders::slots;
use kernel::{Addr, Objects, Walks};
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
}

impl Watched {
    /// The pass ended with these.
    pub fn new(after: Objects) -> Self {
        Self {
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
        let all = details::ids(objects).into_iter();
        let bereft = all.filter(|(addr, id)| {
            self.objects.contains(addr)
                || self.all_maps && id.kind == Kind::Map
                || self.all_progs && id.kind == Kind::Prog
        });
        bereft.map(|(_, id)| id).collect()
    }
}
