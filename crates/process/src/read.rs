//! Bounded reads below the root.

use crate::{Error, Proc};
use rustix::buffer::spare_capacity;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat, readlinkat_raw};
use rustix::io::{Errno, retry_on_intr};
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};

/// Most that is read of one small file: `stat`, `status`, `cgroup`, `fdinfo`.
pub(crate) const SMALL: usize = 64 << 10;

/// The kernel formats a link's target into one page (`do_proc_readlink`), so
/// that more than this never comes.
const LINK: usize = 8 << 10;

/// `/proc/PID`, held open: what is read through it is all of one process, even
/// if the pid is handed out again meanwhile.
pub(crate) struct ProcessDir {
    fd: OwnedFd,
    pid: u32,
    path: PathBuf,
}

impl Proc {
    /// Opens `/proc/PID`.
    pub(crate) fn process_dir(&self, pid: u32) -> Result<ProcessDir, Error> {
        let path = self.process_path(pid);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match retry_on_intr(|| openat(CWD, &path, flags, Mode::empty())) {
            Ok(fd) => Ok(ProcessDir { fd, pid, path }),
            Err(Errno::NOENT | Errno::SRCH) => Err(self.gone(pid)),
            Err(errno) => Err(Error::from_errno(&path, errno)),
        }
    }

    pub(crate) fn process_path(&self, pid: u32) -> PathBuf {
        self.root.join(pid.to_string())
    }

    /// Why `/proc/PID` is missing: the process, or all of `/proc`. An unmounted
    /// `/proc` is an empty folder.
    fn gone(&self, pid: u32) -> Error {
        match std::fs::read_dir(&self.root).map(|mut entries| entries.next().is_some()) {
            Ok(true) => Error::Gone { pid },
            _ => Error::NotMounted {
                path: self.root.clone(),
            },
        }
    }

    /// One line below the root, without its end.
    pub(crate) fn line(&self, name: &str) -> Result<String, Error> {
        let path = self.root.join(name);
        let mut buf = Vec::new();
        read_bounded(CWD, &path, SMALL, &mut buf).map_err(|e| Error::from_errno(&path, e))?;
        Ok(model::decode(buf.trim_ascii_end()))
    }
}

impl ProcessDir {
    /// Reads at most `limit` bytes of a file into `buf`, whose content it replaces.
    pub(crate) fn read(&self, name: &str, limit: usize, buf: &mut Vec<u8>) -> Result<(), Errno> {
        read_bounded(&self.fd, name, limit, buf)
    }

    /// Reads a file that the kernel writes in one go (`single_open`) into `buf`, whose content
    /// it replaces, and at most `limit` bytes: where there is room left, that was all. A second read
    /// of nothing costs a tenth to a fifth of the first.
    pub(crate) fn read_single(
        &self,
        name: &str,
        limit: usize,
        buf: &mut Vec<u8>,
    ) -> Result<(), Errno> {
        let file = open(&self.fd, name)?;
        read_into(&file, limit, Ends::Short, buf)
    }

    /// Opens a file to read it.
    pub(crate) fn open(&self, name: &str) -> Result<OwnedFd, Errno> {
        open(&self.fd, name)
    }

    /// A link's target.
    pub(crate) fn link(&self, name: &str) -> Result<Vec<u8>, Errno> {
        link_at(&self.fd, name)
    }

    /// Names in the folder `task`, as numbers: the threads.
    pub(crate) fn threads(&self) -> Result<Vec<u32>, Error> {
        // By path: listing needs a descriptor that is not `O_PATH`.
        numbers(&self.path.join("task"))
    }

    /// A failed read of one of its files. A process that exits makes the open
    /// fail with `ENOENT` and the read with `ESRCH`.
    pub(crate) fn error(&self, name: &str, errno: Errno) -> Error {
        match errno {
            Errno::SRCH => Error::Gone { pid: self.pid },
            Errno::NOENT if !self.exists() => Error::Gone { pid: self.pid },
            errno => Error::from_errno(&self.path.join(name), errno),
        }
    }

    /// The process is still there (or another has its pid).
    pub(crate) fn exists(&self) -> bool {
        self.path.exists()
    }

    /// A file of the process that is not what the kernel writes.
    pub(crate) fn malformed(&self, name: &str, what: &'static str) -> Error {
        Error::Malformed {
            path: self.path.join(name),
            what,
        }
    }
}

fn open(dir: impl AsFd, name: impl rustix::path::Arg + Copy) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    retry_on_intr(|| openat(&dir, name, flags, Mode::empty()))
}

/// Reads at most `limit` bytes of a file into `buf`, whose content it replaces.
fn read_bounded(
    dir: impl AsFd,
    name: impl rustix::path::Arg + Copy,
    limit: usize,
    buf: &mut Vec<u8>,
) -> Result<(), Errno> {
    let file = open(dir, name)?;
    read_into(&file, limit, Ends::Empty, buf)
}

/// What tells the end of a file: a read that fills not all of the room, or one of nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    Short,
    Empty,
}

fn read_into(file: &OwnedFd, limit: usize, ends: Ends, buf: &mut Vec<u8>) -> Result<(), Errno> {
    buf.clear();
    // The files of /proc are produced anew for every read that does not take
    // them whole, so begin with a buffer that takes the usual one.
    buf.reserve(4096);
    loop {
        let read = retry_on_intr(|| rustix::io::read(file, spare_capacity(buf)))?;
        let full = buf.len() == buf.capacity();
        if read == 0 || buf.len() >= limit || ends == Ends::Short && !full {
            buf.truncate(limit);
            return Ok(());
        }
        if full {
            buf.reserve(buf.len());
        }
    }
}

/// A link's target.
pub(crate) fn link_at(dir: impl AsFd, name: &str) -> Result<Vec<u8>, Errno> {
    let mut buf = [MaybeUninit::<u8>::uninit(); LINK];
    let (target, rest) = retry_on_intr(|| {
        readlinkat_raw(&dir, name, &mut buf).map(|(target, rest)| (target.to_vec(), rest.len()))
    })?;
    // Full to the brim: it may have been cut.
    if rest == 0 {
        Err(Errno::NAMETOOLONG)
    } else {
        Ok(target)
    }
}

/// The names in a folder that are numbers: processes, or threads.
pub(crate) fn numbers(path: &Path) -> Result<Vec<u32>, Error> {
    let list = || {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(path)? {
            found.extend(
                entry?
                    .file_name()
                    .to_str()
                    .and_then(|name| name.parse::<u32>().ok()),
            );
        }
        Ok(found)
    };
    list().map_err(|source| Error::from_io(path, source))
}
