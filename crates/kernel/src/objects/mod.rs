//! The objects, with their reference counts: maps, programs, links, and the BTF
//! that they lead to.

mod links_by_id;
mod lives;
mod memory;
pub mod names;

pub use lives::lives;

use crate::cgroup_paths::CgroupPaths;
use crate::error::Error;
use crate::holders::carriers::children;
use crate::rows::{Addr, Row, c_bytes, types};
use crate::walks::{Walk, Walks};
use model::decode;
use rustc_hash::FxHashMap;

/// `struct bpf_map`, as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    /// Its address.
    pub addr: Addr,
    /// Its id.
    pub id: u32,
    /// Its name, at most 15 bytes.
    pub name: String,
    /// `enum bpf_map_type`.
    pub map_type: u32,
    /// `refcnt`, without the iterator's own.
    pub refcnt: u64,
    /// `usercnt`.
    pub usercnt: u64,
    /// The BTF that describes its key and value.
    pub btf: Option<Addr>,
    /// The BTF that the template of an outer map's inner maps refers to.
    pub inner_btf: Option<Addr>,
    /// Path of the cgroup that is charged, in its hierarchy; `…/x/y` for the end of one that is
    /// too deep.
    pub charged_to: Option<String>,
    /// Elements in it, where the kernel keeps that number.
    pub entries: Option<u64>,
    /// Capacity.
    pub max_entries: u32,
    /// Size of a key, in bytes.
    pub key_size: u32,
    /// Size of a value, in bytes.
    pub value_size: u32,
    /// `map_flags` of `BPF_MAP_CREATE`.
    pub flags: u32,
    /// Buckets of a hash.
    pub buckets: u32,
    /// Kernel memory in bytes, where its type's formula is known.
    pub memory: Option<u64>,
    /// Where a `bpf_timer` and a `bpf_wq` lie in its values.
    pub timers: [Option<u32>; 2],
    /// `struct_ops`: the kernel struct that it registers.
    pub kdata: Option<Addr>,
}

/// `struct bpf_prog`, as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prog {
    /// Its address.
    pub addr: Addr,
    /// Its id.
    pub id: u32,
    /// Its name, the full one where BTF has it.
    pub name: String,
    /// `enum bpf_prog_type`.
    pub prog_type: u32,
    /// `expected_attach_type` (`enum bpf_attach_type`).
    pub attach_type: u32,
    /// `aux->refcnt`, without the iterator's own.
    pub refcnt: u64,
    /// `aux->btf`.
    pub btf: Option<Addr>,
    /// BTF that it uses besides (`aux->used_btfs`), each one reference; none of the kernel's.
    pub used_btfs: Vec<Addr>,
    /// The program that it will be attached to (`aux->dst_prog`).
    pub target: Option<Addr>,
    /// The maps it uses (`aux->used_maps`).
    pub maps: Vec<Addr>,
    /// It uses more maps than were read.
    pub maps_cut: bool,
    /// Hash of its instructions.
    pub tag: [u8; 8],
    /// Kernel memory in bytes: its pages.
    pub memory: u64,
}

/// `struct bpf_link`, as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its address.
    pub addr: Addr,
    /// Its id.
    pub id: u32,
    /// `enum bpf_link_type`.
    pub link_type: u32,
    /// `refcnt`, without the iterator's own.
    pub refcnt: u64,
    /// Its program.
    pub prog: Option<Addr>,
    /// How many references it has on its program. More than one where what it attached
    /// to has one of its own: a perf event (`bpf_perf_link_attach`) and the events that
    /// children inherit of it (`perf_event_alloc`), a sockmap (`sock_map_link_create`).
    pub prog_references: u64,
    /// Children inherited more events than could be counted.
    pub uncounted: bool,
    /// The perf event that it is on.
    pub event: Option<Addr>,
    /// The map it was made for: an iterator's, a `struct_ops` map, a sockmap.
    pub map: Option<Addr>,
    /// The program it is attached to (freplace, fentry on a program).
    pub target_prog: Option<Addr>,
    /// What it is attached to, in words.
    pub target: Option<String>,
    /// `enum bpf_attach_type`, in words.
    pub attach_type: Option<String>,
    /// Its target went away, or it was detached.
    pub detached: bool,
}

/// `struct btf`, as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Btf {
    /// Its address.
    pub addr: Addr,
    /// Its id.
    pub id: u32,
    /// `vmlinux`, a module's name, or empty.
    pub name: String,
    /// `refcnt`.
    pub refcnt: u64,
    /// Bytes of type data.
    pub data_size: u32,
    /// vmlinux's or a module's.
    pub kernel_btf: bool,
}

impl Btf {
    pub(crate) fn from_row(row: &types::row_btf) -> Self {
        Self {
            addr: Addr(row.btf),
            id: row.row.n,
            name: decode(&c_bytes(&row.name)),
            refcnt: u64::from(row.refcnt),
            data_size: row.data_size,
            kernel_btf: row.kernel_btf != 0,
        }
    }
}

/// All objects of the host at one moment.
#[derive(Debug, Default, Clone)]
pub struct Objects {
    /// All maps.
    pub maps: Vec<Map>,
    /// All programs.
    pub progs: Vec<Prog>,
    /// All links; before 5.19 only with `CAP_SYS_ADMIN` ([`Walks::links_unseen`]).
    pub links: Vec<Link>,
    /// BTF that a map or program leads to.
    pub btfs: Vec<Btf>,
}

impl Walks {
    /// Walks all maps, programs and links.
    pub fn objects(&mut self) -> Result<Objects, Error> {
        let mut reader = Reader::default();
        self.run(Walk::Maps, |rows| rows.for_each(|row| reader.read(&row)))?;
        self.run(Walk::Progs, |rows| rows.for_each(|row| reader.read(&row)))?;
        if self.has_links() {
            self.run(Walk::Links, |rows| rows.for_each(|row| reader.read(&row)))?;
        } else {
            self.links_by_id(|rows| rows.for_each(|row| reader.read(&row)))?;
        }
        for link in &mut reader.links {
            if link.children == children::MORE
                && let Some(count) = self.children(Addr(link.event))
            {
                link.children = count;
            }
        }
        let objects = reader.finish();
        self.note_probes(&objects.maps);
        Ok(objects)
    }
}

/// Rows of one sweep over the objects. Texts come before or after what they belong to.
#[derive(Default)]
struct Reader {
    objects: Objects,
    btfs: FxHashMap<u64, Btf>,
    cgroups: CgroupPaths,
    full_names: FxHashMap<u64, String>,
    link_targets: FxHashMap<u64, String>,
    link_groups: FxHashMap<u64, String>,
    map_cgroups: Vec<u64>,
    /// How many maps the program in the row before uses.
    used_maps: u32,
    links: Vec<types::row_link>,
}

impl Reader {
    fn read(&mut self, row: &Row<'_>) {
        use types::row_kind as kind;
        self.cgroups.read(row);
        match kind(u32::from(row.head.kind)) {
            kind::ROW_MAP => self.map(&row.as_type()),
            kind::ROW_PROG => self.prog(&row.as_type()),
            kind::ROW_USED_MAPS => {
                if let Some(prog) = self.objects.progs.last_mut() {
                    prog.maps_cut = row.head.n < self.used_maps;
                    prog.maps = row
                        .after::<types::row>()
                        .chunks_exact(8)
                        .filter_map(|c| Addr::new(u64::from_ne_bytes(c.try_into().ok()?)))
                        .collect();
                }
            }
            kind::ROW_USED_BTF => {
                let btf = Btf::from_row(&row.as_type());
                // The kernel's own has no account.
                if let Some(prog) = self.objects.progs.last_mut()
                    && !btf.kernel_btf
                {
                    prog.used_btfs.push(btf.addr);
                    self.btfs.insert(btf.addr.0, btf);
                }
            }
            kind::ROW_LINK => self.links.push(row.as_type()),
            kind::ROW_BTF => {
                let btf = Btf::from_row(&row.as_type());
                self.btfs.insert(btf.addr.0, btf);
            }
            kind::ROW_TEXT => self.text(row),
            _ => {}
        }
    }

    fn text(&mut self, row: &Row<'_>) {
        let text: types::row_text = row.as_type();
        let words = decode(row.text());
        match types::text_kind(text.row.n) {
            types::text_kind::TEXT_PROG_NAME => {
                self.full_names.insert(text.of, words);
            }
            types::text_kind::TEXT_LINK_TARGET => {
                self.link_targets.insert(text.of, words);
            }
            types::text_kind::TEXT_LINK_GROUP => {
                self.link_groups.insert(text.of, words);
            }
            _ => {}
        }
    }

    fn map(&mut self, row: &types::row_map) {
        let mut map = Map {
            addr: Addr(row.map),
            id: row.row.n,
            name: decode(&c_bytes(&row.name)),
            map_type: row.r#type,
            refcnt: row.refcnt.saturating_sub(1),
            usercnt: row.usercnt,
            btf: Addr::new(row.btf),
            inner_btf: Addr::new(row.inner_btf),
            charged_to: None,
            entries: u64::try_from(row.entries).ok(),
            max_entries: row.max_entries,
            key_size: row.key_size,
            value_size: row.value_size,
            flags: row.flags,
            buckets: row.buckets,
            memory: None,
            timers: [row.timer_off, row.wq_off].map(|at| u32::try_from(at).ok()),
            kdata: Addr::new(row.kdata),
        };
        map.memory = memory::of_map(&map, row);
        self.objects.maps.push(map);
        self.map_cgroups.push(row.cgroup);
    }

    fn prog(&mut self, row: &types::row_prog) {
        self.used_maps = row.used_maps;
        self.objects.progs.push(Prog {
            addr: Addr(row.prog),
            id: row.row.n,
            name: decode(&c_bytes(&row.name)),
            prog_type: row.r#type,
            attach_type: row.attach_type,
            refcnt: row.refcnt.saturating_sub(1),
            btf: Addr::new(row.btf),
            used_btfs: Vec::new(),
            target: Addr::new(row.target),
            maps: Vec::new(),
            // Until they are read.
            maps_cut: row.used_maps > 0,
            tag: row.tag,
            memory: u64::from(row.pages) * memory::page_size(),
        });
    }

    fn finish(mut self) -> Objects {
        for at in 0..self.objects.maps.len() {
            let cgroup = self.map_cgroups[at];
            let path = (cgroup != 0).then(|| self.cgroups.path(cgroup));
            self.objects.maps[at].charged_to = path;
        }
        for prog in &mut self.objects.progs {
            if let Some(name) = self.full_names.remove(&prog.addr.0) {
                // BTF is the loader's word; the kernel's own field is its beginning.
                if name.starts_with(&prog.name) {
                    prog.name = name;
                }
            }
        }
        let links = std::mem::take(&mut self.links);
        self.objects.links = links.iter().map(|row| self.link(row)).collect();
        self.objects.btfs = self.btfs.into_values().collect();
        self.objects.btfs.sort_by_key(|b| b.id);
        self.objects
    }

    fn link(&self, row: &types::row_link) -> Link {
        let words = names::LinkWords {
            target: self.link_targets.get(&row.link).map(String::as_str),
            group: self.link_groups.get(&row.link).map(String::as_str),
            cgroup: (row.cgroup != 0).then(|| self.cgroups.path(row.cgroup)),
        };
        Link {
            addr: Addr(row.link),
            id: row.row.n,
            link_type: row.r#type,
            refcnt: row.refcnt.saturating_sub(1),
            prog: Addr::new(row.prog),
            prog_references: 1 + names::target_references(row),
            uncounted: row.children == children::MORE,
            event: Addr::new(row.event),
            map: Addr::new(row.map),
            target_prog: Addr::new(row.target),
            target: names::link_target(row, &words),
            attach_type: names::attach_type(row.r#type, row.attach_type).map(str::to_owned),
            detached: row.detached != 0,
        }
    }
}
