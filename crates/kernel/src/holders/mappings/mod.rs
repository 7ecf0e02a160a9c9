//! Memory mappings: a file without a descriptor that a mapping keeps.

mod listed;

use super::carriers::Carriers;
use crate::error::Error;
use crate::rows::{Addr, types};
use crate::walks::{Walk, Walks};
use rustc_hash::FxHashMap;

/// A map's file that is mapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappedFile {
    /// The map.
    pub map: Addr,
    /// Processes that map it, in our pid namespace.
    pub pids: Vec<u32>,
}

/// All files that are mapped and hold BPF objects.
#[derive(Debug, Default)]
pub struct Mappings {
    /// Maps' files, by the file.
    pub files: FxHashMap<Addr, MappedFile>,
    /// Perf events and io_urings whose rings are mapped.
    pub carriers: Carriers,
}

impl Walks {
    /// Takes the mmap lock of every process in turn, where the kernel has an iterator over
    /// mappings (5.12).
    pub fn mappings(&mut self) -> Result<Mappings, Error> {
        if !self.has_mappings() {
            return self.mappings_listed();
        }
        let mut mapped = Mappings::default();
        let mut pid = 0;
        self.run(Walk::Mappings, |rows| {
            for row in rows {
                if u32::from(row.head.kind) == types::row_kind::ROW_TASK.0 {
                    pid = row.head.n;
                }
                if u32::from(row.head.kind) == types::row_kind::ROW_MAPPING.0 {
                    note(&mut mapped.files, &row.as_type(), pid);
                } else {
                    mapped.carriers.read(&row);
                }
            }
        })?;
        Ok(mapped)
    }
}

/// A process may map a file many times, and threads share its mappings.
fn note(mapped: &mut FxHashMap<Addr, MappedFile>, file: &types::row_file, pid: u32) {
    let entry = mapped.entry(Addr(file.file));
    let entry = entry.or_insert_with(|| MappedFile {
        map: Addr(file.object),
        pids: Vec::new(),
    });
    if !entry.pids.contains(&pid) {
        entry.pids.push(pid);
    }
}
