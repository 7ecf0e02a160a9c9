//! What is read about a process from outside: `/proc` through an injectable root.
//!
//! [`Proc`] reads; the modules [`stat`], [`status`], [`cgroup`], [`maps`], [`mountinfo`],
//! [`namespace`], [`fdinfo`] and [`runtime::parse`] parse, and know no file system. All input is
//! hostile: names hold any byte, tables have any length. Every read is bounded,
//! and bytes become text through [`model::decode`].
//!
//! What needs privilege: `stat`, `status`, `cgroup` and `mountinfo` are readable
//! by everybody (unless `/proc` is mounted with `hidepid`); `exe`, `ns/*`, `fd`
//! and `fdinfo` of another user's process need `CAP_SYS_PTRACE`
//! (`ptrace_may_access`, mode `PTRACE_MODE_READ_FSCREDS`). The files of container
//! runtimes are root's: to others they need `CAP_DAC_READ_SEARCH`.

mod bpffs;
pub mod cgroup;
mod describe;
mod ending;
mod error;
mod fd;
pub mod fdinfo;
pub mod fdstore;
mod host;
pub mod limits;
pub mod maps;
mod memory;
mod mount_tree;
pub mod mountinfo;
pub mod namespace;
mod namespaces;
mod pause;
mod read;
pub mod runtime;
pub mod stat;
pub mod status;

pub use error::Error;
pub use fd::{BpfDescriptor, FdInfo, FdObject};
pub use fdstore::{FdStores, Keeper};
pub use maps::Mapping;
pub use memory::ProcessMemory;
pub use mountinfo::{BpffsMount, BpffsMounts};
pub use namespaces::{MountNamespace, MountNamespaces, NetNamespace, NetNamespaces};
pub use pause::Pause;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// The proc file system, at `/proc` or wherever a test or a container has it.
///
/// Where a method takes a `pid`, a thread's id does too: `/proc/TID` exists for
/// every thread, though it is not listed.
#[derive(Debug, Clone)]
pub struct Proc {
    root: PathBuf,
    /// Names of containers. A copy shares them.
    known: Arc<runtime::Known>,
    /// The first process's fd stores, as long as its descriptors stay the same.
    stores: Arc<fdstore::Asked>,
    /// Target of `1/ns/pid`: the pid namespace that this `/proc` shows.
    pid_namespace: Arc<OnceLock<Option<Vec<u8>>>>,
}

impl Proc {
    /// The one at `/proc`.
    pub fn new() -> Self {
        Self::with_root("/proc")
    }

    /// One that is mounted elsewhere, or a folder that looks like one.
    pub fn with_root(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            known: Arc::default(),
            stores: Arc::default(),
            pid_namespace: Arc::default(),
        }
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

impl Default for Proc {
    fn default() -> Self {
        Self::new()
    }
}
