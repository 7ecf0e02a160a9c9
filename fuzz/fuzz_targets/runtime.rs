//! What container runtimes write about their containers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use process::runtime::parse;

fuzz_target!(|bytes: &[u8]| {
    let found = [
        parse::containerd(bytes),
        parse::crio(bytes),
        parse::docker(bytes),
        parse::storage_index(bytes, "a"),
    ];
    for names in found.into_iter().flatten() {
        let all = [names.name, names.pod, names.namespace, names.pod_uid];
        assert!(all.iter().any(Option::is_some));
        assert!(all.iter().flatten().all(|n| (1..=255).contains(&n.len())));
    }
    let root = parse::docker_root(bytes);
    assert!(root.is_none_or(|root| root.starts_with('/')));
});
