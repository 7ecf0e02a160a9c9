//! Memory mappings of maps: a file without a descriptor that a mapping keeps.

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

impl Walks {
    /// All files of maps that are mapped, by the file. Takes the mmap lock of every process in turn.
    pub fn mappings(&mut self) -> Result<FxHashMap<Addr, MappedFile>, Error> {
        let mut mapped: FxHashMap<Addr, MappedFile> = FxHashMap::default();
        let mut pid = 0;
        self.run(Walk::Mappings, |rows| {
            for row in rows {
                if u32::from(row.head.kind) == types::row_kind::ROW_TASK.0 {
                    pid = row.head.n;
                } else if u32::from(row.head.kind) == types::row_kind::ROW_MAPPING.0 {
                    let file: types::row_file = row.as_type();
                    let entry = mapped.entry(Addr(file.file)).or_insert_with(|| MappedFile {
                        map: Addr(file.object),
                        pids: Vec::new(),
                    });
                    // A process may map a file many times, and threads share its mappings.
                    if !entry.pids.contains(&pid) {
                        entry.pids.push(pid);
                    }
                }
            }
        })?;
        Ok(mapped)
    }
}
