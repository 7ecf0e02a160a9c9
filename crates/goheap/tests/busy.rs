//! A heap that is busy: collections run while it is read, again and again. What is alive is never said to be dead or
//! queued, and what is read is what is there.

mod common;

use common::{Build, RELEASES, Running, build};
use goheap::{Call, Kind, Mark, TypeName, Unread};
use std::time::{Duration, Instant};

const KEPT: std::ops::Range<u64> = 1000..10_000;
const COUNT: usize = 2000;

fn raw(bytes: Option<&[u8]>) -> Option<u64> {
    Some(u64::from_le_bytes(bytes?.try_into().ok()?))
}

fn busy(release: Option<&str>, time: Duration) {
    let built = build("owners", release, Build::Normal, "amd64");
    let mut running = Running::start(&built, &[]);
    running.tell(&format!("keep {COUNT}"));
    running.tell("gc");
    running.tell("busy 2");
    let memory = running.memory();
    let mut heap = running.attach(&memory).expect("a heap");
    let wanted = |name: &TypeName| {
        if name.name.starts_with("*main.") {
            8
        } else {
            0
        }
    };
    let end = Instant::now() + time;
    let (mut looks, mut moved, mut unread, mut dead, mut queued) = (0, 0, 0, 0, 0);
    let mut fewest = usize::MAX;
    let first = heap.collector().expect("the collector").cycles;
    while Instant::now() < end {
        let look = heap.look_with(&wanted).expect("a look");
        looks += 1;
        moved += u32::from(look.cycle_moved);
        unread += look.unread.len();
        let mut kept = 0;
        for special in &look.specials {
            let Kind::Finalizer { pointer, function } = &special.kind else {
                continue;
            };
            if pointer.name != "*main.Owner" {
                continue;
            }
            assert_eq!(&**function, "main.(*Owner).release");
            let number = raw(special.bytes.as_deref()).expect("its number");
            match special.mark {
                Mark::DeadUnswept => {
                    dead += 1;
                    assert!(
                        !KEPT.contains(&number),
                        "{number} is kept, and said to be dead: {special:?}"
                    );
                }
                Mark::Survived => kept += usize::from(KEPT.contains(&number)),
                Mark::New => assert!(
                    !KEPT.contains(&number),
                    "{number} has survived: {special:?}"
                ),
                // Of a collection before the last.
                Mark::Unread(Unread::Cycle) => {
                    assert!(look.cycle_moved && special.cycle != look.collector.cycles);
                    kept += usize::from(KEPT.contains(&number));
                }
                Mark::Free | Mark::Unread(_) => panic!("{special:?}"),
            }
            assert!(
                KEPT.contains(&number) || number >= 1_000_000 || number == 0,
                "no object of ours: {number}"
            );
        }
        fewest = fewest.min(kept);
        // Each of them, or its span is said to be unread.
        assert!(
            kept == COUNT || !look.unread.is_empty(),
            "{kept} of {COUNT}"
        );
        for entry in &look.queue {
            let Call::Finalizer { bytes, pointer, .. } = &entry.call else {
                continue;
            };
            if pointer.name == "*main.Owner" {
                queued += 1;
                let number = raw(bytes.as_deref()).expect("its number");
                assert!(
                    !KEPT.contains(&number),
                    "{number} is kept, and said to be queued"
                );
            }
        }
    }
    let cycles = heap.collector().expect("the collector").cycles - first;
    eprintln!(
        "{release:?}: {looks} looks, {moved} in more than one cycle, {cycles} collections, {unread} spans unread, {dead} dead, {queued} queued, at least {fewest} kept"
    );
    assert!(cycles > 10, "{cycles} collections");
}

#[test]
fn nothing_alive_is_called_dead() {
    busy(None, Duration::from_secs(5));
}

#[test]
#[ignore = "fetches the toolchains of all releases"]
fn nothing_alive_is_called_dead_in_any_release() {
    for release in RELEASES {
        busy(Some(release), Duration::from_secs(10));
    }
}
