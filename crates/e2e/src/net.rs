//! A network namespace of our own.

use crate::process::unshare;
use crate::sys::{Error, Result, check, check_fd, io, last};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};

/// The loopback interface's index, in every network namespace.
pub const LOOPBACK: u32 = 1;

/// Enters a new network namespace, and returns a descriptor on it.
pub fn private() -> Result<OwnedFd> {
    unshare(libc::CLONE_NEWNET)?;
    let path = "/proc/thread-self/ns/net";
    Ok(File::open(path).map_err(io(path))?.into())
}

const RTM_NEWLINK: u16 = 16;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_CREATE_EXCL: u16 = 0x600;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;

/// Creates a pair of netkit devices, and returns the primary's index. The named
/// one is the primary; the kernel names its peer.
pub fn netkit() -> Result<u32> {
    let info = attribute(IFLA_INFO_KIND, b"netkit");
    let mut body = vec![0; 16]; // struct ifinfomsg
    body.extend(attribute(IFLA_IFNAME, b"e2enk\0"));
    body.extend(attribute(IFLA_LINKINFO, &info));
    request(RTM_NEWLINK, NLM_F_CREATE_EXCL, &body)?;
    // SAFETY: a constant C string.
    let index = unsafe { libc::if_nametoindex(c"e2enk".as_ptr()) };
    if index == 0 {
        return Err(last("if_nametoindex"));
    }
    Ok(index)
}

/// `struct nlattr` with its value, padded to four bytes.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = ((value.len() + 4) as u16).to_le_bytes().to_vec();
    bytes.extend(kind.to_le_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Sends one rtnetlink request, and waits for its acknowledgement.
fn request(kind: u16, flags: u16, body: &[u8]) -> Result<()> {
    // SAFETY: integers only.
    let socket = unsafe {
        libc::socket(
            libc::AF_NETLINK,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC,
            libc::NETLINK_ROUTE,
        )
    };
    let socket = check_fd("socket(AF_NETLINK)", i64::from(socket))?;
    let mut message = (16 + body.len() as u32).to_le_bytes().to_vec();
    message.extend(kind.to_le_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_ACK | flags).to_le_bytes());
    message.extend([0; 8]); // sequence number, port
    message.extend(body);
    let mut answer = [0_u8; 4096];
    // SAFETY: both buffers are live and of the given lengths.
    let received = unsafe {
        let fd = socket.as_raw_fd();
        let sent = libc::send(fd, message.as_ptr().cast(), message.len(), 0);
        check("send to rtnetlink", sent as i64)?;
        libc::recv(fd, answer.as_mut_ptr().cast(), answer.len(), 0)
    };
    check("rtnetlink", received as i64)?;
    // `struct nlmsgerr` follows the header: 0, or a negative errno.
    let code = i32::from_le_bytes([answer[16], answer[17], answer[18], answer[19]]);
    if code == 0 {
        return Ok(());
    }
    Err(Error {
        what: "RTM_NEWLINK".into(),
        errno: -code,
    })
}
