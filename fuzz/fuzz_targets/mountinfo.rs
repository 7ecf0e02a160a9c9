//! `/proc/PID/mountinfo`, whole and by the line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use process::mountinfo;

fuzz_target!(|bytes: &[u8]| {
    let whole = mountinfo::bpffs_mounts(bytes).expect("memory can always be read");
    // The same bytes a few at a time: the lines are put together from pieces.
    let pieces = std::io::BufReader::with_capacity(3, bytes);
    let pieces = mountinfo::bpffs_mounts(pieces).expect("memory can always be read");
    assert_eq!(whole, pieces);
    let _ = mountinfo::parse_line(bytes);
    assert!(mountinfo::unescape(bytes).len() <= bytes.len());
});
