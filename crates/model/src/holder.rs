//! Who a reference belongs to.

use crate::Kind;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Who one or more references to an object belong to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Holder {
    /// A process with the object open in one of its descriptor tables, or mapped.
    Process(Box<Process>),
    /// A name in a bpffs.
    Pin(Pin),
    /// A map: a slot of an outer map, a program array's slot, a user of BTF.
    Map(ObjectRef),
    /// A program: a used map, a user of BTF, a program that aims at another.
    Prog(ObjectRef),
    /// A link.
    Link(ObjectRef),
    /// A BTF object. It refers to nothing, so it ends no chain; it is here for
    /// what is to come (split BTF).
    Btf(ObjectRef),
}

impl Holder {
    /// The object this holder is, if it is one: chains go on through it.
    pub fn object(&self) -> Option<(Kind, &ObjectRef)> {
        match self {
            Self::Map(o) => Some((Kind::Map, o)),
            Self::Prog(o) => Some((Kind::Prog, o)),
            Self::Link(o) => Some((Kind::Link, o)),
            Self::Btf(o) => Some((Kind::Btf, o)),
            Self::Process(_) | Self::Pin(_) => None,
        }
    }

    /// An object as a holder.
    pub fn from_object(kind: Kind, object: ObjectRef) -> Self {
        match kind {
            Kind::Map => Self::Map(object),
            Kind::Prog => Self::Prog(object),
            Kind::Link => Self::Link(object),
            Kind::Btf => Self::Btf(object),
        }
    }
}

/// A process, seen from outside. A copy shares its words: the same process may
/// hold thousands of objects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Process {
    /// Thread group id, in lastref's own pid namespace.
    pub pid: u32,
    /// The same inside the process's innermost pid namespace.
    pub ns_pid: Option<u32>,
    /// Start time in clock ticks since boot (field 22 of `/proc/PID/stat`): with
    /// the pid it names one process for good.
    pub start_ticks: Option<u64>,
    /// Set where the descriptors stand in a thread's own table
    /// (`unshare(CLONE_FILES)`), not in that of the main thread.
    pub tid: Option<u32>,
    /// `comm`, at most 15 bytes.
    pub comm: Arc<str>,
    /// Target of `/proc/PID/exe`.
    pub exe: Option<Arc<str>>,
    /// Descriptors on the object; empty for a memory mapping.
    pub fds: Vec<u32>,
    /// Path of the cgroup, unified hierarchy first.
    pub cgroup: Option<Arc<str>>,
    /// The systemd unit that the cgroup's path names.
    pub unit: Option<Arc<str>>,
    /// The container that the cgroup's path names.
    pub container: Option<Arc<Container>>,
}

/// A container, as far as a cgroup's path tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Container {
    /// `docker`, `containerd`, `cri-o`, `podman`, `lxc` …; `None` if the path does not say.
    pub runtime: Option<String>,
    /// The runtime's id, usually 64 hexadecimal digits.
    pub id: String,
    /// Kubernetes pod uid.
    pub pod_uid: Option<String>,
    /// Kubernetes pod name; needs the runtime's socket.
    pub pod: Option<String>,
    /// Kubernetes namespace; needs the runtime's socket.
    pub namespace: Option<String>,
    /// Container name; needs the runtime's socket.
    pub name: Option<String>,
}

/// A name in a bpffs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Pin {
    /// Path as the processes of `mount_namespace` see it. Where no process has
    /// that bpffs mounted, the path inside it, after `(bpffs MAJOR:MINOR)`.
    pub path: String,
    /// Inode number of the mount namespace (`/proc/PID/ns/mnt`), if one has it mounted.
    pub mount_namespace: Option<u64>,
    /// A process in that namespace, so that one can go there (`nsenter -t PID -m`);
    /// `None` where it is lastref's own.
    pub enter_pid: Option<u32>,
    /// Other names of the same inode: a hard link adds a path, not a reference.
    pub also: Vec<String>,
    /// No name leads there any more; an open file keeps the inode.
    pub unlinked: bool,
}

/// An object that holds another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Its id; `None` for the few that have none.
    pub id: Option<u32>,
    /// Its name, empty if it has none.
    pub name: String,
}
