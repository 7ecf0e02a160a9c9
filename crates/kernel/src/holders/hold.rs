//! A reference that something outside of BPF's own structs has.

use crate::rows::{Addr, types};

/// What holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum What {
    /// A cgroup; `place` is the kernel's number of the attach type's list.
    Cgroup,
    /// A device, by XDP; `place` is the mode (`enum bpf_xdp_mode`).
    Xdp,
    /// A device, by tcx.
    TcxIngress,
    /// A device, by tcx.
    TcxEgress,
    /// A netkit device.
    NetkitPrimary,
    /// A netkit device's peer.
    NetkitPeer,
    /// A network namespace; `place` is its `enum netns_bpf_attach_type`.
    Netns,
    /// An entry of a devmap or cpumap, or a sockmap's own program.
    Entry,
    /// An `AF_XDP` socket in an xskmap; the object is the map.
    Xsk,
    /// A timer or work queue in a map's value.
    Timer,
    /// A `struct_ops` map, for a member of the struct.
    Member,
    /// A network namespace, for its default congestion control; the object is the `kdata` of
    /// a `struct_ops` map.
    Congestion,
    /// The kernel, for a `struct_ops` map that is registered without a link.
    Registered,
}

/// References of one holder on one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// What the holder is.
    pub what: What,
    /// The object.
    pub object: Addr,
    /// The holder: a cgroup, device, namespace, map or socket.
    pub holder: Addr,
    /// The link that made the attachment, which then accounts for one reference itself.
    pub link: Option<Addr>,
    /// Inode number of the network namespace; 0 if it has none.
    pub netns: u32,
    /// Where at the holder; `what` says which number it is.
    pub place: u32,
    /// How many references.
    pub count: u64,
}

impl Hold {
    pub(crate) fn from_row(row: &types::row_hold) -> Option<Self> {
        use types::hold;
        let what = match hold(row.row.n) {
            hold::HOLD_CGROUP => What::Cgroup,
            hold::HOLD_XDP => What::Xdp,
            hold::HOLD_TCX_INGRESS => What::TcxIngress,
            hold::HOLD_TCX_EGRESS => What::TcxEgress,
            hold::HOLD_NETKIT_PRIMARY => What::NetkitPrimary,
            hold::HOLD_NETKIT_PEER => What::NetkitPeer,
            hold::HOLD_NETNS => What::Netns,
            hold::HOLD_ENTRY => What::Entry,
            hold::HOLD_XSK => What::Xsk,
            hold::HOLD_TIMER => What::Timer,
            hold::HOLD_MEMBER => What::Member,
            hold::HOLD_CONGESTION => What::Congestion,
            hold::HOLD_REGISTERED => What::Registered,
            _ => return None,
        };
        Some(Self {
            what,
            object: Addr::new(row.object)?,
            holder: Addr(row.holder),
            link: Addr::new(row.link),
            netns: row.netns,
            place: row.place,
            count: row.count,
        })
    }
}
