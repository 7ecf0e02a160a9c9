//! The bpffs mounts that a process sees.

use crate::{BpffsMounts, Error, Proc, mountinfo};
use rustix::io::Errno;
use std::fs::File;
use std::io::{BufReader, Read as _};

/// Most that is read of a `mountinfo`. A namespace has at most 100,000 mounts
/// (`fs.mount-max`), usually of some 150 bytes each.
const MOUNTINFO: u64 = 16 << 20;

impl Proc {
    /// The bpffs mounts in the mount namespace (and below the root directory) of
    /// a process, but for those that other mounts hide.
    ///
    /// # Errors
    /// The process is gone, or a zombie, which is in no mount namespace.
    pub fn bpffs_mounts(&self, pid: u32) -> Result<BpffsMounts, Error> {
        self.mounts_of(pid, b"bpf")
    }

    /// Where the whole of cgroup v2 is mounted for lastref itself. In a cgroup namespace of its own
    /// that is not told: the root of each mount is written relative to the namespace's
    /// (`cgroup_show_path`).
    pub fn cgroup2_mount(&self) -> Option<String> {
        if !matches!(self.in_host_cgroup_namespace(), Ok(true)) {
            return None;
        }
        let found = self.mounts_of(std::process::id(), b"cgroup2").ok()?;
        let mut mounts = found.mounts.into_iter().filter(|_| !found.incomplete);
        let whole = mounts.find(|mount| mount.root == "/")?;
        Some(whole.mount_point)
    }

    pub(crate) fn mounts_of(&self, pid: u32, fs_type: &[u8]) -> Result<BpffsMounts, Error> {
        let dir = self.process_dir(pid)?;
        let file = dir
            .open("mountinfo")
            .map_err(|errno| dir.error("mountinfo", errno))?;
        let mut file = File::from(file).take(MOUNTINFO);
        let table = BufReader::with_capacity(64 << 10, &mut file);
        let mut mounts = mountinfo::mounts_of(table, fs_type).map_err(|source| {
            let code = source.raw_os_error().unwrap_or_default();
            dir.error("mountinfo", Errno::from_raw_os_error(code))
        })?;
        mounts.incomplete |= file.limit() == 0;
        Ok(mounts)
    }
}
