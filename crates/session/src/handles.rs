//! The handles of one process, one by one: what the accounts only count.

use crate::details;
use crate::unique::unique;
use kernel::holders::files::{Files, Table};
use kernel::holders::mappings::Mappings;
use kernel::{Addr, Objects};
use model::{Kind, ObjectId};
use rustc_hash::{FxHashMap, FxHashSet};
use std::io;

/// A `struct file` on an object, as far as one process has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Handle {
    /// What it is on.
    pub object: ObjectId,
    /// Where that is in the kernel, if the kernel's walks tell it.
    pub addr: Option<Addr>,
    /// Its descriptors in this process, ascending; none where a mapping is left.
    pub fds: Vec<u32>,
    /// Other processes that have a descriptor of the same file, ascending.
    pub others: Vec<u32>,
    /// An open iterator: of this program.
    pub iterator: bool,
    /// The thread that has a descriptor table of its own, in which it stands.
    pub thread: Option<u32>,
}

/// All of them: those with descriptors in the order of the first, then mapped ones.
pub fn of(pid: u32, files: &Files, mappings: Option<&Mappings>, objects: &Objects) -> Vec<Handle> {
    let mut ids = details::ids(objects);
    ids.extend(files.btfs.iter().map(|btf| {
        let (kind, id) = (Kind::Btf, btf.id);
        (btf.addr, ObjectId { kind, id })
    }));
    let is_ours: Vec<bool> = files
        .tables
        .iter()
        .map(|table| table.pid == pid || table.also.contains(&pid))
        .collect();
    let ours = |table: u32| is_ours.get(table as usize).copied().unwrap_or(false);
    let mut found = Vec::new();
    for (at, table) in files.tables.iter().enumerate() {
        if !ours(at as u32) {
            continue;
        }
        // Its own table and those of threads that left it: a descriptor of each is a handle.
        let others: Vec<u32> = table.sharers().filter(|&other| other != pid).collect();
        for (addr, fds) in &table.unshared {
            let Some(&object) = ids.get(addr) else {
                continue;
            };
            found.extend(fds.iter().map(|&fd| Handle {
                object,
                addr: Some(*addr),
                fds: vec![fd],
                others: others.clone(),
                iterator: false,
                thread: table.tid,
            }));
        }
    }
    let shared = files.shared.values().map(|f| (f.object, &f.at, false));
    let iters = files.iters.values().map(|f| (f.prog, &f.at, true));
    for (addr, at, iterator) in shared.chain(iters) {
        let mut fds: Vec<u32> = of_tables(at, &ours).map(|(_, fd)| fd).collect();
        let Some(&object) = ids.get(&addr).filter(|_| !fds.is_empty()) else {
            continue;
        };
        let tables = at.iter().filter_map(|&(t, _)| files.tables.get(t as usize));
        let sharers = tables.flat_map(Table::sharers);
        let mut others: Vec<u32> = sharers.filter(|&other| other != pid).collect();
        unique(&mut fds);
        unique(&mut others);
        let tables = of_tables(at, &ours).filter_map(|(t, _)| files.tables.get(t as usize));
        let thread = tables.into_iter().find_map(|table| table.tid);
        found.push(Handle {
            object,
            addr: Some(addr),
            fds,
            others,
            iterator,
            thread,
        });
    }
    found.sort_unstable_by(|a, b| a.fds.cmp(&b.fds).then_with(|| a.object.cmp(&b.object)));
    let open = files.shared.iter();
    let open = open.filter(|(_, f)| of_tables(&f.at, &ours).next().is_some());
    let open: FxHashSet<Addr> = open.map(|(&file, _)| file).collect();
    found.extend(only_mapped(pid, &open, mappings, &ids));
    found
}

/// Leaves those whose descriptors are on an object at the same place as they were, and have not become more or fewer.
pub fn keep_same(handles: &mut Vec<Handle>, pid: u32, files: &Files) {
    let btfs: FxHashMap<Addr, u32> = files.btfs.iter().map(|btf| (btf.addr, btf.id)).collect();
    let is_ours = |table: &Table| table.pid == pid || table.also.contains(&pid);
    let mut now: FxHashSet<(Addr, u32, usize)> = FxHashSet::default();
    now.reserve(handles.len());
    for table in files.tables.iter().filter(|table| is_ours(table)) {
        for (addr, fds) in &table.unshared {
            now.extend(fds.iter().map(|&fd| (*addr, fd, 1)));
        }
    }
    let ours = |table: u32| files.tables.get(table as usize).is_some_and(is_ours);
    let shared = files.shared.values().map(|f| (f.object, &f.at));
    for (addr, at) in shared.chain(files.iters.values().map(|f| (f.prog, &f.at))) {
        let mut fds: Vec<u32> = of_tables(at, &ours).map(|(_, fd)| fd).collect();
        unique(&mut fds);
        now.extend(fds.iter().map(|&fd| (addr, fd, fds.len())));
    }
    handles.retain(|handle| {
        let Some(addr) = handle.addr else {
            return handle.fds.is_empty();
        };
        // The walk over files tells the ids of these itself.
        let is_it = handle.object.kind != Kind::Btf || btfs.get(&addr) == Some(&handle.object.id);
        let stands = |&fd: &u32| is_it && now.contains(&(addr, fd, handle.fds.len()));
        handle.fds.iter().all(stands)
    });
}

/// Those that are not there any more. Half a microsecond each; in one thread, so that a process that is looked at keeps a
/// processor where there are two.
///
/// # Errors
/// Without `CAP_SYS_ADMIN`.
pub fn gone(objects: &[ObjectId]) -> io::Result<FxHashSet<ObjectId>> {
    let mut gone = FxHashSet::default();
    for &object in objects {
        if !kernel::lives(object)? {
            gone.insert(object);
        }
    }
    Ok(gone)
}

fn of_tables<'a>(
    at: &'a [(u32, u32)],
    ours: &'a impl Fn(u32) -> bool,
) -> impl Iterator<Item = (u32, u32)> + 'a {
    at.iter().copied().filter(|&(table, _)| ours(table))
}

/// Files of maps that it has no descriptor of any more.
fn only_mapped(
    pid: u32,
    open: &FxHashSet<Addr>,
    mappings: Option<&Mappings>,
    ids: &FxHashMap<Addr, ObjectId>,
) -> Vec<Handle> {
    let mapped = mappings.into_iter().flat_map(|m| &m.files);
    let mapped = mapped.filter(|(file, m)| !open.contains(file) && m.pids.contains(&pid));
    let mut found: Vec<Handle> = mapped
        .filter_map(|(_, mapped)| {
            Some(Handle {
                object: *ids.get(&mapped.map)?,
                addr: Some(mapped.map),
                fds: Vec::new(),
                others: mapped.pids.iter().copied().filter(|&p| p != pid).collect(),
                iterator: false,
                thread: None,
            })
        })
        .collect();
    found.sort_unstable();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::holders::files::SharedFile;

    fn handle(addr: u64, fds: &[u32]) -> Handle {
        let (kind, id) = (Kind::Map, 1);
        Handle {
            object: ObjectId { kind, id },
            addr: Some(Addr(addr)),
            fds: fds.to_vec(),
            others: vec![],
            iterator: false,
            thread: None,
        }
    }

    #[test]
    fn what_moved_is_left_out() {
        let mut files = Files::default();
        files.tables.push(Table {
            pid: 7,
            tid: None,
            also: vec![],
            unshared: vec![(Addr(100), vec![3, 4]), (Addr(200), vec![5])],
        });
        let shared = SharedFile {
            object: Addr(300),
            at: vec![(0, 8), (0, 9)],
            refs: 2,
        };
        files.shared.insert(Addr(1000), shared);
        let kept = [
            handle(100, &[3]),
            handle(200, &[5]),
            handle(300, &[8, 9]),
            // Only mapped.
            handle(400, &[]),
        ];
        let moved = [
            // Closed; on another object; duplicated since.
            handle(100, &[6]),
            handle(100, &[5]),
            handle(300, &[8]),
        ];
        let mut handles = [kept.as_slice(), moved.as_slice()].concat();
        keep_same(&mut handles, 7, &files);
        assert_eq!(handles, kept);
        keep_same(&mut handles, 8, &files);
        assert_eq!(handles, kept[3..]);
    }
}
