//! Paths of cgroups, as the walks write them: a row for each component, leaf first.

use crate::rows::{Row, types};
use model::decode;
use rustc_hash::FxHashMap;

/// As in `rows.h`.
const CGROUP_DEPTH: usize = 24;

/// The paths of a stream of rows, by the address of the cgroup.
#[derive(Default)]
pub(crate) struct CgroupPaths {
    parts: FxHashMap<u64, Vec<String>>,
    /// The cgroup of the path row before.
    now: u64,
}

impl CgroupPaths {
    /// Every row of the stream, of whatever kind: a path ends where another row comes.
    pub fn read(&mut self, row: &Row<'_>) {
        let is_text = u32::from(row.head.kind) == types::row_kind::ROW_TEXT.0;
        if !is_text || row.head.n != types::text_kind::TEXT_CGROUP.0 {
            self.now = 0;
            return;
        }
        let of = row.as_type::<types::row_text>().of;
        let parts = self.parts.entry(of).or_default();
        if self.now != of {
            // The path of the same cgroup once more.
            parts.clear();
            self.now = of;
        }
        parts.push(decode(row.text()));
    }

    /// The path in the cgroup's hierarchy; `/` for the root, which has no name. Of one that is
    /// deeper than the walk follows, the end: `…/x/y`.
    pub fn path(&self, cgroup: u64) -> String {
        let Some(parts) = self.parts.get(&cgroup) else {
            return "/".into();
        };
        // The walk begins at the leaf.
        let top = if parts.len() < CGROUP_DEPTH {
            ""
        } else {
            "…"
        };
        parts
            .iter()
            .rev()
            .fold(top.to_owned(), |path, part| path + "/" + part)
    }
}
