//! What the kernel's walks tell of an object, in the model's words.

use crate::unique::unique;
use kernel::{Addr, Btf, Link, Map, Objects, Prog, names};
use model::{
    BtfFacts, Detail, Facts, Kind, LinkFacts, MapFacts, MemorySource, ObjectId, ProgFacts,
};
use rustc_hash::{FxHashMap, FxHashSet};

/// Facts of every object, without references yet. `btfs` are those that only a
/// descriptor leads to.
pub fn facts(objects: &Objects, btfs: &[Btf]) -> Vec<(Addr, Facts)> {
    let ids = ids(objects);
    let id = |addr: &Addr| ids.get(addr).map(|i| i.id);
    let mut all = Vec::with_capacity(
        objects.maps.len() + objects.progs.len() + objects.links.len() + objects.btfs.len(),
    );
    all.extend(objects.maps.iter().map(|m| (m.addr, of_map(m))));
    for prog in &objects.progs {
        let maps = prog.maps.iter().filter_map(id).collect();
        all.push((prog.addr, of_prog(prog, maps)));
    }
    for link in &objects.links {
        let prog_id = link.prog.as_ref().and_then(id);
        all.push((link.addr, of_link(link, prog_id)));
    }
    let mut known: FxHashSet<Addr> = objects.btfs.iter().map(|b| b.addr).collect();
    all.extend(objects.btfs.iter().map(|b| (b.addr, of_btf(b))));
    for btf in btfs {
        if known.insert(btf.addr) {
            all.push((btf.addr, of_btf(btf)));
        }
    }
    all
}

/// The words for the types of a kind of object, or of all kinds.
pub fn types(kind: Option<Kind>) -> Vec<String> {
    let mut all = Vec::new();
    for kind in Kind::ALL
        .into_iter()
        .filter(|&k| kind.is_none_or(|only| only == k))
    {
        all.extend(match kind {
            Kind::Map => names::all(names::map_type),
            Kind::Prog => names::all(names::prog_type),
            Kind::Link => names::all(names::link_type),
            Kind::Btf => ["user", "vmlinux", "module"].map(str::to_owned).to_vec(),
        });
    }
    unique(&mut all);
    all
}

/// Ids by address.
pub fn ids(objects: &Objects) -> FxHashMap<Addr, ObjectId> {
    let of = |kind| move |(addr, id)| (addr, ObjectId { kind, id });
    let maps = objects
        .maps
        .iter()
        .map(|m| (m.addr, m.id))
        .map(of(Kind::Map));
    let progs = objects
        .progs
        .iter()
        .map(|p| (p.addr, p.id))
        .map(of(Kind::Prog));
    let links = objects
        .links
        .iter()
        .map(|l| (l.addr, l.id))
        .map(of(Kind::Link));
    maps.chain(progs).chain(links).collect()
}

fn base(
    kind: Kind,
    id: u32,
    name: &str,
    type_name: String,
    refcnt: Option<u64>,
    detail: Detail,
) -> Facts {
    Facts {
        kind,
        id: Some(id),
        name: name.to_owned(),
        type_name,
        refcnt,
        usercnt: None,
        references: Vec::new(),
        own: false,
        memory_bytes: None,
        memory_source: None,
        entries: None,
        max_entries: None,
        charged_to: None,
        unreadable: Vec::new(),
        detail,
    }
}

fn of_map(map: &Map) -> Facts {
    let type_name = names::map_type(map.map_type);
    let mut facts = base(
        Kind::Map,
        map.id,
        &map.name,
        type_name,
        Some(map.refcnt),
        Detail::Map(MapFacts {
            map_flags: map.flags,
            has_timers: kernel::holders::slots::has_timers(map),
        }),
    );
    facts.usercnt = Some(map.usercnt);
    facts.memory_bytes = map.memory;
    facts.memory_source = map.memory.map(|_| MemorySource::Computed);
    facts.entries = map.entries;
    facts.max_entries = Some(map.max_entries);
    facts.charged_to.clone_from(&map.charged_to);
    if map.memory.is_none() {
        facts
            .unreadable
            .push(format!("{NO_FORMULA}{}", facts.type_name));
    }
    let why = match map.charged_to.as_deref() {
        Some(path) if path.starts_with('/') => None,
        Some(_) => {
            Some("charged_to: the cgroup is too deep, and the beginning of its path not known")
        }
        None => Some("charged_to: its memory is charged to no cgroup"),
    };
    facts.unreadable.extend(why.map(str::to_owned));
    facts
}

const NO_FORMULA: &str = "memory_bytes: no descriptor tells it, and no formula is known for type ";

/// Memory of a map as a holder's fdinfo tells it.
pub fn set_memory(facts: &mut Facts, bytes: u64) {
    facts.memory_bytes = Some(bytes);
    facts.memory_source = Some(MemorySource::Fdinfo);
    facts.unreadable.retain(|why| !why.starts_with(NO_FORMULA));
}

/// Its memory stands in an fdinfo that we may not read.
pub fn set_memory_hidden(facts: &mut Facts) {
    facts.unreadable.retain(|why| !why.starts_with(NO_FORMULA));
    facts.unreadable.push(format!(
        "memory_bytes: fdinfo of its holders may not be read, and no formula is known for type {}",
        facts.type_name
    ));
}

fn of_prog(prog: &Prog, maps: Vec<u32>) -> Facts {
    use std::fmt::Write as _;
    let tag = prog.tag.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    let detail = Detail::Prog(ProgFacts {
        tag,
        maps,
        attached: false,
    });
    let type_name = names::prog_type(prog.prog_type);
    let mut facts = base(
        Kind::Prog,
        prog.id,
        &prog.name,
        type_name,
        Some(prog.refcnt),
        detail,
    );
    facts.memory_bytes = Some(prog.memory);
    facts.memory_source = Some(MemorySource::Computed);
    if prog.maps_cut {
        let why = "maps: it uses more maps than were read";
        facts.unreadable.push(why.into());
    }
    facts
}

fn of_link(link: &Link, prog_id: Option<u32>) -> Facts {
    let detail = Detail::Link(LinkFacts {
        prog_id,
        target: link.target.clone(),
        attach_type: link.attach_type.clone(),
        detached: link.detached,
    });
    let type_name = names::link_type(link.link_type);
    let mut facts = base(
        Kind::Link,
        link.id,
        "",
        type_name,
        Some(link.refcnt),
        detail,
    );
    let why = "memory_bytes: the kernel keeps no account of a link's memory";
    facts.unreadable.push(why.into());
    facts
}

fn of_btf(btf: &Btf) -> Facts {
    let refcnt = Some(btf.refcnt);
    btf_facts(btf.id, &btf.name, btf.data_size, btf.kernel_btf, refcnt)
}

/// BTF that no iterator led to, from its own info.
pub fn of_other_btf(btf: &kernel::KernelBtf) -> Facts {
    btf_facts(btf.id, &btf.name, btf.data_size, btf.kernel_btf, None)
}

fn btf_facts(id: u32, name: &str, size: u32, kernel_btf: bool, refcnt: Option<u64>) -> Facts {
    let type_name = match (kernel_btf, name) {
        (true, "vmlinux") => "vmlinux",
        (true, _) => "module",
        (false, _) => "user",
    };
    let detail = Detail::Btf(BtfFacts { kernel_btf });
    let mut facts = base(Kind::Btf, id, name, type_name.to_owned(), refcnt, detail);
    facts.memory_bytes = Some(u64::from(size));
    facts.memory_source = Some(MemorySource::Computed);
    if kernel_btf {
        facts.refcnt = None;
        let why = "refcnt: the kernel itself uses its BTF";
        facts.unreadable.push(why.into());
    } else if refcnt.is_none() {
        let why = "refcnt: no map, program or descriptor leads to it";
        facts.unreadable.push(why.into());
    }
    facts
}

/// Marks a program as attached.
pub fn set_attached(facts: &mut Facts) {
    if let Detail::Prog(prog) = &mut facts.detail {
        prog.attached = true;
    }
}

/// Names the object that a link is attached to, unless its target is known by name.
pub fn set_target(facts: &mut Facts, on: ObjectId) {
    if let Detail::Link(link) = &mut facts.detail {
        link.target = Some(match link.target.take() {
            Some(target) => format!("{target}@{on}"),
            None => on.to_string(),
        });
    }
}

/// An object's counts, and whether they were the same each time.
struct Count {
    id: u32,
    refcnt: u64,
    usercnt: Option<u64>,
    still: bool,
}

/// Counts before a walk, to be compared with those after it.
pub struct Counts(FxHashMap<Addr, Count>);

impl Counts {
    pub fn new(objects: &Objects) -> Self {
        let counts = counts(objects).map(|(addr, id, refcnt, usercnt)| {
            let count = Count {
                id,
                refcnt,
                usercnt,
                still: true,
            };
            (addr, count)
        });
        Self(counts.collect())
    }

    /// Looks once more: what differs moves.
    pub fn observe(&mut self, objects: &Objects) {
        for (addr, id, refcnt, usercnt) in counts(objects) {
            if let Some(count) = self.0.get_mut(&addr) {
                let same = (count.id, count.refcnt, count.usercnt) == (id, refcnt, usercnt);
                count.still &= same;
            }
        }
    }

    /// Objects that did not have the same counts each time.
    pub fn moved(&self, objects: &Objects) -> Vec<ObjectId> {
        let ids = ids(objects);
        let moved = self.0.iter().filter(|(_, count)| !count.still);
        moved
            .filter_map(|(addr, _)| ids.get(addr).copied())
            .collect()
    }

    /// Whether the object was there then.
    pub fn has(&self, addr: Addr) -> bool {
        self.0.contains_key(&addr)
    }

    /// Whether the object had the same counts each time. BTF that no object leads
    /// to is read once only.
    pub fn same(&self, addr: Addr, now: &Facts) -> bool {
        match self.0.get(&addr) {
            Some(count) => {
                count.still
                    && Some(count.id) == now.id
                    && Some(count.refcnt) == now.refcnt
                    && count.usercnt == now.usercnt
            }
            None => now.kind == Kind::Btf,
        }
    }
}

fn counts(objects: &Objects) -> impl Iterator<Item = (Addr, u32, u64, Option<u64>)> + '_ {
    let maps = objects.maps.iter();
    let maps = maps.map(|m| (m.addr, m.id, m.refcnt, Some(m.usercnt)));
    let progs = objects.progs.iter().map(|p| (p.addr, p.id, p.refcnt, None));
    let links = objects.links.iter().map(|l| (l.addr, l.id, l.refcnt, None));
    let btfs = objects.btfs.iter().map(|b| (b.addr, b.id, b.refcnt, None));
    maps.chain(progs).chain(links).chain(btfs)
}
