//! What /proc tells.

use crate::kernel::Object;
use model::Kind;
use std::collections::BTreeMap;
use std::fs;

/// All processes in the pid namespace of this one.
pub fn processes_with(pid: u32) -> Vec<u32> {
    let namespace = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let Some(ours) = namespace(pid) else {
        return Vec::new();
    };
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| namespace(pid).as_ref() == Some(&ours))
        .collect()
}

/// Handles on each object: open files, not descriptors. A process that shares a file with
/// another counts once.
pub fn files_on(processes: &[u32]) -> BTreeMap<Object, u64> {
    let mut open: BTreeMap<Object, Vec<(u32, u32)>> = BTreeMap::new();
    for &pid in processes {
        let entries = fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten()
            .flatten();
        for entry in entries {
            let Some(fd) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
                continue;
            };
            let Some(object) = object_of(pid, fd) else {
                continue;
            };
            let others = open.entry(object).or_default();
            if !others.iter().any(|&other| same_file(other, (pid, fd))) {
                others.push((pid, fd));
            }
        }
    }
    open.into_iter()
        .map(|(object, files)| (object, files.len() as u64))
        .collect()
}

fn object_of(pid: u32, fd: u32) -> Option<Object> {
    let target = fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok()?;
    let (kind, field) = match target.to_str()? {
        "anon_inode:bpf-map" => (Kind::Map, "map_id:"),
        "anon_inode:bpf-prog" => (Kind::Prog, "prog_id:"),
        "anon_inode:bpf_link" | "anon_inode:bpf-link" => (Kind::Link, "link_id:"),
        _ => return None,
    };
    let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix(field))?;
    Some(Object(kind, line.trim().parse().ok()?))
}

/// kcmp(2): are two descriptors the same open file?
fn same_file(a: (u32, u32), b: (u32, u32)) -> bool {
    const KCMP_FILE: i64 = 0;
    // SAFETY: kcmp takes numbers only.
    let order = unsafe {
        libc::syscall(
            libc::SYS_kcmp,
            i64::from(a.0),
            i64::from(b.0),
            KCMP_FILE,
            i64::from(a.1),
            i64::from(b.1),
        )
    };
    order == 0
}

/// Memory mappings of maps. /proc names no map's id there.
pub fn mappings(processes: &[u32]) -> u64 {
    let of = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let texts = processes.iter().map(of);
    let lines = texts.map(|maps| {
        let lines = maps.lines();
        lines.filter(|l| l.ends_with("anon_inode:bpf-map")).count() as u64
    });
    lines.sum()
}

/// Perf events, in-flight descriptors and sockets with a BPF filter: none of them tells what it
/// holds, but how many there are can be counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    pub perf_events: u64,
    pub in_flight: u64,
    pub filters: u64,
}

pub fn counted(processes: &[u32]) -> Counted {
    let mut counted = Counted::default();
    for &pid in processes {
        let entries = fs::read_dir(format!("/proc/{pid}/fd"));
        for entry in entries.into_iter().flatten().flatten() {
            let target = fs::read_link(entry.path()).unwrap_or_default();
            let target = target.to_string_lossy();
            let Some(fd) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
                continue;
            };
            if target == "anon_inode:[perf_event]" {
                counted.perf_events += 1;
            }
            if target.starts_with("socket:") {
                counted.in_flight += in_flight(pid, fd);
                counted.filters += u64::from(has_filter(pid, fd));
            }
        }
    }
    counted
}

/// Descriptors in messages that a Unix socket has to receive.
fn in_flight(pid: u32, fd: u32) -> u64 {
    let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix("scm_fds:"));
    line.and_then(|n| n.trim().parse().ok()).unwrap_or(0)
}

/// `SO_GET_FILTER` shows filters of the classic kind, and refuses to show a BPF program.
fn has_filter(pid: u32, fd: u32) -> bool {
    // SAFETY: numbers in, a descriptor or -1 out.
    let taken = unsafe {
        let process = libc::syscall(libc::SYS_pidfd_open, i64::from(pid), 0i64);
        if process < 0 {
            return false;
        }
        let taken = libc::syscall(libc::SYS_pidfd_getfd, process, i64::from(fd), 0i64);
        libc::close(process as i32);
        taken as i32
    };
    if taken < 0 {
        return false;
    }
    let mut length: libc::socklen_t = 0;
    // SAFETY: a length of 0 lets the kernel write nothing but the length.
    unsafe {
        let result = libc::getsockopt(
            taken,
            libc::SOL_SOCKET,
            libc::SO_GET_FILTER,
            std::ptr::null_mut(),
            &raw mut length,
        );
        let refused = result < 0 && *libc::__errno_location() == libc::EACCES;
        libc::close(taken);
        refused
    }
}
