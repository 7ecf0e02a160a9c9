//! A command and all that it starts, and what these processes had open when they ended.

use crate::error::Error;
use crate::objects::names;
use crate::rows::{Addr, types};
use crate::walks::{Walks, load_error};
use generated::types::tree_row;
use generated::{TreeSkel, TreeSkelBuilder};
use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};
use libbpf_rs::{Link, MapCore as _, RingBuffer, RingBufferBuilder};
use model::Kind;
use rustc_hash::FxHashMap;
use std::cell::RefCell;
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::RawFd;
use std::rc::Rc;

#[allow(
    missing_docs,
    non_camel_case_types,
    unsafe_code,
    clippy::all,
    clippy::pedantic,
    clippy::undocumented_unsafe_blocks,
    clippy::unwrap_used,
    unused_qualifications,
    dead_code
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/tree.skel.rs"));
}

/// A process that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// In our pid namespace; 0 if it was not visible there.
    pub pid: u32,
    /// When it began, in nanoseconds since boot (`start_boottime`).
    pub start: u64,
    /// At most 15 bytes.
    pub comm: Vec<u8>,
    /// BPF files in its table.
    pub open: Vec<Open>,
    /// Its table was longer than could be read.
    pub cut: bool,
    /// It never called exec: its parent may have what it has.
    pub forked: bool,
}

/// A file that was open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// Which: as long as something has it, no other has this address.
    pub file: Addr,
    /// All its references at that moment: these descriptors, and those of other processes, mappings,
    /// messages in flight, somebody who just looks.
    pub refs: u64,
    /// Mappings of the process itself may be among them (since 6.16 they end after this).
    pub may_be_mapped: bool,
    /// Map, program, link or BTF.
    pub kind: Kind,
    /// Of the object.
    pub id: u32,
    /// In bpftool's words.
    pub type_name: String,
    /// Of the object; at most 15 bytes.
    pub name: Vec<u8>,
    /// Its descriptors.
    pub fds: Vec<u32>,
}

type Rows = Rc<RefCell<Vec<tree_row>>>;

/// The hooks on fork and exit, and whom they follow. Dropped, they are gone.
pub struct Tree {
    skel: TreeSkel<'static>,
    ring: RingBuffer<'static>,
    rows: Rows,
    /// Rows of processes that have not ended yet.
    pending: FxHashMap<(u32, u64), Vec<tree_row>>,
    /// They stay attached as long as these live.
    _links: Vec<Link>,
}

impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tree").finish_non_exhaustive()
    }
}

impl Tree {
    /// Loads and attaches the hooks (`tp_btf`: 5.5; the ring buffer: 5.8). Needs `CAP_BPF` and
    /// `CAP_PERFMON`. What BPF's files look like the walks have learned.
    pub fn follow(walks: &mut Walks) -> Result<Self, Error> {
        let mut skel = match load("exited") {
            Ok(skel) => skel,
            // No bpf_loop before 5.17 (e6f2dd0f8067 "bpf: Add bpf_loop helper").
            Err(_) => load("exited_plain").map_err(|e| refused(&e))?,
        };
        let bss = bss(&mut skel);
        // The two objects have one header, and so the same struct under two names.
        // SAFETY: both are generated from `struct file_ops` of files.h: integers only.
        bss.file_ops = unsafe { std::mem::transmute_copy(walks.file_ops()) };
        let mut links = Vec::new();
        for prog in skel.object().progs_mut() {
            if prog.autoload() {
                links.push(prog.attach().map_err(|e| refused(&e))?);
            }
        }
        walks.note_own(skel.object(), &links);
        let rows = Rows::default();
        let mut ring = RingBufferBuilder::new();
        let into = Rc::clone(&rows);
        let take = move |bytes: &[u8]| {
            into.borrow_mut().extend(row(bytes));
            0
        };
        ring.add(&skel.maps.rows, take).map_err(|e| refused(&e))?;
        let ring = ring.build().map_err(|e| refused(&e))?;
        Ok(Self {
            ring,
            rows,
            pending: FxHashMap::default(),
            _links: links,
            skel,
        })
    }

    /// While it is armed, what this process forks is followed from its first instruction.
    pub fn arm(&mut self, armed: bool) {
        bss(&mut self.skel).armed = if armed { std::process::id() } else { 0 };
    }

    /// Becomes readable when a process has ended.
    pub fn readiness(&self) -> RawFd {
        self.ring.epoll_fd()
    }

    /// Thread group ids of the processes that live, in the initial pid namespace.
    pub fn pids(&self) -> Vec<u32> {
        let keys = self.skel.maps.tree.keys();
        let pids = keys.filter_map(|key| Some(u32::from_ne_bytes(key.try_into().ok()?)));
        pids.collect()
    }

    /// Processes whose end was lost, as far as was told of them.
    pub fn unfinished(&mut self) -> Vec<Ended> {
        let pending = std::mem::take(&mut self.pending).into_iter();
        let ended = pending.map(|((pid, start), rows)| Ended {
            pid,
            start,
            comm: vec![],
            open: files_of(&rows),
            cut: true,
            forked: true,
        });
        ended.collect()
    }

    /// Processes of the tree that have ended since this was last asked.
    pub fn ended(&mut self) -> io::Result<Vec<Ended>> {
        self.ring
            .consume()
            .map_err(|e| io::Error::other(e.to_string()))?;
        let mut ended = Vec::new();
        for row in self.rows.borrow_mut().drain(..) {
            let key = (row.pid, row.start);
            if row.kind == ENDED {
                let rows = self.pending.remove(&key).unwrap_or_default();
                ended.push(Ended {
                    pid: row.pid,
                    start: row.start,
                    comm: text(&row),
                    open: files_of(&rows),
                    cut: row.cut & CUT != 0,
                    forked: row.cut & FORKED != 0,
                });
            } else {
                self.pending.entry(key).or_default().push(row);
            }
        }
        Ok(ended)
    }

    /// Rows and processes that were lost for want of room.
    pub fn lost(&mut self) -> u64 {
        bss(&mut self.skel).lost
    }
}

/// `TREE_ENDED` in tree.h, `TREE_CUT`, `TREE_FORKED`.
const ENDED: u32 = 0;
const CUT: u32 = 1;
const FORKED: u32 = 2;

fn load(exit: &str) -> libbpf_rs::Result<TreeSkel<'static>> {
    // Lives as long as the process, which makes one.
    let storage = Box::leak(Box::new(MaybeUninit::uninit()));
    let mut open = TreeSkelBuilder::default().open(storage)?;
    for mut prog in open.open_object_mut().progs_mut() {
        let name = prog.name().to_string_lossy().into_owned();
        prog.set_autoload(name == "forked" || name == exit);
    }
    open.load()
}

fn bss<'a>(skel: &'a mut TreeSkel<'static>) -> &'a mut generated::types::bss {
    let bss = skel.maps.bss_data.as_deref_mut();
    bss.expect("libbpf maps .bss when it loads the object")
}

fn refused(error: &libbpf_rs::Error) -> Error {
    load_error(error, String::new())
}

/// A row; none of bytes that are too few.
fn row(bytes: &[u8]) -> Option<tree_row> {
    if bytes.len() < size_of::<tree_row>() {
        return None;
    }
    // SAFETY: there are as many bytes, and the struct has integers only.
    Some(unsafe { bytes.as_ptr().cast::<tree_row>().read_unaligned() })
}

fn text(row: &tree_row) -> Vec<u8> {
    let bytes = row.name.iter().map(|&c| c.cast_unsigned());
    bytes.take_while(|&b| b != 0).collect()
}

/// Files, each with its descriptors.
fn files_of(rows: &[tree_row]) -> Vec<Open> {
    let mut files: FxHashMap<u64, Vec<&tree_row>> = FxHashMap::default();
    for row in rows {
        files.entry(row.file).or_default().push(row);
    }
    let open = files.into_iter().filter_map(|(file, rows)| {
        let row = rows[0];
        let (kind, word): (_, fn(u32) -> String) = match row.kind {
            MAP => (Kind::Map, names::map_type),
            PROG => (Kind::Prog, names::prog_type),
            LINK => (Kind::Link, names::link_type),
            BTF => (Kind::Btf, |_| "user".into()),
            _ => return None,
        };
        Some(Open {
            file: Addr(file),
            refs: row.refs,
            may_be_mapped: row.cut != 0,
            kind,
            id: row.id,
            type_name: word(row.r#type),
            name: text(row),
            fds: rows.iter().map(|row| row.fd).collect(),
        })
    });
    let mut open: Vec<Open> = open.collect();
    open.sort_by_key(|open| open.fds.first().copied());
    open
}

const MAP: u32 = types::row_kind::ROW_MAP_FILE.0;
const PROG: u32 = types::row_kind::ROW_PROG_FILE.0;
const LINK: u32 = types::row_kind::ROW_LINK_FILE.0;
const BTF: u32 = types::row_kind::ROW_BTF_FILE.0;
