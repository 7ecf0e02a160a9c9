//! `/proc/PID/stat`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use process::stat;

fuzz_target!(|bytes: &[u8]| {
    if let Some(found) = stat::parse(bytes) {
        assert!(found.comm.len() < bytes.len());
    }
});
