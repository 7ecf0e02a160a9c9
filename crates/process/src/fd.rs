//! Which object a descriptor is on.

use crate::read::SMALL;
use crate::{Error, Proc, fdinfo};
use model::{Kind, decode};
use rustix::io::Errno;

/// What a descriptor is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FdObject {
    /// The map of this id.
    Map(u32),
    /// The program of this id.
    Prog(u32),
    /// The link of this id.
    Link(u32),
    /// The BTF of this id.
    Btf(u32),
    /// No BPF object: what `readlink` says, such as `socket:[4242]`.
    Other(String),
}

/// A descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FdInfo {
    /// What it is on.
    pub object: FdObject,
    /// Kernel memory of the map or program, in bytes, where the kernel says.
    pub memlock: Option<u64>,
}

impl Proc {
    /// Which object a descriptor of a process is on, as in `pid:4242/fd:9`. For a
    /// thread with a descriptor table of its own, `pid` is the thread's id.
    ///
    /// # Errors
    /// The process is gone, has no such descriptor, or may not be looked at.
    pub fn fdinfo(&self, pid: u32, fd: u32) -> Result<FdInfo, Error> {
        let dir = self.process_dir(pid)?;
        let failed = |name: &str, errno| match errno {
            Errno::NOENT if dir.exists() => Error::NotOpen { pid, fd },
            errno => dir.error(name, errno),
        };
        let name = format!("fd/{fd}");
        let link = dir.link(&name).map_err(|errno| failed(&name, errno))?;

        let Some(kind) = kind_of(&link) else {
            return Ok(FdInfo {
                object: FdObject::Other(decode(&link)),
                memlock: None,
            });
        };
        let (key, object): (_, fn(u32) -> FdObject) = match kind {
            Kind::Map => ("map_id", FdObject::Map),
            Kind::Prog => ("prog_id", FdObject::Prog),
            Kind::Link => ("link_id", FdObject::Link),
            Kind::Btf => ("btf_id", FdObject::Btf),
        };
        let name = format!("fdinfo/{fd}");
        let mut buf = Vec::new();
        dir.read(&name, SMALL, &mut buf)
            .map_err(|errno| failed(&name, errno))?;
        let id = fdinfo::value(&buf, key)
            .and_then(|id| u32::try_from(id).ok())
            .ok_or_else(|| {
                dir.malformed(
                    &name,
                    "no object id in it: the descriptor may have just been reused; try again",
                )
            })?;
        Ok(FdInfo {
            object: object(id),
            memlock: fdinfo::value(&buf, "memlock"),
        })
    }
}

/// A descriptor on a BPF object, as `/proc` tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BpfDescriptor {
    /// Its number.
    pub fd: u32,
    /// Map, program, link or BTF.
    pub kind: Kind,
    /// Id of the object.
    pub id: u32,
    /// `map_type` or `prog_type`, as a number.
    pub type_number: Option<u32>,
}

impl Proc {
    /// All descriptors of a process on BPF objects, ascending. Needs no more than to look at that process:
    /// nothing of BPF. Which of them share a file is not told.
    ///
    /// # Errors
    /// The process is gone, or its descriptors may not be looked at.
    pub fn bpf_descriptors(&self, pid: u32) -> Result<Vec<BpfDescriptor>, Error> {
        let dir = self.process_dir(pid)?;
        let path = self.process_path(pid).join("fd");
        let mut fds = crate::read::numbers(&path)?;
        fds.sort_unstable();
        let mut buf = Vec::new();
        let mut found = Vec::new();
        for fd in fds {
            // One that is closed meanwhile is none.
            let Ok(link) = dir.link(&format!("fd/{fd}")) else {
                continue;
            };
            let Some(kind) = kind_of(&link) else {
                continue;
            };
            if dir.read(&format!("fdinfo/{fd}"), SMALL, &mut buf).is_err() {
                continue;
            }
            let number = |key| fdinfo::value(&buf, key).and_then(|n| u32::try_from(n).ok());
            let (id, type_number) = match kind {
                Kind::Map => (number("map_id"), number("map_type")),
                Kind::Prog => (number("prog_id"), number("prog_type")),
                Kind::Link => (number("link_id"), None),
                Kind::Btf => (number("btf_id"), None),
            };
            found.extend(id.map(|id| BpfDescriptor {
                fd,
                kind,
                id,
                type_number,
            }));
        }
        if !dir.exists() {
            return Err(Error::Gone { pid });
        }
        Ok(found)
    }
}

/// The sort of object behind a descriptor, by its link: the names that the kernel
/// passes to `anon_inode_getfd` in `kernel/bpf/syscall.c` and `btf.c`. No file can
/// be called so: every other target begins with a slash or its own type.
pub(crate) fn kind_of(link: &[u8]) -> Option<Kind> {
    match link {
        b"anon_inode:bpf-map" => Some(Kind::Map),
        b"anon_inode:bpf-prog" => Some(Kind::Prog),
        // The second of those that were opened by id (`bpf_link_new_fd`).
        b"anon_inode:bpf_link" | b"anon_inode:bpf-link" => Some(Kind::Link),
        b"anon_inode:btf" => Some(Kind::Btf),
        _ => None,
    }
}
