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
    /// Something in the kernel that a program is attached to without a link.
    Attachment(Box<Attachment>),
    /// A socket: what it carries, or what is attached to it.
    Socket(Box<Socket>),
    /// An io_uring: its table of fixed files.
    #[serde(rename = "io_uring")]
    IoUring(Box<IoUring>),
    /// A module of the kernel.
    Module {
        /// Its name, such as `bpf_preload`.
        name: String,
    },
    /// Something in the kernel that nothing in user space stands behind.
    Kernel {
        /// In words.
        what: String,
    },
}

impl Holder {
    /// The processes that have this holder open. Chains go on to them: a socket, an
    /// io_uring or a perf event lives as long as they keep its descriptors. Their
    /// `fds` are those of the holder.
    pub fn open_by(&self) -> &[Process] {
        match self {
            Self::Attachment(a) => &a.open_by,
            Self::Socket(s) => &s.open_by,
            Self::IoUring(u) => &u.open_by,
            _ => &[],
        }
    }

    /// The object this holder is, if it is one: chains go on through it.
    pub fn object(&self) -> Option<(Kind, &ObjectRef)> {
        match self {
            Self::Map(o) => Some((Kind::Map, o)),
            Self::Prog(o) => Some((Kind::Prog, o)),
            Self::Link(o) => Some((Kind::Link, o)),
            Self::Btf(o) => Some((Kind::Btf, o)),
            _ => None,
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

/// A container: what a cgroup's path tells, and names from the runtime's files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Container {
    /// `docker`, `containerd`, `cri-o`, `podman`, `lxc` …; `None` if neither the path nor a
    /// runtime's file says.
    pub runtime: Option<String>,
    /// The runtime's id, usually 64 hexadecimal digits.
    pub id: String,
    /// Kubernetes pod uid.
    pub pod_uid: Option<String>,
    /// Kubernetes pod name, where the runtime's files can be read.
    pub pod: Option<String>,
    /// Kubernetes namespace, likewise.
    pub namespace: Option<String>,
    /// Container name, where the runtime's files can be read.
    pub name: Option<String>,
}

/// A name in a bpffs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Pin {
    /// Path as the processes of `mount_namespace` see it. Where no path leads there (no
    /// process has that bpffs mounted, or others are mounted over it), the path inside it, after
    /// `(bpffs MAJOR:MINOR)`.
    pub path: String,
    /// Inode number of the mount namespace (`/proc/PID/ns/mnt`), if a path leads there in one.
    pub mount_namespace: Option<u64>,
    /// A process in that namespace, so that one can go there (`/proc/PID/root`);
    /// `None` where it is lastref's own.
    pub enter_pid: Option<u32>,
    /// Other names of the same inode: a hard link adds a path, not a reference.
    pub also: Vec<String>,
    /// No name leads there any more; an open file keeps the inode.
    pub unlinked: bool,
}

/// What a program is attached to without a link: a cgroup, a device, a network
/// namespace, a perf event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Attachment {
    /// `cgroup:/a/b`, `dev:eth0@netns:4026531840` (device and network namespace),
    /// `block:3@netns:4026531840`, `action:7@netns:4026531840`, `netns:4026531840`,
    /// `route:192.0.2.0/24@netns:4026531840`, `tracepoint:sched/sched_switch` …
    pub target: String,
    /// Where at the target: `cgroup_inet_ingress`, `xdp`, `tcx_ingress`, `perf_event` …
    pub attach_type: Option<String>,
    /// What a person would type to detach it, if there is such a command.
    #[serde(default)]
    pub detach: Option<String>,
    /// A perf event: the processes that have it open.
    #[serde(default)]
    pub open_by: Vec<Process>,
}

/// A socket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Socket {
    /// Its inode number (`socket:[N]` in `/proc/PID/fd`); `None` if it has none (any more):
    /// not accepted yet, or closed and still draining.
    pub inode: Option<u64>,
    /// Inode number of its network namespace.
    pub netns: Option<u64>,
    /// `unix`, `tcp`, `udp`, `packet`, `xdp` …
    #[serde(default)]
    pub family: Option<String>,
    /// Pids of the processes that have it open, ascending.
    pub processes: Vec<u32>,
    /// The same, described.
    #[serde(default)]
    pub open_by: Vec<Process>,
}

/// An io_uring with files in its fixed table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IoUring {
    /// A process that has it open; the first of several.
    pub pid: Option<u32>,
    /// The ring's descriptor there; `None` where only a mapping keeps it.
    pub fd: Option<u32>,
    /// All processes that have it open.
    #[serde(default)]
    pub open_by: Vec<Process>,
}

/// An object that holds another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Its id; `None` for the few that have none.
    pub id: Option<u32>,
    /// Its name, empty if it has none.
    pub name: String,
}
