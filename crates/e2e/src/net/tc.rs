//! Traffic control: queueing disciplines, their filters, and actions.

use super::netlink::{CREATE, attribute, descriptor, nested, number, request, text};
use crate::bpf::Object;
use crate::sys::Result;

const RTM_NEWQDISC: u16 = 36;
const RTM_NEWTFILTER: u16 = 44;
const RTM_DELTFILTER: u16 = 45;
const RTM_NEWACTION: u16 = 48;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_CHAIN: u16 = 11;
const TCA_INGRESS_BLOCK: u16 = 13;
const TCA_HTB_INIT: u16 = 2;
const TCA_BPF_ACT: u16 = 1;
const TCA_BPF_FD: u16 = 6;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_FLAGS: u16 = 8;
const TCA_BPF_FLAG_ACT_DIRECT: u32 = 1;
const TCA_ACT_TAB: u16 = 1;
const TCA_ACT_KIND: u16 = 1;
const TCA_ACT_OPTIONS: u16 = 2;
const TCA_ACT_BPF_PARMS: u16 = 2;
const TCA_ACT_BPF_FD: u16 = 5;
const TCA_ACT_BPF_NAME: u16 = 6;

const TC_H_ROOT: u32 = 0xffff_ffff;
const TC_H_CLSACT: u32 = 0xffff_fff1;
const TCM_IFINDEX_MAGIC_BLOCK: u32 = 0xffff_ffff;
/// Handle of clsact and ingress.
const INGRESS: u32 = 0xffff_0000;
/// Handle of any other discipline here: `1:`.
const ROOT: u32 = 0x1_0000;

/// `struct tcmsg`
fn about(device: u32, handle: u32, parent: u32, info: u32) -> Vec<u8> {
    [0, device, handle, parent, info]
        .iter()
        .flat_map(|n| n.to_le_bytes())
        .collect()
}

fn qdisc(device: u32, handle: u32, parent: u32, parts: &[Vec<u8>]) -> Result<()> {
    let parts = [&[about(device, handle, parent, 0)], parts].concat();
    request("RTM_NEWQDISC", RTM_NEWQDISC, CREATE, &parts)
}

/// A clsact discipline: filters at ingress and egress.
pub fn clsact(device: u32) -> Result<()> {
    qdisc(device, INGRESS, TC_H_CLSACT, &[text(TCA_KIND, "clsact")])
}

/// An ingress discipline, whose filters stand in the shared block of this number, if any.
pub fn ingress(device: u32, block: Option<u32>) -> Result<()> {
    let mut parts = vec![text(TCA_KIND, "ingress")];
    parts.extend(block.map(|block| number(TCA_INGRESS_BLOCK, block)));
    qdisc(device, INGRESS, TC_H_CLSACT, &parts)
}

/// An htb discipline without classes, as root.
pub fn htb(device: u32) -> Result<()> {
    // `struct tc_htb_glob`: version, rate2quantum, defcls, debug, direct_pkts
    let global = [3_u32, 10, 0, 0, 0].map(u32::to_le_bytes).concat();
    let options = nested(TCA_OPTIONS, &[attribute(TCA_HTB_INIT, &global)]);
    qdisc(device, ROOT, TC_H_ROOT, &[text(TCA_KIND, "htb"), options])
}

/// Where a filter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A device's clsact, at ingress.
    ClsactIngress(u32),
    /// A device's clsact, at egress.
    ClsactEgress(u32),
    /// A device's ingress discipline.
    Ingress(u32),
    /// A device's root discipline.
    Root(u32),
    /// A shared block.
    Block(u32),
}

/// Priority, and chain if it is not the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain(pub u16, pub Option<u32>);

/// The beginning of a request about filters.
fn filters(place: Place, Chain(priority, chain): Chain) -> Vec<Vec<u8>> {
    let (device, parent) = match place {
        Place::ClsactIngress(device) => (device, 0xffff_fff2),
        Place::ClsactEgress(device) => (device, 0xffff_fff3),
        Place::Ingress(device) => (device, INGRESS),
        Place::Root(device) => (device, ROOT),
        Place::Block(block) => (TCM_IFINDEX_MAGIC_BLOCK, block),
    };
    let protocol = (libc::ETH_P_ALL as u16).to_be();
    let info = u32::from(priority) << 16 | u32::from(protocol);
    let mut parts = vec![about(device, 0, parent, info), text(TCA_KIND, "bpf")];
    parts.extend(chain.map(|chain| number(TCA_CHAIN, chain)));
    parts
}

fn new_filter(place: Place, chain: Chain, options: &[Vec<u8>]) -> Result<()> {
    let mut parts = filters(place, chain);
    parts.push(nested(TCA_OPTIONS, options));
    request("RTM_NEWTFILTER", RTM_NEWTFILTER, CREATE, &parts)
}

/// Removes the filters of this priority.
pub fn remove_filter(place: Place, chain: Chain) -> Result<()> {
    request("RTM_DELTFILTER", RTM_DELTFILTER, 0, &filters(place, chain))
}

/// A `cls_bpf` filter, direct-action.
pub fn filter(place: Place, chain: Chain, prog: &Object) -> Result<()> {
    let options = [
        descriptor(TCA_BPF_FD, prog),
        text(TCA_BPF_NAME, "e2e"),
        number(TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT),
    ];
    new_filter(place, chain, &options)
}

/// A `cls_bpf` filter whose verdict an `act_bpf` action makes. The action's index is [`BOUND`].
pub fn filter_with_action(
    place: Place,
    chain: Chain,
    prog: &Object,
    action: &Object,
) -> Result<()> {
    let options = [
        descriptor(TCA_BPF_FD, prog),
        text(TCA_BPF_NAME, "e2e"),
        nested(TCA_BPF_ACT, &[new_action(BOUND, action)]),
    ];
    new_filter(place, chain, &options)
}

/// The index of the action that [`filter_with_action`] makes.
pub const BOUND: u32 = 77;

/// An `act_bpf` action that nothing uses yet.
pub fn action(index: u32, prog: &Object) -> Result<()> {
    // `struct tcamsg`, then the table.
    let parts = [vec![0; 4], nested(TCA_ACT_TAB, &[new_action(index, prog)])];
    request("RTM_NEWACTION", RTM_NEWACTION, CREATE, &parts)
}

/// The first of a list of actions.
fn new_action(index: u32, prog: &Object) -> Vec<u8> {
    const FIRST: u16 = 1;
    // `struct tc_act_bpf`: index, capab, action, refcnt, bindcnt
    let parameters = [index, 0, 0, 0, 0].map(u32::to_le_bytes).concat();
    let options = [
        attribute(TCA_ACT_BPF_PARMS, &parameters),
        descriptor(TCA_ACT_BPF_FD, prog),
        text(TCA_ACT_BPF_NAME, "e2e"),
    ];
    nested(
        FIRST,
        &[text(TCA_ACT_KIND, "bpf"), nested(TCA_ACT_OPTIONS, &options)],
    )
}
