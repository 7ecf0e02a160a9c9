//! Routes with light-weight tunnels.

use super::netlink::{CREATE, attribute, descriptor, nested, number, request, text};
use crate::bpf::Object;
use crate::sys::Result;
use std::net::IpAddr;

const RTM_NEWROUTE: u16 = 24;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_ENCAP_TYPE: u16 = 21;
const RTA_ENCAP: u16 = 22;
const LWTUNNEL_ENCAP_BPF: u16 = 6;
const LWT_BPF_PROG_FD: u16 = 1;
const LWT_BPF_PROG_NAME: u16 = 2;

/// Where on a packet's way through a route a program runs (`LWT_BPF_…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Coming in.
    In = 1,
    /// Going out.
    Out = 2,
    /// Before it is sent.
    Xmit = 3,
}

/// A route to one address through a device, with programs on the way.
pub fn route(to: IpAddr, device: u32, programs: &[(Hook, &Object)]) -> Result<()> {
    const TABLE_MAIN: u8 = 254;
    const PROTOCOL_STATIC: u8 = 4;
    const SCOPE_UNIVERSE: u8 = 0;
    const SCOPE_LINK: u8 = 253;
    const UNICAST: u8 = 1;
    let (family, scope, address) = match to {
        IpAddr::V4(to) => (libc::AF_INET, SCOPE_LINK, to.octets().to_vec()),
        IpAddr::V6(to) => (libc::AF_INET6, SCOPE_UNIVERSE, to.octets().to_vec()),
    };
    let bits = 8 * address.len() as u8;
    // `struct rtmsg`: family, lengths of destination and source, tos, table,
    // protocol, scope, type, flags
    let about = vec![
        family as u8,
        bits,
        0,
        0,
        TABLE_MAIN,
        PROTOCOL_STATIC,
        scope,
        UNICAST,
        0,
        0,
        0,
        0,
    ];
    let program = |(hook, prog): &(Hook, &Object)| {
        let inside = [
            descriptor(LWT_BPF_PROG_FD, *prog),
            text(LWT_BPF_PROG_NAME, "e2e"),
        ];
        nested(*hook as u16, &inside)
    };
    let programs: Vec<_> = programs.iter().map(program).collect();
    let parts = [
        about,
        attribute(RTA_DST, &address),
        number(RTA_OIF, device),
        attribute(RTA_ENCAP_TYPE, &LWTUNNEL_ENCAP_BPF.to_le_bytes()),
        nested(RTA_ENCAP, &programs),
    ];
    request(
        "RTM_NEWROUTE with LWTUNNEL_ENCAP_BPF",
        RTM_NEWROUTE,
        CREATE,
        &parts,
    )
}
