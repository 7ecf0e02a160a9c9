//! bpf(2), as far as the benchmark needs it. No library between, so that what is
//! measured beside lastref shares no code with it.
//!
//! The structures mirror the members of `union bpf_attr` and `struct bpf_prog_info`
//! in `include/uapi/linux/bpf.h`. The kernel reads what is shorter than its own
//! structure as if zeroes followed.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::from_mut;

const MAP_CREATE: i32 = 0;
const MAP_UPDATE_ELEM: i32 = 2;
const PROG_LOAD: i32 = 5;
const PROG_GET_NEXT_ID: i32 = 11;
const PROG_GET_FD_BY_ID: i32 = 13;
const MAP_GET_FD_BY_ID: i32 = 14;
const OBJ_GET_INFO_BY_FD: i32 = 15;
const LINK_CREATE: i32 = 28;
const ITER_CREATE: i32 = 33;

const MAP_TYPE_ARRAY: u32 = 2;
const MAP_TYPE_ARRAY_OF_MAPS: u32 = 12;
/// `BPF_PROG_TYPE_TRACING`
pub const TRACING: u32 = 26;
const TRACE_ITER: u32 = 28;

fn bpf<T>(command: i32, attr: &mut T) -> io::Result<i32> {
    // SAFETY: `attr` is a live structure of the given size; what its pointers point
    // to outlives the call at every caller below.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, from_mut(attr), size_of::<T>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result as i32)
}

fn bpf_fd<T>(command: i32, attr: &mut T) -> io::Result<OwnedFd> {
    let fd = bpf(command, attr)?;
    // SAFETY: the kernel just made this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn raw(fd: &impl AsRawFd) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

#[repr(C)]
#[derive(Default)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    map_name: [u8; 16],
}

fn name_of(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().take(15).zip(name.bytes()) {
        *to = from;
    }
    bytes
}

/// `BPF_MAP_CREATE`: an array of one four-byte value.
pub fn create_array(name: &str) -> io::Result<OwnedFd> {
    bpf_fd(
        MAP_CREATE,
        &mut MapCreate {
            map_type: MAP_TYPE_ARRAY,
            key_size: 4,
            value_size: 4,
            max_entries: 1,
            map_name: name_of(name),
            ..MapCreate::default()
        },
    )
}

/// `BPF_MAP_CREATE`: an array of maps with one slot, and `inner` in it.
pub fn create_outer(name: &str, inner: &OwnedFd) -> io::Result<OwnedFd> {
    #[repr(C)]
    #[derive(Default)]
    struct Update {
        map_fd: u32,
        pad: u32,
        key: u64,
        value: u64,
        flags: u64,
    }
    let outer = bpf_fd(
        MAP_CREATE,
        &mut MapCreate {
            map_type: MAP_TYPE_ARRAY_OF_MAPS,
            key_size: 4,
            value_size: 4,
            max_entries: 1,
            inner_map_fd: raw(inner),
            map_name: name_of(name),
            ..MapCreate::default()
        },
    )?;
    let (key, value) = (0_u32, raw(inner));
    let mut update = Update {
        map_fd: raw(&outer),
        key: &raw const key as u64,
        value: &raw const value as u64,
        ..Update::default()
    };
    bpf(MAP_UPDATE_ELEM, &mut update)?;
    Ok(outer)
}

#[repr(C)]
#[derive(Default)]
struct ById {
    id: u32,
    next_id: u32,
    open_flags: u32,
}

/// `BPF_MAP_GET_FD_BY_ID`: a new file on a map.
pub fn map_by_id(id: u32) -> io::Result<OwnedFd> {
    let mut attr = ById {
        id,
        ..ById::default()
    };
    bpf_fd(MAP_GET_FD_BY_ID, &mut attr)
}

/// `BPF_PROG_GET_FD_BY_ID`
pub fn prog_by_id(id: u32) -> io::Result<OwnedFd> {
    let mut attr = ById {
        id,
        ..ById::default()
    };
    bpf_fd(PROG_GET_FD_BY_ID, &mut attr)
}

/// `BPF_PROG_GET_NEXT_ID`: the smallest id above `id`; `None` at the end.
pub fn next_prog(id: u32) -> io::Result<Option<u32>> {
    let mut attr = ById {
        id,
        ..ById::default()
    };
    match bpf(PROG_GET_NEXT_ID, &mut attr) {
        Ok(_) => Ok(Some(attr.next_id)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

#[repr(C)]
struct GetInfo {
    fd: u32,
    length: u32,
    info: u64,
}

fn info<T>(fd: &OwnedFd, into: &mut T) -> io::Result<()> {
    let mut attr = GetInfo {
        fd: raw(fd),
        length: size_of::<T>() as u32,
        info: from_mut(into) as u64,
    };
    bpf(OBJ_GET_INFO_BY_FD, &mut attr).map(drop)
}

/// The id of a map.
pub fn map_id(map: &OwnedFd) -> io::Result<u32> {
    // The first two members of `struct bpf_map_info`: type and id.
    let mut head = [0_u32; 2];
    info(map, &mut head)?;
    Ok(head[1])
}

/// `struct bpf_prog_info` up to `verified_insns` (5.16).
#[repr(C)]
#[derive(Debug, Clone, Default)]
pub struct ProgInfo {
    /// `BPF_PROG_TYPE_…`
    pub prog_type: u32,
    id: u32,
    tag: u64,
    /// Bytes of machine code.
    pub jited_len: u32,
    /// Bytes of BPF code after the verifier.
    pub xlated_len: u32,
    code: [u64; 2],
    load_time: u64,
    uid_and_map_count: [u32; 2],
    map_ids: u64,
    name: [u8; 16],
    ifindex_and_flags: [u32; 2],
    netns: [u64; 2],
    ksym_counts: [u32; 2],
    ksyms: [u64; 2],
    btf_and_func: [u32; 2],
    func_info: u64,
    line_counts: [u32; 2],
    line_info: u64,
    jited_line_info: u64,
    line_sizes: [u32; 4],
    prog_tags: u64,
    run: [u64; 3],
    /// Instructions that the verifier went through on all paths.
    pub verified_insns: u32,
    attach_btf_obj_id: u32,
}

impl ProgInfo {
    /// The kernel's name, at most 15 bytes.
    pub fn name(&self) -> String {
        let name = CStr::from_bytes_until_nul(&self.name);
        name.map_or_else(|_| String::new(), |n| n.to_string_lossy().into_owned())
    }
}

/// `BPF_OBJ_GET_INFO_BY_FD` of a program.
pub fn prog_info(prog: &OwnedFd) -> io::Result<ProgInfo> {
    let mut found = ProgInfo::default();
    info(prog, &mut found)?;
    Ok(found)
}

#[repr(C)]
#[derive(Default)]
struct ProgLoad {
    prog_type: u32,
    insn_count: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_count: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_count: u32,
    attach_btf_id: u32,
}

/// `BPF_PROG_LOAD`: an iterator program that returns 0 and does nothing else.
/// `target` is the type id of `bpf_iter_…` in the kernel's BTF.
pub fn load_empty_iterator(name: &str, target: u32) -> io::Result<OwnedFd> {
    // `struct bpf_insn` as a little-endian integer: r0 = 0; exit.
    let insns: [u64; 2] = [0xb7, 0x95];
    let mut attr = ProgLoad {
        prog_type: TRACING,
        insn_count: insns.len() as u32,
        insns: insns.as_ptr() as u64,
        license: c"Dual BSD/GPL".as_ptr() as u64,
        prog_name: name_of(name),
        expected_attach_type: TRACE_ITER,
        attach_btf_id: target,
        ..ProgLoad::default()
    };
    bpf_fd(PROG_LOAD, &mut attr)
}

/// `BPF_LINK_CREATE` for an iterator program.
pub fn link_iterator(prog: &OwnedFd) -> io::Result<OwnedFd> {
    // prog_fd, target_fd, attach_type, flags
    bpf_fd(LINK_CREATE, &mut [raw(prog), 0, TRACE_ITER, 0])
}

/// `BPF_ITER_CREATE`: a file that runs the iterator as it is read.
pub fn create_iterator(link: &OwnedFd) -> io::Result<OwnedFd> {
    // link_fd, flags
    bpf_fd(ITER_CREATE, &mut [raw(link), 0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    #[test]
    fn structures_have_the_kernel_s_layout() {
        assert_eq!(offset_of!(ProgInfo, name), 64);
        assert_eq!(offset_of!(ProgInfo, verified_insns), 216);
        assert_eq!(offset_of!(ProgLoad, expected_attach_type), 68);
        assert_eq!(offset_of!(ProgLoad, attach_btf_id), 108);
    }
}
