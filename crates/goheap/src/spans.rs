//! Spans and their specials.
//!
//! A special hangs on a list of its span, sorted by offset and kind (`mspan.specialFindSplicePoint`). Which spans have
//! some is told by a bitmap of each arena, a bit per page, set at a span's first page (`spanHasSpecials`). So what is
//! read grows with the specials, and not with the heap but for 1 KiB of each 64 MiB.
//!
//! All is read twice, and said only if it did not change between: see [`Batch`].

use crate::error::Error;
use crate::fields::Fields;
use crate::find::checks::{ARENA, ARENAS, IN_USE, PAGE, arena_index, pointer};
use crate::mark::{Swept, Unread};
use crate::reader::{Reader, number};
use gobinary::layout::Field;
use rustc_hash::FxHashMap;

/// Arenas at most: 4 TiB of heap.
const MOST_ARENAS: u64 = 1 << 16;
/// Objects in a span at most: 8 KiB of 8 bytes each; more where spans are longer.
const MOST_OBJECTS: u64 = 1 << 16;

/// A span as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Where the struct stands.
    pub at: u64,
    /// First address of its objects.
    pub start: u64,
    /// Bytes.
    pub size: u64,
    pub freeindex: u64,
    pub nelems: u64,
    pub alloc_bits: u64,
    pub mark_bits: u64,
    pub sweepgen: u32,
    pub class: u64,
    pub elemsize: u64,
    pub specials: u64,
}

impl Span {
    /// From the bytes of a `runtime.mspan`. An error: it is none that is in use, or a damaged one.
    pub fn of(fields: &Fields, at: u64, bytes: &[u8]) -> Result<Self, Unread> {
        let span = &fields.span;
        let get = |field: Field| number(bytes, field.offset, field.size).ok_or(Unread::Malformed);
        if get(span.state)? != IN_USE {
            // It was freed meanwhile.
            return Err(Unread::Moving);
        }
        let read = Self {
            at,
            start: get(span.start)?,
            size: get(span.pages)?
                .checked_mul(PAGE)
                .ok_or(Unread::Malformed)?,
            freeindex: get(span.freeindex)?,
            nelems: get(span.nelems)?,
            alloc_bits: get(span.alloc_bits)?,
            mark_bits: get(span.mark_bits)?,
            sweepgen: get(span.sweepgen)? as u32,
            class: get(span.class)?,
            elemsize: get(span.elemsize)?,
            specials: get(span.specials)?,
        };
        let sound = read.elemsize > 0
            && read.nelems > 0
            && read.nelems <= MOST_OBJECTS
            && read.freeindex <= read.nelems
            && read.size > 0
            && read.size < 1 << 46
            && read.start.is_multiple_of(PAGE)
            && read
                .nelems
                .checked_mul(read.elemsize)
                .is_some_and(|all| all <= read.size)
            && read.start.checked_add(read.size).is_some()
            && pointer(read.alloc_bits)
            && pointer(read.mark_bits)
            && (read.specials == 0 || pointer(read.specials));
        if sound {
            Ok(read)
        } else {
            Err(Unread::Malformed)
        }
    }

    /// Bytes of its bitmaps.
    pub fn bitmap(&self) -> u64 {
        self.nelems.div_ceil(8)
    }

    /// Index of the slot that an offset is in, if there is one.
    pub fn slot(&self, offset: u64) -> Option<u64> {
        let index = offset / self.elemsize;
        (index < self.nelems).then_some(index)
    }

    /// Nothing of it changed but what does not matter. A swept span may be taken into a cache and given back,
    /// and objects allocated in it: its bits stay what they are.
    pub fn same(&self, later: &Self, heap: u32) -> bool {
        let swept = (
            Swept::of(self.sweepgen, heap),
            Swept::of(later.sweepgen, heap),
        );
        let at_rest = match swept {
            (Swept::Yes, Swept::Yes) => true,
            (Swept::No, Swept::No) => self.freeindex == later.freeindex,
            _ => false,
        };
        let fixed = |span: &Self| Self {
            freeindex: 0,
            sweepgen: 0,
            ..*span
        };
        at_rest && fixed(self) == fixed(later)
    }
}

/// The spans that have specials, each once: addresses of their structs. And how many arenas could not be read.
pub fn with_specials(
    reader: &Reader<'_>,
    fields: &Fields,
    heap: u64,
) -> Result<(Vec<u64>, usize), Error> {
    let (mut arenas, mut unread) = arenas(reader, fields, heap)?;
    // Each is there once, unless somebody made that up.
    arenas.sort_unstable();
    arenas.dedup();
    let bitmaps = reader.gather(arenas.iter().map(|arena| {
        (
            arena.wrapping_add(fields.arena_specials.offset),
            ARENA / PAGE / 8,
        )
    }))?;
    let mut entries: Vec<u64> = Vec::new();
    for arena in &arenas {
        let at = arena.wrapping_add(fields.arena_specials.offset);
        let Some(bitmap) = bitmaps.get(at, ARENA / PAGE / 8) else {
            unread += 1;
            continue;
        };
        for (i, byte) in bitmap.iter().enumerate().filter(|(_, byte)| **byte != 0) {
            for bit in (0..8).filter(|bit| byte >> bit & 1 == 1) {
                let page = i as u64 * 8 + bit;
                // With what it takes to ask for it.
                reader.spend(32)?;
                entries.push(arena.wrapping_add(fields.arena_spans.offset + page * 8));
            }
        }
    }
    let pointers = reader.gather(entries.iter().map(|at| (*at, 8)))?;
    // The entry of a page stays when its span is freed (`mheap.freeSpanLocked`): one that is no pointer, or could not be
    // read, hides a span.
    let span = |at: &u64| pointers.word(*at).filter(|span| pointer(*span));
    let mut spans: Vec<u64> = entries.iter().filter_map(span).collect();
    unread += entries.len() - spans.len();
    spans.sort_unstable();
    spans.dedup();
    Ok((spans, unread))
}

/// Where the structs of the heap's arenas stand, and how many of them could not be told.
fn arenas(reader: &Reader<'_>, fields: &Fields, heap: u64) -> Result<(Vec<u64>, usize), Error> {
    /// How often the list is read again that grew meanwhile: its pointer and length are not written at once.
    const ATTEMPTS: usize = 4;
    let place = heap.wrapping_add(fields.heap_arena_list.offset);
    let table = reader.word(heap.wrapping_add(fields.heap_arenas.offset))?;
    let mut list = reader.bytes(place, 24)?;
    let mut moved = 0;
    let (len, indices) = loop {
        let word = |offset| number(&list, offset, 8).unwrap_or(0);
        let (addr, len) = (word(0), word(8));
        if len > MOST_ARENAS {
            return Err(Error::TooMuch("arenas"));
        }
        let indices = reader.bytes(addr, len * 8);
        let later = reader.bytes(place, 24)?;
        if later == list || moved == ATTEMPTS {
            // Of a list that never was at rest, something may be missing.
            let rest = usize::from(later != list);
            break (len as usize + rest, indices?);
        }
        list = later;
        moved += 1;
    };
    let indices: Vec<u64> = indices
        .chunks_exact(8)
        .filter_map(|word| number(word, 0, 8))
        .filter(|index| *index < ARENAS)
        .collect();
    let entries = reader.gather(indices.iter().map(|i| (table.wrapping_add(i * 8), 8)))?;
    let arena = |i: &u64| {
        entries
            .word(table.wrapping_add(i * 8))
            .filter(|arena| pointer(*arena))
    };
    let arenas: Vec<u64> = indices.iter().filter_map(arena).collect();
    let unread = len.saturating_sub(arenas.len());
    Ok((arenas, unread))
}

/// Which span an address is in, if it is in the heap (`runtime.spanOf`).
pub fn span_of(
    reader: &Reader<'_>,
    fields: &Fields,
    heap: u64,
    addrs: &[u64],
) -> Result<Vec<Option<u64>>, Error> {
    let table = reader.word(heap.wrapping_add(fields.heap_arenas.offset))?;
    let entry = |addr: u64| Some(table.wrapping_add(arena_index(fields, addr)? * 8));
    let arenas = reader.gather(addrs.iter().filter_map(|addr| Some((entry(*addr)?, 8))))?;
    let place = |addr: u64| {
        let arena = arenas.word(entry(addr)?).filter(|arena| pointer(*arena))?;
        let page = addr.wrapping_sub(fields.arena_base) % ARENA / PAGE;
        Some(arena.wrapping_add(fields.arena_spans.offset + page * 8))
    };
    let spans = reader.gather(addrs.iter().filter_map(|addr| Some((place(*addr)?, 8))))?;
    Ok(addrs
        .iter()
        .map(|addr| spans.word(place(*addr)?).filter(|span| pointer(*span)))
        .collect())
}

/// The heap's number of sweeps.
pub fn sweepgen(reader: &Reader<'_>, fields: &Fields, heap: u64) -> Result<u32, Error> {
    reader.half(heap.wrapping_add(fields.heap_sweepgen.offset))
}

/// Where unswept spans have their marks beside `gcmarkBits`.
#[derive(Debug, Default)]
pub struct Inline {
    /// By a span's first address: whether some of its marks are in itself. What is missing could not be read.
    by_start: FxHashMap<u64, bool>,
}

impl Inline {
    /// Reads which spans have marks in themselves (`runtime.gcUsesSpanInlineMarkBits`): a bitmap of each arena, a bit per page.
    pub fn read<'a>(
        reader: &Reader<'_>,
        fields: &Fields,
        heap: u64,
        spans: impl Iterator<Item = &'a Span> + Clone,
    ) -> Result<Self, Error> {
        let Some(bitmap) = fields.arena_inline else {
            // No release without that bitmap has such marks.
            let by_start = spans.map(|span| (span.start, false)).collect();
            return Ok(Self { by_start });
        };
        if spans.clone().next().is_none() {
            return Ok(Self::default());
        }
        let table = reader.word(heap.wrapping_add(fields.heap_arenas.offset))?;
        let entry = |start: u64| Some(table.wrapping_add(arena_index(fields, start)? * 8));
        let arenas = reader.gather(
            spans
                .clone()
                .filter_map(|span| Some((entry(span.start)?, 8))),
        )?;
        let place = |start: u64| {
            let arena = arenas.word(entry(start)?)?;
            let page = start.wrapping_sub(fields.arena_base) % ARENA / PAGE;
            Some((arena.wrapping_add(bitmap.offset + page / 8), page % 8))
        };
        let bytes = reader.gather(
            spans
                .clone()
                .filter_map(|span| Some((place(span.start)?.0, 1))),
        )?;
        let inline = |span: &Span| {
            let (at, bit) = place(span.start)?;
            Some((span.start, bytes.get(at, 1)?.first()? >> bit & 1 == 1))
        };
        let by_start = spans.filter_map(inline).collect();
        Ok(Self { by_start })
    }

    /// Where a span's marks stand in itself, and how many bytes they are: at the end of its page
    /// (`spanInlineMarkBits`). `Err`: it could not be read whether it has some.
    pub fn marks(&self, fields: &Fields, span: &Span) -> Result<Option<(u64, u64)>, Unread> {
        let inline = self.by_start.get(&span.start).ok_or(Unread::Unmapped)?;
        let at = (span.start + PAGE)
            .wrapping_sub(fields.inline_size)
            .wrapping_add(fields.inline_marks);
        // The last byte of eight words of bits is something else.
        Ok(inline.then(|| (at, span.bitmap().min(63))))
    }
}
