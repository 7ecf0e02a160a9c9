//! Traffic control and routes: what the filters, actions and light-weight tunnels of a
//! network namespace run. The kernel tells them by rtnetlink, in words of its own
//! (`TCA_BPF_ID`, `TCA_ACT_BPF_ID`), to everybody in the namespace; no walk over its
//! structs is needed, but the namespace has to be entered.

mod filters;
mod netlink;
mod routes;
mod socket;
#[cfg(test)]
mod tests;

pub use filters::{Action, CLSACT_EGRESS, CLSACT_INGRESS, Filter, INGRESS, MAGIC_BLOCK, Place};
pub use routes::{Hook, Name, Route};

use crate::objects::Prog;
use model::decode;
use rustc_hash::FxHashMap;
use socket::Socket;
use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

const RTM_GETROUTE: u16 = 26;
const RTM_GETQDISC: u16 = 38;
const RTM_GETTCLASS: u16 = 42;
const RTM_GETTFILTER: u16 = 46;
const RTM_GETACTION: u16 = 50;
const RTM_GETNEXTHOP: u16 = 106;

/// What to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Filters: programs of type `sched_cls`.
    pub filters: bool,
    /// Actions: programs of type `sched_act`.
    pub actions: bool,
    /// Routes. There may be a million of them, and all have to be read.
    pub routes: bool,
}

impl Wanted {
    /// What could run one of these programs.
    pub fn of(progs: &[Prog]) -> Self {
        use libbpf_sys as bpf;
        let any = |types: &[u32]| progs.iter().any(|prog| types.contains(&prog.prog_type));
        Self {
            filters: any(&[bpf::BPF_PROG_TYPE_SCHED_CLS]),
            actions: any(&[bpf::BPF_PROG_TYPE_SCHED_ACT]),
            routes: any(&[
                bpf::BPF_PROG_TYPE_LWT_IN,
                bpf::BPF_PROG_TYPE_LWT_OUT,
                bpf::BPF_PROG_TYPE_LWT_XMIT,
                bpf::BPF_PROG_TYPE_LWT_SEG6LOCAL,
            ]),
        }
    }
}

/// What a network namespace has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tc {
    /// Each holds its program once.
    pub filters: Vec<Filter>,
    /// Each holds its program once.
    pub actions: Vec<Action>,
    /// Each tunnel holds the programs of its hooks once.
    pub routes: Vec<Route>,
    /// Names of the devices among these.
    pub devices: FxHashMap<u32, String>,
    /// It changed during the look, which may have missed some.
    pub cut: bool,
}

/// Looks at a network namespace, ours if none is given, in a thread that enters it. Needs
/// `CAP_SYS_ADMIN`, in the namespace too, but for ours.
pub fn dump(netns: Option<BorrowedFd<'_>>, wanted: Wanted) -> io::Result<Tc> {
    std::thread::scope(|scope| {
        let look = move || {
            netns.map_or(Ok(()), enter)?;
            look(wanted)
        };
        let thread = std::thread::Builder::new()
            .name("netns".into())
            .spawn_scoped(scope, look)?;
        let panicked = |_| Err(io::Error::other("the look at a network namespace failed"));
        thread.join().unwrap_or_else(panicked)
    })
}

/// Moves the calling thread, and no other, into a network namespace.
fn enter(netns: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: integers only.
    if unsafe { libc::setns(netns.as_raw_fd(), libc::CLONE_NEWNET) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn look(wanted: Wanted) -> io::Result<Tc> {
    let mut socket = Socket::open()?;
    let mut tc = Tc::default();
    if wanted.filters {
        tc.filters = all_filters(&mut socket)?;
    }
    if wanted.actions {
        let all = filters::all_actions();
        let actions = socket.dump(RTM_GETACTION, &all, |m| filters::actions(m).map(Some))?;
        tc.actions = actions.into_iter().flatten().collect();
    }
    if wanted.routes {
        for family in [routes::AF_INET, routes::AF_INET6] {
            let mut about = [0; routes::RTMSG];
            about[0] = family as u8;
            let mut found = socket.dump(RTM_GETROUTE, &about, routes::route)?;
            tc.routes.append(&mut found);
        }
        let about = [0; routes::NHMSG];
        let mut found = socket.dump(RTM_GETNEXTHOP, &about, routes::nexthop)?;
        tc.routes.append(&mut found);
    }
    tc.cut = socket.cut;
    let of_filters = tc.filters.iter().map(|filter| filter.place.device);
    let of_routes = tc.routes.iter().filter_map(|route| match route.name {
        Name::Route { device, .. } => device,
        Name::Nexthop(_) => None,
    });
    let devices: BTreeSet<u32> = of_filters.chain(of_routes).collect();
    let named = devices
        .into_iter()
        .filter_map(|device| Some((device, device_name(device)?)));
    tc.devices = named.collect();
    Ok(tc)
}

/// The filters of all disciplines, of their classes, and of shared blocks.
fn all_filters(socket: &mut Socket) -> io::Result<Vec<Filter>> {
    let everywhere = Place {
        device: 0,
        parent: 0,
    };
    let qdiscs = socket.dump(RTM_GETQDISC, &filters::about(everywhere), |m| {
        filters::qdisc(m).map(Some)
    })?;
    let mut places: BTreeSet<Place> = BTreeSet::new();
    let mut with_classes: BTreeSet<u32> = BTreeSet::new();
    for qdisc in qdiscs {
        places.extend(qdisc.places);
        with_classes.extend(qdisc.classes_of);
    }
    for device in with_classes {
        let of = Place { device, parent: 0 };
        places.extend(socket.dump(RTM_GETTCLASS, &filters::about(of), filters::class)?);
    }
    // A block that stands at several places is told once for each.
    let mut found: BTreeSet<Filter> = BTreeSet::new();
    for place in places {
        found.extend(socket.dump(RTM_GETTFILTER, &filters::about(place), filters::filter)?);
    }
    Ok(found.into_iter().collect())
}

/// A device's name in the namespace that this thread is in.
fn device_name(device: u32) -> Option<String> {
    let mut name = [0_u8; libc::IF_NAMESIZE];
    // SAFETY: the buffer has IF_NAMESIZE bytes, as the call wants.
    let found = unsafe { libc::if_indextoname(device, name.as_mut_ptr().cast()) };
    (!found.is_null()).then(|| decode(netlink::text(&name)))
}
