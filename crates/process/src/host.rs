//! What is read about the host.

use crate::read::link_at;
use crate::{Error, Proc, namespace};
use rustix::fs::CWD;

impl Proc {
    /// Identifies the running boot: a UUID.
    pub fn boot_id(&self) -> Result<String, Error> {
        self.line("sys/kernel/random/boot_id")
    }

    /// As `uname -r` has it.
    pub fn kernel_release(&self) -> Result<String, Error> {
        self.line("sys/kernel/osrelease")
    }

    /// Whether this process runs in the initial pid namespace, from where every
    /// process can be seen.
    pub fn in_host_pid_namespace(&self) -> Result<bool, Error> {
        let path = self.root().join("self/ns/pid");
        let link = path
            .to_str()
            .map_or(Err(rustix::io::Errno::INVAL), |p| link_at(CWD, p));
        let link = link.map_err(|errno| Error::from_errno(&path, errno))?;
        match namespace::inode(&link, "pid") {
            Some(inode) => Ok(inode == namespace::INITIAL_PID),
            None => Err(Error::Malformed {
                path,
                what: "not a link to a pid namespace",
            }),
        }
    }
}
