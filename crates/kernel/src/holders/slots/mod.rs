//! What stands in maps: objects in the slots of arrays and hashes of maps and of
//! program arrays, programs in the entries of devmaps, cpumaps and sockmaps, sockets,
//! perf events, timers, the programs of `struct_ops` maps.

use super::carriers::Carriers;
use super::hold::Hold;
use crate::error::Error;
use crate::objects::Map;
use crate::rows::{Addr, types};
use crate::walks::{Walk, Walks, until_whole};
use libbpf_sys as bpf;
use rustc_hash::FxHashMap;

/// What stands in all such maps.
#[derive(Debug, Default)]
pub struct Slots {
    /// Maps and programs in slots: holder and object, with the number of slots that have it.
    pub held: FxHashMap<(Addr, Addr), u64>,
    /// What entries hold.
    pub holds: Vec<Hold>,
    /// Sockets and perf events in entries.
    pub carriers: Carriers,
    /// A list changed during the walk, which may have missed some.
    pub cut: bool,
}

/// Whether slots of this map hold references to maps or programs.
pub fn holds_objects(map: &Map) -> bool {
    matches!(
        map.map_type,
        bpf::BPF_MAP_TYPE_ARRAY_OF_MAPS
            | bpf::BPF_MAP_TYPE_HASH_OF_MAPS
            | bpf::BPF_MAP_TYPE_PROG_ARRAY
    )
}

/// Whether slots of this map hold maps.
pub fn holds_maps(map: &Map) -> bool {
    holds_objects(map) && map.map_type != bpf::BPF_MAP_TYPE_PROG_ARRAY
}

/// Whether entries of this map hold something that holds objects.
pub fn has_entries(map: &Map) -> bool {
    match map.map_type {
        bpf::BPF_MAP_TYPE_DEVMAP
        | bpf::BPF_MAP_TYPE_DEVMAP_HASH
        | bpf::BPF_MAP_TYPE_CPUMAP
        | bpf::BPF_MAP_TYPE_XSKMAP
        | bpf::BPF_MAP_TYPE_SOCKMAP
        | bpf::BPF_MAP_TYPE_SOCKHASH
        | bpf::BPF_MAP_TYPE_PERF_EVENT_ARRAY
        | bpf::BPF_MAP_TYPE_STRUCT_OPS => true,
        bpf::BPF_MAP_TYPE_ARRAY | bpf::BPF_MAP_TYPE_HASH | bpf::BPF_MAP_TYPE_LRU_HASH => {
            has_timers(map)
        }
        _ => false,
    }
}

/// Whether its values have timers or work queues, which hold their callback's program.
pub fn has_timers(map: &Map) -> bool {
    map.timers.iter().any(Option::is_some)
}

impl Walks {
    /// Walks what stands in `maps`.
    pub fn slots<'a>(&mut self, maps: impl Iterator<Item = &'a Map>) -> Result<Slots, Error> {
        let mut slots = Slots::default();
        for map in maps {
            let of_map = until_whole(|| self.slots_of(map), |slots| slots.cut)?;
            slots.extend(of_map);
        }
        Ok(slots)
    }

    fn slots_of(&mut self, map: &Map) -> Result<Slots, Error> {
        /// Elements may leave as fast as others come, and some are spare.
        const SPARE: u32 = 1 << 16;
        let mut slots = Slots::default();
        let mut cursor = types::slot_cursor {
            map: map.addr.0,
            id: map.id,
            r#type: map.map_type,
            slots: if map.buckets > 0 {
                map.buckets
            } else {
                map.max_entries
            },
            most: map.max_entries.saturating_add(SPARE),
            key_size: map.key_size,
            fields: map
                .timers
                .map(|at| at.and_then(|at| i32::try_from(at).ok()).unwrap_or(-1)),
            ..Default::default()
        };
        // One run may end before the map does: it has a bounded number of ticks.
        while cursor.done == 0 {
            let before = (cursor.at, cursor.skip);
            self.bss_of(Walk::Slots)?.slot_cursor = cursor;
            self.run(Walk::Slots, |rows| {
                for row in rows {
                    slots.read(&row);
                }
            })?;
            cursor = self.bss_of(Walk::Slots)?.slot_cursor;
            if cursor.done == 0 && before == (cursor.at, cursor.skip) {
                slots.cut = true;
                break;
            }
        }
        Ok(slots)
    }
}

impl Slots {
    fn read(&mut self, row: &crate::rows::Row<'_>) {
        match types::row_kind(u32::from(row.head.kind)) {
            types::row_kind::ROW_SLOT => {
                let slot: types::row_slot = row.as_type();
                let pair = (Addr(slot.holder), Addr(slot.object));
                *self.held.entry(pair).or_default() += u64::from(slot.row.n);
            }
            types::row_kind::ROW_HOLD => self.holds.extend(Hold::from_row(&row.as_type())),
            types::row_kind::ROW_CUT => self.cut = true,
            _ => self.carriers.read(row),
        }
    }

    /// Adds what another walk over other maps found.
    pub fn extend(&mut self, other: Self) {
        self.held.extend(other.held);
        self.holds.extend(other.holds);
        self.carriers.extend(other.carriers);
        self.cut |= other.cut;
    }
}
