//! A runtime in memory that somebody has meddled with: the image of a live process, with words of it changed, some of
//! them each time they are read. Needs `go`.
#![no_main]

#[path = "../../crates/goheap/tests/common/mod.rs"]
mod common;

use common::image::Image;
use common::{Build, Running, build};
use libfuzzer_sys::fuzz_target;
use std::cell::OnceCell;

thread_local! {
    /// The process stays, as its regions and executable are asked for; its memory is not read again.
    static RECORDED: OnceCell<(Running, Image)> = const { OnceCell::new() };
}

fn recorded() -> (Running, Image) {
    let built = build("owners", None, Build::Stripped, "amd64");
    let mut running = Running::start(&built, &[]);
    for command in ["keep 300", "handles 50", "block", "block-cleanup", "gc 2", "drop 200", "drop-handles 40", "gc 2"] {
        running.tell(command);
    }
    let image = running.recorded();
    (running, image)
}

fuzz_target!(|bytes: &[u8]| {
    RECORDED.with(|cell| {
        let (running, image) = cell.get_or_init(recorded);
        let image = image.edited(bytes);
        let Ok(mut heap) = running.attach(&image) else {
            return;
        };
        let _ = heap.profile();
        if let Ok(look) = heap.look_with(&|_| 16) {
            let objects: Vec<u64> = look.specials.iter().map(|special| special.object).take(64).collect();
            let _ = heap.marks(&objects);
        }
    });
});
