//! Memory full of garbage, and memory that says something else each time it is read: an error or a look, in bounded time.

mod common;

use common::image::Image;
use common::{Build, Running, build};
use std::time::{Duration, Instant};

/// How often.
const TIMES: u64 = 3000;

/// A process that has all that can be read, and the image of it.
fn recorded() -> (Running, Image) {
    let built = build("owners", None, Build::Stripped, "amd64");
    let mut running = Running::start(&built, &[]);
    for command in [
        "keep 300",
        "handles 50",
        "gc",
        "block",
        "block-cleanup",
        "gc 2",
        "drop 200",
        "drop-handles 40",
        "gc 2",
    ] {
        running.tell(command);
    }
    let image = running.recorded();
    (running, image)
}

/// A generator of numbers, the same ones each time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[test]
fn an_image_is_as_good_as_the_process() {
    let (running, image) = recorded();
    let mut heap = running.attach(&image).expect("a heap");
    let look = heap.look_with(&|_| 16).expect("a look");
    assert!(
        look.specials.len() >= 350 && look.queue.len() >= 240,
        "{} {}",
        look.specials.len(),
        look.queue.len()
    );
    assert_eq!(look.unread, []);
}

#[test]
fn garbage_ends_in_an_error_or_a_look() {
    let (running, image) = recorded();
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let (mut looks, mut errors, mut slowest, mut most) = (0, 0, Duration::ZERO, 0);
    for _ in 0..TIMES {
        let edits = 1 + numbers.next() % 24;
        let bytes: Vec<u8> = (0..edits * 10)
            .map(|_| (numbers.next() >> 24) as u8)
            .collect();
        let image = image.edited(&bytes);
        let began = Instant::now();
        match running.attach(&image) {
            Ok(mut heap) => match heap
                .look_with(&|_| 16)
                .and_then(|look| Ok((look, heap.profile()?)))
            {
                Ok(_) => looks += 1,
                Err(_) => errors += 1,
            },
            Err(_) => errors += 1,
        }
        slowest = slowest.max(began.elapsed());
        most = most.max(image.reads());
    }
    eprintln!("{looks} looks, {errors} errors, at most {slowest:?} and {most} reads");
    assert!(looks > 0 && errors > 0);
    assert!(slowest < Duration::from_secs(20), "{slowest:?}");
}
