//! Cgroups: programs attached without a link (`BPF_PROG_ATTACH`).

use super::hold::Hold;
use crate::cgroup_paths::CgroupPaths;
use crate::error::Error;
use crate::rows::{Addr, types};
use crate::walks::{Walk, Walks, until_whole};
use rustc_hash::FxHashMap;

/// What all cgroups hold.
#[derive(Debug, Default)]
pub struct Cgroups {
    /// The holders are cgroups.
    pub holds: Vec<Hold>,
    /// Their paths in the default hierarchy; `…/x/y` for the end of one that is too deep.
    pub paths: FxHashMap<Addr, String>,
    /// A list changed during the walk, which may have missed some.
    pub cut: bool,
}

impl Walks {
    /// Walks all cgroups of the default hierarchy (version 2, which alone can have programs).
    pub fn cgroups(&mut self) -> Result<Cgroups, Error> {
        until_whole(|| self.cgroups_once(), |cgroups| cgroups.cut)
    }

    fn cgroups_once(&mut self) -> Result<Cgroups, Error> {
        let mut cgroups = Cgroups::default();
        let mut paths = CgroupPaths::default();
        self.bss_of(Walk::Cgroups)?.cgroup_cursor = types::cgroup_cursor::default();
        self.run(Walk::Cgroups, |rows| {
            for row in rows {
                paths.read(&row);
                match types::row_kind(u32::from(row.head.kind)) {
                    types::row_kind::ROW_HOLD => {
                        cgroups.holds.extend(Hold::from_row(&row.as_type()));
                    }
                    types::row_kind::ROW_CUT => cgroups.cut = true,
                    _ => {}
                }
            }
        })?;
        cgroups.cut |= self.bss_of(Walk::Cgroups)?.cgroup_cursor.done == 0;
        let holders = cgroups.holds.iter().map(|hold| hold.holder);
        cgroups.paths = holders.map(|h| (h, paths.path(h.0))).collect();
        Ok(cgroups)
    }
}
