//! Carriers: files that are not BPF's and hold BPF objects all the same. Sockets (programs
//! attached to them, descriptors in flight), perf events, io_urings.
//!
//! They are found in descriptor tables, and from there in each other: a socket may wait
//! in another's queue with a map in its own. A carrier is known by the address of its
//! kernel struct; where it stands is kept apart, since several places may share it.

pub(crate) mod children;
mod contents;

use super::files::{Table, Tables};
use crate::error::Error;
use crate::objects::{Btf, names};
use crate::rows::{Addr, Row, types};
use crate::walks::{Walk, Walks};
use model::decode;
use rustc_hash::{FxHashMap, FxHashSet};

/// A socket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Socket {
    /// Its inode number; `None` if no file is on it (not accepted yet, or closed).
    pub inode: Option<u64>,
    /// Inode number of its network namespace.
    pub netns: u32,
    /// `AF_UNIX`, `AF_INET` …
    pub family: u16,
    /// `SOCK_STREAM` …
    pub socket_type: u16,
    /// `IPPROTO_TCP` …
    pub protocol: u16,
    /// `struct sk_filter` and its program (`SO_ATTACH_BPF`): accepted sockets share their listener's.
    pub filter: Option<(Addr, Addr)>,
    /// `struct sock_reuseport` and its program: one for the group.
    pub reuseport: Option<(Addr, Addr)>,
    /// `struct packet_fanout` and its program: one for the group.
    pub fanout: Option<(Addr, Addr)>,
    /// `struct sk_psock` and the programs that it runs as a sockmap's member.
    pub psock: Option<(Addr, Vec<Addr>)>,
    /// Its congestion control, if that is a `struct_ops` map's.
    pub congestion_control: Option<Addr>,
    /// Something waits in its queue.
    queued: bool,
}

/// A perf event with a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The program.
    pub prog: Addr,
    /// References that it has on it: its own, and one for each inherited event.
    pub references: u64,
    /// There are more, which could not be counted.
    pub uncounted: bool,
    /// What it is on, in the words that links have.
    pub target: String,
}

/// Where a carrier stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// In a descriptor table: index into [`Carriers::tables`], and descriptor.
    Fd(u32, u32),
    /// Mapped by the process of that table, or registered by one of its tasks, without a
    /// descriptor.
    Mapped(u32),
    /// In another carrier's queue or table, or in a map.
    In(Addr),
}

/// A file on a BPF object that a queue or a ring has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carried {
    /// The file.
    pub file: Addr,
    /// The object; of an iterator file, its program.
    pub object: Addr,
    /// It is an open iterator.
    pub iterator: bool,
    /// The map that the iterator walks, if a map has this address.
    pub map: Option<Addr>,
    /// The socket or ring.
    pub by: Addr,
}

/// All carriers that were found.
#[derive(Debug, Default)]
pub struct Carriers {
    /// Descriptor tables in which some stand.
    pub tables: Vec<Table>,
    /// By address.
    pub sockets: FxHashMap<Addr, Socket>,
    /// By address.
    pub events: FxHashMap<Addr, Event>,
    /// io_urings, with the size of their table of fixed files.
    pub rings: FxHashMap<Addr, u64>,
    /// Where each stands.
    pub places: FxHashMap<Addr, Vec<Place>>,
    /// What sockets and rings carry.
    pub carried: Vec<Carried>,
    /// BTF that is carried.
    pub btfs: Vec<Btf>,
    /// Something changed during the walk, or there was too much of it.
    pub cut: bool,
    /// Those whose queue or table was looked into.
    looked_into: FxHashSet<Addr>,
    reader: Tables,
    event_names: FxHashMap<u64, String>,
    event_groups: FxHashMap<u64, String>,
}

impl Walks {
    /// Walks the carriers in all descriptor tables. What is in them, [`Walks::contents`] tells.
    pub fn carriers(&mut self) -> Result<Carriers, Error> {
        let mut carriers = Carriers::default();
        self.run(Walk::Carriers, |rows| {
            for row in rows {
                carriers.read(&row);
            }
        })?;
        let mut registered = Carriers::default();
        self.run(Walk::Rings, |rows| {
            for row in rows {
                registered.read(&row);
            }
        })?;
        carriers.extend(registered);
        Ok(carriers)
    }
}

impl Carriers {
    /// A row of any kind.
    pub(crate) fn read(&mut self, row: &Row<'_>) {
        use types::row_kind as kind;
        match kind(u32::from(row.head.kind)) {
            kind::ROW_TASK => self.reader.task(&row.as_type(), &mut self.tables),
            kind::ROW_SOCKET => self.socket(&row.as_type()),
            kind::ROW_PERF => self.event(&row.as_type()),
            kind::ROW_URING => {
                let ring: types::row_uring = row.as_type();
                if self.stands(ring.ring, ring.row.n, ring.via) {
                    self.rings.insert(Addr(ring.ring), ring.files);
                }
            }
            kind::ROW_CARRIED => {
                let carried: types::row_carried = row.as_type();
                self.carried.push(Carried {
                    file: Addr(carried.file),
                    object: Addr(carried.object),
                    iterator: carried.row.n == kind::ROW_ITER_FILE.0,
                    map: Addr::new(carried.map),
                    by: Addr(carried.via),
                });
            }
            kind::ROW_BTF => self.btfs.push(Btf::from_row(&row.as_type())),
            kind::ROW_CUT => self.cut = true,
            kind::ROW_TEXT => {
                let text: types::row_text = row.as_type();
                let names = match types::text_kind(text.row.n) {
                    types::text_kind::TEXT_EVENT => &mut self.event_names,
                    types::text_kind::TEXT_EVENT_GROUP => &mut self.event_groups,
                    _ => return,
                };
                names.insert(text.of, decode(row.text()));
            }
            _ => {}
        }
    }

    /// Notes where a carrier stands; false where that is a table that is seen again.
    fn stands(&mut self, carrier: u64, fd: u32, via: u64) -> bool {
        let place = match (Addr::new(via), self.reader.now()) {
            (Some(other), _) => Place::In(other),
            (None, Some(table)) if fd == u32::MAX => Place::Mapped(table),
            (None, Some(table)) => Place::Fd(table, fd),
            (None, None) => return false,
        };
        let places = self.places.entry(Addr(carrier)).or_default();
        if !places.contains(&place) {
            places.push(place);
        }
        true
    }

    fn socket(&mut self, row: &types::row_socket) {
        if !self.stands(row.sock, row.row.n, row.via) {
            return;
        }
        let pair = |one: u64, prog: u64| Some((Addr::new(one)?, Addr::new(prog)?));
        let progs = row.psock_progs.iter().filter_map(|&p| Addr::new(p));
        self.sockets.insert(
            Addr(row.sock),
            Socket {
                inode: (row.inode != 0).then_some(row.inode),
                netns: row.netns,
                family: row.family,
                socket_type: row.r#type,
                protocol: row.protocol,
                filter: pair(row.filter, row.filter_prog),
                reuseport: pair(row.reuse, row.reuse_prog),
                fanout: pair(row.fanout, row.fanout_prog),
                psock: Addr::new(row.psock).map(|psock| (psock, progs.collect())),
                congestion_control: Addr::new(row.ca_ops),
                queued: row.queued != 0,
            },
        );
    }

    fn event(&mut self, row: &types::row_perf) {
        if !self.stands(row.event, row.row.n, row.via) {
            return;
        }
        let text = |names: &FxHashMap<u64, String>| names.get(&row.event).cloned();
        let children = Some(row.children).filter(|&children| children != children::MORE);
        let (group, name) = (text(&self.event_groups), text(&self.event_names));
        let kind = (row.perf_type, row.perf_config);
        self.events.insert(
            Addr(row.event),
            Event {
                prog: Addr(row.prog),
                references: 1 + u64::from(children.unwrap_or(0)),
                uncounted: children.is_none(),
                target: names::perf_target(kind, group.as_deref(), name.as_deref()),
            },
        );
    }

    /// Adds what another walk found.
    pub fn extend(&mut self, other: Self) {
        let first = self.tables.len() as u32;
        self.tables.extend(other.tables);
        self.sockets.extend(other.sockets);
        self.events.extend(other.events);
        self.rings.extend(other.rings);
        for (carrier, places) in other.places {
            let here = self.places.entry(carrier).or_default();
            here.extend(places.into_iter().map(|place| match place {
                Place::Fd(table, fd) => Place::Fd(first + table, fd),
                Place::Mapped(table) => Place::Mapped(first + table),
                Place::In(other) => Place::In(other),
            }));
        }
        self.carried.extend(other.carried);
        self.btfs.extend(other.btfs);
        self.cut |= other.cut;
    }
}
