//! Slots of maps that hold objects: arrays and hashes of maps, program arrays.
//! Each occupied slot is one reference.

use crate::error::Error;
use crate::objects::Map;
use crate::rows::{Addr, types};
use crate::walks::{Walk, Walks};
use libbpf_sys as bpf;
use rustc_hash::FxHashMap;

/// What the slots of all such maps hold.
#[derive(Debug, Default)]
pub struct Slots {
    /// Holder and object, with the number of slots that have it.
    pub held: FxHashMap<(Addr, Addr), u64>,
    /// A map went away during the walk.
    pub cut: bool,
}

/// Whether slots of this map hold references to maps or programs.
pub fn holds_objects(map: &Map) -> bool {
    is_hash(map)
        || matches!(
            map.map_type,
            bpf::BPF_MAP_TYPE_ARRAY_OF_MAPS | bpf::BPF_MAP_TYPE_PROG_ARRAY
        )
}

fn is_hash(map: &Map) -> bool {
    map.map_type == bpf::BPF_MAP_TYPE_HASH_OF_MAPS
}

impl Walks {
    /// Walks the slots of all `maps` that hold objects.
    pub fn slots<'a>(&mut self, maps: impl Iterator<Item = &'a Map>) -> Result<Slots, Error> {
        let mut slots = Slots::default();
        for map in maps.filter(|m| holds_objects(m)) {
            // One run may end before the map does: it has a bounded number of ticks.
            let mut cursor = types::slot_cursor {
                map: map.addr.0,
                id: map.id,
                hash: u32::from(is_hash(map)),
                slots: if is_hash(map) {
                    map.buckets
                } else {
                    map.max_entries
                },
                key_size: map.key_size,
                ..Default::default()
            };
            while cursor.done == 0 {
                let before = (cursor.at, cursor.skip);
                self.staged_bss()?.slot_cursor = cursor;
                self.run(Walk::Slots, |rows| {
                    for row in rows {
                        if u32::from(row.head.kind) == types::row_kind::ROW_SLOT.0 {
                            let slot: types::row_slot = row.as_type();
                            *slots
                                .held
                                .entry((Addr(slot.holder), Addr(slot.object)))
                                .or_default() += u64::from(slot.row.n);
                        } else if u32::from(row.head.kind) == types::row_kind::ROW_CUT.0 {
                            slots.cut = true;
                        }
                    }
                })?;
                cursor = self.staged_bss()?.slot_cursor;
                if cursor.done == 0 && before == (cursor.at, cursor.skip) {
                    slots.cut = true;
                    break;
                }
            }
        }
        Ok(slots)
    }
}
