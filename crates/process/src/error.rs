//! Why something could not be read.

use rustix::io::Errno;
use std::io;
use std::path::{Path, PathBuf};

/// Why something could not be read, where, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The process has exited, or lives outside the pid namespace of this `/proc`,
    /// or is hidden (`hidepid=2`): the kernel answers the same in all three cases.
    #[error("process {pid} does not exist (any more), or is hidden from this user")]
    Gone {
        /// Which one.
        pid: u32,
    },
    /// The process lives, but has no such descriptor. A zombie has none.
    #[error("process {pid} has no descriptor {fd} open; `ls -l /proc/{pid}/fd` lists them")]
    NotOpen {
        /// Which process.
        pid: u32,
        /// Which descriptor.
        fd: u32,
    },
    /// No proc file system is mounted there.
    #[error("{}: no proc file system is mounted there; `mount -t proc proc {}` mounts one",
            path.display(), path.display())]
    NotMounted {
        /// The root that was looked at.
        path: PathBuf,
    },
    /// The kernel refuses.
    #[error("{}: permission denied; run as root or with CAP_SYS_PTRACE (a security module may refuse even so)", path.display())]
    Denied {
        /// The file.
        path: PathBuf,
    },
    /// Any other failure to read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// It was read, and is not what the kernel writes there.
    #[error("{}: {what}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl Error {
    /// The process is not there (any more): nothing to report, it holds nothing.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Gone { .. })
    }

    /// There is no such file: the kernel has none of that kind for it.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// The kernel refuses: more privilege would help.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Denied { .. })
    }

    /// A failed read of a file that does not belong to a process.
    pub(crate) fn from_errno(path: &Path, errno: Errno) -> Self {
        Self::from_io(path, errno.into())
    }

    /// The same of an error of the standard library's.
    pub(crate) fn from_io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::PermissionDenied => Self::Denied { path },
            _ => Self::Read { path, source },
        }
    }
}
