//! The bpf(2) commands that lastref needs beside loading its walks, as thin
//! wrappers that return owned descriptors and the kernel's own errors.

use libbpf_sys as bpf;
use std::ffi::{CStr, CString};
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{null, null_mut};
use std::time::Duration;

/// libbpf answers a descriptor, or a negative errno.
fn owned(fd: i32) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(-fd));
    }
    // SAFETY: a new descriptor that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn done(result: i32) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::from_raw_os_error(-result));
    }
    Ok(())
}

/// Processor time of this process, all its threads.
pub fn processor_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` lives until the call returns.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    if failed != 0 {
        return Duration::ZERO;
    }
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}

/// What an iterator walks over.
pub(crate) type IterInfo = bpf::bpf_iter_link_info;

/// Over the elements of a map.
pub(crate) fn iter_over_map(map: BorrowedFd<'_>) -> IterInfo {
    let mut info = IterInfo::default();
    info.map.map_fd = map.as_raw_fd().cast_unsigned();
    info
}

/// Over the threads of one process (6.1, f0d74c4da1f0 "bpf: Parameterize task iterators").
pub(crate) fn iter_over_process(pid: u32) -> IterInfo {
    let mut info = IterInfo::default();
    info.task.pid = pid;
    info
}

/// `BPF_LINK_CREATE` for an iterator program (5.8).
pub(crate) fn iter_link(prog: BorrowedFd<'_>, info: Option<IterInfo>) -> io::Result<OwnedFd> {
    let mut info = info;
    // SAFETY: an all-zero bpf_link_create_opts is valid; fields are set below.
    let mut opts: bpf::bpf_link_create_opts = unsafe { zeroed() };
    opts.sz = size_of::<bpf::bpf_link_create_opts>() as _;
    if let Some(info) = &mut info {
        opts.iter_info = info;
        opts.iter_info_len = size_of::<IterInfo>() as u32;
    }
    // SAFETY: `opts` and what it points to live until the call returns.
    owned(unsafe {
        bpf::bpf_link_create(prog.as_raw_fd(), 0, bpf::BPF_TRACE_ITER, &raw const opts)
    })
}

/// `BPF_ITER_CREATE` (5.8): a file to read the iterator's output from.
pub(crate) fn iter_create(link: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    owned(unsafe { bpf::bpf_iter_create(link.as_raw_fd()) })
}

/// `BPF_OBJ_GET_INFO_BY_FD` into a zeroed `T`.
fn info<T>(fd: BorrowedFd<'_>) -> io::Result<T> {
    // SAFETY: the callers' T are info structs of integers, for which zero is a value.
    let mut info: T = unsafe { zeroed() };
    let mut length = size_of::<T>() as u32;
    // SAFETY: `info` has `length` bytes; the kernel writes no more.
    done(unsafe {
        bpf::bpf_obj_get_info_by_fd(fd.as_raw_fd(), (&raw mut info).cast(), &raw mut length)
    })?;
    Ok(info)
}

/// The id of a map.
pub fn map_id(fd: BorrowedFd<'_>) -> io::Result<u32> {
    info::<bpf::bpf_map_info>(fd).map(|i| i.id)
}

/// The id of a program.
pub fn prog_id(fd: BorrowedFd<'_>) -> io::Result<u32> {
    info::<bpf::bpf_prog_info>(fd).map(|i| i.id)
}

/// The id of a link.
pub fn link_id(fd: BorrowedFd<'_>) -> io::Result<u32> {
    info::<bpf::bpf_link_info>(fd).map(|i| i.id)
}

/// The id of a BTF object.
pub fn btf_id(fd: BorrowedFd<'_>) -> io::Result<u32> {
    info::<bpf::bpf_btf_info>(fd).map(|i| i.id)
}

/// What `BPF_OBJ_GET_INFO_BY_FD` tells of a BTF object.
pub(crate) struct BtfInfo {
    pub size: u32,
    pub kernel: bool,
    pub name: Vec<u8>,
}

/// Id, size and name of a BTF object (name: 5.11).
pub(crate) fn btf_info(fd: BorrowedFd<'_>) -> io::Result<BtfInfo> {
    let mut name = [0u8; 64];
    let mut info = bpf::bpf_btf_info {
        name: name.as_mut_ptr() as u64,
        name_len: name.len() as u32,
        ..Default::default()
    };
    let mut length = size_of::<bpf::bpf_btf_info>() as u32;
    // SAFETY: `info` has `length` bytes, and `name`, which it points to, lives until the end.
    done(unsafe {
        bpf::bpf_obj_get_info_by_fd(fd.as_raw_fd(), (&raw mut info).cast(), &raw mut length)
    })?;
    Ok(BtfInfo {
        size: info.btf_size,
        kernel: info.kernel_btf != 0,
        name: name.iter().copied().take_while(|&b| b != 0).collect(),
    })
}

/// `BPF_MAP_GET_NEXT_ID` (4.13, needs `CAP_SYS_ADMIN`); `None` at the end.
pub(crate) fn map_next_id(after: u32) -> io::Result<Option<u32>> {
    // SAFETY: the number lives until the call returns.
    next_id(|next| unsafe { bpf::bpf_map_get_next_id(after, next) })
}

/// `BPF_PROG_GET_NEXT_ID` (4.13, needs `CAP_SYS_ADMIN`); `None` at the end.
pub(crate) fn prog_next_id(after: u32) -> io::Result<Option<u32>> {
    // SAFETY: as above.
    next_id(|next| unsafe { bpf::bpf_prog_get_next_id(after, next) })
}

/// `BPF_BTF_GET_NEXT_ID` (4.20, needs `CAP_SYS_ADMIN`); `None` at the end.
pub(crate) fn btf_next_id(after: u32) -> io::Result<Option<u32>> {
    // SAFETY: as above.
    next_id(|next| unsafe { bpf::bpf_btf_get_next_id(after, next) })
}

/// `BPF_LINK_GET_NEXT_ID` (5.8, needs `CAP_SYS_ADMIN`); `None` at the end.
pub(crate) fn link_next_id(after: u32) -> io::Result<Option<u32>> {
    // SAFETY: as above.
    next_id(|next| unsafe { bpf::bpf_link_get_next_id(after, next) })
}

fn next_id(get: impl FnOnce(*mut u32) -> i32) -> io::Result<Option<u32>> {
    let mut next = 0;
    match done(get(&raw mut next)) {
        Ok(()) => Ok(Some(next)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// `BPF_BTF_GET_FD_BY_ID` (needs `CAP_SYS_ADMIN`).
pub(crate) fn btf_by_id(id: u32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    owned(unsafe { bpf::bpf_btf_get_fd_by_id(id) })
}

/// `BPF_LINK_GET_FD_BY_ID` (5.8, needs `CAP_SYS_ADMIN`).
pub(crate) fn link_by_id(id: u32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    owned(unsafe { bpf::bpf_link_get_fd_by_id(id) })
}

/// `BPF_MAP_CREATE`: an array map with `max_entries` values of `value_size` bytes.
pub fn create_array(name: &CStr, value_size: u32, max_entries: u32) -> io::Result<OwnedFd> {
    // SAFETY: the name is a C string; no options.
    owned(unsafe {
        bpf::bpf_map_create(
            bpf::BPF_MAP_TYPE_ARRAY,
            name.as_ptr(),
            4,
            value_size,
            max_entries,
            null(),
        )
    })
}

/// `BPF_PROG_LOAD`: a program that does nothing, and is never attached.
pub(crate) fn load_nothing() -> io::Result<OwnedFd> {
    const EXIT: u8 = (bpf::BPF_JMP | bpf::BPF_EXIT) as u8;
    const MOVE: u8 = (bpf::BPF_ALU64 | bpf::BPF_MOV | bpf::BPF_K) as u8;
    let insns = [MOVE, EXIT].map(|code| bpf::bpf_insn {
        code,
        ..Default::default()
    });
    // SAFETY: name, licence and instructions live until the call returns; no options.
    owned(unsafe {
        bpf::bpf_prog_load(
            bpf::BPF_PROG_TYPE_SOCKET_FILTER,
            c"lastref".as_ptr(),
            c"Dual BSD/GPL".as_ptr(),
            insns.as_ptr(),
            insns.len() as _,
            null_mut(),
        )
    })
}

/// Waits until what was freed before this call has let go of what it held: programs
/// and links drop their references after an RCU grace period and a work item
/// (`__bpf_prog_put_noref`, `bpf_prog_free`). Takes some tens of milliseconds.
pub fn wait_for_grace_period() {
    use std::time::Duration;
    const MEMBARRIER_CMD_GLOBAL: i32 = 1;
    /// For the work item.
    const WORK: Duration = Duration::from_millis(10);
    /// In place of a barrier, where CPUs run without ticks (`nohz_full`), or there is one CPU alone.
    const GRACE: Duration = Duration::from_millis(50);
    // SAFETY: no pointers. The command is synchronize_rcu() (4.3), but with one CPU nothing (kernel/sched/membarrier.c).
    let result = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    // SAFETY: no pointers.
    let cpus = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    let waited = result == 0 && cpus > 1;
    std::thread::sleep(if waited { WORK } else { GRACE });
}

/// Whether `RLIMIT_MEMLOCK` is not infinite. libbpf raises it where it matters and may.
pub(crate) fn locked_memory_is_limited() -> bool {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` lives until the call returns.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    result == 0 && limit.rlim_cur != libc::RLIM_INFINITY
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "a path cannot hold a zero byte",
        )
    })
}

/// `BPF_OBJ_PIN` (4.4): a name for the object in a bpffs.
pub fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    // SAFETY: `path` is a C string.
    done(unsafe { bpf::bpf_obj_pin(object.as_raw_fd(), path.as_ptr()) })
}

/// `BPF_OBJ_GET` (4.4): a new descriptor on what is pinned at `path`.
pub fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    // SAFETY: `path` is a C string.
    owned(unsafe { bpf::bpf_obj_get(path.as_ptr()) })
}

/// `BPF_MAP_GET_FD_BY_ID` (4.13, needs `CAP_SYS_ADMIN`): a new descriptor on a
/// map. `NotFound` once its last reference has gone: `bpf_map_put` takes the id
/// away first.
pub fn map_by_id(id: u32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    owned(unsafe { bpf::bpf_map_get_fd_by_id(id) })
}
