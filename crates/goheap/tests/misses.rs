//! What cannot be read is told, never passed over.

mod common;

use common::bent::Bent;
use common::{Build, Running, build};
use gobinary::Memory;
use gobinary::layout::{Arch, Layouts};
use goheap::{Heap, Kind, Look};

/// The release that the programs are built with.
const MINOR: u16 = 26;
const KEPT: usize = 100;

fn word(memory: &dyn Memory, addr: u64) -> u64 {
    let mut bytes = [0; 8];
    memory.read(addr, &mut bytes).expect("a word");
    u64::from_le_bytes(bytes)
}

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
