//! Sockets, io_urings and perf events as holders, with the processes that have them open.

use super::Join;
use crate::people::People;
use crate::unique::unique;
use kernel::Addr;
use kernel::holders::carriers::{Carriers, Place, Socket};
use model::{Attachment, By, Holder, IoUring, Process};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeMap;

/// Answers who keeps a carrier.
pub(super) struct Keepers<'a> {
    carriers: &'a Carriers,
    /// Processes of each descriptor table, without descriptors.
    tables: Vec<Vec<Process>>,
    known: FxHashMap<Addr, Holder>,
}

impl<'a> Keepers<'a> {
    pub fn new(carriers: &'a Carriers, people: &mut People<'_>) -> Self {
        let process = |holder| match holder {
            Holder::Process(process) => Some(*process),
            _ => None,
        };
        let mut of_table = |table| {
            let holders = people.of_table(table, &[]);
            holders.into_iter().filter_map(process).collect()
        };
        Self {
            carriers,
            tables: carriers.tables.iter().map(&mut of_table).collect(),
            known: FxHashMap::default(),
        }
    }

    /// A socket or ring as a holder.
    pub fn holder(&mut self, carrier: Addr) -> Option<Holder> {
        if let Some(holder) = self.known.get(&carrier) {
            return Some(holder.clone());
        }
        let open_by = self.open_by(carrier);
        let holder = if let Some(socket) = self.carriers.sockets.get(&carrier) {
            Holder::Socket(Box::new(self.socket(carrier, socket, open_by)))
        } else if self.carriers.rings.contains_key(&carrier) {
            let first = open_by.first();
            Holder::IoUring(Box::new(IoUring {
                pid: first.map(|p| p.pid),
                fd: first.and_then(|p| p.fds.first().copied()),
                open_by,
            }))
        } else {
            return None;
        };
        self.known.insert(carrier, holder.clone());
        Some(holder)
    }

    fn socket(&self, carrier: Addr, socket: &Socket, open_by: Vec<Process>) -> model::Socket {
        let mut processes: Vec<u32> = open_by.iter().map(|p| p.pid).collect();
        unique(&mut processes);
        model::Socket {
            // A connection that nobody has accepted yet stands for its listener.
            inode: socket.inode.or_else(|| self.listener(carrier)),
            netns: (socket.netns != 0).then(|| u64::from(socket.netns)),
            family: Some(family(socket)),
            processes,
            open_by,
        }
    }

    /// The inode of the socket in whose queue a connection waits.
    fn listener(&self, carrier: Addr) -> Option<u64> {
        let places = self.carriers.places.get(&carrier)?;
        places.iter().find_map(|place| match place {
            Place::In(other) => self.carriers.sockets.get(other)?.inode,
            _ => None,
        })
    }

    /// The processes that have a carrier open, with its descriptors; of one that waits
    /// in another's queue, those that have that open.
    fn open_by(&self, carrier: Addr) -> Vec<Process> {
        let mut fds: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        let mut mapped = Vec::new();
        let mut seen: FxHashSet<Addr> = FxHashSet::default();
        let mut open = vec![carrier];
        while let Some(carrier) = open.pop() {
            if !seen.insert(carrier) {
                continue;
            }
            for place in self.carriers.places.get(&carrier).into_iter().flatten() {
                match *place {
                    Place::Fd(table, fd) => fds.entry(table).or_default().push(fd),
                    Place::Mapped(table) => mapped.push(table),
                    // A map does not keep its sockets.
                    Place::In(other) if self.keeps(other) => open.push(other),
                    Place::In(_) => {}
                }
            }
        }
        let mut open_by: Vec<Process> = Vec::new();
        for (table, mut fds) in fds {
            unique(&mut fds);
            for process in self.tables.get(table as usize).into_iter().flatten() {
                open_by.push(Process {
                    fds: fds.clone(),
                    ..process.clone()
                });
            }
        }
        for table in mapped {
            for process in self.tables.get(table as usize).into_iter().flatten() {
                if !open_by.iter().any(|p| p.pid == process.pid) {
                    open_by.push(process.clone());
                }
            }
        }
        open_by.sort();
        open_by
    }

    fn keeps(&self, carrier: Addr) -> bool {
        self.carriers.sockets.contains_key(&carrier) || self.carriers.rings.contains_key(&carrier)
    }
}

/// In the words of ss(8).
fn family(socket: &Socket) -> String {
    const AF_UNIX: u16 = 1;
    const AF_INET: u16 = 2;
    const AF_INET6: u16 = 10;
    const AF_NETLINK: u16 = 16;
    const AF_PACKET: u16 = 17;
    const AF_VSOCK: u16 = 40;
    const AF_XDP: u16 = 44;
    const SOCK_RAW: u16 = 3;
    const IPPROTO_TCP: u16 = 6;
    const IPPROTO_UDP: u16 = 17;
    match (socket.family, socket.protocol) {
        (AF_UNIX, _) => "unix".into(),
        (AF_INET | AF_INET6, _) if socket.socket_type == SOCK_RAW => "raw".into(),
        (AF_INET | AF_INET6, IPPROTO_TCP) => "tcp".into(),
        (AF_INET | AF_INET6, IPPROTO_UDP) => "udp".into(),
        (AF_INET | AF_INET6, _) => "inet".into(),
        (AF_NETLINK, _) => "netlink".into(),
        (AF_PACKET, _) => "packet".into(),
        (AF_VSOCK, _) => "vsock".into(),
        (AF_XDP, _) => "xdp".into(),
        (family, _) => format!("family {family}"),
    }
}

impl Join<'_> {
    /// Programs attached to sockets: filters and groups are one reference each,
    /// however many sockets share them.
    pub(super) fn sockets(&mut self, keepers: &mut Keepers<'_>) {
        let mut groups: BTreeMap<(Addr, Addr), Vec<Addr>> = BTreeMap::new();
        let mut members = Vec::new();
        let mut controls = Vec::new();
        for (&addr, socket) in &keepers.carriers.sockets {
            let pairs = [socket.filter, socket.reuseport, socket.fanout];
            for pair in pairs.into_iter().flatten() {
                groups.entry(pair).or_default().push(addr);
            }
            let progs = socket.psock.iter().flat_map(|(_, progs)| progs);
            members.extend(progs.map(|&prog| (prog, addr)));
            controls.extend(socket.congestion_control.map(|ops| (ops, addr)));
        }
        for ((_, prog), sockets) in groups {
            let mut holders: Vec<_> = sockets.iter().filter_map(|&s| keepers.holder(s)).collect();
            unique(&mut holders);
            self.add(prog, By::Socket, 1, holders);
        }
        for (prog, socket) in members {
            let holders = keepers.holder(socket).into_iter().collect();
            self.add(prog, By::Socket, 1, holders);
        }
        let maps = self.struct_ops();
        for (ops, socket) in controls {
            if let Some(&map) = maps.get(&ops) {
                let holders = keepers.holder(socket).into_iter().collect();
                self.add(map, By::StructOps, 1, holders);
            }
        }
    }

    /// Programs attached to perf events without a link. Events on the same target that the
    /// same processes and maps keep are one reference.
    pub(super) fn events(&mut self, keepers: &mut Keepers<'_>) {
        let links = self.pass.after.links.iter();
        let by_link: FxHashSet<Addr> = links.filter_map(|link| link.event).collect();
        let mut groups: BTreeMap<EventKey<'_>, (u64, Vec<Process>)> = BTreeMap::new();
        for (&addr, event) in &keepers.carriers.events {
            if by_link.contains(&addr) {
                continue;
            }
            let places = keepers.carriers.places.get(&addr);
            let maps = places
                .into_iter()
                .flatten()
                .filter_map(|place| match place {
                    Place::In(map) if self.is_map(*map) => Some(*map),
                    _ => None,
                });
            let mut maps: Vec<Addr> = maps.collect();
            unique(&mut maps);
            let open_by = keepers.open_by(addr);
            let key = EventKey {
                prog: event.prog,
                target: &event.target,
                maps,
                processes: open_by.iter().map(|p| (p.pid, p.tid)).collect(),
            };
            let (count, all) = groups.entry(key).or_default();
            *count += event.references;
            if all.is_empty() {
                *all = open_by;
            } else {
                for (process, more) in all.iter_mut().zip(open_by) {
                    process.fds.extend(more.fds);
                    unique(&mut process.fds);
                }
            }
        }
        for (key, (count, open_by)) in groups {
            let maps = key.maps.iter().filter_map(|&map| self.holder(map));
            let mut holders: Vec<Holder> = maps.collect();
            // Kept by nothing but maps, it is not open anywhere.
            if !open_by.is_empty() || holders.is_empty() {
                holders.push(Holder::Attachment(Box::new(Attachment {
                    target: key.target.to_owned(),
                    attach_type: Some("perf_event".into()),
                    detach: None,
                    open_by,
                })));
            }
            unique(&mut holders);
            self.add(key.prog, By::Attachment, count, holders);
        }
    }
}

/// What makes perf events one reference. Processes in the order of pids.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct EventKey<'a> {
    prog: Addr,
    target: &'a str,
    maps: Vec<Addr>,
    processes: Vec<(u32, Option<u32>)>,
}
