//! Joins what one pass found, by the addresses of the kernel's structs, into
//! facts and references. Knows no reader.

mod attachments;
mod carriers;
mod entries;
mod handles;
mod tc;

use crate::details::{self, Counts};
use crate::netns::{AllTc, Ways};
use crate::people::People;
use carriers::Keepers;
use kernel::holders::What;
use kernel::holders::carriers::Carriers;
use kernel::holders::cgroups::Cgroups;
use kernel::holders::files::Files;
use kernel::holders::mappings::Mappings;
use kernel::holders::nets::Nets;
use kernel::holders::pins::Pins;
use kernel::holders::slots::Slots;
use kernel::{Addr, Objects, Own};
use ledger::Reading;
use model::{By, Facts, Holder, Kind, ObjectId, ObjectRef, Pin, Reference};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeMap;

/// What one pass found, and how it was found.
pub struct Pass<'a> {
    /// Counts before the walks over holders.
    pub before: &'a Counts,
    /// Objects after them: what the accounts are about.
    pub after: &'a Objects,
    pub files: &'a Files,
    /// Pins, and their names in the same order.
    pub pins: Option<(&'a Pins, &'a [Pin])>,
    pub slots: Option<&'a Slots>,
    pub mappings: Option<&'a Mappings>,
    pub nets: Option<&'a Nets>,
    /// Into the namespaces of `nets`, for commands.
    pub ways: &'a Ways,
    pub cgroups: Option<&'a Cgroups>,
    pub tc: Option<&'a AllTc>,
    /// What all walks found of them together.
    pub carriers: Option<&'a Carriers>,
    /// Where cgroup v2 is mounted, for commands.
    pub cgroup_mount: Option<&'a str>,
    pub own: &'a Own,
    pub own_pid: u32,
    /// The program that shows programs: its count has its own link and file.
    pub prog_walker: Option<u32>,
}

impl Pass<'_> {
    /// Facts with references, one for each object.
    pub fn readings(&self, people: &mut People<'_>) -> Vec<Reading> {
        people.meet(&self.files.who);
        let mut join = Join::new(self);
        let mut keepers = self.carriers.map(|carriers| Keepers::new(carriers, people));
        join.handles(people, keepers.as_mut());
        join.pins();
        join.slots();
        join.objects();
        join.attachments();
        join.tc();
        join.entries(keepers.as_mut());
        if let Some(keepers) = &mut keepers {
            join.sockets(keepers);
            join.events(keepers);
        }
        join.lwt();
        join.full_dispatcher();
        join.finish()
    }
}

/// An object's place among the readings.
type At = usize;

struct Join<'a> {
    pass: &'a Pass<'a>,
    readings: Vec<Reading>,
    by_addr: FxHashMap<Addr, At>,
    /// Programs on XDP, with what runs them, where more are than the dispatcher takes.
    maybe_dispatched: BTreeMap<Addr, Vec<Holder>>,
}

impl<'a> Join<'a> {
    fn new(pass: &'a Pass<'a>) -> Self {
        let mut join = Self {
            pass,
            readings: Vec::new(),
            by_addr: FxHashMap::default(),
            maybe_dispatched: BTreeMap::new(),
        };
        let counts = pass.before;
        let mut btfs = pass.files.btfs.clone();
        btfs.extend(pass.carriers.iter().flat_map(|c| c.btfs.iter().cloned()));
        for (addr, facts) in details::facts(pass.after, &btfs) {
            let id = facts.object_id();
            let own = id.is_some_and(|id| pass.own.contains(&id));
            // Our links live only as long as a walk, and what was loaded for a costly
            // walk came after the descriptors were counted.
            if own && (facts.kind == Kind::Link || !counts.has(addr)) {
                continue;
            }
            let steady = counts.same(addr, &facts);
            let mut facts = Facts { own, ..facts };
            if own && facts.kind == Kind::Prog && facts.id == pass.prog_walker {
                facts.refcnt = facts.refcnt.map(|n| n.saturating_sub(2));
            }
            join.by_addr.insert(addr, join.readings.len());
            join.readings.push(Reading { facts, steady });
        }
        join
    }

    fn at(&self, addr: Addr) -> Option<At> {
        self.by_addr.get(&addr).copied()
    }

    /// An object as the holder of another.
    fn holder(&self, addr: Addr) -> Option<Holder> {
        let facts = &self.readings[self.at(addr)?].facts;
        let object = ObjectRef {
            id: facts.id,
            name: facts.name.clone(),
        };
        Some(Holder::from_object(facts.kind, object))
    }

    fn add(&mut self, object: Addr, by: By, count: u64, holders: Vec<Holder>) {
        if let Some(at) = self.at(object) {
            let references = &mut self.readings[at].facts.references;
            references.push(Reference { by, count, holders });
        }
    }

    fn is_map(&self, addr: Addr) -> bool {
        self.at(addr)
            .is_some_and(|at| self.readings[at].facts.kind == Kind::Map)
    }

    fn pins(&mut self) {
        let Some((pins, names)) = self.pass.pins else {
            return;
        };
        for (inode, pin) in pins.inodes.iter().zip(names) {
            self.add(inode.object, By::Pin, 1, vec![Holder::Pin(pin.clone())]);
        }
    }

    fn slots(&mut self) {
        for (&(holder, object), &count) in self.pass.slots.iter().flat_map(|s| &s.held) {
            let Some(held_by) = self.holder(holder) else {
                continue;
            };
            let by = match self.at(object).map(|at| self.readings[at].facts.kind) {
                Some(Kind::Prog) => By::ProgArray,
                _ => By::OuterMap,
            };
            self.add(object, by, count, vec![held_by]);
        }
    }

    /// What objects hold of each other.
    fn objects(&mut self) {
        let objects = self.pass.after;
        for prog in &objects.progs {
            for &map in &prog.maps {
                self.held_by(map, By::Prog, prog.addr);
            }
            for btf in prog.btf.into_iter().chain(prog.used_btfs.iter().copied()) {
                self.held_by(btf, By::BtfUser, prog.addr);
            }
            self.held_by_if(prog.target, By::Target, prog.addr);
        }
        for link in &objects.links {
            for _ in 0..link.prog_references {
                self.held_by_if(link.prog, By::Link, link.addr);
            }
            self.held_by_if(link.target_prog, By::Target, link.addr);
            let by = if link.link_type == kernel::names::STRUCT_OPS_LINK {
                By::StructOps
            } else {
                By::Link
            };
            self.held_by_if(link.map, by, link.addr);
        }
        for map in &objects.maps {
            self.held_by_if(map.btf, By::BtfUser, map.addr);
            self.held_by_if(map.inner_btf, By::BtfUser, map.addr);
        }
    }

    fn held_by_if(&mut self, object: Option<Addr>, by: By, holder: Addr) {
        if let Some(object) = object {
            self.held_by(object, by, holder);
        }
    }

    fn held_by(&mut self, object: Addr, by: By, holder: Addr) {
        if let Some(holder) = self.holder(holder) {
            self.add(object, by, 1, vec![holder]);
        }
    }

    fn finish(mut self) -> Vec<Reading> {
        self.attached();
        self.link_targets();
        for reading in &mut self.readings {
            let references = &mut reading.facts.references;
            merge(references);
            references.sort_by(|a, b| {
                (b.count.cmp(&a.count))
                    .then(a.by.cmp(&b.by))
                    .then_with(|| a.holders.cmp(&b.holders))
            });
        }
        self.readings
    }

    /// A program is attached if a link that is not detached holds it, or something in
    /// the kernel that runs it; or a `struct_ops` of which the same is true.
    fn attached(&mut self) {
        let runs = |facts: &Facts| facts.references.iter().any(|r| r.runs(facts.kind));
        let links = self.pass.after.links.iter().filter(|l| !l.detached);
        let ops: FxHashSet<Addr> = links.clone().filter_map(|link| link.map).collect();
        let members = self.pass.slots.iter().flat_map(|slots| &slots.holds);
        let members = members.filter(|hold| {
            let map = || self.at(hold.holder).map(|at| &self.readings[at].facts);
            hold.what == What::Member && (ops.contains(&hold.holder) || map().is_some_and(runs))
        });
        let by_link = links.filter_map(|link| link.prog);
        let attached = by_link.chain(members.map(|hold| hold.object));
        let attached: Vec<At> = attached.filter_map(|prog| self.at(prog)).collect();
        for at in attached {
            details::set_attached(&mut self.readings[at].facts);
        }
        for reading in &mut self.readings {
            if runs(&reading.facts) {
                details::set_attached(&mut reading.facts);
            }
        }
    }

    /// Links on maps and programs have these as their target.
    fn link_targets(&mut self) {
        for link in &self.pass.after.links {
            let on = link.target_prog.or(link.map).and_then(|addr| self.at(addr));
            let on = on.and_then(|at| self.readings[at].facts.object_id());
            if let (Some(at), Some(on)) = (self.at(link.addr), on) {
                details::set_target(&mut self.readings[at].facts, on);
            }
        }
    }
}

/// References that nothing accounts for so far.
fn left(facts: &Facts) -> u64 {
    let refcnt = facts.refcnt.unwrap_or_default();
    refcnt.saturating_sub(facts.explained())
}

/// References of one kind with the same holders are one: a map that uses its BTF twice.
fn merge(references: &mut Vec<Reference>) {
    if references.len() < 2 {
        return;
    }
    references.sort_by(|a, b| a.by.cmp(&b.by).then_with(|| a.holders.cmp(&b.holders)));
    references.dedup_by(|next, first| {
        let same = next.by == first.by && next.holders == first.holders;
        if same {
            first.count += next.count;
        }
        same
    });
}

/// Ids of pinned objects by device and inode, so that a path can be looked up
/// by stat(2) without opening the pin.
pub fn pinned(pins: &Pins, objects: &Objects) -> FxHashMap<((u32, u32), u64), ObjectId> {
    let ids = details::ids(objects);
    pins.inodes
        .iter()
        .filter_map(|inode| Some(((inode.device, inode.ino), *ids.get(&inode.object)?)))
        .collect()
}
