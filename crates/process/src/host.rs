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

    /// Memory of this process at its most (`VmHWM`), in bytes.
    pub fn peak_memory(&self) -> Result<u64, Error> {
        self.own_memory("VmHWM", "no VmHWM")
    }

    /// Memory of this process now (`VmRSS`), in bytes.
    pub fn resident_memory(&self) -> Result<u64, Error> {
        self.own_memory("VmRSS", "no VmRSS")
    }

    fn own_memory(&self, name: &str, missing: &'static str) -> Result<u64, Error> {
        let path = self.root().join("self/status");
        let malformed = || Error::Malformed {
            path: path.clone(),
            what: missing,
        };
        let text = std::fs::read(&path).map_err(|source| Error::Read {
            path: path.clone(),
            source,
        })?;
        crate::fdinfo::bytes(&text, name).ok_or_else(malformed)
    }

    /// Whether `/proc` keeps processes from us (`hidepid`): there is always a first one.
    pub fn hides_processes(&self) -> bool {
        self.root().join("self").exists() && !self.process_path(1).exists()
    }

    /// Whether this process runs in the initial pid namespace, from where every
    /// process can be seen.
    pub fn in_host_pid_namespace(&self) -> Result<bool, Error> {
        self.is_in("pid", namespace::INITIAL_PID)
    }

    /// Whether this process runs in the initial cgroup namespace: only there are the paths that
    /// `/proc` tells the kernel's own.
    pub fn in_host_cgroup_namespace(&self) -> Result<bool, Error> {
        self.is_in("cgroup", namespace::INITIAL_CGROUP)
    }

    fn is_in(&self, kind: &'static str, initial: u64) -> Result<bool, Error> {
        let path = self.root().join("self/ns").join(kind);
        let link = path
            .to_str()
            .map_or(Err(rustix::io::Errno::INVAL), |p| link_at(CWD, p));
        let link = link.map_err(|errno| Error::from_errno(&path, errno))?;
        match namespace::inode(&link, kind) {
            Some(inode) => Ok(inode == initial),
            None => Err(Error::Malformed {
                path,
                what: "not a link to a namespace of its kind",
            }),
        }
    }
}
