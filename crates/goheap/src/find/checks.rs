//! What must be true of each variable of the runtime, whatever the program does.

use crate::error::Error;
use crate::fields::Fields;
use crate::reader::{Reader, number};
use gobinary::layout::Field;

/// Spans that are checked against the arenas.
const SPANS: u64 = 64;
/// Spans that must agree, if there are as many in use.
const AGREE: usize = 5;
/// User space ends here: on amd64 at half of it, where pages have four levels.
const HIGHEST: u64 = 1 << 48;
/// `runtime.defaultHeapMinimum`, for GOGC=100.
const HEAP_MINIMUM: u64 = 4 << 20;
/// `mSpanInUse`.
pub const IN_USE: u64 = 1;
/// `runtime.pageSize`.
pub const PAGE: u64 = 8192;
/// `runtime.heapArenaBytes`.
pub const ARENA: u64 = 64 << 20;
/// Entries of the table of arenas: 48 bits of address (`runtime.arenaL2Bits`; the first level has one entry on Linux).
pub const ARENAS: u64 = 1 << 22;

/// A pointer that may be followed: aligned, in user space.
pub fn pointer(value: u64) -> bool {
    value.is_multiple_of(8) && (4096..HIGHEST).contains(&value)
}

/// Pointer and length of a slice whose length does not exceed its capacity.
pub fn slice(reader: &Reader<'_>, at: u64) -> Result<Option<(u64, u64)>, Error> {
    let bytes = reader.bytes(at, 24)?;
    let word = |offset| number(&bytes, offset, 8).unwrap_or(0);
    let (addr, len, capacity) = (word(0), word(8), word(16));
    Ok((len <= capacity && (pointer(addr) || len == 0)).then_some((addr, len)))
}

/// A field of a struct at an address.
pub fn field(reader: &Reader<'_>, at: u64, field: Field) -> Result<u64, Error> {
    let bytes = reader.bytes(at.wrapping_add(field.offset), field.size.min(8))?;
    Ok(number(&bytes, 0, field.size.min(8)).unwrap_or(0))
}

/// The list of all spans holds spans, and the arenas have each at its pages.
pub fn heap(reader: &Reader<'_>, fields: &Fields, at: u64) -> Result<bool, Error> {
    let Some((spans, len)) = slice(reader, at.wrapping_add(fields.heap_allspans.offset))? else {
        return Ok(false);
    };
    let arenas = reader.word(at.wrapping_add(fields.heap_arenas.offset))?;
    if len == 0 || len > 1 << 32 || !pointer(arenas) {
        return Ok(false);
    }
    let sweepgen = field(reader, at, fields.heap_sweepgen)?;
    if !sweepgen.is_multiple_of(2) {
        return Ok(false);
    }
    let first = reader.bytes(spans, len.min(SPANS) * 8)?;
    let (mut agree, mut differ) = (0, 0);
    for span in first.chunks_exact(8).filter_map(|word| number(word, 0, 8)) {
        if !pointer(span) {
            return Ok(false);
        }
        let bytes = reader.bytes(span, fields.span.size)?;
        let get = |field: Field| number(&bytes, field.offset, field.size).unwrap_or(0);
        if get(fields.span.state) != IN_USE {
            continue;
        }
        let start = get(fields.span.start);
        let Some(index) = arena_index(fields, start) else {
            return Ok(false);
        };
        let arena = reader.word(arenas.wrapping_add(index * 8))?;
        let page = start / PAGE % (ARENA / PAGE);
        let entry = arena.wrapping_add(fields.arena_spans.offset + page * 8);
        if pointer(arena) && reader.word(entry)? == span {
            agree += 1;
        } else {
            differ += 1;
        }
    }
    // A span may be freed between two reads; a wrong candidate agrees with none.
    Ok(agree >= AGREE || (agree > 0 && differ == 0))
}

/// Which arena an address is in.
pub fn arena_index(fields: &Fields, addr: u64) -> Option<u64> {
    let index = addr.wrapping_sub(fields.arena_base) / ARENA;
    (index < ARENAS).then_some(index)
}

/// The phase is one of three; both lists begin with a block, or with none.
pub fn queue(
    reader: &Reader<'_>,
    fields: &Fields,
    phase: u64,
    finq: u64,
    allfin: u64,
) -> Result<(), Error> {
    let refuse = Err(Error::NotFound("the queue of finalizers"));
    if reader.half(phase)? > 2 {
        return refuse;
    }
    let block = &fields.finalizer_block;
    let most = block.entries.size / fields.finalizer.size.max(1);
    for list in [finq, allfin] {
        let first = reader.word(list)?;
        if first == 0 {
            continue;
        }
        if !pointer(first) || field(reader, first, block.count)? > most {
            return refuse;
        }
    }
    // What is queued is in a block of the list of all.
    if reader.word(finq)? != 0 && reader.word(allfin)? == 0 {
        return refuse;
    }
    Ok(())
}

/// A slice of goroutines: each has a stack, or is dead.
pub fn goroutines(reader: &Reader<'_>, fields: &Fields, at: u64) -> Result<bool, Error> {
    let Some((list, len)) = slice(reader, at)? else {
        return Ok(false);
    };
    if len == 0 || len > 1 << 28 {
        return Ok(false);
    }
    let first = reader.bytes(list, len.min(16) * 8)?;
    for g in first.chunks_exact(8).filter_map(|word| number(word, 0, 8)) {
        if !pointer(g) {
            return Ok(false);
        }
        let bytes = reader.bytes(g, fields.g.size)?;
        let get = |field: Field| number(&bytes, field.offset, field.size.min(8)).unwrap_or(0);
        let (low, high) = (
            number(&bytes, fields.g.stack.offset, 8).unwrap_or(0),
            number(&bytes, fields.g.stack.offset + 8, 8).unwrap_or(0),
        );
        let status = get(fields.g.status) & 0xfff;
        // _Gidle, _Gdead, _Gdeadextra.
        let without = matches!(status, 0 | 6 | 11);
        if status > 11 || low > high || (!without && (low == high || !pointer(low))) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The collector is on or off, and counts as many cycles as the heap does: one more while the last one is ending.
pub fn memstats(reader: &Reader<'_>, fields: &Fields, at: u64, heap: u64) -> Result<bool, Error> {
    for _ in 0..4 {
        let sweepgen = field(reader, heap, fields.heap_sweepgen)?;
        let cycles = field(reader, at, fields.memstats.cycles)?;
        let enabled = field(reader, at, fields.memstats.enabled)?;
        let forced = field(reader, at, fields.memstats.forced)?;
        let half = (sweepgen as u32) / 2;
        // Both are 32 bits wide; half of one has 31.
        let apart = (cycles as u32 & 0x7fff_ffff).wrapping_sub(half) as i32;
        if enabled <= 1 && apart.abs() <= 1 && forced <= cycles + 1 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// GOGC is a number or off, the smallest heap follows from it (`gcControllerState.setGCPercent`), and the live
/// heap is not larger than memory can be.
pub fn controller(reader: &Reader<'_>, fields: &Fields, at: u64) -> Result<bool, Error> {
    if !at.is_multiple_of(8) {
        return Ok(false);
    }
    let percent = field(reader, at, fields.controller_percent)? as u32 as i32;
    let minimum = field(reader, at, fields.controller_minimum)?;
    let live = field(reader, at, fields.controller_live)?;
    let limit = match fields.controller_limit {
        Some(limit) => field(reader, at, limit)? as i64,
        None => i64::MAX,
    };
    // Off is -1, which is multiplied all the same.
    let fits =
        percent >= -1 && minimum == HEAP_MINIMUM.wrapping_mul(i64::from(percent) as u64) / 100;
    Ok(fits && live < HIGHEST && live > 0 && limit >= 0)
}

/// Few goroutines, no more of them running than there are, and a list of sound blocks.
pub fn cleanups(reader: &Reader<'_>, fields: &Fields, at: u64) -> Result<bool, Error> {
    let (Some(queue), Some(header)) = (&fields.cleanup_queue, &fields.cleanup_header) else {
        return Ok(false);
    };
    let goroutines = field(reader, at, queue.goroutines)?;
    let running = field(reader, at, queue.running)?;
    let executed = field(reader, at, queue.executed)?;
    let first = field(reader, at, queue.all)?;
    if goroutines > 1 << 16 || running > goroutines || executed > 1 << 56 {
        return Ok(false);
    }
    if first == 0 {
        return Ok(executed == 0);
    }
    Ok(pointer(first) && field(reader, first, header.count)? <= fields.cleanup_block / 8)
}

/// A slice of processors, numbered from 0 on.
pub fn processors(reader: &Reader<'_>, fields: &Fields, at: u64) -> Result<bool, Error> {
    let (Some(id), Some((list, len))) = (fields.p_id, slice(reader, at)?) else {
        return Ok(false);
    };
    if len == 0 || len > 1 << 16 {
        return Ok(false);
    }
    for i in 0..len.min(8) {
        let p = reader.word(list.wrapping_add(i * 8))?;
        if !pointer(p) || field(reader, p, id)? != i {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A list whose first element is a bucket of the heap profile (`memProfile` is 1) and has a stack of some length.
pub fn buckets(reader: &Reader<'_>, fields: &Fields, at: u64) -> Result<bool, Error> {
    let first = reader.word(at)?;
    if !pointer(first) {
        return Ok(false);
    }
    let kind = field(reader, first, fields.bucket.kind)?;
    let frames = field(reader, first, fields.bucket.frames)?;
    let next = field(reader, first, fields.bucket.next)?;
    Ok(kind == 1 && (1..=1024).contains(&frames) && (next == 0 || pointer(next)))
}
