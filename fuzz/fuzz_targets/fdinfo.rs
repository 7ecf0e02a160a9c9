//! `/proc/PID/fdinfo/FD`, `/proc/PID/status` and the links in `/proc/PID/ns`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use process::{fdinfo, namespace, status};

fuzz_target!(|bytes: &[u8]| {
    for key in ["map_id", "prog_id", "link_id", "btf_id", "memlock"] {
        let _ = fdinfo::value(bytes, key);
    }
    let _ = status::ns_pid(bytes);
    let _ = namespace::inode(bytes, "mnt");
});
