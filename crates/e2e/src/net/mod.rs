//! Network namespaces of our own, and what is in them.

mod device;
mod dispatcher;
mod netlink;
mod route;
mod tc;
mod xsk;

pub use device::{XdpMode, index, move_to, netkit, remove, set_xdp, up, veth};
pub use dispatcher::{Dispatcher, dispatcher};
pub use route::{Hook, route};
pub use tc::{
    BOUND, Chain, Place, action, clsact, filter, filter_with_action, htb, ingress, remove_filter,
};
pub use xsk::xdp_socket;

use crate::process::unshare;
use crate::sys::{Result, check, io};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

/// The loopback interface's index, in every network namespace.
pub const LOOPBACK: u32 = 1;

/// Enters a new network namespace, and returns a descriptor on it.
pub fn private() -> Result<OwnedFd> {
    unshare(libc::CLONE_NEWNET)?;
    Ok(File::open(CURRENT).map_err(io(CURRENT))?.into())
}

/// The calling thread's own.
pub const CURRENT: &str = "/proc/thread-self/ns/net";

/// Inode number of the network namespace that the calling thread is in.
pub fn number() -> Result<u64> {
    Ok(std::fs::metadata(CURRENT).map_err(io(CURRENT))?.ino())
}

/// Enters a network namespace by its descriptor.
pub fn enter(netns: &OwnedFd) -> Result<()> {
    // SAFETY: integers only.
    let result = unsafe { libc::setns(netns.as_raw_fd(), libc::CLONE_NEWNET) };
    check("setns", i64::from(result)).map(drop)
}
