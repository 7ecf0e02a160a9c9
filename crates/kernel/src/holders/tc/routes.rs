//! Routes whose light-weight tunnel is a program (`net/core/lwt_bpf.c`, `seg6_local.c`),
//! out of their messages.

use super::netlink::{Attributes, Malformed, Message, u8_at, u16_at};
use std::net::IpAddr;

/// `struct rtmsg`
pub const RTMSG: usize = 12;
/// `struct nhmsg`
pub const NHMSG: usize = 8;
/// `struct rtnexthop`
const RTNEXTHOP: usize = 8;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_PRIORITY: u16 = 6;
const RTA_MULTIPATH: u16 = 9;
const RTA_CACHEINFO: u16 = 12;
const RTA_TABLE: u16 = 15;
const RTA_ENCAP_TYPE: u16 = 21;
const RTA_ENCAP: u16 = 22;
const RTA_EXPIRES: u16 = 23;
const RTA_NH_ID: u16 = 30;
const NHA_ID: u16 = 1;
const NHA_ENCAP_TYPE: u16 = 7;
const NHA_ENCAP: u16 = 8;
const LWTUNNEL_ENCAP_BPF: u16 = 6;
const LWTUNNEL_ENCAP_SEG6_LOCAL: u16 = 7;
const LWT_BPF_IN: u16 = 1;
const LWT_BPF_OUT: u16 = 2;
const LWT_BPF_XMIT: u16 = 3;
const SEG6_LOCAL_BPF: u16 = 8;
const SEG6_LOCAL_BPF_PROG: u16 = 1;

/// Where on a packet's way a route runs a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// Coming in.
    In,
    /// Going out.
    Out,
    /// Before it is sent.
    Xmit,
    /// At the end of a segment: the only one of which the kernel tells the program's id.
    Seg6Local(u32),
}

/// What a route is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// A route.
    Route {
        /// Where it leads.
        to: IpAddr,
        /// Length of the prefix.
        bits: u8,
        /// Its table.
        table: u32,
        /// Unicast, local … (`RTN_…`)
        kind: u8,
        /// Its priority (`metric`).
        metric: Option<u32>,
        /// Its device; `None` if it has several.
        device: Option<u32>,
    },
    /// A nexthop that routes share, by its id.
    Nexthop(u32),
}

/// A route that runs programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// What it is called.
    pub name: Name,
    /// What its tunnels run: nexthop by nexthop, each in the order of its hooks.
    pub hooks: Vec<Hook>,
    /// IPv4 routes with the same bytes here are one for the kernel (`fib_find_info`), which
    /// then has one tunnel for them all; empty where nothing is shared.
    pub shared: Vec<u8>,
}

/// What a nexthop's tunnel runs.
fn hooks(kind: Option<&[u8]>, encap: Option<&[u8]>) -> Result<Vec<Hook>, Malformed> {
    let (Some(kind), Some(encap)) = (kind, encap) else {
        return Ok(Vec::new());
    };
    let encap = Attributes(encap);
    let mut found = Vec::new();
    match u16_at(kind, 0)? {
        LWTUNNEL_ENCAP_BPF => {
            let all = [
                (LWT_BPF_IN, Hook::In),
                (LWT_BPF_OUT, Hook::Out),
                (LWT_BPF_XMIT, Hook::Xmit),
            ];
            for (attribute, hook) in all {
                found.extend(encap.find(attribute)?.map(|_| hook));
            }
        }
        LWTUNNEL_ENCAP_SEG6_LOCAL => {
            let id = encap.nested(SEG6_LOCAL_BPF)?.number(SEG6_LOCAL_BPF_PROG)?;
            found.extend(id.map(Hook::Seg6Local));
        }
        _ => {}
    }
    Ok(found)
}

/// What the nexthops in `RTA_MULTIPATH` run.
fn multipath(mut rest: &[u8]) -> Result<Vec<Hook>, Malformed> {
    let mut found = Vec::new();
    while !rest.is_empty() {
        let length = usize::from(u16_at(rest, 0)?);
        let nexthop = rest.get(RTNEXTHOP..length).ok_or(Malformed)?;
        let nexthop = Attributes(nexthop);
        found.extend(hooks(
            nexthop.find(RTA_ENCAP_TYPE)?,
            nexthop.find(RTA_ENCAP)?,
        )?);
        rest = &rest[length.next_multiple_of(4).min(rest.len())..];
    }
    Ok(found)
}

/// A route, from an answer to `RTM_GETROUTE`; `None` if it runs no program, or only by a
/// nexthop that is an object of its own.
pub fn route(message: &Message<'_>) -> Result<Option<Route>, Malformed> {
    let (head, attributes) = message.split(RTMSG)?;
    if attributes.find(RTA_NH_ID)?.is_some() {
        return Ok(None);
    }
    let encap_type = attributes.find(RTA_ENCAP_TYPE)?;
    let mut found = hooks(encap_type, attributes.find(RTA_ENCAP)?)?;
    if let Some(nexthops) = attributes.find(RTA_MULTIPATH)? {
        found.extend(multipath(nexthops)?);
    }
    if found.is_empty() {
        return Ok(None);
    }
    // `struct rtmsg`: family, lengths of destination and source, tos, table, protocol,
    // scope, type, flags
    let is_v4 = i32::from(u8_at(head, 0)?) == AF_INET;
    let to = attributes.find(RTA_DST)?;
    Ok(Some(Route {
        name: Name::Route {
            to: if is_v4 {
                IpAddr::from(address::<4>(to)?)
            } else {
                IpAddr::from(address::<16>(to)?)
            },
            bits: u8_at(head, 1)?,
            table: match attributes.number(RTA_TABLE)? {
                Some(table) => table,
                None => u32::from(u8_at(head, 4)?),
            },
            kind: u8_at(head, 7)?,
            metric: attributes.number(RTA_PRIORITY)?,
            device: attributes.number(RTA_OIF)?,
        },
        hooks: found,
        shared: if is_v4 {
            shared(head, attributes)?
        } else {
            Vec::new()
        },
    }))
}

/// The families of addresses that have such routes.
pub const AF_INET: i32 = 2;
/// The families of addresses that have such routes.
pub const AF_INET6: i32 = 10;

/// The destination; none is the default route's.
fn address<const N: usize>(to: Option<&[u8]>) -> Result<[u8; N], Malformed> {
    match to {
        Some(to) => to.try_into().map_err(|_| Malformed),
        None => Ok([0; N]),
    }
}

/// All of a route but where it leads: table, protocol, scope, type, and its attributes.
fn shared(head: &[u8], attributes: Attributes<'_>) -> Result<Vec<u8>, Malformed> {
    let mut bytes = head.get(4..8).ok_or(Malformed)?.to_vec();
    for attribute in attributes.all() {
        let (kind, value) = attribute?;
        if ![RTA_DST, RTA_CACHEINFO, RTA_EXPIRES].contains(&kind) {
            bytes.extend(kind.to_ne_bytes());
            bytes.extend((value.len() as u16).to_ne_bytes());
            bytes.extend(value);
        }
    }
    Ok(bytes)
}

/// A nexthop, from an answer to `RTM_GETNEXTHOP`; `None` if it runs no program.
pub fn nexthop(message: &Message<'_>) -> Result<Option<Route>, Malformed> {
    let (_, attributes) = message.split(NHMSG)?;
    let hooks = hooks(
        attributes.find(NHA_ENCAP_TYPE)?,
        attributes.find(NHA_ENCAP)?,
    )?;
    let Some(id) = attributes.number(NHA_ID)?.filter(|_| !hooks.is_empty()) else {
        return Ok(None);
    };
    Ok(Some(Route {
        name: Name::Nexthop(id),
        hooks,
        shared: Vec::new(),
    }))
}
