//! Devices.

use super::dispatcher::{Dispatcher, dispatcher};
use super::netlink::{CREATE, attribute, descriptor, nested, number, request, text};
use crate::bpf::Object;
use crate::scene::{Cannot, OrImpossible, Outcome};
use crate::sys::{Result, c_string, last};
use std::os::fd::AsRawFd;

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_NET_NS_FD: u16 = 28;
const VETH_INFO_PEER: u16 = 1;
const IFLA_XDP: u16 = 43;
const IFLA_XDP_FD: u16 = 1;
const IFLA_XDP_FLAGS: u16 = 3;

/// `struct ifinfomsg`
fn about(device: u32, flags: u32) -> Vec<u8> {
    [0, device, flags, flags]
        .iter()
        .flat_map(|n| n.to_le_bytes())
        .collect()
}

/// The index of a device in this network namespace.
pub fn index(name: &str) -> Result<u32> {
    let name = c_string(name)?;
    // SAFETY: a C string that outlives the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(last("if_nametoindex")),
        index => Ok(index),
    }
}

/// Creates a pair of netkit devices, and returns the primary's index. The named
/// one is the primary; the kernel names its peer.
pub fn netkit() -> Outcome<u32> {
    let name = "e2enk";
    let parts = [
        about(0, 0),
        text(IFLA_IFNAME, name),
        nested(IFLA_LINKINFO, &[attribute(IFLA_INFO_KIND, b"netkit")]),
    ];
    // An unknown kind of device: too old, or not built (as module or in).
    request("RTM_NEWLINK netkit", RTM_NEWLINK, CREATE, &parts).or_impossible(&[Cannot {
        errno: libc::EOPNOTSUPP,
        since: None,
        why: "no netkit devices: before Linux 6.7, or CONFIG_NETKIT is not set",
    }])?;
    Ok(index(name)?)
}

/// Creates a pair of veth devices, and returns the index of the first. XDP has a
/// native mode there.
pub fn veth(name: &str, peer: &str) -> Result<u32> {
    let peer = [about(0, 0), text(IFLA_IFNAME, peer)];
    let info = [
        attribute(IFLA_INFO_KIND, b"veth"),
        nested(IFLA_INFO_DATA, &[nested(VETH_INFO_PEER, &peer)]),
    ];
    let parts = [
        about(0, 0),
        text(IFLA_IFNAME, name),
        nested(IFLA_LINKINFO, &info),
    ];
    request("RTM_NEWLINK veth", RTM_NEWLINK, CREATE, &parts)?;
    index(name)
}

/// Brings a device up.
pub fn up(device: u32) -> Result<()> {
    let parts = [about(device, libc::IFF_UP as u32)];
    request("RTM_NEWLINK up", RTM_NEWLINK, 0, &parts)
}

/// Moves a device into another network namespace.
pub fn move_to(device: u32, netns: &impl AsRawFd) -> Result<()> {
    let parts = [about(device, 0), descriptor(IFLA_NET_NS_FD, netns)];
    request("RTM_NEWLINK IFLA_NET_NS_FD", RTM_NEWLINK, 0, &parts)
}

/// Removes a device; a veth takes its peer along.
pub fn remove(device: u32) -> Result<()> {
    request("RTM_DELLINK", RTM_DELLINK, 0, &[about(device, 0)])
}

/// `XDP_FLAGS_…`: where an XDP program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XdpMode {
    /// In the stack, on any device.
    Generic = 1 << 1,
    /// In the driver.
    Native = 1 << 2,
}

/// Attaches an XDP program to a device, in the place of any that is there. The XDP dispatcher
/// has room for it.
pub fn set_xdp(device: u32, prog: &Object, mode: XdpMode) -> Result<()> {
    dispatcher(Dispatcher::Shared)?;
    let xdp = [
        descriptor(IFLA_XDP_FD, prog),
        number(IFLA_XDP_FLAGS, mode as u32),
    ];
    let parts = [about(device, 0), nested(IFLA_XDP, &xdp)];
    request("RTM_NEWLINK XDP", RTM_NEWLINK, 0, &parts)
}
