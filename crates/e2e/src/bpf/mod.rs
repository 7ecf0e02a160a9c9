//! bpf(2), as far as the scenes need it. No library between them and the kernel.
//!
//! The structures mirror the members of `union bpf_attr` in `include/uapi/linux/bpf.h`.
//! The kernel takes a shorter structure than its own and reads the rest as zero.

mod attach;
mod link;
mod map;
mod prog;
mod run;

pub use attach::{F_ALLOW_MULTI, attach, detach_prog};
pub use link::{
    LinkDetail, attach_type, cgroup_of_link, detach, iterator_link, link, open_iterator,
    raw_tracepoint, replace_prog,
};
pub use map::{
    F_LINK, F_MMAPABLE, F_NO_PREALLOC, MapSpec, hash, map_type, mmapable_array, outer, prog_array,
    put, put_bytes, put_with_prog, ringbuf, take_out,
};
pub use prog::{ProgSpec, bind, filter, filter_using, iterator, prog_type};
pub use run::{btf_of_map, maps_named, run};

use crate::sys::{self, Result, c_string, check, check_fd};
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const OBJ_PIN: i32 = 6;
const OBJ_GET: i32 = 7;
const PROG_GET_FD_BY_ID: i32 = 13;
const MAP_GET_FD_BY_ID: i32 = 14;
const OBJ_GET_INFO_BY_FD: i32 = 15;
const BTF_LOAD: i32 = 18;
const BTF_GET_FD_BY_ID: i32 = 19;
const LINK_GET_FD_BY_ID: i32 = 30;
const LINK_GET_NEXT_ID: i32 = 31;

/// Map, program, link or BTF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Kind {
    Map,
    Prog,
    Link,
    Btf,
}

impl Kind {
    /// As in lastref's arguments and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Map => "map",
            Self::Prog => "prog",
            Self::Link => "link",
            Self::Btf => "btf",
        }
    }
}

/// One descriptor on one object. Dropping it closes the descriptor.
#[derive(Debug)]
pub struct Object {
    /// Which kind of object.
    pub kind: Kind,
    /// Its id.
    pub id: u32,
    fd: OwnedFd,
}

impl AsRawFd for Object {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl Object {
    /// Takes a descriptor on an object into custody, and asks for the id.
    pub fn from_fd(kind: Kind, fd: OwnedFd) -> Result<Self> {
        let id = id_of(kind, &fd)?;
        Ok(Self { kind, id, fd })
    }

    /// The descriptor's number.
    pub fn fd(&self) -> u32 {
        self.fd.as_raw_fd() as u32
    }

    /// Another descriptor on the same file: no further reference.
    pub fn dup(&self) -> Result<OwnedFd> {
        sys::dup(self)
    }

    /// A new file on the same object (`BPF_*_GET_FD_BY_ID`): a further reference.
    pub fn reopen(&self) -> Result<Self> {
        by_id(self.kind, self.id)
    }

    /// Pins it: a bpffs inode, and with it a reference.
    pub fn pin(&self, path: &Path) -> Result<()> {
        let path = c_string(path.as_os_str().as_bytes())?;
        let mut attr = Obj {
            pathname: path.as_ptr() as u64,
            bpf_fd: self.fd(),
            file_flags: 0,
        };
        bpf(
            OBJ_PIN,
            &mut attr,
            &format!("BPF_OBJ_PIN {}", path.to_string_lossy()),
        )
        .map(drop)
    }

    /// Lets the descriptor go for good, without closing it.
    pub fn leak(self) -> u32 {
        self.fd.into_raw_fd() as u32
    }
}

/// Calls bpf(2).
fn bpf<T>(command: i32, attr: &mut T, what: &str) -> Result<i64> {
    // SAFETY: `attr` is a live structure of the given size; pointers inside it
    // are set by the callers from values that outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attr),
            size_of::<T>(),
        )
    };
    check(what, result)
}

fn bpf_fd<T>(command: i32, attr: &mut T, what: &str) -> Result<OwnedFd> {
    let result = bpf(command, attr, what);
    check_fd(what, result?)
}

#[repr(C)]
#[derive(Default)]
struct Obj {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

/// At most 15 bytes and a zero.
fn short_name(name: &[u8]) -> [u8; 16] {
    let mut short = [0; 16];
    let length = name.len().min(15);
    short[..length].copy_from_slice(&name[..length]);
    short
}

/// Loads a BTF blob.
pub fn load_btf(blob: &[u8]) -> Result<Object> {
    #[repr(C)]
    struct Attr {
        btf: u64,
        log_buf: u64,
        size: u32,
        log_size: u32,
        log_level: u32,
        pad: u32,
    }
    let mut attr = Attr {
        btf: blob.as_ptr() as u64,
        log_buf: 0,
        size: blob.len() as u32,
        log_size: 0,
        log_level: 0,
        pad: 0,
    };
    let fd = bpf_fd(BTF_LOAD, &mut attr, "BPF_BTF_LOAD")?;
    Object::from_fd(Kind::Btf, fd)
}

/// `BPF_OBJ_GET`: a new file on what is pinned there.
pub fn open_pin(kind: Kind, path: &Path) -> Result<Object> {
    let path = c_string(path.as_os_str().as_bytes())?;
    let mut attr = Obj {
        pathname: path.as_ptr() as u64,
        ..Obj::default()
    };
    let fd = bpf_fd(OBJ_GET, &mut attr, "BPF_OBJ_GET")?;
    Object::from_fd(kind, fd)
}

/// A new file on the object of this id.
pub fn by_id(kind: Kind, id: u32) -> Result<Object> {
    let command = match kind {
        Kind::Map => MAP_GET_FD_BY_ID,
        Kind::Prog => PROG_GET_FD_BY_ID,
        Kind::Link => LINK_GET_FD_BY_ID,
        Kind::Btf => BTF_GET_FD_BY_ID,
    };
    let mut attr: [u32; 3] = [id, 0, 0];
    let what = format!("BPF_{}_GET_FD_BY_ID", kind.as_str().to_uppercase());
    let fd = bpf_fd(command, &mut attr, &what)?;
    Ok(Object { kind, id, fd })
}

/// A file on every link there is. Those that go away meanwhile are left out.
pub fn all_links() -> Vec<Object> {
    let mut links = Vec::new();
    let mut attr: [u32; 3] = [0; 3];
    while bpf(LINK_GET_NEXT_ID, &mut attr, "BPF_LINK_GET_NEXT_ID").is_ok() {
        attr[0] = attr[1];
        links.extend(by_id(Kind::Link, attr[1]));
    }
    links
}

#[repr(C)]
struct Info {
    bpf_fd: u32,
    length: u32,
    at: u64,
}

/// The id of the object behind a descriptor (`BPF_OBJ_GET_INFO_BY_FD`).
pub fn id_of(kind: Kind, fd: &OwnedFd) -> Result<u32> {
    // `struct bpf_btf_info` begins with a pointer and a size, the others with the type.
    let mut info = [0_u32; 4];
    let (length, at) = match kind {
        Kind::Btf => (16, 3),
        Kind::Map | Kind::Prog | Kind::Link => (8, 1),
    };
    let mut attr = Info {
        bpf_fd: fd.as_raw_fd() as u32,
        length,
        at: info.as_mut_ptr() as u64,
    };
    bpf(OBJ_GET_INFO_BY_FD, &mut attr, "BPF_OBJ_GET_INFO_BY_FD")?;
    Ok(info[at])
}
