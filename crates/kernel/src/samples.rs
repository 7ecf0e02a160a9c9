//! Descriptors of our own, one of each kind that is to be recognised in others.
//!
//! A table of file operations is believed only as far as a file of ours has it:
//! symbols resolve to 0 without `CAP_SYSLOG`.

use crate::error::Error;
use crate::rows::types;
use rustc_hash::FxHashSet;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;

/// As [`Carriers::missing`] has them.
pub(crate) const IO_URINGS: &str = "io_urings";

/// Descriptors by number; -1 where there is none.
pub(crate) struct Samples {
    pub map: i32,
    pub prog: i32,
    pub link: i32,
    pub btf: i32,
    pub iter: i32,
    pub carriers: Carriers,
}

/// Files that are not BPF's, and can hold BPF objects all the same. Each may be
/// refused to us (`io_uring_disabled`, `perf_event_paranoid`, seccomp): then it is
/// not recognised in others either.
pub(crate) struct Carriers {
    socket: Option<UnixDatagram>,
    perf: Option<OwnedFd>,
    uring: Option<OwnedFd>,
}

impl Carriers {
    /// Only a socket, which also leads to the kernel's list of file systems.
    pub fn socket() -> Self {
        Self {
            socket: UnixDatagram::unbound().ok(),
            perf: None,
            uring: None,
        }
    }

    /// One of each.
    pub fn all() -> Self {
        Self {
            perf: perf_event(),
            uring: io_uring(),
            ..Self::socket()
        }
    }

    /// Which of them could not be made.
    pub fn missing(&self) -> Vec<&'static str> {
        let all = [
            (self.socket.is_some(), "sockets"),
            (self.perf.is_some(), "perf events"),
            (self.uring.is_some(), IO_URINGS),
        ];
        let missing = all.into_iter().filter(|(there, _)| !there);
        missing.map(|(_, name)| name).collect()
    }
}

/// A clock of one processor, disabled. Not an event of a task, which would switch on perf's
/// part of every context switch of the host (`account_event`: `perf_sched_events`), and
/// not a counter that other code has a branch for (`perf_swevent_enabled`).
fn perf_event() -> Option<OwnedFd> {
    const PERF_TYPE_SOFTWARE: u64 = 1;
    const PERF_ATTR_SIZE_VER0: u64 = 64;
    const PERF_COUNT_SW_CPU_CLOCK: u64 = 0;
    const PERF_FLAG_FD_CLOEXEC: u64 = 8;
    const DISABLED: u64 = 1;
    // type and size share the first word, the flags are the sixth; all later fields are 0.
    let mut attr = [0u64; 8];
    attr[0] = PERF_TYPE_SOFTWARE | PERF_ATTR_SIZE_VER0 << 32;
    attr[1] = PERF_COUNT_SW_CPU_CLOCK;
    attr[5] = DISABLED;
    // SAFETY: no pointers.
    let cpu = unsafe { libc::sched_getcpu() };
    // SAFETY: `attr` is a perf_event_attr of the size it says.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            attr.as_ptr(),
            -1,
            cpu,
            -1,
            PERF_FLAG_FD_CLOEXEC,
        )
    };
    owned(fd)
}

/// A ring of one entry. Without an array of entries where the kernel can (6.6): rings that
/// have one switch a branch of all others (`io_key_has_sqarray`).
fn io_uring() -> Option<OwnedFd> {
    const IORING_SETUP_NO_SQARRAY: u64 = 1 << 16;
    let setup = |flags: u64| {
        // struct io_uring_params; the flags are its third 32-bit word.
        let mut params = [0u64; 15];
        params[1] = flags;
        // SAFETY: `params` has the 120 bytes of an io_uring_params.
        let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, params.as_mut_ptr()) };
        owned(fd)
    };
    setup(IORING_SETUP_NO_SQARRAY).or_else(|| setup(0))
}

fn owned(fd: libc::c_long) -> Option<OwnedFd> {
    let fd = i32::try_from(fd).ok().filter(|&fd| fd >= 0)?;
    // SAFETY: a new descriptor that nobody else has.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

impl Samples {
    /// Tables of operations, and the address of sockfs's `struct file_system_type`.
    pub fn learn(&self, seen: &[types::row_calibration]) -> Result<(types::file_ops, u64), Error> {
        let find = |fd: i32| seen.iter().find(|s| s.row.n.cast_signed() == fd && fd >= 0);
        let f_op = |fd, why| match find(fd) {
            Some(s) if s.f_op != 0 && s.private_data != 0 => Ok(*s),
            _ => Err(Error::Calibration(why)),
        };
        let map = f_op(self.map, "its own map was not among them")?;
        let prog = f_op(self.prog, "its own program was not among them")?;
        let link = f_op(self.link, "its own link was not among them")?;
        let btf = f_op(self.btf, "its own BTF was not among them")?;
        let iter = f_op(self.iter, "its own iterator was not among them")?;
        let mut tables: FxHashSet<u64> = [map, prog, link, btf, iter]
            .iter()
            .map(|s| s.f_op)
            .collect();
        if tables.len() != 5 {
            return Err(Error::Calibration("two kinds of file look the same"));
        }
        let carriers = &self.carriers;
        let socket = find(carriers.socket.as_ref().map_or(-1, AsRawFd::as_raw_fd));
        // One that looks like another kind is not to be trusted.
        let mut carrier = |sample: Option<&types::row_calibration>| {
            sample.map_or(0, |s| if tables.insert(s.f_op) { s.f_op } else { 0 })
        };
        let file_ops = types::file_ops {
            map: map.f_op,
            prog: prog.f_op,
            link: link.f_op,
            btf: btf.f_op,
            iter: iter.f_op,
            link_release: link.release,
            level: map.level,
            socket: carrier(socket),
            perf: carrier(find(raw(carriers.perf.as_ref()))),
            uring: carrier(find(raw(carriers.uring.as_ref()))),
            ..types::file_ops::default()
        };
        Ok((file_ops, socket.map_or(0, |s| s.fs_type)))
    }
}

fn raw(fd: Option<&OwnedFd>) -> i32 {
    fd.map_or(-1, AsRawFd::as_raw_fd)
}
