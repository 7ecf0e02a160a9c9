//! Descriptor tables, as walks over them name tasks.

use super::Table;
use crate::rows::types;
use rustc_hash::FxHashMap;

/// Tells tables apart: one is seen once for each task that has it.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    by_address: FxHashMap<u64, u32>,
    /// The table that rows belong to; none while a table is seen again.
    now: Option<u32>,
}

impl Tables {
    /// Index of the table that rows belong to; `None` while one is seen again.
    pub fn now(&self) -> Option<u32> {
        self.now
    }

    /// The rows that follow are of this task.
    pub fn task(&mut self, task: &types::row_task, tables: &mut Vec<Table>) {
        let pid = task.row.n;
        // An address alone proves nothing: a process that exits makes room for the next.
        let seen = self
            .by_address
            .get(&task.files)
            .filter(|_| task.shared != 0);
        if let Some(&seen) = seen {
            // Threads of a process whose main thread is gone show one table again and
            // again; a process with CLONE_FILES is one more holder of all that is in it.
            let table = &mut tables[seen as usize];
            if table.pid != pid && !table.also.contains(&pid) {
                table.also.push(pid);
            }
            self.now = None;
            return;
        }
        let index = tables.len() as u32;
        if task.shared != 0 {
            self.by_address.insert(task.files, index);
        }
        tables.push(Table {
            pid,
            tid: (task.own_table != 0).then_some(task.tid),
            also: Vec::new(),
            unshared: Vec::new(),
        });
        self.now = Some(index);
    }
}
