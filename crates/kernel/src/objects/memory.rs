//! Kernel memory of a map, computed as the kernel's own `map_mem_usage`
//! functions do (6.4, 90a5527d7686 `bpf: add new map ops ->map_mem_usage`).
//!
//! The sizes of the kernel's own structs come from its BTF, so the result is
//! what fdinfo's `memlock` says from 6.4 on; before, that was a cruder number.

use super::Map;
use crate::rows::types;
use libbpf_sys as bpf;

/// Bytes in a page.
pub fn page_size() -> u64 {
    // SAFETY: no pointers.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).unwrap_or(4096)
}

/// CPUs that the kernel makes per-CPU values for (`num_possible_cpus`).
fn possible_cpus() -> Option<u64> {
    u64::try_from(libbpf_rs::num_possible_cpus().ok()?).ok()
}

/// Bytes, or `None` for types whose formula is not known here.
/// `row` is what it was read from.
pub fn of_map(map: &Map, row: &types::row_map) -> Option<u64> {
    let of_struct = u64::from(row.struct_size);
    let entries = u64::from(map.max_entries);
    let value = u64::from(map.value_size).next_multiple_of(8);
    match map.map_type {
        // array_map_mem_usage
        bpf::BPF_MAP_TYPE_ARRAY
        | bpf::BPF_MAP_TYPE_PROG_ARRAY
        | bpf::BPF_MAP_TYPE_PERF_EVENT_ARRAY
        | bpf::BPF_MAP_TYPE_CGROUP_ARRAY
        | bpf::BPF_MAP_TYPE_ARRAY_OF_MAPS => {
            let bytes = entries * value;
            let mmapable = map.flags & bpf::BPF_F_MMAPABLE != 0;
            Some(if mmapable {
                of_struct.next_multiple_of(page_size()) + bytes.next_multiple_of(page_size())
            } else {
                of_struct + bytes
            })
        }
        bpf::BPF_MAP_TYPE_PERCPU_ARRAY => {
            Some(of_struct + entries * (8 + value * possible_cpus()?))
        }
        bpf::BPF_MAP_TYPE_HASH
        | bpf::BPF_MAP_TYPE_PERCPU_HASH
        | bpf::BPF_MAP_TYPE_LRU_HASH
        | bpf::BPF_MAP_TYPE_LRU_PERCPU_HASH
        | bpf::BPF_MAP_TYPE_HASH_OF_MAPS => of_hash(map, row, value),
        // trie_mem_usage: what is in it, and no count is kept.
        // ringbuf_map_mem_usage
        bpf::BPF_MAP_TYPE_RINGBUF | bpf::BPF_MAP_TYPE_USER_RINGBUF => {
            // Data pages are mapped twice in a row; two pages hold the positions
            // (RINGBUF_NR_META_PAGES).
            let pages = u64::from(row.pages);
            let data = entries / page_size();
            let pointers = (pages.saturating_sub(data) + 2 * data) * 8;
            Some(of_struct + pages * page_size() + pointers)
        }
        _ => None,
    }
}

/// `htab_map_mem_usage`
fn of_hash(map: &Map, row: &types::row_map, value: u64) -> Option<u64> {
    let elem_size = u64::from(row.elem_size);
    let entries = u64::from(map.max_entries);
    let percpu = matches!(
        map.map_type,
        bpf::BPF_MAP_TYPE_PERCPU_HASH | bpf::BPF_MAP_TYPE_LRU_PERCPU_HASH
    );
    let lru = matches!(
        map.map_type,
        bpf::BPF_MAP_TYPE_LRU_HASH | bpf::BPF_MAP_TYPE_LRU_PERCPU_HASH
    );
    let cpus = possible_cpus()?;
    // Eight counters a CPU stand for the buckets' locks (HASHTAB_MAP_LOCK_COUNT).
    let locks = 4 * cpus * 8;
    let buckets = u64::from(row.buckets) * u64::from(row.bucket_size);
    let fixed = u64::from(row.struct_size) + buckets + locks;
    if map.flags & bpf::BPF_F_NO_PREALLOC == 0 {
        // htab_has_extra_elems
        let extra = if percpu || lru { 0 } else { cpus };
        let elements = entries + extra;
        let per_cpu_values = if percpu { value * cpus * elements } else { 0 };
        let freelist = if percpu || lru { 0 } else { 8 * cpus };
        return Some(fixed + elem_size * elements + per_cpu_values + freelist);
    }
    let elements = map.entries?;
    let values = if percpu { 16 + value * cpus } else { 0 };
    Some(fixed + (elem_size + 8 + values) * elements)
}
