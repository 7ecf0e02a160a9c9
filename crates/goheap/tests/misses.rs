//! What cannot be read is told, never passed over.

mod common;

use common::bent::Bent;
use common::{Build, Running, build};
use gobinary::Memory;
use gobinary::layout::{Arch, Layouts};
use goheap::{Call, Heap, Kind, Look, Mark, Runner, State, Unread};

/// The release that the programs are built with.
const MINOR: u16 = 26;
const KEPT: usize = 100;

fn word(memory: &dyn Memory, addr: u64) -> u64 {
    let mut bytes = [0; 8];
    memory.read(addr, &mut bytes).expect("a word");
    u64::from_le_bytes(bytes)
}

/// Where a field stands in a struct of that release.
fn offset(strukt: &str, field: &str) -> u64 {
    let layout = Layouts::for_release(MINOR, Arch::Amd64).expect("its layout");
    layout.field(strukt, field).expect(field).offset
}

/// Owners that are kept, as they were seen.
fn kept(look: &Look) -> Vec<u64> {
    let is_owner = |kind: &Kind| matches!(kind, Kind::Finalizer { pointer, .. } if pointer.name == "*main.Owner");
    let owners = look.specials.iter().filter(|s| is_owner(&s.kind));
    owners.map(|special| special.object).collect()
}

fn running() -> Running {
    let built = build("owners", None, Build::Stripped, "amd64");
    let mut running = Running::start(&built, &[]);
    running.tell(&format!("keep {KEPT}"));
    running.tell("gc");
    let release = running.executable.build_info().expect("build info");
    assert_eq!(release.minor(), Some(MINOR), "the layout is another");
    running
}

/// Where the entry of the page that an object is in stands (`heapArena.spans`).
fn entry_of(memory: &dyn Memory, heap: &Heap<'_>, object: u64) -> u64 {
    let arenas = word(
        memory,
        heap.variables().heap + offset("runtime.mheap", "arenas"),
    );
    let index = object.wrapping_add(0x8000_0000_0000) >> 26;
    let arena = word(memory, arenas + index * 8);
    arena + offset("runtime.heapArena", "spans") + (object >> 13) % 8192 * 8
}

#[test]
fn a_span_that_cannot_be_read_is_told() {
    let running = running();
    let live = running.memory();
    let memory = Bent::new(&live);
    let mut heap = running.attach(&memory).expect("a heap");
    let look = heap.look().expect("a look");
    assert_eq!((kept(&look).len(), &look.unread[..]), (KEPT, &[][..]));
    let entry = entry_of(&live, &heap, kept(&look)[0]);
    let span = word(&live, entry);

    memory.hide(span..span + 8);
    let look = heap.look().expect("a look");
    assert!(kept(&look).len() < KEPT);
    assert!(!look.unread.is_empty(), "its struct");

    // A list of spans that says nothing of a page that has specials.
    memory.straighten();
    memory.bend(entry, 8, |_| Some(vec![0; 8]));
    let look = heap.look().expect("a look");
    assert!(kept(&look).len() < KEPT);
    assert!(look.unread_arenas > 0, "its entry");
}

#[test]
fn a_list_of_arenas_that_grows_is_read_again() {
    let running = running();
    let live = running.memory();
    let memory = Bent::new(&live);
    let mut heap = running.attach(&memory).expect("a heap");
    let list = heap.variables().heap + offset("runtime.mheap", "heapArenas");
    // The length of before, and the list of now.
    let shorter = |until| move |count| (count < until).then(|| vec![0; 8]);
    memory.bend(list + 8, 8, shorter(1));
    let look = heap.look().expect("a look");
    assert_eq!((kept(&look).len(), look.unread_arenas), (KEPT, 0));

    // One that is never at rest.
    memory.straighten();
    memory.bend(list + 8, 8, |count| {
        Some(vec![(count % 2) as u8, 0, 0, 0, 0, 0, 0, 0])
    });
    let look = heap.look().expect("a look");
    assert!(look.unread_arenas > 0);
}

/// The goroutine that runs finalizers: its struct, and as it was seen.
fn finalizers(memory: &dyn Memory, heap: &Heap<'_>) -> u64 {
    let at = heap.variables();
    let (list, len) = (word(memory, at.goroutines), word(memory, at.goroutines + 8));
    let start = offset("runtime.g", "startpc");
    let mut all = (0..len).map(|i| word(memory, list + i * 8));
    all.find(|g| word(memory, g + start) == at.run_finalizers)
        .expect("the goroutine of finalizers")
}

fn runner(look: &Look) -> Option<&Runner> {
    look.runners.iter().find(|runner| !runner.cleanups)
}

#[test]
fn a_list_of_goroutines_that_grows_is_read_again() {
    let running = running();
    let live = running.memory();
    let memory = Bent::new(&live);
    let mut heap = running.attach(&memory).expect("a heap");
    let list = heap.variables().goroutines;
    // As it was when there was one goroutine.
    memory.bend(list + 8, 8, |count| {
        (count == 0).then(|| vec![1, 0, 0, 0, 0, 0, 0, 0])
    });
    let look = heap.look().expect("a look");
    assert!(runner(&look).is_some());
    assert_eq!(look.unread_goroutines, 0);

    // It never is the same twice.
    let mut heap = running.attach(&live).expect("a heap");
    memory.straighten();
    drop(heap);
    heap = running.attach(&memory).expect("a heap");
    memory.bend(list + 8, 8, |count| {
        Some(vec![1 + (count % 2) as u8, 0, 0, 0, 0, 0, 0, 0])
    });
    let look = heap.look().expect("a look");
    assert!(look.unread_goroutines > 0);
}

#[test]
fn a_goroutine_that_cannot_be_read_is_told() {
    let running = running();
    let live = running.memory();
    let memory = Bent::new(&live);
    let mut heap = running.attach(&memory).expect("a heap");
    let g = finalizers(&live, &heap);
    // In the first look, and in one that knows it.
    for _ in 0..2 {
        memory.hide(g..g + 8 * 32);
        let look = heap.look().expect("a look");
        assert_eq!(runner(&look), None);
        assert!(look.unread_goroutines > 0);
        memory.straighten();
        let look = heap.look().expect("a look");
        assert_eq!(runner(&look).map(|r| r.state), Some(State::Idle));
        assert_eq!(look.unread_goroutines, 0);
    }

    // Its struct is another goroutine's by now: all are looked at again.
    let start = g + offset("runtime.g", "startpc");
    memory.bend(start, 8, |_| Some(vec![0; 8]));
    let look = heap.look().expect("a look");
    assert_eq!((runner(&look), look.unread_goroutines), (None, 0));
}

/// The queue counts more goroutines than there are to be found.
#[test]
fn goroutines_that_are_not_found_are_told() {
    let running = running();
    let live = running.memory();
    let memory = Bent::new(&live);
    let mut heap = running.attach(&memory).expect("a heap");
    let count = heap.variables().cleanups + offset("runtime.cleanupQueue", "ng");
    let mut bytes = [0; 4];
    live.read(count, &mut bytes).expect("a count");
    let found = u32::from_le_bytes(bytes);
    for (told, unread) in [(found, 0), (found + 3, 3), (u32::MAX, 64)] {
        memory.straighten();
        memory.bend(count, 4, move |_| Some(told.to_le_bytes().into()));
        let look = heap.look().expect("a look");
        assert_eq!(look.unread_goroutines, unread, "{told}");
        assert!(runner(&look).is_some());
    }
}

#[test]
fn goroutines_that_run_nothing_cost_nothing() {
    let mut running = running();
    running.tell("goroutines 20000");
    let live = running.memory();
    let memory = Bent::new(&live);
    let mut heap = running.attach(&memory).expect("a heap");
    for _ in 0..2 {
        memory.bytes.set(0);
        let look = heap.look().expect("a look");
        assert!(runner(&look).is_some());
        let bytes = memory.bytes.get();
        assert!(bytes < 2 << 20, "{bytes} bytes");
    }
}

#[test]
fn what_can_go_on_is_not_what_runs() {
    let running = running();
    let live = running.memory();
    let memory = Bent::new(&live);
    let mut heap = running.attach(&memory).expect("a heap");
    let status = finalizers(&live, &heap) + offset("runtime.g", "atomicstatus");
    for (number, state) in [
        (1, State::Runnable),
        (0x1001, State::Runnable),
        (2, State::Running),
        (9, State::Runnable),
    ] {
        let number: u32 = number;
        memory.bend(status, 4, move |_| Some(number.to_le_bytes().to_vec()));
        let look = heap.look().expect("a look");
        let runner = runner(&look).expect("the goroutine");
        assert_eq!(runner.state, state);
        assert_eq!(runner.stack.is_empty(), state == State::Running);
        memory.straighten();
    }
}

#[test]
fn a_release_in_a_call_of_the_system() {
    let mut running = running();
    for command in ["block-in-the-system", "gc 2", "gc"] {
        running.tell(command);
    }
    let memory = running.memory();
    let mut heap = running.attach(&memory).expect("a heap");
    let look = heap.look().expect("a look");
    let runner = runner(&look).expect("the goroutine");
    let State::Syscall { since } = runner.state else {
        panic!("{runner:?}");
    };
    // A collection has seen it there, before it ended.
    assert!(since.is_some() && since < look.collector.last, "{runner:?}");
    let calls = |name: &str| runner.stack.iter().any(|frame| frame.function == name);
    assert!(calls("main.(*Reader).release"), "{runner:?}");
}

/// Where a goroutine stopped is behind the call that it stopped in: the line is that of the call.
#[test]
fn the_line_is_that_of_the_call() {
    let running = running();
    let memory = running.memory();
    let mut heap = running.attach(&memory).expect("a heap");
    let look = heap.look().expect("a look");
    let stack = &runner(&look).expect("the goroutine").stack;
    assert_eq!(stack[0].function, "runtime.gopark", "{stack:?}");
    let text = std::fs::read_to_string(&stack[0].file).expect("its source");
    let line = text.lines().nth(stack[0].line as usize - 1);
    assert!(line.is_some_and(|line| line.contains("mcall(")), "{line:?}");
}

#[test]
fn a_queue_of_cleanups_that_is_not_found_is_told() {
    let running = running();
    let live = running.memory();
    let memory = Bent::new(&live);
    let mut heap = running.attach(&memory).expect("a heap");
    assert!(!heap.look().expect("a look").cleanups_unread);
    let queue = heap.variables().cleanups;
    memory.bend(queue + offset("runtime.cleanupQueue", "ng"), 4, |_| {
        Some(vec![0xff; 4])
    });
    let mut heap = running.attach(&memory).expect("a heap");
    let look = heap.look().expect("a look");
    assert!(look.cleanups_unread);
    // Nothing tells how many run them: all goroutines were looked at.
    assert_eq!((look.unread_goroutines, runner(&look).is_some()), (0, true));
}

/// Reads of the heap's number of collections: one for the collector, two for the spans, one for the collector again.
#[test]
fn marks_of_a_collection_before_the_last_are_unread() {
    let running = running();
    let live = running.memory();
    let memory = Bent::new(&live);
    let mut heap = running.attach(&memory).expect("a heap");
    let at = heap.variables().heap + offset("runtime.mheap", "sweepgen");
    let now = word(&live, at) as u32;
    let later = move |moves: fn(u64) -> bool| {
        move |count| {
            Some(
                (if moves(count) { now + 2 } else { now })
                    .to_le_bytes()
                    .to_vec(),
            )
        }
    };
    let marks = |look: &Look, mark: &Mark| look.specials.iter().all(|s| s.mark == *mark);

    // It moves once: the look is made again.
    memory.bend(at, 4, later(|count| count == 3));
    let look = heap.look().expect("a look");
    assert!(!look.cycle_moved && marks(&look, &Mark::Survived));
    assert_eq!(look.collector.cycles, now / 2);

    // It moves each time.
    memory.straighten();
    memory.bend(at, 4, later(|count| count % 4 == 3));
    let look = heap.look().expect("a look");
    assert!(look.cycle_moved && marks(&look, &Mark::Unread(Unread::Cycle)));
    assert_eq!(look.collector.cycles, now / 2 + 1);
    assert_eq!(kept(&look).len(), KEPT);
}

/// The sweeper counts an entry before it writes it: what has a function and nothing else is no cleanup, as those of Go 1.24
/// look that wait among finalizers.
#[test]
fn an_entry_that_is_half_written_is_none() {
    let mut running = running();
    for command in ["block", "gc", "drop 30", "gc"] {
        running.tell(command);
    }
    let live = running.memory();
    let memory = Bent::new(&live);
    let mut heap = running.attach(&memory).expect("a heap");
    let whole = heap.look().expect("a look");
    assert_eq!(whole.queue_moved, 0);
    // Whatever the blocks are: the first that has entries.
    let mut block = word(&live, heap.variables().all_finalizers);
    while word(&live, block + offset("runtime.finBlock", "cnt")) as u32 == 0 {
        block = word(&live, block + offset("runtime.finBlock", "alllink"));
    }
    let entry = block + offset("runtime.finBlock", "fin");
    memory.bend(entry + 8, 32, |_| Some(vec![0; 32]));
    let look = heap.look().expect("a look");
    let cleanups = |queued: &&goheap::Queued| matches!(queued.call, Call::Cleanup { .. });
    assert_eq!(look.queue.iter().filter(cleanups).count(), 0);
    assert_eq!(
        (look.queue_moved, look.queue.len()),
        (1, whole.queue.len() - 1)
    );
}
