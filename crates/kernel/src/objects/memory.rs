//! Kernel memory of a map, computed as the kernel's own `map_mem_usage`
//! functions do (6.4, 90a5527d7686 "bpf: add new map ops ->map_mem_usage").
//!
//! The sizes of the kernel's own structs differ a little between builds; they
//! are left out, so a result is a few hundred bytes below fdinfo's `memlock`.

use super::Map;
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
/// `elem_size` is a hash's, `pages` a ring buffer's.
pub fn of_map(map: &Map, elem_size: u32, pages: u32) -> Option<u64> {
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
                bytes.next_multiple_of(page_size())
            } else {
                bytes
            })
        }
        bpf::BPF_MAP_TYPE_PERCPU_ARRAY => Some(entries * (8 + value * possible_cpus()?)),
        bpf::BPF_MAP_TYPE_HASH
        | bpf::BPF_MAP_TYPE_PERCPU_HASH
        | bpf::BPF_MAP_TYPE_LRU_HASH
        | bpf::BPF_MAP_TYPE_LRU_PERCPU_HASH
        | bpf::BPF_MAP_TYPE_HASH_OF_MAPS => of_hash(map, u64::from(elem_size), value),
        // trie_mem_usage: what is in it, and no count is kept.
        // ringbuf_map_mem_usage
        bpf::BPF_MAP_TYPE_RINGBUF | bpf::BPF_MAP_TYPE_USER_RINGBUF => {
            Some(u64::from(pages) * page_size())
        }
        // queue_stack_map_mem_usage
        bpf::BPF_MAP_TYPE_QUEUE | bpf::BPF_MAP_TYPE_STACK => {
            Some((entries + 1) * u64::from(map.value_size))
        }
        _ => None,
    }
}

/// `htab_map_mem_usage`
fn of_hash(map: &Map, elem_size: u64, value: u64) -> Option<u64> {
    const BUCKET: u64 = 16;
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
    let buckets = u64::from(map.buckets) * BUCKET;
    if map.flags & bpf::BPF_F_NO_PREALLOC == 0 {
        // htab_has_extra_elems
        let extra = if percpu || lru { 0 } else { cpus };
        let elements = entries + extra;
        let per_cpu_values = if percpu { value * cpus * elements } else { 0 };
        let freelist = if percpu || lru { 0 } else { 8 * cpus };
        return Some(buckets + elem_size * elements + per_cpu_values + freelist);
    }
    let elements = map.entries?;
    let values = if percpu { 16 + value * cpus } else { 0 };
    Some(buckets + (elem_size + 8 + values) * elements)
}
