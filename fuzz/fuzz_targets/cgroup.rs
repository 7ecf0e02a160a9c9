//! `/proc/PID/cgroup`: lines, the choice among them, units and containers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use process::cgroup;

fuzz_target!(|bytes: &[u8]| {
    let Some(found) = cgroup::parse(bytes) else {
        return;
    };
    assert!(found.path.starts_with('/'));
    if let Some(container) = found.container {
        assert!(!container.id.is_empty());
    }
});
