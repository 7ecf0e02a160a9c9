//! rtnetlink, by hand: a request of nested attributes, and its acknowledgement.

use crate::sys::{Error, Result, check, check_fd};
use std::os::fd::AsRawFd;

const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLA_F_NESTED: u16 = 1 << 15;

/// `NLM_F_CREATE | NLM_F_EXCL`
pub(super) const CREATE: u16 = 0x600;

/// `struct nlattr` with its value, padded to four bytes.
pub(super) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = ((value.len() + 4) as u16).to_le_bytes().to_vec();
    bytes.extend(kind.to_le_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// A number of four bytes.
pub(super) fn number(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_le_bytes())
}

/// A descriptor.
pub(super) fn descriptor(kind: u16, of: &impl AsRawFd) -> Vec<u8> {
    number(kind, of.as_raw_fd() as u32)
}

/// A text with its zero.
pub(super) fn text(kind: u16, value: &str) -> Vec<u8> {
    attribute(kind, &[value.as_bytes(), b"\0"].concat())
}

/// Attributes in one.
pub(super) fn nested(kind: u16, parts: &[Vec<u8>]) -> Vec<u8> {
    attribute(kind | NLA_F_NESTED, &parts.concat())
}

/// Sends one rtnetlink request, and waits for its acknowledgement.
pub(super) fn request(name: &str, kind: u16, flags: u16, parts: &[Vec<u8>]) -> Result<()> {
    // SAFETY: integers only.
    let socket = unsafe {
        libc::socket(
            libc::AF_NETLINK,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC,
            libc::NETLINK_ROUTE,
        )
    };
    let socket = check_fd("socket(AF_NETLINK)", i64::from(socket))?;
    let body = parts.concat();
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
        what: name.into(),
        errno: -code,
    })
}
