//! Links, and open iterators.

use super::{Info, Kind, OBJ_GET_INFO_BY_FD, Object, bpf, bpf_fd};
use crate::net::{self, Dispatcher};
use crate::sys::{Result, c_string};
use std::ffi::CString;
use std::os::fd::OwnedFd;

/// `enum bpf_attach_type`
#[allow(missing_docs)]
pub mod attach_type {
    pub const CGROUP_INET_INGRESS: u32 = 0;
    pub const CGROUP_INET_EGRESS: u32 = 1;
    pub const CGROUP_INET_SOCK_CREATE: u32 = 2;
    pub const CGROUP_SOCK_OPS: u32 = 3;
    pub const CGROUP_DEVICE: u32 = 6;
    pub const CGROUP_INET4_BIND: u32 = 8;
    pub const CGROUP_INET6_BIND: u32 = 9;
    pub const CGROUP_INET4_CONNECT: u32 = 10;
    pub const CGROUP_INET6_CONNECT: u32 = 11;
    pub const CGROUP_INET4_POST_BIND: u32 = 12;
    pub const CGROUP_INET6_POST_BIND: u32 = 13;
    pub const CGROUP_UDP4_SENDMSG: u32 = 14;
    pub const CGROUP_UDP6_SENDMSG: u32 = 15;
    pub const FLOW_DISSECTOR: u32 = 17;
    pub const CGROUP_SYSCTL: u32 = 18;
    pub const CGROUP_UDP4_RECVMSG: u32 = 19;
    pub const CGROUP_UDP6_RECVMSG: u32 = 20;
    pub const CGROUP_GETSOCKOPT: u32 = 21;
    pub const CGROUP_SETSOCKOPT: u32 = 22;
    pub const TRACE_FENTRY: u32 = 24;
    pub const TRACE_ITER: u32 = 28;
    pub const CGROUP_INET4_GETPEERNAME: u32 = 29;
    pub const CGROUP_INET6_GETPEERNAME: u32 = 30;
    pub const CGROUP_INET4_GETSOCKNAME: u32 = 31;
    pub const CGROUP_INET6_GETSOCKNAME: u32 = 32;
    pub const XDP_DEVMAP: u32 = 33;
    pub const CGROUP_INET_SOCK_RELEASE: u32 = 34;
    pub const XDP_CPUMAP: u32 = 35;
    pub const SK_LOOKUP: u32 = 36;
    pub const XDP: u32 = 37;
    pub const SK_SKB_VERDICT: u32 = 38;
    pub const PERF_EVENT: u32 = 41;
    pub const TRACE_KPROBE_MULTI: u32 = 42;
    pub const LSM_CGROUP: u32 = 43;
    pub const STRUCT_OPS: u32 = 44;
    pub const NETFILTER: u32 = 45;
    pub const TCX_INGRESS: u32 = 46;
    pub const TCX_EGRESS: u32 = 47;
    pub const TRACE_UPROBE_MULTI: u32 = 48;
    pub const CGROUP_UNIX_CONNECT: u32 = 49;
    pub const NETKIT_PRIMARY: u32 = 54;
    pub const NETKIT_PEER: u32 = 55;
}

const RAW_TRACEPOINT_OPEN: i32 = 17;
const LINK_CREATE: i32 = 28;
const LINK_UPDATE: i32 = 29;
const ITER_CREATE: i32 = 33;
const LINK_DETACH: i32 = 34;

/// The id of the cgroup that a link is attached to; 0 once it is detached.
pub fn cgroup_of_link(link: &Object) -> Result<u64> {
    // `struct bpf_link_info`: type, id, prog_id, padding, then cgroup_id and attach_type.
    let mut info = [0_u64; 4];
    let mut attr = Info {
        bpf_fd: link.fd(),
        length: size_of_val(&info) as u32,
        at: info.as_mut_ptr() as u64,
    };
    bpf(OBJ_GET_INFO_BY_FD, &mut attr, "BPF_OBJ_GET_INFO_BY_FD")?;
    Ok(info[2])
}

/// `BPF_RAW_TRACEPOINT_OPEN`: a link, on the named raw tracepoint, or, without
/// a name, on what the program aims at.
pub fn raw_tracepoint(prog: &Object, name: Option<&str>) -> Result<Object> {
    #[repr(C)]
    struct Attr {
        name: u64,
        prog_fd: u32,
        pad: u32,
    }
    let name: Option<CString> = name.map(c_string).transpose()?;
    let mut attr = Attr {
        name: name.as_ref().map_or(0, |n| n.as_ptr() as u64),
        prog_fd: prog.fd(),
        pad: 0,
    };
    let fd = bpf_fd(RAW_TRACEPOINT_OPEN, &mut attr, "BPF_RAW_TRACEPOINT_OPEN")?;
    Object::from_fd(Kind::Link, fd)
}

/// The part of `link_create` that differs between types of link: its 32 bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct LinkDetail(pub [u64; 6]);

#[repr(C)]
struct LinkCreate {
    prog_fd: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    detail: LinkDetail,
}

/// `BPF_LINK_CREATE`. `target` is a descriptor or an interface index.
pub fn link(
    prog: &Object,
    target: u32,
    attach_type: u32,
    flags: u32,
    detail: LinkDetail,
) -> Result<Object> {
    if attach_type == attach_type::XDP {
        net::dispatcher(Dispatcher::Shared)?;
    }
    let mut attr = LinkCreate {
        prog_fd: prog.fd(),
        target,
        attach_type,
        flags,
        detail,
    };
    let fd = bpf_fd(LINK_CREATE, &mut attr, "BPF_LINK_CREATE")?;
    Object::from_fd(Kind::Link, fd)
}

/// A link of an iterator program; `map` for the iterators that walk one map.
pub fn iterator_link(prog: &Object, map: Option<&Object>) -> Result<Object> {
    // `union bpf_iter_link_info { struct { __u32 map_fd; } map; … }`
    let map_fd = map.map(Object::fd);
    let mut detail = LinkDetail::default();
    if let Some(map_fd) = &map_fd {
        detail.0[0] = std::ptr::from_ref(map_fd) as u64;
        detail.0[1] = size_of_val(map_fd) as u64;
    }
    link(prog, 0, attach_type::TRACE_ITER, 0, detail)
}

/// `BPF_ITER_CREATE`: an open iterator file, which outlives its link.
pub fn open_iterator(link: &Object) -> Result<OwnedFd> {
    let mut attr: [u32; 2] = [link.fd(), 0];
    bpf_fd(ITER_CREATE, &mut attr, "BPF_ITER_CREATE")
}

/// `BPF_LINK_UPDATE`: the link runs and holds another program from now on.
pub fn replace_prog(link: &Object, prog: &Object) -> Result<()> {
    let mut attr: [u32; 4] = [link.fd(), prog.fd(), 0, 0];
    bpf(LINK_UPDATE, &mut attr, "BPF_LINK_UPDATE").map(drop)
}

/// `BPF_LINK_DETACH`: the link stays, and does nothing any more.
pub fn detach(link: &Object) -> Result<()> {
    let mut attr: [u32; 1] = [link.fd()];
    bpf(LINK_DETACH, &mut attr, "BPF_LINK_DETACH").map(drop)
}
