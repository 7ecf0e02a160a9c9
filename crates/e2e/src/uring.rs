//! `io_uring`, as far as its table of fixed files goes. No library between it and
//! the kernel (`include/uapi/linux/io_uring.h`).

use crate::kernel;
use crate::scene::{Cannot, OrImpossible, Outcome};
use crate::sys::{Result, check, check_fd, io, last};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

const REGISTER_FILES: u32 = 2;
const UNREGISTER_FILES: u32 = 3;
const REGISTER_FILES_UPDATE: u32 = 6;
const REGISTER_RING_FDS: u32 = 20;

/// An empty slot of the table.
pub const EMPTY: RawFd = -1;

/// One ring.
#[derive(Debug)]
pub struct Ring(OwnedFd);

impl AsRawFd for Ring {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Ring {
    /// A ring of four entries, without files.
    pub fn new() -> Outcome<Self> {
        // `struct io_uring_params`: all zeroes asks for nothing special.
        let mut params = [0_u32; 30];
        // SAFETY: live params of the size that the kernel reads and writes.
        let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 4, params.as_mut_ptr()) };
        let not = |errno, why| Cannot {
            errno,
            since: None,
            why,
        };
        let fd = check_fd("io_uring_setup", fd).or_impossible(&[
            not(libc::ENOSYS, "CONFIG_IO_URING is not set"),
            not(libc::EPERM, "io_uring is switched off (io_uring_disabled)"),
        ])?;
        Ok(Self(fd))
    }

    /// Fixes files in its table, which must be empty; [`EMPTY`] leaves a slot free.
    pub fn fix(&self, fds: &[RawFd]) -> Result<()> {
        self.register(REGISTER_FILES, fds.as_ptr() as u64, fds.len())
    }

    /// Replaces the files from slot `offset` on; [`EMPTY`] takes one out. Older kernels
    /// put what was taken out a second later (`io_rsrc_node_ref_zero`): waits for that.
    pub fn replace(&self, offset: u32, fds: &[RawFd]) -> Result<()> {
        #[repr(C)]
        struct Update {
            offset: u32,
            resv: u32,
            fds: u64,
        }
        let update = Update {
            offset,
            resv: 0,
            fds: fds.as_ptr() as u64,
        };
        let at = std::ptr::from_ref(&update) as u64;
        self.register(REGISTER_FILES_UPDATE, at, fds.len())?;
        if kernel::version() < (6, 5) {
            std::thread::sleep(Duration::from_millis(1500));
        }
        Ok(())
    }

    /// Registers the ring itself for the calling thread (`IORING_REGISTER_RING_FDS`), which
    /// then needs no descriptor on it.
    pub fn register_for_thread(&self) -> Outcome {
        // `struct io_uring_rsrc_update`: any free place, reserved, the descriptor
        let mut update = [u32::MAX, 0, self.0.as_raw_fd() as u32, 0];
        self.register(REGISTER_RING_FDS, update.as_mut_ptr() as u64, 1)
            .or_impossible(&[Cannot {
                errno: libc::EINVAL,
                since: Some((5, 18)),
                why: "no registered rings before Linux 5.18",
            }])
    }

    /// Gives all files up.
    pub fn let_go(&self) -> Result<()> {
        self.register(UNREGISTER_FILES, 0, 0)
    }

    fn register(&self, what: u32, at: u64, count: usize) -> Result<()> {
        // SAFETY: `at` is null or points to `count` live elements of what is registered.
        let result = unsafe {
            let number = libc::SYS_io_uring_register;
            libc::syscall(number, self.0.as_raw_fd(), what, at, count)
        };
        check(&format!("io_uring_register({what})"), result).map(drop)
    }

    /// Another descriptor on the same ring.
    pub fn dup(&self) -> Result<OwnedFd> {
        crate::sys::dup(&self.0)
    }
}

/// How many descriptors this process may have, and places a ring's table.
pub fn allowed_descriptors() -> Result<usize> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: a live rlimit, for writing.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    check("getrlimit", i64::from(result))?;
    allow_descriptors(limit.rlim_max)?;
    Ok(usize::try_from(limit.rlim_max).unwrap_or(usize::MAX))
}

/// Lets this process have that many descriptors; a ring's table has the same limit.
pub fn allow_descriptors(count: u64) -> Result<()> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: a live rlimit, for writing and then for reading.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) != 0 {
            return Err(last("getrlimit"));
        }
        limit.rlim_cur = limit.rlim_cur.max(count);
        limit.rlim_max = limit.rlim_max.max(count);
        if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) != 0 {
            return Err(last("setrlimit"));
        }
    }
    Ok(())
}

/// A file that is no BPF object.
pub fn dev_null() -> Result<OwnedFd> {
    let path = "/dev/null";
    Ok(std::fs::File::open(path).map_err(io(path))?.into())
}
