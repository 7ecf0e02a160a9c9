//! Debugging information that somebody has made up to be long to read.

use super::*;
use std::time::{Duration, Instant};

/// A section of a file that is made up: its name, flags and bytes.
type Part<'a> = (&'a str, u64, Vec<u8>);

/// `SHF_COMPRESSED`.
const COMPRESSED: u64 = 1 << 11;

/// An ELF file of nothing but sections.
fn file(parts: &[Part<'_>]) -> Vec<u8> {
    let mut names = vec![0];
    let mut all = vec![0; 64];
    let mut headers = vec![0; 64];
    let mut header = |name: u32, kind: u32, flags: u64, offset: usize, size: usize| {
        headers.extend(name.to_le_bytes());
        headers.extend(kind.to_le_bytes());
        for word in [flags, 0, offset as u64, size as u64, 0, 1, 0] {
            headers.extend(word.to_le_bytes());
        }
    };
    for (name, flags, bytes) in parts {
        header(names.len() as u32, 1, *flags, all.len(), bytes.len());
        names.extend(name.bytes().chain([0]));
        all.extend(bytes);
    }
    let own = names.len() as u32;
    names.extend(b".shstrtab\0");
    header(own, 3, 0, all.len(), names.len());
    all.extend(&names);
    all.resize(all.len().next_multiple_of(8), 0);
    let at = all.len() as u64;
    all.extend(&headers);
    all[..20].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0");
    all[20] = 1;
    all[40..48].copy_from_slice(&at.to_le_bytes());
    all[52] = 64;
    all[58] = 64;
    let count = parts.len() as u8 + 2;
    (all[60], all[62]) = (count, count - 1);
    all
}

/// A unit of DWARF 4 with these entries.
fn unit(entries: &[u8]) -> Vec<u8> {
    // Version, offset of the abbreviations, bytes of an address; then the unit's own entry.
    let body = [&[4, 0, 0, 0, 0, 0, 8, 1][..], entries, &[0]].concat();
    [&(body.len() as u32).to_le_bytes()[..], &body].concat()
}

/// 1: a unit. 2: a struct with entries in it, its name in `.debug_str`. 3: the same, its name in it.
const ABBREVIATIONS: [u8; 21] = [
    1, 0x11, 1, 0, 0, 2, 0x13, 1, 3, 0x0e, 0, 0, 3, 0x13, 1, 3, 0x08, 0, 0, 0, 0,
];

fn refused(parts: &[Part<'_>]) -> Error {
    let began = Instant::now();
    let error = read(&file(parts)).expect_err("nothing of the runtime is in it");
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
    error
}

fn parts(entries: &[u8], strings: Vec<u8>) -> [Part<'_>; 3] {
    [
        (".debug_abbrev", 0, ABBREVIATIONS.to_vec()),
        (".debug_info", 0, unit(entries)),
        (".debug_str", 0, strings),
    ]
}

/// Each is within all those before it: they are gone along once, not once for each.
#[test]
fn structs_within_structs() {
    const COUNT: usize = 100_000;
    let entries = [b"\x03runtime.g\0".repeat(COUNT), vec![0; COUNT]].concat();
    let error = refused(&parts(&entries, Vec::new()));
    assert!(matches!(error, Error::Lacks(_)), "{error}");
}

#[test]
fn many_entries_with_one_long_name() {
    let entries = [2, 0, 0, 0, 0, 0].repeat(10_000);
    let strings = [vec![b'a'; 4 << 20], vec![0]].concat();
    let error = refused(&parts(&entries, strings));
    assert!(matches!(error, Error::TooLarge), "{error}");
}

#[test]
fn sections_that_are_too_large_together() {
    // ELFCOMPRESS_ZLIB, bytes when decompressed, alignment.
    let header = [1_u64, 200 << 20, 1];
    let bytes: Vec<u8> = header.iter().flat_map(|word| word.to_le_bytes()).collect();
    let error = refused(&[
        (".debug_info", COMPRESSED, bytes.clone()),
        (".debug_str", COMPRESSED, bytes),
    ]);
    assert!(matches!(error, Error::TooLarge), "{error}");
}
