//! Joins what one pass found, by the addresses of the kernel's structs, into
//! facts and references. Knows no reader.

use crate::details::{self, Counts};
use crate::people::People;
use kernel::holders::files::Files;
use kernel::holders::mappings::MappedFile;
use kernel::holders::pins::Pins;
use kernel::holders::slots::Slots;
use kernel::{Addr, Objects, Own};
use ledger::Reading;
use model::{By, Facts, Holder, Kind, ObjectId, ObjectRef, Pin, Reference};
use rustc_hash::FxHashMap;
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
    pub mappings: Option<&'a FxHashMap<Addr, MappedFile>>,
    pub own: &'a Own,
    pub own_pid: u32,
    /// The program that shows programs: its count has its own link and file.
    pub prog_walker: Option<u32>,
}

impl Pass<'_> {
    /// Facts with references, one for each object.
    pub fn readings(&self, people: &mut People<'_>) -> Vec<Reading> {
        let mut join = Join::new(self);
        join.files(people);
        join.iterators(people);
        join.mappings(people);
        join.pins();
        join.slots();
        join.objects();
        join.finish()
    }
}

/// An object's place among the readings.
type At = usize;

struct Join<'a> {
    pass: &'a Pass<'a>,
    readings: Vec<Reading>,
    by_addr: FxHashMap<Addr, At>,
}

impl<'a> Join<'a> {
    fn new(pass: &'a Pass<'a>) -> Self {
        let mut join = Self {
            pass,
            readings: Vec::new(),
            by_addr: FxHashMap::default(),
        };
        let counts = pass.before;
        for (addr, facts) in details::facts(pass.after, &pass.files.btfs) {
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

    /// Descriptors: files that one table alone has, then those that are shared.
    fn files(&mut self, people: &mut People<'_>) {
        let files = self.pass.files;
        // Per object and set of tables: how many files, and which descriptors.
        let mut held: FxHashMap<(Addr, Vec<u32>), Held> = FxHashMap::default();
        for (table, content) in files.tables.iter().enumerate() {
            for &(object, ref fds) in &content.unshared {
                let entry = held.entry((object, vec![table as u32])).or_default();
                entry.count += fds.len() as u64;
                entry.fds.entry(table as u32).or_default().extend(fds);
            }
        }
        for file in files.shared.values() {
            let mut tables: Vec<u32> = file.at.iter().map(|&(table, _)| table).collect();
            tables.sort_unstable();
            tables.dedup();
            held.entry((file.object, tables)).or_default().add(&file.at);
        }
        for ((object, _), held) in held {
            let holders = self.processes(held.fds, people);
            self.add(object, By::Fd, held.count, holders);
        }
    }

    /// The processes behind descriptor tables, with their descriptors.
    fn processes(&self, fds: BTreeMap<u32, Vec<u32>>, people: &mut People<'_>) -> Vec<Holder> {
        let mut holders = Vec::new();
        for (table, fds) in fds {
            let Some(table) = self.pass.files.tables.get(table as usize) else {
                continue;
            };
            for &pid in &table.also {
                holders.push(people.holder(pid, None, fds.clone()));
            }
            holders.push(people.holder(table.pid, table.tid, fds));
        }
        holders.sort();
        holders
    }

    /// Open iterator files hold their program, and the map they walk.
    fn iterators(&mut self, people: &mut People<'_>) {
        for iter in self.pass.files.iters.values() {
            let mut held = Held::default();
            held.add(&iter.at);
            let of_ours = |&table: &u32| {
                let table = self.pass.files.tables.get(table as usize);
                table.is_some_and(|t| t.pid == self.pass.own_pid)
            };
            if held.fds.keys().all(of_ours) {
                continue;
            }
            let holders = self.processes(held.fds, people);
            if let Some(map) = iter.map.filter(|&m| self.is_map(m)) {
                self.add(map, By::Iterator, 1, holders.clone());
            }
            self.add(iter.prog, By::Iterator, 1, holders);
        }
    }

    fn is_map(&self, addr: Addr) -> bool {
        self.at(addr)
            .is_some_and(|at| self.readings[at].facts.kind == Kind::Map)
    }

    /// Files without a descriptor that a mapping keeps.
    fn mappings(&mut self, people: &mut People<'_>) {
        let mut held: FxHashMap<(Addr, Vec<u32>), u64> = FxHashMap::default();
        for (file, mapped) in self.pass.mappings.into_iter().flatten() {
            if self.pass.files.shared.contains_key(file) {
                continue;
            }
            let mut pids = mapped.pids.clone();
            pids.sort_unstable();
            *held.entry((mapped.map, pids)).or_default() += 1;
        }
        for ((map, pids), count) in held {
            let holders = pids
                .iter()
                .map(|&pid| people.holder(pid, None, vec![]))
                .collect();
            self.add(map, By::Mmap, count, holders);
        }
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
            self.held_by_if(prog.btf, By::BtfUser, prog.addr);
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

    /// A program is attached if a link that is not detached holds it.
    fn attached(&mut self) {
        let attached: Vec<At> = self
            .pass
            .after
            .links
            .iter()
            .filter(|link| !link.detached)
            .filter_map(|link| self.at(link.prog?))
            .collect();
        for at in attached {
            details::set_attached(&mut self.readings[at].facts);
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

/// Files that have exactly the same tables.
#[derive(Default)]
struct Held {
    count: u64,
    fds: BTreeMap<u32, Vec<u32>>,
}

impl Held {
    /// One more file.
    fn add(&mut self, at: &[(u32, u32)]) {
        self.count += 1;
        for &(table, fd) in at {
            self.fds.entry(table).or_default().push(fd);
        }
    }
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
