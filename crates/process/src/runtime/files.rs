//! Files of the host, read as if its root directory were ours.

use crate::Proc;
use rustix::buffer::spare_capacity;
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2};
use rustix::io::retry_on_intr;
use std::path::Path;

/// The host's root directory, held open.
#[derive(Debug)]
pub(crate) struct HostFiles {
    root: OwnedFd,
}

impl HostFiles {
    /// That of pid 1, which needs `CAP_SYS_PTRACE` and, from within a container,
    /// the host's pid namespace; without, our own. Only the `/proc` that is the
    /// system's leads to our own: a test's root knows no other world.
    pub fn open(proc: &Proc) -> Option<Self> {
        let of_first = proc.root().join("1/root");
        let ours = (proc.root() == Path::new("/proc")).then(|| Path::new("/").to_owned());
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = [Some(of_first), ours]
            .into_iter()
            .flatten()
            .find_map(|path| openat(CWD, &path, flags, Mode::empty()).ok())?;
        Some(Self { root })
    }

    /// A regular file of at most `limit` bytes, whole, or `None`.
    ///
    /// Links are followed, but none leads out of the root (`RESOLVE_IN_ROOT`,
    /// kernel 5.6); a pipe in the file's place is not waited for.
    pub fn read(&self, path: &str, limit: usize) -> Option<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let open = || openat2(&self.root, path, flags, Mode::empty(), resolve);
        let file = retry_on_intr(open).ok()?;
        let stat = fstat(&file).ok()?;
        let size = usize::try_from(stat.st_size).ok()?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || size > limit {
            return None;
        }
        let mut content = Vec::with_capacity(size + 1);
        loop {
            match retry_on_intr(|| rustix::io::read(&file, spare_capacity(&mut content))).ok()? {
                0 => return Some(content),
                _ if content.len() > limit => return None,
                _ => content.reserve(4096),
            }
        }
    }
}
