//! Memory that somebody made up: words of a process that are others, and structs without end that it never had.

use gobinary::layout::{Field, Layout};
use gobinary::{Memory, ReadError};
use goheap::Heap;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// Where the first region begins: what a pointer may be, and where Go puts nothing.
const FIRST: u64 = 0x6000_0000_0000;
/// Bytes of a region.
pub const REGION: u64 = 1 << 36;

/// Gives a word by its offset in its region, which is a multiple of 8.
type Word<'m> = Box<dyn Fn(u64) -> u64 + 'm>;

/// A process's memory but for what was made up.
pub struct MadeUp<'m> {
    memory: &'m dyn Memory,
    words: RefCell<BTreeMap<u64, u64>>,
    regions: RefCell<Vec<(u64, Word<'m>)>>,
    pub calls: Cell<u64>,
    pub bytes: Cell<u64>,
}

impl<'m> MadeUp<'m> {
    pub fn new(memory: &'m dyn Memory) -> Self {
        Self {
            memory,
            words: RefCell::default(),
            regions: RefCell::default(),
            calls: Cell::new(0),
            bytes: Cell::new(0),
        }
    }

    /// Another word at an address, from now on.
    pub fn set(&self, addr: u64, word: u64) {
        self.words.borrow_mut().insert(addr, word);
    }

    /// The address of the `n`th region.
    pub const fn region(n: u64) -> u64 {
        FIRST + n * REGION
    }

    /// Words of a region, wherever it is.
    pub fn fill_region(&self, at: u64, word: impl Fn(u64) -> u64 + 'm) {
        self.regions.borrow_mut().push((at, Box::new(word)));
    }

    /// Without the region that was made up last.
    pub fn forget_last(&self) {
        self.regions.borrow_mut().pop();
    }

    /// Nothing has been read.
    pub fn reset(&self) {
        self.calls.set(0);
        self.bytes.set(0);
    }
}

impl Memory for MadeUp<'_> {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        self.calls.set(self.calls.get() + 1);
        self.bytes.set(self.bytes.get() + buf.len() as u64);
        let regions = self.regions.borrow();
        let inside = |start: u64| addr.checked_sub(start).filter(|offset| *offset < REGION);
        let found = regions
            .iter()
            .find_map(|(start, word)| Some((inside(*start)?, word)));
        let Some((offset, word)) = found else {
            self.memory.read(addr, buf)?;
            for (at, word) in self.words.borrow().range(addr.saturating_sub(7)..) {
                let from = at.wrapping_sub(addr) as i64;
                if from >= buf.len() as i64 {
                    break;
                }
                for (i, byte) in (from..).zip(word.to_le_bytes()) {
                    if let Some(target) = usize::try_from(i).ok().and_then(|i| buf.get_mut(i)) {
                        *target = byte;
                    }
                }
            }
            return Ok(());
        };
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let bytes = word(at & !7).to_le_bytes();
            let part = &bytes[(at % 8) as usize..];
            let len = part.len().min(buf.len() - done);
            buf[done..done + len].copy_from_slice(&part[..len]);
            done += len;
        }
        Ok(())
    }
}

/// Structs of the same kind, one behind the other.
pub struct Structs<'m> {
    stride: u64,
    fields: Vec<(Field, Word<'m>)>,
}

impl<'m> Structs<'m> {
    pub fn every(stride: u64) -> Self {
        Self {
            stride,
            fields: Vec::new(),
        }
    }

    /// With a field whose value goes by the struct's number.
    pub fn with(mut self, offset: u64, size: u64, value: impl Fn(u64) -> u64 + 'm) -> Self {
        let field = Field { offset, size };
        self.fields.push((field, Box::new(value)));
        self
    }

    /// The word at an offset from the first of them.
    pub fn word(&self, offset: u64) -> u64 {
        let (number, within) = (offset / self.stride, offset % self.stride);
        let inside = self
            .fields
            .iter()
            .filter(|(field, _)| field.offset & !7 == within);
        inside.fold(0, |word, (field, value)| {
            let mask = u64::MAX >> (64 - field.size * 8);
            word | (value(number) & mask) << (field.offset % 8 * 8)
        })
    }
}

/// A field of a release.
pub fn field(layout: &Layout, strukt: &'static str, name: &'static str) -> (u64, u64) {
    let field = layout.field(strukt, name).expect(name);
    (field.offset, field.size.min(8))
}

/// Regions, by what is in them.
pub const ARENA_LIST: u64 = MadeUp::region(0);
pub const TABLE: u64 = MadeUp::region(1);
pub const ARENAS: u64 = MadeUp::region(2);
pub const SPANS: u64 = MadeUp::region(3);
pub const SPECIALS: u64 = MadeUp::region(4);
pub const ONES: u64 = MadeUp::region(5);
pub const OTHER: u64 = MadeUp::region(6);
pub const STRUCTS: u64 = MadeUp::region(7);
pub const FIELDS: u64 = MadeUp::region(8);
pub const INTEGERS: u64 = MadeUp::region(9);

/// Bytes from one made-up arena, span and special to the next.
pub const ARENA: u64 = 2 << 20;
pub const SPAN: u64 = 256;
pub const SPECIAL: u64 = 64;
/// Pages of an arena.
const PAGES: u64 = 8192;

/// The runtime's own books, as nobody but the process itself wrote them.
pub struct Books {
    pub layout: &'static Layout,
}

impl Books {
    /// A heap of so many spans, each with the list of specials that `first` gives.
    pub fn heap<'m>(
        &self,
        memory: &MadeUp<'m>,
        heap: &Heap<'_>,
        spans: u64,
        first: impl Fn(u64) -> u64 + 'm,
    ) {
        let place = |strukt, name| field(self.layout, strukt, name);
        let cycles = heap.collector().expect("a collector").cycles;
        let at = heap.variables().heap;
        let (list, _) = place("runtime.mheap", "heapArenas");
        let arenas = spans.div_ceil(PAGES);
        memory.set(at + list, ARENA_LIST);
        memory.set(at + list + 8, arenas);
        memory.set(at + list + 16, arenas);
        memory.set(at + place("runtime.mheap", "arenas").0, TABLE);
        memory.fill_region(ARENA_LIST, |offset| offset / 8);
        memory.fill_region(TABLE, |offset| ARENAS + offset / 8 * ARENA);
        let (bitmap, _) = place("runtime.heapArena", "pageSpecials");
        let (pages, _) = place("runtime.heapArena", "spans");
        memory.fill_region(ARENAS, move |offset| {
            let (arena, within) = (offset / ARENA, offset % ARENA);
            if let Some(page) = within.checked_sub(pages).filter(|page| *page < PAGES * 8) {
                return SPANS + (arena * PAGES + page / 8) * SPAN;
            }
            match within.checked_sub(bitmap).filter(|byte| *byte < PAGES / 8) {
                Some(byte) => {
                    let left = spans.saturating_sub(arena * PAGES + byte * 8);
                    1_u64
                        .checked_shl(left as u32)
                        .map_or(u64::MAX, |bit| bit - 1)
                }
                None => 0,
            }
        });
        let of = |name| place("runtime.mspan", name);
        let with = |structs: Structs<'m>, name, value: Box<dyn Fn(u64) -> u64 + 'm>| {
            structs.with(of(name).0, of(name).1, value)
        };
        let mut structs = Structs::every(SPAN);
        for (name, value) in [
            ("startAddr", None),
            ("npages", Some(1)),
            ("freeindex", Some(512)),
            ("nelems", Some(512)),
            ("allocBits", Some(ONES)),
            ("gcmarkBits", Some(ONES)),
            ("sweepgen", Some(u64::from(cycles) * 2)),
            ("spanclass", Some(4)),
            ("state", Some(1)),
            ("elemsize", Some(16)),
        ] {
            structs = match value {
                Some(value) => with(structs, name, Box::new(move |_| value)),
                None => with(structs, name, Box::new(|n| 0xc0_0000_0000 + n * 8192)),
            };
        }
        structs = with(structs, "specials", Box::new(first));
        memory.fill_region(SPANS, move |offset| structs.word(offset));
        memory.fill_region(ONES, |_| u64::MAX);
    }

    /// Specials whose next ones, and kinds, go by their numbers.
    pub fn specials<'m>(&self, kind: &str, next: impl Fn(u64) -> u64 + 'm) -> Structs<'m> {
        let of = |name| field(self.layout, "runtime.special", name);
        let kind = self.layout.constant(&format!("runtime._KindSpecial{kind}"));
        let kind = kind.expect("a kind") as u64;
        Structs::every(SPECIAL).with(of("next").0, 8, next).with(
            of("kind").0,
            of("kind").1,
            move |_| kind,
        )
    }
}
