//! What waits to be run: the blocks of the finalizers' queue, and those of the cleanups'.
//!
//! Facts: `runtime/mfinal.go` (`queuefinalizer`, `runFinalizers`) and `runtime/mcleanup.go` (`cleanupQueue`,
//! `runCleanups`). A finalizer's entry stays until its function has returned; then it is cleared, and the block's count goes
//! down. A cleanup's entry is cleared when its function has returned (1.25), or before it is called (from 1.26 on), and the
//! block's count set to zero when all of them have returned. All blocks that there ever were are on one list.

use crate::error::Error;
use crate::fields::Fields;
use crate::find::{Variables, checks};
use crate::look::{Call, Look, Queued, State, TypeName};
use crate::names::Names;
use crate::reader::{Blocks, Gathered, Reader, number};
use crate::specials::{ADD_CLEANUP, CLOSURE, Closures};
use gobinary::layout::Field;
use rustc_hash::{FxHashMap, FxHashSet};

/// Blocks of a list at most. The limit of a look lets no more than some ten thousand of them be read.
const MOST_BLOCKS: usize = 1 << 16;
/// Bytes of a block at most (`_FinBlockSize` is 4 KiB; cleanups have blocks of 512 bytes).
const MOST_BYTES: u64 = 16 << 10;

/// A block as it was read.
struct Block {
    at: u64,
    bytes: Vec<u8>,
}

impl Block {
    fn get(&self, field: Field) -> u64 {
        number(&self.bytes, field.offset, field.size.min(8)).unwrap_or(0)
    }

    /// The entries below its count, with their index.
    fn entries(&self, from: u64, size: u64, count: u64) -> impl Iterator<Item = (u64, &[u8])> {
        let entries = self.bytes.get(from as usize..).unwrap_or_default();
        (0..).zip(
            entries
                .chunks_exact(size.max(8) as usize)
                .take(count as usize),
        )
    }
}

/// A list of blocks.
struct List {
    blocks: Vec<Block>,
    /// By address, the index of each.
    by_address: FxHashMap<u64, usize>,
    /// It led to what is no block, could not be read, or was passed before: there may be more.
    is_cut: bool,
}

impl List {
    /// All blocks from a variable on, by their field that links them.
    fn read(reader: &Reader<'_>, first: u64, link: Field, size: u64) -> Result<Self, Error> {
        if size > MOST_BYTES {
            return Err(Error::TooMuch("bytes of a block of what waits to be run"));
        }
        let mut list = Self {
            blocks: Vec::new(),
            by_address: FxHashMap::default(),
            is_cut: false,
        };
        let mut memory = Blocks::new(reader);
        let mut next = reader.word(first)?;
        while next != 0 {
            if list.blocks.len() >= MOST_BLOCKS {
                return Err(Error::TooMuch("blocks of what waits to be run"));
            }
            // Blocks that overlap are copied as often as the list says.
            reader.spend(size)?;
            let mut bytes = vec![0; size as usize];
            if !checks::pointer(next)
                || list.by_address.contains_key(&next)
                || !memory.fill(next, &mut bytes)?
            {
                list.is_cut = true;
                break;
            }
            let block = Block { at: next, bytes };
            next = block.get(link);
            list.by_address.insert(block.at, list.blocks.len());
            list.blocks.push(block);
        }
        Ok(list)
    }

    fn get(&self, at: u64) -> Option<&Block> {
        self.blocks.get(*self.by_address.get(&at)?)
    }
}

/// Reads the queue of finalizers. The look has the goroutine that runs them: an entry stays until its function has returned,
/// so that nothing can leave between.
pub fn finalizers(
    reader: &Reader<'_>,
    fields: &Fields,
    at: &Variables,
    names: &mut Names<'_>,
    wanted: &dyn Fn(&TypeName) -> u64,
    look: &mut Look,
) -> Result<(), Error> {
    let (of, entry) = (&fields.finalizer_block, &fields.finalizer);
    let most = of.entries.size / entry.size.max(1);
    let list = List::read(reader, at.all_finalizers, of.all, of.size)?;
    let before = &list.blocks;
    let word = |bytes: &[u8], field: Field| number(bytes, field.offset, 8).unwrap_or(0);
    let used = |block: &Block| block.get(of.count).min(most);
    let entries = || {
        before
            .iter()
            .flat_map(|block| block.entries(of.entries.offset, entry.size, used(block)))
    };
    // What the entries refer to.
    let held = reader.gather(entries().flat_map(|(_, bytes)| {
        let (function, object) = (word(bytes, entry.function), word(bytes, entry.argument));
        let pointer = word(bytes, entry.pointer_type);
        let len = if object != 0 && pointer != 0 {
            wanted(&names.type_name(pointer))
        } else {
            0
        };
        [
            (function, if object == 0 { CLOSURE } else { 8 }),
            (object, len),
        ]
    }))?;
    let closures = entries()
        .filter(|(_, bytes)| word(bytes, entry.argument) == 0)
        .filter_map(|(_, bytes)| held.get(word(bytes, entry.function), CLOSURE));
    let closures = Closures::read(reader, closures)?;

    let after = List::read(reader, at.all_finalizers, of.all, of.size)?;
    look.queue_moved += usize::from(list.is_cut || after.is_cut);
    let idle = !look
        .runners
        .iter()
        .any(|r| !r.cleanups && r.state != State::Idle);
    let running = if idle {
        0
    } else {
        running_block(reader, fields, at, before)?
    };
    for block in before {
        let Some(later) = after.get(block.at) else {
            continue;
        };
        for (i, bytes) in block.entries(of.entries.offset, entry.size, used(block)) {
            let from = (of.entries.offset + i * entry.size) as usize;
            let same = later.bytes.get(from..from + entry.size as usize) == Some(bytes);
            if i >= used(later) || !same {
                look.queue_moved += 1;
                continue;
            }
            let call = finalizer_call(fields, names, wanted, bytes, &held, &closures);
            let Some(call) = call else {
                look.queue_moved += 1;
                continue;
            };
            reader.keep(size_of::<Queued>() as u64)?;
            look.queue.push(Queued {
                call,
                running: block.at == running && i + 1 == used(block),
                block: block.at,
                taken_by: None,
                held: false,
            });
        }
    }
    Ok(())
}

fn finalizer_call(
    fields: &Fields,
    names: &mut Names<'_>,
    wanted: &dyn Fn(&TypeName) -> u64,
    bytes: &[u8],
    held: &Gathered,
    closures: &Closures,
) -> Option<Call> {
    let entry = &fields.finalizer;
    let word = |field: Field| number(bytes, field.offset, 8).unwrap_or(0);
    let (function, object, pointer) = (
        word(entry.function),
        word(entry.argument),
        word(entry.pointer_type),
    );
    if object == 0 && pointer == 0 && word(entry.first) == 0 {
        // A cleanup of Go 1.24: runtime.freeSpecial queues its closure without an argument. Any other entry is one that is
        // only half written: the count goes up before it is.
        let own = fields.cleanup_special.is_some() && fields.cleanup_queue.is_none();
        let closure = held.get(function, CLOSURE).filter(|_| own)?;
        let (function, argument) = closures.unwrap(names, closure);
        let begun = argument.is_none() && !function.starts_with(ADD_CLEANUP);
        return (!begun).then_some(Call::Cleanup { function, argument });
    }
    // Fields are written one after the other, the object last (runtime.queuefinalizer).
    if function == 0 || object == 0 || pointer == 0 {
        return None;
    }
    let pointer = names.type_name(pointer);
    let len = wanted(&pointer);
    Some(Call::Finalizer {
        object,
        function: names.function(held.word(function)?),
        bytes: if len > 0 {
            held.get(object, len).map(Box::from)
        } else {
            None
        },
        pointer,
    })
}

/// The block that the goroutine of finalizers works on: it took the whole queue, and goes along it. So it is the
/// first of those that are not empty and not in the queue.
fn running_block(
    reader: &Reader<'_>,
    fields: &Fields,
    at: &Variables,
    all: &[Block],
) -> Result<u64, Error> {
    let of = &fields.finalizer_block;
    let queued = List::read(reader, at.finalizers, of.next, of.size)?;
    if queued.is_cut {
        return Ok(0);
    }
    let taken: Vec<&Block> = all
        .iter()
        .filter(|block| block.get(of.count) > 0 && queued.get(block.at).is_none())
        .collect();
    let follows: FxHashSet<u64> = taken.iter().map(|block| block.get(of.next)).collect();
    let first = taken.iter().find(|block| !follows.contains(&block.at));
    Ok(first.map_or(0, |block| block.at))
}

/// Reads the queue of cleanups, and returns the addresses of all its blocks. To be read before the goroutines that run it:
/// what leaves it is then seen with one of them ([`taken`]), or is over.
pub fn cleanups(
    reader: &Reader<'_>,
    fields: &Fields,
    at: &Variables,
    names: &mut Names<'_>,
    look: &mut Look,
) -> Result<FxHashSet<u64>, Error> {
    let (Some(queue), Some(header)) = (&fields.cleanup_queue, &fields.cleanup_header) else {
        return Ok(FxHashSet::default());
    };
    if at.cleanups == 0 {
        look.cleanups_unread = at.run_cleanups != 0;
        return Ok(FxHashSet::default());
    }
    look.cleanups_run = Some(checks::field(reader, at.cleanups, queue.executed)?);
    let size = fields.cleanup_fn.as_ref().map_or(8, |entry| entry.size);
    let most = fields.cleanup_block.saturating_sub(header.size) / size.max(1);
    let first = at.cleanups.wrapping_add(queue.all.offset);
    let list = List::read(reader, first, header.all, fields.cleanup_block)?;
    let before = &list.blocks;
    let used = |block: &Block| block.get(header.count).min(most);
    let word = |bytes: &[u8], field: Field| number(bytes, field.offset, 8).unwrap_or(0);
    let entries = || {
        before
            .iter()
            .flat_map(|block| block.entries(header.size, size, used(block)))
    };
    let held = reader.gather(entries().flat_map(|(_, bytes)| match &fields.cleanup_fn {
        Some(entry) => [
            (word(bytes, entry.function), 8),
            (word(bytes, entry.argument), 8),
        ],
        None => [(number(bytes, 0, 8).unwrap_or(0), CLOSURE), (0, 0)],
    }))?;
    let closure = |bytes: &[u8]| held.get(number(bytes, 0, 8)?, CLOSURE);
    let closures = match &fields.cleanup_fn {
        Some(_) => None,
        None => Some(Closures::read(
            reader,
            entries().filter_map(|(_, bytes)| closure(bytes)),
        )?),
    };
    let after = List::read(reader, first, header.all, fields.cleanup_block)?;
    look.queue_moved += usize::from(list.is_cut || after.is_cut);
    let held_back = processors(reader, fields, at)?;
    for block in before {
        let Some(later) = after.get(block.at) else {
            continue;
        };
        for (i, bytes) in block.entries(header.size, size, used(block)) {
            if bytes.iter().all(|byte| *byte == 0) {
                // It has been called, or is being called.
                continue;
            }
            let from = (header.size + i * size) as usize;
            let same = later.bytes.get(from..from + size as usize) == Some(bytes);
            let call = match (&fields.cleanup_fn, &closures) {
                (Some(entry), _) => {
                    let code = held.word(word(bytes, entry.function));
                    code.map(|pc| Call::Cleanup {
                        function: names.function(pc),
                        argument: held.word(word(bytes, entry.argument)),
                    })
                }
                (None, Some(closures)) => closure(bytes).map(|closure| {
                    let (function, argument) = closures.unwrap(names, closure);
                    Call::Cleanup { function, argument }
                }),
                (None, None) => None,
            };
            reader.keep(size_of::<Queued>() as u64)?;
            match call.filter(|_| same && i < used(later)) {
                Some(call) => look.queue.push(Queued {
                    call,
                    running: false,
                    block: block.at,
                    taken_by: None,
                    held: held_back.contains(&block.at),
                }),
                None => look.queue_moved += 1,
            }
        }
    }
    Ok(before.iter().map(|block| block.at).collect())
}

/// Says of entries which goroutine has taken them, once it is known which block each of these goes along. A block that
/// two of them seem to have is nobody's.
pub fn taken(look: &mut Look) {
    let mut by_block: FxHashMap<u64, Option<(u64, bool)>> = FxHashMap::default();
    for runner in &look.runners {
        if let Some(block) = runner.block {
            let one = (runner.id, runner.left_queue);
            let known = by_block.entry(block);
            known.and_modify(|by| *by = None).or_insert(Some(one));
        }
    }
    for runner in &mut look.runners {
        let is_its = |block: &u64| by_block.get(block).is_some_and(Option::is_some);
        runner.block = runner.block.filter(is_its);
    }
    for queued in &mut look.queue {
        if let Some(Some((goroutine, left))) = by_block.get_mut(&queued.block) {
            queued.taken_by = Some(*goroutine);
            // Go 1.25 clears an entry once its function has returned: so the first that is left runs.
            queued.running = !std::mem::replace(left, true);
        }
    }
}

/// The blocks that processors fill while they sweep (`p.cleanups`): not given to a goroutine yet.
fn processors(
    reader: &Reader<'_>,
    fields: &Fields,
    at: &Variables,
) -> Result<FxHashSet<u64>, Error> {
    let Some(cleanups) = fields.p_cleanups.filter(|_| at.processors != 0) else {
        return Ok(FxHashSet::default());
    };
    let Some((list, len)) = checks::slice(reader, at.processors)? else {
        return Ok(FxHashSet::default());
    };
    let all = reader.bytes(list, len.min(1 << 16) * 8)?;
    let place = |word: &[u8]| Some(number(word, 0, 8)?.wrapping_add(cleanups.offset));
    let places: Vec<u64> = all.chunks_exact(8).filter_map(place).collect();
    let read = reader.gather(places.iter().map(|at| (*at, 8)))?;
    Ok(places
        .iter()
        .filter_map(|at| read.word(*at))
        .filter(|block| *block != 0)
        .collect())
}
