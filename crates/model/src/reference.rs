//! References: the units of an object's kernel reference count.

use crate::{Holder, Kind};
use serde::{Deserialize, Serialize};

/// How a reference is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// An open file that stands in at least one descriptor table. One reference
    /// per `struct file`: dup, fork and `SCM_RIGHTS` share it.
    Fd,
    /// An open file with no descriptor left, kept by a memory mapping.
    Mmap,
    /// An inode in a bpffs.
    Pin,
    /// A program that uses the map (`aux->used_maps`).
    Prog,
    /// A slot of an array or hash of maps.
    OuterMap,
    /// A slot of a program array.
    ProgArray,
    /// A link: on its program, or on the map it was made for.
    Link,
    /// An open iterator file, on its program or on the map it walks.
    Iterator,
    /// A member of a `struct_ops` map, on its program; on the map its link, a registration without
    /// one, or a socket that uses it.
    StructOps,
    /// A map or program whose types the BTF describes.
    BtfUser,
    /// A program that another aims at (freplace, fentry on a program).
    Target,
    /// An open file that is under way over a Unix socket (`SCM_RIGHTS`) and stands in
    /// no descriptor table.
    InFlight,
    /// An open file in an io_uring's table of fixed files, without a descriptor.
    IoUring,
    /// What a program is attached to without a link: a cgroup, XDP device, tc filter or
    /// action, tcx, netkit, flow dissector, perf event, route (lwt).
    Attachment,
    /// A socket with the program attached (`SO_ATTACH_BPF`, reuseport group, packet
    /// fanout), or a member of a sockmap that runs it.
    Socket,
    /// An entry of a devmap, cpumap or xskmap, or a sockmap's own programs.
    MapEntry,
    /// A timer or work queue of a map's element, on the program whose callback it runs.
    Timer,
    /// A BPF token. No object's count has one: a token holds none.
    Token,
    /// A module of the kernel, such as `bpf_preload`.
    Module,
    /// A device's driver and the XDP dispatcher, besides the attachment itself.
    Driver,
}

/// References of one kind that have exactly the same holders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// How they are held.
    pub by: By,
    /// How many units of the reference count they are. A file shared by two
    /// processes is one reference with two holders.
    pub count: u64,
    /// Who holds them, all together.
    pub holders: Vec<Holder>,
}

impl Reference {
    /// True if something runs an object of this kind through this reference: it stands at a hook,
    /// in a socket, in an entry of a map that runs programs, or waits for a timer; or the kernel
    /// itself calls it (`struct_ops`: registered without a link, or in use by a socket).
    pub fn runs(&self, kind: Kind) -> bool {
        let mut holders = self.holders.iter();
        let runs_programs = matches!(
            self.by,
            By::Attachment | By::Socket | By::MapEntry | By::Driver | By::Timer
        );
        match kind {
            Kind::Prog if runs_programs => true,
            Kind::Map if self.by == By::StructOps => {
                holders.any(|h| matches!(h, Holder::Kernel { .. } | Holder::Socket(_)))
            }
            _ => holders.any(|h| matches!(h, Holder::Attachment(_))),
        }
    }
}
