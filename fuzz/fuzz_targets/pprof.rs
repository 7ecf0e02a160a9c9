//! A heap profile that somebody else wrote, as it is and packed with gzip.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(profile) = record::heap_profile(bytes) else {
        return;
    };
    let stacks = &profile.stacks;
    assert!(stacks.is_sorted_by(|a, b| a.in_use_bytes >= b.in_use_bytes));
    let all: u64 = stacks.iter().map(|stack| stack.in_use_bytes).sum();
    assert_eq!(all, profile.in_use_bytes);
    for stack in stacks {
        assert!(stack.in_use_bytes > 0 || stack.in_use_objects > 0);
        assert!(stack.site.frames.len() <= 1024);
    }
});
