//! Ways in which a descriptor or a table comes to another process or thread.

use crate::scene::Outcome;
use crate::sys::{Result, check, check_fd, last};
use std::mem::zeroed;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

/// Asks the kernel to kill this thread's process when its parent dies.
pub fn die_with_parent(parent: u32) {
    // SAFETY: prctl with integers, and getppid, which cannot fail.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        // In a new pid namespace the parent is out of sight, and 0.
        if ![parent, 0].contains(&(libc::getppid() as u32)) {
            // It died before we could ask.
            libc::_exit(1);
        }
    }
}

/// `unshare(2)`
pub fn unshare(flags: i32) -> Result<()> {
    // SAFETY: integers only.
    let result = unsafe { libc::unshare(flags) };
    check("unshare", i64::from(result)).map(drop)
}

/// This thread's id.
pub fn tid() -> u32 {
    // SAFETY: gettid has no arguments and cannot fail.
    unsafe { libc::syscall(libc::SYS_gettid) as u32 }
}

/// Ends the calling thread alone, and leaves the process to its others.
pub fn end_this_thread() -> ! {
    loop {
        // SAFETY: exit(2) ends this thread; its stack is not unwound, and stays.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    }
}

/// Waits until thread `tid` of this process is a zombie.
pub fn wait_for_end_of_thread(tid: u32) {
    let path = format!("/proc/self/task/{tid}/stat");
    // The state follows the command name, which ends at the last parenthesis.
    let dead = || {
        std::fs::read_to_string(&path)
            .ok()
            .and_then(|stat| Some(stat.rsplit_once(") ")?.1.starts_with(['Z', 'X'])))
            .unwrap_or(true)
    };
    while !dead() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// Takes descriptor `fd` out of process `pid` (`pidfd_getfd`): the same file.
pub fn take_fd(pid: u32, fd: u32) -> Result<OwnedFd> {
    // SAFETY: integers only.
    let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let pidfd = check_fd("pidfd_open", pidfd)?;
    // SAFETY: integers only.
    let taken = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), fd, 0) };
    check_fd("pidfd_getfd", taken)
}

/// Lets a descriptor survive `exec`.
pub fn keep_over_exec(fd: &impl AsRawFd) -> Result<()> {
    // SAFETY: integers only.
    let result = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, 0) };
    check("fcntl(F_SETFD)", i64::from(result)).map(drop)
}

/// Turns this process into one that sleeps until it is killed.
pub fn exec_sleep() -> Outcome {
    let null = std::ptr::null();
    let arguments = [c"sleep".as_ptr(), c"1000000".as_ptr(), null];
    for path in [c"/bin/sleep", c"/usr/bin/sleep"] {
        // SAFETY: null-terminated arrays of C strings that live until the image is replaced.
        unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), [null].as_ptr()) };
    }
    Err(last("execve sleep").into())
}

/// A control message with room for one descriptor, aligned as `cmsghdr` asks.
type Control = [u64; 4];

/// Sends a descriptor over a socket (`SCM_RIGHTS`).
pub fn send_fd(socket: &UnixStream, fd: &impl AsRawFd) -> Result<()> {
    let (mut byte, mut control) = ([0_u8], Control::default());
    let mut vector = libc::iovec {
        iov_base: byte.as_mut_ptr().cast(),
        iov_len: 1,
    };
    // SAFETY: all zeroes is a valid msghdr. The control buffer is aligned and
    // larger than CMSG_SPACE of one int, so the first header and its data lie in it.
    let result = unsafe {
        let mut message: libc::msghdr = zeroed();
        message.msg_iov = &raw mut vector;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(size_of::<RawFd>() as u32) as _;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as _;
        libc::CMSG_DATA(header)
            .cast::<RawFd>()
            .write_unaligned(fd.as_raw_fd());
        libc::sendmsg(socket.as_raw_fd(), &raw const message, 0)
    };
    check("sendmsg(SCM_RIGHTS)", result as i64).map(drop)
}

/// Receives a descriptor that [`send_fd`] sent.
pub fn receive_fd(socket: &UnixStream) -> Result<OwnedFd> {
    let (mut byte, mut control) = ([0_u8], Control::default());
    let mut vector = libc::iovec {
        iov_base: byte.as_mut_ptr().cast(),
        iov_len: 1,
    };
    // SAFETY: as in `send_fd`; the data is read only if the kernel wrote a header,
    // and our own peer sends nothing but one descriptor.
    let fd = unsafe {
        let mut message: libc::msghdr = zeroed();
        message.msg_iov = &raw mut vector;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of::<Control>() as _;
        let received = libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC);
        check("recvmsg", received as i64)?;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        if header.is_null() {
            -1
        } else {
            libc::CMSG_DATA(header).cast::<RawFd>().read_unaligned()
        }
    };
    check_fd("SCM_RIGHTS", i64::from(fd))
}

/// Maps `length` bytes of a map, shared and readable, until the process ends.
pub fn map_memory(fd: &impl AsRawFd, length: usize) -> Result<()> {
    // SAFETY: a new mapping at a place of the kernel's choice; nothing points into it.
    let at = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            length,
            libc::PROT_READ,
            libc::MAP_SHARED,
            fd.as_raw_fd(),
            0,
        )
    };
    if at == libc::MAP_FAILED {
        return Err(last("mmap"));
    }
    Ok(())
}
