//! `AF_XDP` sockets.

use crate::sys::{Result, check, check_fd, last};
use std::os::fd::{AsRawFd, OwnedFd};

const PAGE: usize = 4096;

/// An `AF_XDP` socket bound to queue 0 of a device, in copy mode, which any device
/// can do. The device must be up. The memory that it shares with the kernel stays
/// mapped until the process ends.
pub fn xdp_socket(device: u32) -> Result<OwnedFd> {
    let entries: u32 = 8;
    // SAFETY: integers only.
    let socket = unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    let socket = check_fd("socket(AF_XDP)", i64::from(socket))?;
    // SAFETY: a new mapping at a place of the kernel's choice; nothing points into it.
    let memory = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            PAGE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if memory == libc::MAP_FAILED {
        return Err(last("mmap"));
    }
    // `struct xdp_umem_reg`: addr, len, chunk_size and headroom, flags
    let umem = [memory as u64, PAGE as u64, PAGE as u64, 0];
    set(&socket, "XDP_UMEM_REG", libc::XDP_UMEM_REG, &umem)?;
    for (name, ring) in [
        ("XDP_UMEM_FILL_RING", libc::XDP_UMEM_FILL_RING),
        ("XDP_UMEM_COMPLETION_RING", libc::XDP_UMEM_COMPLETION_RING),
        ("XDP_RX_RING", libc::XDP_RX_RING),
    ] {
        set(&socket, name, ring, &entries)?;
    }
    let address = libc::sockaddr_xdp {
        sxdp_family: libc::AF_XDP as u16,
        sxdp_flags: libc::XDP_COPY,
        sxdp_ifindex: device,
        sxdp_queue_id: 0,
        sxdp_shared_umem_fd: 0,
    };
    // SAFETY: a live address of the given size.
    let result = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of_val(&address) as u32,
        )
    };
    check("bind(AF_XDP)", i64::from(result))?;
    Ok(socket)
}

fn set<T>(socket: &OwnedFd, name: &str, option: i32, value: &T) -> Result<()> {
    // SAFETY: a live value of the given size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_XDP,
            option,
            std::ptr::from_ref(value).cast(),
            size_of_val(value) as u32,
        )
    };
    check(name, i64::from(result)).map(drop)
}
