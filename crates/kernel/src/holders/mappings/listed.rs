//! Mappings on kernels without an iterator over them (before 5.12): each process's
//! list of mappings, gone through without its lock.

use super::{Mappings, note};
use crate::error::Error;
use crate::rows::types;
use crate::walks::{Walk, Walks};
use rustc_hash::FxHashSet;
use std::io;

/// Lists walked in one go; `SPACES` in `listed.bpf.c`.
const SPACES: usize = 512;
/// A process whose mappings changed during the walk is looked at again so often.
const LOOKS: u32 = 5;

impl Walks {
    /// As [`Walks::mappings`]; takes no lock. A list that changes is looked at again.
    pub(super) fn mappings_listed(&mut self) -> Result<Mappings, Error> {
        let mut mapped = Mappings::default();
        let mut changed: Option<FxHashSet<(u32, u64)>> = None;
        for _ in 0..LOOKS {
            let mut spaces = self.spaces()?;
            if let Some(changed) = &changed {
                // Those that are gone have nothing mapped.
                spaces.retain(|space| changed.contains(space));
            }
            if spaces.is_empty() {
                return Ok(mapped);
            }
            let mut again = FxHashSet::default();
            for some in spaces.chunks(SPACES) {
                again.extend(self.lists(some, &mut mapped)?);
            }
            changed = Some(again);
        }
        let left = changed.map_or(0, |changed| changed.len());
        if left == 0 {
            return Ok(mapped);
        }
        Err(Error::Walk {
            walk: Walk::MappingsListed.name(),
            source: io::Error::other(format!(
                "{left} processes changed their mappings each time they were looked at"
            )),
        })
    }

    /// Every process and the address of its mm, each mm once for each process that has it.
    fn spaces(&mut self) -> Result<Vec<(u32, u64)>, Error> {
        let mut spaces = Vec::new();
        self.run(Walk::Spaces, |rows| {
            spaces.extend(rows.map(|row| {
                let space: types::row_space = row.as_type();
                (space.row.n, space.mm)
            }));
        })?;
        // Threads of a process whose main thread has exited.
        spaces.sort_unstable();
        spaces.dedup();
        Ok(spaces)
    }

    /// Walks some lists; gives those that changed meanwhile.
    fn lists(
        &mut self,
        spaces: &[(u32, u64)],
        mapped: &mut Mappings,
    ) -> Result<Vec<(u32, u64)>, Error> {
        let bss = self.bss_of(Walk::MappingsListed)?;
        for (slot, &(pid, mm)) in bss.listed_spaces.iter_mut().zip(spaces) {
            *slot = types::space {
                mm,
                pid,
                ..Default::default()
            };
        }
        bss.list_cursor = types::list_cursor {
            count: spaces.len() as u32,
            ..Default::default()
        };
        let mut changed = Vec::new();
        let mut before = types::list_cursor::default();
        // One run may end before the lists do: it has a bounded number of ticks.
        loop {
            self.run(Walk::MappingsListed, |rows| {
                for row in rows {
                    let space = spaces.get(row.head.n as usize);
                    match types::row_kind(u32::from(row.head.kind)) {
                        types::row_kind::ROW_MAPPING => {
                            if let Some((pid, _)) = space {
                                note(&mut mapped.files, &row.as_type(), *pid);
                            }
                        }
                        types::row_kind::ROW_CUT => changed.extend(space),
                        _ => mapped.carriers.read(&row),
                    }
                }
            })?;
            let cursor = self.bss_of(Walk::MappingsListed)?.list_cursor;
            if cursor.done != 0 {
                return Ok(changed);
            }
            if (cursor.at, cursor.seen) == (before.at, before.seen) {
                changed.extend(spaces.iter().skip(cursor.at as usize));
                return Ok(changed);
            }
            before = cursor;
        }
    }
}
