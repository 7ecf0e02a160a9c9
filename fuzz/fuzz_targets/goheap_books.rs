//! A runtime whose books are made up: lists of specials, of what waits to be run, of goroutines and of allocations lead
//! through the fuzzer's own bytes, over and over. No more is read of them than a look may. Needs `go`.
#![no_main]

#[path = "../../crates/goheap/tests/common/mod.rs"]
mod common;

use common::image::Image;
use common::made_up::{Books, MadeUp, OTHER, SPECIALS, field};
use common::{Build, Running, build};
use gobinary::layout::{Arch, Layout, Layouts};
use libfuzzer_sys::fuzz_target;
use std::cell::OnceCell;

/// Bytes that a look, a profile and marks may read together: 256 MiB each, 64 MiB for names in each of the first two.
const MOST: u64 = (3 * 256 + 2 * 64) << 20;

struct Recorded {
    running: Running,
    image: Image,
    layout: &'static Layout,
}

thread_local! {
    /// The process stays, as its regions and executable are asked for; its memory is not read again.
    static RECORDED: OnceCell<Recorded> = const { OnceCell::new() };
}

fn recorded() -> Recorded {
    let built = build("owners", None, Build::Stripped, "amd64");
    let mut running = Running::start(&built, &[("GODEBUG", "memprofilerate=4096")]);
    for command in ["keep 300", "handles 50", "block", "heap 1", "gc 2", "drop 200", "gc 2"] {
        running.tell(command);
    }
    let image = running.recorded();
    let minor = running.executable.build_info().ok().and_then(|info| info.minor());
    let layout = minor.and_then(|minor| Layouts::for_release(minor, Arch::Amd64));
    Recorded {
        running,
        image,
        layout: layout.expect("its layout"),
    }
}

/// The `index`th word of the bytes, without end. An odd one is a pointer to one of them.
fn word(bytes: &[u8], index: u64) -> u64 {
    let words = (bytes.len() / 8).max(1) as u64;
    let from = (index % words) as usize * 8;
    let mut word = [0; 8];
    let part = bytes.get(from..).unwrap_or_default();
    let len = part.len().min(8);
    word[..len].copy_from_slice(&part[..len]);
    let word = u64::from_le_bytes(word);
    if word & 1 == 1 { OTHER + (word >> 1) % (1 << 20) * 8 } else { word >> 1 }
}

fuzz_target!(|bytes: &[u8]| {
    let [which, spans, bytes @ ..] = bytes else {
        return;
    };
    RECORDED.with(|cell| {
        let Recorded { running, image, layout } = cell.get_or_init(recorded);
        let memory = MadeUp::new(image);
        let mut heap = running.attach(&memory).expect("a heap");
        let at = heap.variables();
        memory.fill_region(OTHER, |offset| word(bytes, offset / 8));
        // Short structs, as long ones would seldom be whole ones; of the same words.
        memory.fill_region(SPECIALS, |offset| word(bytes, offset / 8));
        if which & 1 != 0 {
            Books { layout }.heap(&memory, &heap, u64::from(*spans), |span| word(bytes, span));
        }
        let (all, _) = field(layout, "runtime.cleanupQueue", "all");
        let variables = [at.all_finalizers, at.finalizers, at.cleanups + all, at.buckets];
        for (i, variable) in variables.into_iter().enumerate() {
            if which >> (i + 1) & 1 != 0 {
                memory.set(variable, word(bytes, i as u64));
            }
        }
        for (i, slice) in [at.goroutines, at.processors].into_iter().enumerate() {
            if which >> (i + 5) & 1 != 0 {
                memory.set(slice, OTHER);
                memory.set(slice + 8, word(bytes, i as u64 + 4));
                memory.set(slice + 16, u64::MAX);
            }
        }
        memory.reset();
        let _ = heap.profile();
        if let Ok(look) = heap.look_with(&|name| name.integers.len() as u64 * 8) {
            let objects: Vec<u64> = look.specials.iter().map(|special| special.object).take(64).collect();
            let _ = heap.marks(&objects);
        }
        assert!(memory.bytes.get() < MOST, "{} MiB", memory.bytes.get() >> 20);
    });
});
