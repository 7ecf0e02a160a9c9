//! Running programs, and what the kernel says of maps.

use super::{Info, Kind, OBJ_GET_INFO_BY_FD, Object, bpf, by_id, short_name};
use crate::sys::Result;

const PROG_TEST_RUN: i32 = 10;
const MAP_GET_NEXT_ID: i32 = 12;

/// `BPF_PROG_TEST_RUN` of a `syscall` program without context. Returns what it returned.
pub fn run(prog: &Object) -> Result<u32> {
    // prog_fd, retval, then sizes and pointers that such a program has not.
    let mut attr = [0_u32; 12];
    attr[0] = prog.fd();
    bpf(PROG_TEST_RUN, &mut attr, "BPF_PROG_TEST_RUN")?;
    Ok(attr[1])
}

/// The id of the BTF that describes a map's key and value; 0 if there is none.
pub fn btf_of_map(map: &Object) -> Result<u32> {
    Ok(info(map)?[16])
}

/// All maps of a name.
pub fn maps_named(name: &str) -> Result<Vec<Object>> {
    let wanted: Vec<u32> = short_name(name.as_bytes())
        .chunks_exact(4)
        .map(|b| u32::from_ne_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    let mut found = Vec::new();
    // start_id, next_id, open_flags
    let mut attr = [0_u32; 3];
    while bpf(MAP_GET_NEXT_ID, &mut attr, "BPF_MAP_GET_NEXT_ID").is_ok() {
        attr[0] = attr[1];
        // One that goes meanwhile is none.
        if let Ok(map) = by_id(Kind::Map, attr[1])
            && info(&map)?[6..10] == wanted
        {
            found.push(map);
        }
    }
    Ok(found)
}

/// `struct bpf_map_info` up to `btf_id`: the name from word 6, `btf_id` in word 16.
fn info(map: &Object) -> Result<[u32; 17]> {
    let mut info = [0_u32; 17];
    let mut attr = Info {
        bpf_fd: map.fd(),
        length: size_of_val(&info) as u32,
        at: info.as_mut_ptr() as u64,
    };
    bpf(OBJ_GET_INFO_BY_FD, &mut attr, "BPF_OBJ_GET_INFO_BY_FD")?;
    Ok(info)
}
