//! Ways in which a descriptor or a table comes to another process or thread.

use crate::scene::Outcome;
use crate::sys::{Error, Result, check, check_fd, last};
use crate::unix;
use std::os::fd::{AsRawFd, OwnedFd};
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

/// Sends a descriptor over a socket (`SCM_RIGHTS`).
pub fn send_fd(socket: &UnixStream, fd: &impl AsRawFd) -> Result<()> {
    unix::send(socket, &[fd])
}

/// Receives a descriptor that [`send_fd`] sent.
pub fn receive_fd(socket: &UnixStream) -> Result<OwnedFd> {
    let received = unix::receive(socket, 0)?.into_iter().next();
    received.ok_or_else(|| Error {
        what: "SCM_RIGHTS".into(),
        errno: libc::EBADMSG,
    })
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
