//! What a program's own bytes and names tell of its libraries: read-only data, types, functions,
//! versions.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for library in libraries::of_bytes(bytes) {
        assert!(library.version.is_none_or(|v| libraries::parse_version(&v).is_some()));
    }
    libraries::language(None, [], bytes);
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let mut lines = text.lines();
    let mut next = || lines.next().unwrap_or_default();
    let (type_name, package, version, function) = (next(), next(), next(), next());
    if let Some(owner) = libraries::owner(type_name, package, Some(version)) {
        assert_eq!(owner.type_name, type_name);
        assert!(package.ends_with(owner.package));
    }
    if let Some(owner) = libraries::cleanup(function) {
        assert_eq!(owner.registers, libraries::Registers::Cleanup);
    }
    let files = libraries::of_files(text.lines());
    let modules = libraries::of_modules(text.lines().map(|path| (path, Some(version))), false);
    for library in files.iter().chain(&modules) {
        for kind in model::Kind::ALL {
            libraries::defects(library, kind).count();
            assert!(!libraries::release(library.kind, kind).act.is_empty());
        }
    }
});
