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

/// Somebody has it mapped. /proc names no map's id there: of any.
pub fn mapped(processes: &[u32], object: Object) -> bool {
    object.0 == Kind::Map
        && processes.iter().any(|pid| {
            let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
            maps.lines()
                .any(|line| line.ends_with("anon_inode:bpf-map"))
        })
}
