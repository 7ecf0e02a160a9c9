//! Unix sockets, and descriptors on their way through them.

use crate::sys::{Result, check, check_fd, io};
use std::fs::File;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;

/// The most descriptors that one message carries (`SCM_MAX_FD`).
pub const MOST: usize = 253;

/// Two connected sockets of a type, such as `SOCK_STREAM`.
pub fn pair(kind: i32) -> Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    let kind = kind | libc::SOCK_CLOEXEC;
    // SAFETY: room for two descriptors.
    let result = unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) };
    check("socketpair", i64::from(result))?;
    let one = check_fd("socketpair", i64::from(ends[0]))?;
    Ok((one, check_fd("socketpair", i64::from(ends[1]))?))
}

/// A socket of any family, type and protocol.
pub fn socket(family: i32, kind: i32, protocol: i32) -> Result<OwnedFd> {
    // SAFETY: integers only.
    let fd = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) };
    check_fd(&format!("socket({family}, {kind})"), i64::from(fd))
}

/// The number of a socket, as `/proc/PID/fd` shows it: `socket:[N]`.
pub fn inode(socket: &impl AsRawFd) -> Result<u64> {
    let path = format!("/proc/self/fd/{}", socket.as_raw_fd());
    Ok(std::fs::metadata(&path).map_err(io(&path))?.ino())
}

/// The number of a network namespace, this thread's.
pub fn netns() -> Result<u64> {
    let path = "/proc/thread-self/ns/net";
    let file = File::open(path).map_err(io(path))?;
    Ok(file.metadata().map_err(io(path))?.ino())
}

/// A listening socket at a name of the kernel's choice.
#[derive(Debug)]
pub struct Listener {
    /// The socket.
    pub fd: OwnedFd,
    kind: i32,
    address: libc::sockaddr_un,
    length: libc::socklen_t,
}

impl Listener {
    /// Of a type that has connections: `SOCK_STREAM` or `SOCK_SEQPACKET`.
    pub fn new(kind: i32) -> Result<Self> {
        let fd = socket(libc::AF_UNIX, kind, 0)?;
        // SAFETY: all zeroes is a valid address.
        let mut address: libc::sockaddr_un = unsafe { zeroed() };
        address.sun_family = libc::AF_UNIX as u16;
        let mut length = size_of_val(&address) as u32;
        // SAFETY: `address` is live; bind reads its family alone, and chooses an
        // abstract name (unix(7), autobind); getsockname writes no more than `length`.
        unsafe {
            let at = (&raw mut address).cast();
            check("bind", i64::from(libc::bind(fd.as_raw_fd(), at, 2)))?;
            let named = libc::getsockname(fd.as_raw_fd(), at, &raw mut length);
            check("getsockname", i64::from(named))?;
            check("listen", i64::from(libc::listen(fd.as_raw_fd(), 8)))?;
        }
        Ok(Self {
            fd,
            kind,
            address,
            length,
        })
    }

    /// A connection that waits to be accepted.
    pub fn connect(&self) -> Result<OwnedFd> {
        let client = socket(libc::AF_UNIX, self.kind, 0)?;
        let at = (&raw const self.address).cast();
        // SAFETY: a live address of this length.
        let result = unsafe { libc::connect(client.as_raw_fd(), at, self.length) };
        check("connect", i64::from(result)).map(|_| client)
    }
}

/// Takes a connection.
pub fn accept(listener: &impl AsRawFd) -> Result<OwnedFd> {
    let null = std::ptr::null_mut();
    // SAFETY: no address is asked for.
    let fd = unsafe {
        libc::accept4(
            listener.as_raw_fd(),
            null,
            std::ptr::null_mut(),
            libc::SOCK_CLOEXEC,
        )
    };
    check_fd("accept4", i64::from(fd))
}

/// Room for [`MOST`] descriptors and their header, aligned as `cmsghdr` asks.
type Control = [u64; 2 + MOST.div_ceil(2)];

/// Sends descriptors in one message (`SCM_RIGHTS`).
pub fn send(socket: &impl AsRawFd, files: &[&dyn AsRawFd]) -> Result<()> {
    let fds: Vec<RawFd> = files.iter().map(|f| f.as_raw_fd()).collect();
    send_raw(socket, &fds)
}

/// The same by number.
pub fn send_raw(socket: &impl AsRawFd, fds: &[RawFd]) -> Result<()> {
    assert!(fds.len() <= MOST, "one message carries no more");
    let mut byte = [0_u8];
    let mut control: Control = [0; 2 + MOST.div_ceil(2)];
    let mut vector = libc::iovec {
        iov_base: byte.as_mut_ptr().cast(),
        iov_len: 1,
    };
    let bytes = size_of_val(fds) as u32;
    // SAFETY: all zeroes is a valid msghdr. The control buffer is aligned and has
    // room for MOST descriptors, so the header and its data lie in it.
    let result = unsafe {
        let mut message: libc::msghdr = zeroed();
        message.msg_iov = &raw mut vector;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(bytes) as _;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(bytes) as _;
        let from = fds.as_ptr().cast::<u8>();
        libc::CMSG_DATA(header).copy_from_nonoverlapping(from, bytes as usize);
        libc::sendmsg(socket.as_raw_fd(), &raw const message, 0)
    };
    check("sendmsg(SCM_RIGHTS)", result as i64).map(drop)
}

/// Receives the descriptors of one message. With `MSG_PEEK` in `flags` they stay
/// in the queue as well.
pub fn receive(socket: &impl AsRawFd, flags: i32) -> Result<Vec<OwnedFd>> {
    let mut byte = [0_u8];
    let mut control: Control = [0; 2 + MOST.div_ceil(2)];
    let mut vector = libc::iovec {
        iov_base: byte.as_mut_ptr().cast(),
        iov_len: 1,
    };
    let mut fds: Vec<RawFd> = Vec::new();
    // SAFETY: as in `send_raw`; the data is read only if the kernel wrote a header,
    // and as far as that header says.
    unsafe {
        let mut message: libc::msghdr = zeroed();
        message.msg_iov = &raw mut vector;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of::<Control>() as _;
        let flags = flags | libc::MSG_CMSG_CLOEXEC;
        let received = libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags);
        check("recvmsg", received as i64)?;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        if !header.is_null() {
            let bytes = (*header).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
            fds.resize(bytes / size_of::<RawFd>(), -1);
            let to = fds.as_mut_ptr().cast::<u8>();
            libc::CMSG_DATA(header).copy_to_nonoverlapping(to, bytes);
        }
    }
    fds.into_iter()
        .map(|fd| check_fd("SCM_RIGHTS", i64::from(fd)))
        .collect()
}

/// Lets a socket send far more than usual before anybody receives.
pub fn enlarge(socket: &impl AsRawFd) -> Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &(1 << 24))
}

/// `setsockopt(2)`
pub fn set<T>(socket: &impl AsRawFd, level: i32, name: i32, value: &T) -> Result<()> {
    // SAFETY: a live value of the given size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as u32,
        )
    };
    let what = format!("setsockopt({level}, {name})");
    check(&what, i64::from(result)).map(drop)
}
