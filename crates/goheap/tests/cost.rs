//! What a process that makes its books up can have one look cost: bounded time and memory, and an error that says so.

mod common;

use common::made_up::{
    Books, FIELDS, INTEGERS, MadeUp, OTHER, SPECIAL, SPECIALS, STRUCTS, Structs, field,
};
use common::{Build, Running, build};
use gobinary::layout::{Arch, Layout, Layouts};
use goheap::{Error, Kind, Look, Unread};
use std::alloc::{GlobalAlloc, Layout as Size, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Bytes that are allocated, and the most that were.
static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);
/// One test after the other, as they share these.
static TURN: Mutex<()> = Mutex::new(());

/// What a look may cost, as tests are compiled.
const TIME: Duration = Duration::from_secs(20);
const MEMORY: usize = 640 << 20;

struct Counted;

fn grown(bytes: usize) {
    let now = NOW.fetch_add(bytes, Ordering::Relaxed) + bytes;
    MOST.fetch_max(now, Ordering::Relaxed);
}

// SAFETY: all is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, size: Size) -> *mut u8 {
        grown(size.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(size) }
    }

    unsafe fn alloc_zeroed(&self, size: Size) -> *mut u8 {
        grown(size.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, size: Size) {
        NOW.fetch_sub(size.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, size) }
    }

    unsafe fn realloc(&self, at: *mut u8, size: Size, new: usize) -> *mut u8 {
        grown(new);
        NOW.fetch_sub(size.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(at, size, new) }
    }
}

#[global_allocator]
static COUNTED: Counted = Counted;

/// A process, and the layout of its release.
struct Target {
    running: Running,
    layout: &'static Layout,
}

fn target(commands: &[&str]) -> Target {
    let built = build("owners", None, Build::Stripped, "amd64");
    let mut running = Running::start(&built, &[]);
    for command in commands {
        running.tell(command);
    }
    let info = running.executable.build_info().expect("its release");
    let minor = info.minor().expect("its release");
    Target {
        running,
        layout: Layouts::for_release(minor, Arch::Amd64).expect("its layout"),
    }
}

impl Target {
    fn books(&self) -> Books {
        Books {
            layout: self.layout,
        }
    }
}

/// What something cost.
struct Cost {
    took: Duration,
    bytes: usize,
}

/// Does something within the limits.
fn within<T>(what: &str, memory: &MadeUp<'_>, does: impl FnOnce() -> T) -> (T, Cost) {
    memory.reset();
    let before = NOW.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let began = Instant::now();
    let done = does();
    let cost = Cost {
        took: began.elapsed(),
        bytes: MOST.load(Ordering::Relaxed) - before,
    };
    println!(
        "{what}: {:?}, at most {} MiB; {} calls, {} MiB read",
        cost.took,
        cost.bytes >> 20,
        memory.calls.get(),
        memory.bytes.get() >> 20
    );
    assert!(cost.took < TIME, "{what}: {:?}", cost.took);
    assert!(cost.bytes < MEMORY, "{what}: {} MiB", cost.bytes >> 20);
    (done, cost)
}

fn too_much(look: Result<Look, Error>) {
    match look {
        Err(Error::TooMuch(_)) => {}
        Err(other) => panic!("{other}"),
        Ok(look) => panic!(
            "{} specials, {} calls",
            look.specials.len(),
            look.queue.len()
        ),
    }
}

/// What is too much is told, and the rest of the look is there.
fn cut(look: Result<Look, Error>) -> Look {
    let look = look.expect("a look");
    assert!(look.unread.iter().all(|span| span.why == Unread::Limit));
    assert!(!look.unread.is_empty() && !look.cleanups_unread);
    assert_eq!((look.queue_moved, look.unread_goroutines), (0, 0));
    assert!(!look.runners.is_empty());
    look
}

/// One span's list leads back to its first special: that one is not read, and all others are.
#[test]
fn a_circle_costs_its_span_alone() {
    let _turn = TURN.lock();
    let target = target(&["gc"]);
    let live = target.running.memory();
    let memory = MadeUp::new(&live);
    let mut heap = target.running.attach(&memory).expect("a heap");
    target
        .books()
        .heap(&memory, &heap, 100, |span| SPECIALS + span * 4 * SPECIAL);
    // Four of each span; of the tenth, the last one is followed by the second.
    let next = |n: u64| match n {
        39 => SPECIALS + 37 * SPECIAL,
        n if n % 4 == 3 => 0,
        n => SPECIALS + (n + 1) * SPECIAL,
    };
    let specials = target.books().specials("WeakHandle", next);
    memory.fill_region(SPECIALS, move |offset| specials.word(offset));
    let (look, cost) = within("a circle", &memory, || heap.look());
    let look = look.expect("a look");
    assert_eq!(look.specials.len(), 99 * 4);
    assert!(
        look.specials
            .iter()
            .all(|special| special.kind == Kind::Weak)
    );
    let [unread] = &look.unread[..] else {
        panic!("{:?}", look.unread);
    };
    assert_eq!(unread.why, Unread::Moving);
    assert_eq!(unread.start, 0xc0_0000_0000 + 9 * 8192);
    assert!(cost.bytes < 4 << 20 && memory.bytes.get() < 4 << 20);
}

/// A list without a circle and without an end.
#[test]
fn an_endless_list_costs_its_span_alone() {
    let _turn = TURN.lock();
    let target = target(&["gc"]);
    let live = target.running.memory();
    let memory = MadeUp::new(&live);
    let mut heap = target.running.attach(&memory).expect("a heap");
    target
        .books()
        .heap(&memory, &heap, 2, |span| SPECIALS + span * SPECIAL);
    let next = |n: u64| {
        if n == 0 {
            0
        } else {
            SPECIALS + (n + 1) * SPECIAL
        }
    };
    let specials = target.books().specials("WeakHandle", next);
    memory.fill_region(SPECIALS, move |offset| specials.word(offset));
    let (look, _) = within("an endless list", &memory, || heap.look());
    let look = look.expect("a look");
    assert_eq!((look.specials.len(), look.unread.len()), (1, 1));
}

/// Many spans share one list, so that their specials take little to read.
#[test]
fn spans_that_share_a_list_are_read_in_part() {
    let _turn = TURN.lock();
    let target = target(&["gc"]);
    let kinds = ["WeakHandle", "Finalizer", "Cleanup"];
    // As long as a list may be, and as short as goes into a batch.
    for (kind, length) in kinds
        .into_iter()
        .flat_map(|kind| [(kind, 60_000), (kind, 500)])
    {
        let live = target.running.memory();
        let memory = MadeUp::new(&live);
        let mut heap = target.running.attach(&memory).expect("a heap");
        target.books().heap(&memory, &heap, 100_000, |_| SPECIALS);
        let next = move |n: u64| {
            if n < length {
                SPECIALS + (n + 1) * SPECIAL
            } else {
                0
            }
        };
        let specials = target.books().specials(kind, next);
        memory.fill_region(SPECIALS, move |offset| specials.word(offset));
        let (look, _) = within(&format!("{length} of {kind}"), &memory, || {
            heap.look_with(&|_| 4096)
        });
        assert!(!cut(look).specials.is_empty());
    }
}

/// More specials than one batch takes: it ends early, and no span is passed over or read twice.
#[test]
fn spans_with_many_specials_are_read_once() {
    const SPANS: u64 = 3_000;
    const EACH: u64 = 200;
    let _turn = TURN.lock();
    let target = target(&["gc"]);
    let live = target.running.memory();
    let memory = MadeUp::new(&live);
    let mut heap = target.running.attach(&memory).expect("a heap");
    target.books().heap(&memory, &heap, SPANS, |span| {
        SPECIALS + span * EACH * SPECIAL
    });
    let next = |n: u64| {
        if n % EACH == EACH - 1 {
            0
        } else {
            SPECIALS + (n + 1) * SPECIAL
        }
    };
    let specials = target.books().specials("WeakHandle", next);
    memory.fill_region(SPECIALS, move |offset| specials.word(offset));
    let (look, _) = within("many specials", &memory, || heap.look());
    let look = look.expect("a look");
    assert_eq!(look.unread, []);
    assert_eq!(look.specials.len() as u64, SPANS * EACH);
}

/// A heap of 2 TiB in which every page begins a span with specials.
#[test]
fn a_heap_full_of_spans_is_too_much() {
    let _turn = TURN.lock();
    let target = target(&["gc"]);
    let live = target.running.memory();
    let memory = MadeUp::new(&live);
    let mut heap = target.running.attach(&memory).expect("a heap");
    target.books().heap(&memory, &heap, 1 << 28, |_| SPECIALS);
    let specials = target.books().specials("WeakHandle", |_| 0);
    memory.fill_region(SPECIALS, move |offset| specials.word(offset));
    let (look, _) = within("a large heap", &memory, || heap.look());
    too_much(look);
}

/// Specials that refer to pages of their own, each of which is a call of the system.
#[test]
fn specials_that_are_scattered_are_read_in_part() {
    let _turn = TURN.lock();
    let target = target(&["gc"]);
    let live = target.running.memory();
    let memory = MadeUp::new(&live);
    let mut heap = target.running.attach(&memory).expect("a heap");
    target.books().heap(&memory, &heap, 100_000, |span| {
        SPECIALS + span * 100 * SPECIAL
    });
    let next = |n: u64| {
        if n % 100 == 99 {
            0
        } else {
            SPECIALS + (n + 1) * SPECIAL
        }
    };
    let cleanup = field(target.layout, "runtime.specialCleanup", "cleanup").0;
    let specials = target
        .books()
        .specials("Cleanup", next)
        .with(cleanup, 8, |n| OTHER + n * 2048)
        .with(cleanup + 8, 8, |n| OTHER + n * 2048 + 1024);
    memory.fill_region(SPECIALS, move |offset| specials.word(offset));
    memory.fill_region(OTHER, |_| 1);
    let (look, _) = within("scattered specials", &memory, || heap.look());
    cut(look);
    // Each has a function of its own, too.
    memory.forget_last();
    memory.fill_region(OTHER, |offset| offset);
    let (look, _) = within("scattered functions", &memory, || heap.look());
    too_much(look);
}

/// Blocks of the queue that overlap but for eight bytes: each is the next of the one before.
#[test]
fn blocks_that_overlap_are_too_much() {
    let _turn = TURN.lock();
    let target = target(&["gc"]);
    for cleanups in [false, true] {
        let live = target.running.memory();
        let memory = MadeUp::new(&live);
        let mut heap = target.running.attach(&memory).expect("a heap");
        let at = heap.variables();
        let (variable, (link, _)) = if cleanups {
            let (all, _) = field(target.layout, "runtime.cleanupQueue", "all");
            let link = field(target.layout, "runtime.cleanupBlockHeader", "alllink");
            (at.cleanups + all, link)
        } else {
            let link = field(target.layout, "runtime.finBlock", "alllink");
            (at.all_finalizers, link)
        };
        memory.set(variable, OTHER);
        // Every word is the address of the block that follows the one whose link it is, and a count beyond all limits.
        memory.fill_region(OTHER, move |offset| OTHER + offset + 8 - link);
        let what = if cleanups { "cleanups" } else { "finalizers" };
        let (look, _) = within(what, &memory, || heap.look_with(&|_| 4096));
        too_much(look);
    }
}

/// A list of blocks that goes on to where nothing is hides what is behind.
#[test]
fn a_queue_that_is_cut_is_told() {
    let _turn = TURN.lock();
    let target = target(&["keep 10", "gc"]);
    let live = target.running.memory();
    let memory = MadeUp::new(&live);
    let mut heap = target.running.attach(&memory).expect("a heap");
    assert_eq!(heap.look().expect("a look").queue_moved, 0);
    memory.set(heap.variables().all_finalizers, MadeUp::region(15));
    assert_eq!(heap.look().expect("a look").queue_moved, 1);
}

/// Each special has a type of its own whose name is as long as names may be, and whose fields lead to others.
#[test]
fn types_with_long_names_are_too_much() {
    let _turn = TURN.lock();
    let target = target(&["gc"]);
    let live = target.running.memory();
    let memory = MadeUp::new(&live);
    let module = target.running.executable.module().expect("its module");
    let (end, _) = field(target.layout, "runtime.moduledata", "etypes");
    memory.set(module.addr + end, u64::MAX);
    let mut heap = target.running.attach(&memory).expect("a heap");
    target.books().heap(&memory, &heap, 100, |span| {
        SPECIALS + span * 10_000 * SPECIAL
    });
    let next = |n: u64| {
        if n % 10_000 == 9_999 {
            0
        } else {
            SPECIALS + (n + 1) * SPECIAL
        }
    };
    let (pointer_type, _) = field(target.layout, "runtime.specialfinalizer", "ot");
    let specials = target
        .books()
        .specials("Finalizer", next)
        .with(pointer_type, 8, |n| OTHER + n * 128);
    memory.fill_region(SPECIALS, move |offset| specials.word(offset));
    // A name is counted from where the module's types begin, with 32 bits.
    let names = 1 << 31;
    let types = |elem: fn(u64) -> u64, kind: u64| {
        Structs::every(128)
            .with(0, 8, |_| 8)
            .with(20, 1, |_| 0)
            .with(21, 1, |_| 8)
            .with(23, 1, move |_| kind)
            .with(40, 4, move |_| names)
            .with(48, 8, elem)
    };
    let pointers = types(|n| STRUCTS + n * 128, 22);
    memory.fill_region(OTHER, move |offset| pointers.word(offset));
    let structs = types(|_| 0, 25)
        .with(56, 8, |_| FIELDS)
        .with(64, 8, |_| 1024);
    memory.fill_region(STRUCTS, move |offset| structs.word(offset));
    let name = module.types.start + names;
    let fields = Structs::every(24)
        .with(0, 8, move |_| name)
        .with(8, 8, |n| INTEGERS + n * 128)
        .with(16, 8, |n| n * 8);
    memory.fill_region(FIELDS, move |offset| fields.word(offset));
    let integers = types(|_| 0, 2);
    memory.fill_region(INTEGERS, move |offset| integers.word(offset));
    for len in [65_535_u64, 3] {
        memory.fill_region(name, move |offset| match offset {
            // Flags, then the length: seven bits a byte.
            0 => {
                let len = len & 0x7f | 0x80 | (len >> 7 & 0x7f | 0x80) << 8 | len >> 14 << 16;
                len << 8 | 0x6161_6161 << 32
            }
            _ => 0x6161_6161_6161_6161,
        });
        let what = format!("types with names of {len} bytes");
        let (look, _) = within(&what, &memory, || heap.look_with(&|_| 4096));
        too_much(look);
        memory.forget_last();
    }
}

/// A heap profile whose stacks are as deep as they may be, through all of the code: few of them, and without end.
#[test]
fn a_profile_of_deep_stacks_is_cut() {
    let _turn = TURN.lock();
    let target = target(&["heap 16", "gc 3"]);
    let module = target.running.executable.module().expect("its module");
    let (next, _) = field(target.layout, "runtime.bucket", "allnext");
    let (frames, size) = field(target.layout, "runtime.bucket", "nstk");
    let fixed = target.layout.size("runtime.bucket").expect("its size");
    let code = module.text;
    for buckets in [1000, u64::MAX] {
        let live = target.running.memory();
        let memory = MadeUp::new(&live);
        let mut heap = target.running.attach(&memory).expect("a heap");
        assert!(heap.profile().expect("a profile").is_some());
        memory.set(heap.variables().buckets, OTHER);
        memory.fill_region(OTHER, move |offset| {
            let (bucket, within) = (offset >> 14, offset & 0x3fff);
            if within == next {
                return if bucket < buckets {
                    OTHER + ((bucket + 1) << 14)
                } else {
                    0
                };
            }
            if within == frames & !7 {
                return (1024 << (frames % 8 * 8)) & (u64::MAX >> (64 - size * 8));
            }
            match within.checked_sub(fixed) {
                Some(at) => code.start + (bucket * 1024 + at / 8) * 97 % code.size(),
                None => 1,
            }
        });
        let (profile, _) = within(&format!("{buckets} stacks"), &memory, || heap.profile());
        match profile {
            Ok(Some(profile)) => {
                assert!(profile.cut && !profile.sites.is_empty());
                // No stack is told in part.
                assert!(profile.sites.iter().all(|site| site.stack.len() >= 1024));
            }
            other => assert!(matches!(other, Err(Error::TooMuch(_))) && buckets == u64::MAX),
        }
    }
}
