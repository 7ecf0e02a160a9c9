//! Handles: open files on objects, and who has them open.

use super::Join;
use super::carriers::Keepers;
use crate::people::People;
use crate::unique::unique;
use kernel::Addr;
use model::{By, Holder};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// One open file that is not in one descriptor table alone.
#[derive(Default)]
struct Handle {
    object: Option<Addr>,
    /// Index of the table, and descriptor.
    at: Vec<(u32, u32)>,
    /// Processes that map it.
    mapped: Vec<u32>,
    /// Sockets in whose queue it waits, rings in whose table it stands.
    carriers: Vec<Addr>,
    /// It is an open iterator.
    iterator: bool,
    /// The map that the iterator walks, if a map has this address.
    map: Option<Addr>,
}

/// What makes handles one reference: the same object, and exactly the same holders.
#[derive(PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    object: Addr,
    by: By,
    tables: Vec<u32>,
    mapped: Vec<u32>,
    carriers: Vec<Addr>,
}

/// Handles with one key.
#[derive(Default)]
struct Held {
    count: u64,
    fds: BTreeMap<u32, Vec<u32>>,
}

impl Join<'_> {
    pub(super) fn handles(
        &mut self,
        people: &mut People<'_>,
        mut keepers: Option<&mut Keepers<'_>>,
    ) {
        let mut held: FxHashMap<Key, Held> = FxHashMap::default();
        for (table, content) in self.pass.files.tables.iter().enumerate() {
            for &(object, ref fds) in &content.unshared {
                let key = Key {
                    object,
                    by: By::Fd,
                    tables: vec![table as u32],
                    mapped: Vec::new(),
                    carriers: Vec::new(),
                };
                let entry = held.entry(key).or_default();
                entry.count += fds.len() as u64;
                entry.fds.entry(table as u32).or_default().extend(fds);
            }
        }
        for handle in self.gather() {
            let Some(object) = handle.object else {
                continue;
            };
            if handle.iterator && self.is_our_own(&handle) {
                continue;
            }
            let sockets = self.pass.carriers.map(|c| &c.sockets);
            let by = if handle.iterator {
                By::Iterator
            } else if !handle.at.is_empty() {
                By::Fd
            } else if !handle.mapped.is_empty() {
                By::Mmap
            } else if handle
                .carriers
                .iter()
                .any(|c| sockets.is_some_and(|s| s.contains_key(c)))
            {
                By::InFlight
            } else {
                By::IoUring
            };
            let mut tables: Vec<u32> = handle.at.iter().map(|&(table, _)| table).collect();
            let (mut mapped, mut carriers) = (handle.mapped, handle.carriers);
            unique(&mut tables);
            unique(&mut mapped);
            unique(&mut carriers);
            let map = handle.map.filter(|&map| self.is_map(map));
            for object in std::iter::once(object).chain(map) {
                let key = Key {
                    object,
                    by,
                    tables: tables.clone(),
                    mapped: mapped.clone(),
                    carriers: carriers.clone(),
                };
                let entry = held.entry(key).or_default();
                entry.count += 1;
                for &(table, fd) in &handle.at {
                    entry.fds.entry(table).or_default().push(fd);
                }
            }
        }
        for (key, held) in held {
            let mut holders = self.processes(held.fds, people);
            let mapped = key.mapped.iter();
            holders.extend(mapped.map(|&pid| people.holder(pid, None, Vec::new())));
            if let Some(keepers) = &mut keepers {
                holders.extend(key.carriers.iter().filter_map(|&c| keepers.holder(c)));
            }
            unique(&mut holders);
            self.add(key.object, key.by, held.count, holders);
        }
    }

    /// All files that more than one place has, or none that is a descriptor table.
    fn gather(&self) -> impl Iterator<Item = Handle> {
        let files = self.pass.files;
        let mut handles: FxHashMap<Addr, Handle> = FxHashMap::default();
        for (&file, shared) in &files.shared {
            let handle = handles.entry(file).or_default();
            handle.object = Some(shared.object);
            handle.at.clone_from(&shared.at);
        }
        for (&file, iter) in &files.iters {
            let handle = handles.entry(file).or_default();
            handle.object = Some(iter.prog);
            handle.iterator = true;
            handle.map = iter.map;
            handle.at.clone_from(&iter.at);
        }
        for (&file, mapped) in self.pass.mappings.iter().flat_map(|m| &m.files) {
            let handle = handles.entry(file).or_default();
            handle.object = Some(mapped.map);
            // Whoever has a descriptor as well is named by that.
            if handle.at.is_empty() {
                handle.mapped.clone_from(&mapped.pids);
            }
        }
        for carried in self.pass.carriers.iter().flat_map(|c| &c.carried) {
            let handle = handles.entry(carried.file).or_default();
            handle.object = Some(carried.object);
            handle.iterator = carried.iterator;
            handle.map = carried.map;
            handle.carriers.push(carried.by);
        }
        handles.into_values()
    }

    fn is_our_own(&self, handle: &Handle) -> bool {
        let of_ours = |&(table, _): &(u32, u32)| {
            let table = self.pass.files.tables.get(table as usize);
            table.is_some_and(|t| t.pid == self.pass.own_pid)
        };
        !handle.at.is_empty() && handle.at.iter().all(of_ours)
    }

    /// The processes behind descriptor tables, with their descriptors.
    fn processes(&self, fds: BTreeMap<u32, Vec<u32>>, people: &mut People<'_>) -> Vec<Holder> {
        let mut holders = Vec::new();
        for (table, fds) in fds {
            if let Some(table) = self.pass.files.tables.get(table as usize) {
                holders.extend(people.of_table(table, &fds));
            }
        }
        holders
    }
}
