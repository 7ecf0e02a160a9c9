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
    /// a process. Which of them are hidden by later mounts is not told.
    ///
    /// # Errors
    /// The process is gone, or a zombie, which is in no mount namespace.
    pub fn bpffs_mounts(&self, pid: u32) -> Result<BpffsMounts, Error> {
        let dir = self.process_dir(pid)?;
        let file = dir
            .open("mountinfo")
            .map_err(|errno| dir.error("mountinfo", errno))?;
        let mut file = File::from(file).take(MOUNTINFO);
        let table = BufReader::with_capacity(64 << 10, &mut file);
        let mut mounts = mountinfo::bpffs_mounts(table).map_err(|source| {
            let code = source.raw_os_error().unwrap_or_default();
            dir.error("mountinfo", Errno::from_raw_os_error(code))
        })?;
        mounts.incomplete |= file.limit() == 0;
        Ok(mounts)
    }
}
