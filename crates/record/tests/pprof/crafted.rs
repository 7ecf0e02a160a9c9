//! Profiles made by hand: what is right, and what is not.

use crate::message::{Message, gzip, heap, message, sample};
use flate2::{Compression, write::GzEncoder};
use model::Frame;
use proptest::prelude::*;
use record::{HeapProfile, MAX_PROFILE_BYTES, MAX_UNPACKED_BYTES, ProfileError, heap_profile};
use std::io::Write;

fn read(profile: &Message) -> Result<HeapProfile, ProfileError> {
    let packed = heap_profile(&gzip(&profile.0));
    assert_eq!(heap_profile(&profile.0), packed);
    packed
}

fn refused(profile: &Message) -> String {
    let text = read(profile).expect_err("it is wrong").to_string();
    assert!(text.len() < 1000, "{text}");
    text
}

fn with(samples: &[Message]) -> Message {
    let heap = heap();
    samples
        .iter()
        .fold(heap, |heap, sample| heap.message(2, sample))
}

fn frame(function: &str, line: Option<u32>, inlined: bool) -> Frame {
    Frame {
        function: function.into(),
        file: line.map(|_| "/src/main.go".into()),
        line,
        inlined,
    }
}

#[test]
fn equal_stacks_are_one_and_the_largest_is_first() {
    let profile = with(&[
        sample(100, 3, &[2]),
        sample(7, 1, &[3, 2]),
        // Not in use any more.
        sample(0, 0, &[1]),
        sample(4096, 2, &[1]),
        // The same line at another address.
        sample(50, 2, &[4]),
        // Not packed.
        message()
            .number(2, 9)
            .number(1, 1)
            .number(2, 10)
            .number(2, 1),
    ]);
    let profile = read(&profile).expect("it is a heap profile");
    assert_eq!(profile.sample_rate, Some(524_288));
    assert_eq!(profile.taken, Some(1_700_000_000_000_000_000));
    assert_eq!(profile.executable.as_deref(), Some("/bin/agent"));
    assert_eq!(profile.build_id.as_deref(), Some("abc"));
    assert_eq!((profile.in_use_objects, profile.in_use_bytes), (9, 4263));
    let stacks: Vec<_> = profile
        .stacks
        .iter()
        .map(|one| (one.in_use_bytes, one.in_use_objects, one.site.complete))
        .collect();
    assert_eq!(stacks, [(4106, 3, true), (150, 5, true), (7, 1, false)]);
    let frames = |at: usize| &profile.stacks[at].site.frames;
    let main = frame("main.main", Some(20), false);
    assert_eq!(
        *frames(0),
        [
            frame("main.leak", Some(88), true),
            frame("main.main", Some(12), false)
        ]
    );
    assert_eq!(*frames(1), std::slice::from_ref(&main));
    assert_eq!(*frames(2), [frame("0xabc", None, false), main]);
}

#[test]
fn a_program_that_does_not_profile_has_no_stacks() {
    let profile = read(&heap()).expect("it is a heap profile");
    assert!(profile.stacks.is_empty());
    assert_eq!(profile.in_use_bytes, 0);
}

#[test]
fn deep_stacks_are_cut_and_say_so() {
    let deep = |depth| {
        let profile = with(&[sample(8, 1, &vec![2; depth])]);
        let profile = read(&profile).expect("it is a heap profile");
        let site = &profile.stacks[0].site;
        (site.frames.len(), site.complete)
    };
    assert_eq!(deep(0), (0, false));
    assert_eq!(deep(23), (23, true));
    assert_eq!(deep(32), (32, false));
    assert_eq!(deep(100_000), (1024, false));
}

#[test]
fn what_contradicts_itself_is_refused() {
    let line_of = |function| {
        let line = message().number(1, function).number(2, 1);
        let location = message().number(1, 9).message(4, &line);
        with(&[sample(1, 1, &[9])]).message(4, &location)
    };
    for (profile, words) in [
        (with(&[sample(1, 1, &[77])]), "there is no location 77"),
        (line_of(55), "there is no function 55"),
        (
            heap().message(4, &message().number(1, 1)),
            "two have the id 1",
        ),
        (
            heap().message(5, &message().number(1, 1)),
            "two have the id 1",
        ),
        (
            with(&[message().packed(2, &[1, 2])]),
            "it has 2 values; 3 are due",
        ),
        (with(&[message().number(1, 1)]), "it has 0 values"),
        (with(&[sample(-1, 1, &[1])]), "subtract no other"),
        (with(&[sample(1, -1, &[1])]), "subtract no other"),
        (heap().number(10, 30_000_000_000), "without `seconds=`"),
        (heap().message(3, &message().number(5, 99)), "it is cut off"),
        (
            heap().message(11, &message().number(1, 99)),
            "it is cut off",
        ),
        (heap().message(11, &message().number(1, -1)), "is negative"),
        (heap().number(2, 5), "bytes are expected"),
        (heap().bytes(4, b"\x22\x05"), "ends within a field"),
        (heap().bytes(2, b"\x0b"), "a type that cannot be"),
        (
            message().bytes(1, b"").bytes(6, b"x"),
            "the first is not empty",
        ),
    ] {
        let text = refused(&profile);
        assert!(text.contains(words), "{words}: {text}");
    }
    let much = sample(i64::MAX, 1, &[1]);
    let text = refused(&with(&[much.clone(), much.clone(), much]));
    assert!(text.contains("more than can be counted"), "{text}");
}

#[test]
fn other_types_are_named() {
    for (types, what) in [
        (
            &[("samples", "count"), ("cpu", "nanoseconds")][..],
            "a CPU profile (samples/count, cpu/nanoseconds)",
        ),
        (&[("goroutine", "count")], "a goroutine profile"),
        (
            &[("contentions", "count"), ("delay", "nanoseconds")],
            "a block or mutex profile",
        ),
        (
            &[("inuse_space", "bytes")],
            "another profile (inuse_space/bytes)",
        ),
        (
            &[("inuse_objects", "count"), ("inuse_space", "kilobytes")],
            "another profile",
        ),
        (&[("\x1b[2J", "x")], r"another profile (\x1b[2J/x)"),
    ] {
        let mut profile = message();
        for at in 0..types.len() as i64 {
            let kind = message().number(1, at * 2 + 1).number(2, at * 2 + 2);
            profile = profile.message(1, &kind);
        }
        profile = profile.bytes(6, b"");
        for (kind, unit) in types {
            profile = profile.bytes(6, kind).bytes(6, unit);
        }
        let text = refused(&profile);
        assert!(text.contains(what), "{text}");
        assert!(text.contains("/debug/pprof/heap"), "{text}");
    }
}

#[test]
fn other_files_are_recognised() {
    for (bytes, words) in [
        (&b""[..], "it is empty"),
        (&gzip(b""), "it is empty"),
        (
            b"heap profile: 1: 2 [3: 4] @ heap/1048576\n",
            "without `debug=1`",
        ),
        (
            &gzip(b"heap profile: 1: 2 [3: 4] @ heap/1048576\n"),
            "without `debug=1`",
        ),
        (
            b"goroutine profile: total 7\n",
            "a goroutine profile as text",
        ),
        (b"goroutine 1 [running]:\n", "a list of goroutines"),
        (b"PeriodType: space bytes\n", "pprof -raw"),
        (b"go1.7 heap dump\n\x06", "a heap dump"),
        (b"go 1.22 trace\0\0\0", "an execution trace"),
        (b"\x7fELF\x02\x01", "an ELF file"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"404 page not found\n", "no such page"),
        (b"Unknown profile\n", "no such profile"),
        (b"{\"a\":1}", "JSON"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"hello, world", "it is no profile"),
        (b"\n", "it is no profile"),
        (b"\x1f\x8b", "it is cut off"),
        (
            b"\x1f\x8b\x07\x00\x00\x00\x00\x00\x00\x00",
            "cannot be unpacked",
        ),
    ] {
        let text = heap_profile(bytes).expect_err("it is none").to_string();
        assert!(text.contains(words), "{words}: {text}");
    }
    let mut twice = gzip(&heap().0);
    twice.extend_from_slice(&twice.clone());
    let text = heap_profile(&twice).expect_err("it is two").to_string();
    assert!(text.contains("something follows"), "{text}");
    let mut changed = gzip(&heap().0);
    let end = changed.len() - 6;
    changed[end] ^= 1;
    let text = heap_profile(&changed)
        .expect_err("its sum is wrong")
        .to_string();
    assert!(text.contains("cannot be unpacked"), "{text}");
}

#[test]
fn sizes_are_bounded() {
    let large = vec![0; MAX_PROFILE_BYTES + 1];
    assert_eq!(heap_profile(&large), Err(ProfileError::TooLarge));
    let mut bomb = GzEncoder::new(Vec::new(), Compression::fast());
    let block = vec![0; 1 << 20];
    for _ in 0..=MAX_UNPACKED_BYTES >> 20 {
        bomb.write_all(&block).expect("memory can be written");
    }
    let bomb = bomb.finish().expect("memory can be written");
    assert_eq!(heap_profile(&bomb), Err(ProfileError::UnpackedTooLarge));
}

#[test]
fn work_is_bounded() {
    // A few bytes of a sample stand for a thousand frames.
    let line = message().number(1, 1).number(2, 1);
    let wide = (0..1024).fold(message().number(1, 9), |wide, _| wide.message(4, &line));
    let mut profile = heap().message(4, &wide);
    let one = sample(1, 1, &[9]);
    for _ in 0..100_000 {
        profile = profile.message(2, &one);
    }
    let text = heap_profile(&profile.0)
        .expect_err("it is too much")
        .to_string();
    assert!(text.contains("more than 8388608 frames"), "{text}");
    // A long name stands in every frame of stacks that all differ.
    let name = "x".repeat(16 << 10);
    let function = message().number(1, 9).number(2, 12);
    let mut profile = heap().bytes(6, &name).message(5, &function);
    let line = message().number(1, 9).number(2, 1);
    profile = profile.message(4, &message().number(1, 9).message(4, &line));
    for depth in 1..300 {
        profile = profile.message(2, &sample(1, 1, &vec![9; depth]));
    }
    let text = heap_profile(&profile.0)
        .expect_err("it is too much")
        .to_string();
    assert!(text.contains("bytes of names"), "{text}");
    let profile = heap().bytes(6, "x".repeat((16 << 10) + 1));
    let text = refused(
        &profile
            .message(5, &message().number(1, 9).number(2, 12))
            .message(3, &message().number(5, 12)),
    );
    assert!(text.contains("longer than 16 KiB"), "{text}");
}

proptest! {
    #[test]
    fn no_byte_makes_it_panic(at in 0..500_usize, byte: u8) {
        let mut bytes = with(&[sample(4096, 2, &[1]), sample(7, 1, &[3, 2])]).0;
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = heap_profile(&bytes);
        let _ = heap_profile(&gzip(&bytes));
    }

    #[test]
    fn no_garbage_makes_it_panic(bytes: Vec<u8>) {
        prop_assert!(heap_profile(&bytes).is_err());
        prop_assert!(heap_profile(&gzip(&bytes)).is_err());
    }
}
