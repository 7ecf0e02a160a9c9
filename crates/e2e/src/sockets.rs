//! Sockets of the network, and programs attached to them.

use crate::bpf::Object;
use crate::sys::{Result, check, io};
use crate::unix::{set, socket};
use std::mem::zeroed;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};

/// What a socket filter returns that lets everything through.
pub const KEEP: i32 = -1;

/// Enters a new network namespace whose loopback device is up.
pub fn private_loopback() -> Result<OwnedFd> {
    let netns = crate::net::private()?;
    let any = socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    // SAFETY: all zeroes is a valid ifreq; the ioctl reads its name and its flags.
    let result = unsafe {
        let mut request: libc::ifreq = zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
            *to = *from as _;
        }
        request.ifr_ifru.ifru_flags = libc::IFF_UP as i16;
        libc::ioctl(any.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request)
    };
    check("SIOCSIFFLAGS", i64::from(result))?;
    Ok(netns)
}

/// A TCP socket that listens on the loopback device.
pub fn listener() -> Result<TcpListener> {
    TcpListener::bind("127.0.0.1:0").map_err(io("listen on 127.0.0.1"))
}

/// A connection to `listener`, and what it accepts.
pub fn connection(listener: &TcpListener) -> Result<(TcpStream, TcpStream)> {
    let address = listener.local_addr().map_err(io("getsockname"))?;
    let client = TcpStream::connect(address).map_err(io("connect"))?;
    let (server, _) = listener.accept().map_err(io("accept"))?;
    Ok((client, server))
}

/// The same over the loopback device of a new network namespace.
pub fn private_connection() -> Result<(TcpStream, TcpStream)> {
    private_loopback()?;
    connection(&listener()?)
}

/// A UDP socket on 127.0.0.1 that shares its port (`SO_REUSEPORT`); port 0 is of
/// the kernel's choice. Returns the port.
pub fn sharing_port(port: u16) -> Result<(OwnedFd, u16)> {
    sharing(libc::SOCK_DGRAM, port)
}

/// The same, a TCP socket that listens.
pub fn listening_on_shared_port(port: u16) -> Result<(OwnedFd, u16)> {
    let (socket, port) = sharing(libc::SOCK_STREAM, port)?;
    // SAFETY: integers only.
    let result = unsafe { libc::listen(socket.as_raw_fd(), 8) };
    check("listen", i64::from(result)).map(|_| (socket, port))
}

fn sharing(kind: i32, port: u16) -> Result<(OwnedFd, u16)> {
    let socket = socket(libc::AF_INET, kind, 0)?;
    set(&socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, &1)?;
    // SAFETY: all zeroes is a valid address.
    let mut address: libc::sockaddr_in = unsafe { zeroed() };
    address.sin_family = libc::AF_INET as u16;
    address.sin_port = port.to_be();
    address.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
    let mut length = size_of_val(&address) as u32;
    let at = (&raw mut address).cast();
    // SAFETY: a live address of this length, for reading and then for writing.
    unsafe {
        let bound = libc::bind(socket.as_raw_fd(), at, length);
        check("bind", i64::from(bound))?;
        let named = libc::getsockname(socket.as_raw_fd(), at, &raw mut length);
        check("getsockname", i64::from(named))?;
    }
    Ok((socket, u16::from_be(address.sin_port)))
}

/// `SO_ATTACH_BPF`
pub fn attach_filter(socket: &impl AsRawFd, prog: &Object) -> Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_BPF, &prog.fd())
}

/// `SO_DETACH_BPF`
pub fn detach_filter(socket: &impl AsRawFd) -> Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_DETACH_BPF, &0)
}

/// `SO_ATTACH_REUSEPORT_EBPF`: for all sockets of the port.
pub fn attach_reuseport(socket: &impl AsRawFd, prog: &Object) -> Result<()> {
    let name = libc::SO_ATTACH_REUSEPORT_EBPF;
    set(socket, libc::SOL_SOCKET, name, &prog.fd())
}

/// One classic instruction: `ret #-1`.
const RETURN_ALL: libc::sock_filter = libc::sock_filter {
    code: 0x06,
    jt: 0,
    jf: 0,
    k: u32::MAX,
};

fn classic(filter: &mut libc::sock_filter) -> libc::sock_fprog {
    libc::sock_fprog { len: 1, filter }
}

/// `SO_ATTACH_FILTER`: a classic filter, which is no BPF object.
pub fn attach_classic_filter(socket: &impl AsRawFd) -> Result<()> {
    let mut filter = RETURN_ALL;
    let program = classic(&mut filter);
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

/// `SO_ATTACH_REUSEPORT_CBPF`: the same for all sockets of the port.
pub fn attach_classic_reuseport(socket: &impl AsRawFd) -> Result<()> {
    let mut filter = RETURN_ALL;
    let program = classic(&mut filter);
    let name = libc::SO_ATTACH_REUSEPORT_CBPF;
    set(socket, libc::SOL_SOCKET, name, &program)
}

/// A packet socket that listens on all devices.
pub fn packet() -> Result<OwnedFd> {
    let all = (libc::ETH_P_ALL as u16).to_be();
    socket(libc::AF_PACKET, libc::SOCK_RAW, i32::from(all))
}

const PACKET_FANOUT_EBPF: u32 = 7;

/// Joins a packet socket to the fanout group `id`, which a program divides.
pub fn join_fanout(socket: &impl AsRawFd, id: u16) -> Result<()> {
    let how = u32::from(id) | PACKET_FANOUT_EBPF << 16;
    set(socket, libc::SOL_PACKET, libc::PACKET_FANOUT, &how)
}

/// `PACKET_FANOUT_DATA`: the program of the socket's fanout group.
pub fn attach_fanout(socket: &impl AsRawFd, prog: &Object) -> Result<()> {
    const PACKET_FANOUT_DATA: i32 = 22;
    set(socket, libc::SOL_PACKET, PACKET_FANOUT_DATA, &prog.fd())
}

/// What TCP sockets of the calling thread's network namespace begin with.
pub fn set_default_congestion_control(name: &str) -> Result<()> {
    let path = "/proc/sys/net/ipv4/tcp_congestion_control";
    std::fs::write(path, name).map_err(io(path))
}

/// `TCP_CONGESTION`
pub fn use_congestion_control(socket: &impl AsRawFd, name: [u8; 16]) -> Result<()> {
    set(socket, libc::IPPROTO_TCP, libc::TCP_CONGESTION, &name)
}
