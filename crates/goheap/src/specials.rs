//! Specials with names, arguments and marks.

use crate::batch::{Batch, RawSpecial, Read};
use crate::error::Error;
use crate::fields::{CleanupSpecial, Fields};
use crate::find::checks::IN_USE;
use crate::look::{Kind, Look, Special, TypeName, UnreadSpan};
use crate::mark::{Mark, Unread};
use crate::names::Names;
use crate::reader::{Gathered, Reader, number};
use crate::spans::{span_of, with_specials};
use gobinary::layout::Field;
use std::sync::Arc;

/// How many spans are read at once, by attempt. A span that moved is read again with fewer others: the less time
/// between its two readings.
const ATTEMPTS: [usize; 4] = [2048, 256, 32, 4];
/// Bytes of a closure of `runtime.AddCleanup`: its code, and up to three variables.
pub const CLOSURE: u64 = 24;
/// What the function that makes those closures is called, without its type arguments.
pub const ADD_CLEANUP: &str = "runtime.AddCleanup[";

/// Reads all specials.
pub fn read(
    reader: &Reader<'_>,
    fields: &Fields,
    heap: u64,
    names: &mut Names<'_>,
    wanted: &dyn Fn(&TypeName) -> u64,
    look: &mut Look,
) -> Result<(), Error> {
    let mut pending;
    (pending, look.unread_arenas) = with_specials(reader, fields, heap)?;
    for (attempt, size) in ATTEMPTS.iter().enumerate() {
        let last = attempt + 1 == ATTEMPTS.len();
        let mut again = Vec::new();
        let mut rest = &pending[..];
        while !rest.is_empty() {
            let chunk = &rest[..rest.len().min(*size)];
            let (batch, held) = match confirmed(reader, fields, heap, names, wanted, chunk) {
                Ok(read) => read,
                Err(Error::TooMuch(_)) => {
                    // What was read before is known, and of what comes after nothing.
                    let why = Unread::Limit;
                    let unread = chunk.iter().map(|_| UnreadSpan { start: 0, why });
                    look.unread.extend(unread);
                    rest = &rest[chunk.len()..];
                    continue;
                }
                Err(other) => return Err(other),
            };
            rest = &rest[batch.spans.len()..];
            let cycle = batch.sweepgen / 2;
            for (at, read) in &batch.spans {
                match read {
                    Ok(read) => held.add(fields, names, wanted, (read, cycle), look),
                    Err(Unread::Moving | Unread::Sweeping) if !last => again.push(*at),
                    // A span that was freed since its arena was read has no specials any more.
                    Err(why) => unread(reader, fields, *at, *why, look)?,
                }
            }
        }
        pending = again;
    }
    look.specials.sort_by_key(|special| special.object);
    Ok(())
}

/// The first of these spans, at least one, with what they refer to.
fn confirmed(
    reader: &Reader<'_>,
    fields: &Fields,
    heap: u64,
    names: &mut Names<'_>,
    wanted: &dyn Fn(&TypeName) -> u64,
    spans: &[u64],
) -> Result<(Batch, Held), Error> {
    let mut batch = Batch::read(reader, fields, heap, spans, true)?;
    let held = Held::read(reader, fields, names, wanted, &batch)?;
    batch.confirm(reader, fields, heap)?;
    Ok((batch, held))
}

/// Says that a span was not read. One that turns out to be free, or to have no specials, hides nothing; one whose struct
/// cannot be read may.
fn unread(
    reader: &Reader<'_>,
    fields: &Fields,
    at: u64,
    why: Unread,
    look: &mut Look,
) -> Result<(), Error> {
    let bytes = match reader.bytes(at, fields.span.size) {
        Ok(bytes) => bytes,
        Err(error) => {
            let why = match error {
                Error::Read(_) => Unread::Unmapped,
                Error::TooMuch(_) => Unread::Limit,
                other => return Err(other),
            };
            look.unread.push(UnreadSpan { start: 0, why });
            return Ok(());
        }
    };
    let field = |field: Field| number(&bytes, field.offset, field.size).unwrap_or(0);
    if field(fields.span.state) == IN_USE && field(fields.span.specials) != 0 {
        look.unread.push(UnreadSpan {
            start: field(fields.span.start),
            why,
        });
    }
    Ok(())
}

/// What the specials of a batch refer to.
struct Held {
    /// Functions, closures, arguments, objects.
    first: Gathered,
    /// What closures refer to.
    closures: Closures,
}

impl Held {
    fn read(
        reader: &Reader<'_>,
        fields: &Fields,
        names: &mut Names<'_>,
        wanted: &dyn Fn(&TypeName) -> u64,
        batch: &Batch,
    ) -> Result<Self, Error> {
        let read = || {
            batch
                .spans
                .iter()
                .filter_map(|(_, read)| read.as_ref().ok())
        };
        let mut ranges = Vec::new();
        for read in read() {
            for special in &read.specials {
                ranges_of(fields, names, wanted, read, special, &mut ranges);
            }
        }
        let first = reader.gather(ranges)?;
        let closure = |special: &RawSpecial| match fields.cleanup_special {
            Some(CleanupSpecial::Closure { function, .. })
                if Some(special.kind) == fields.kinds.cleanup =>
            {
                first.get(special.word(function.offset)?, CLOSURE)
            }
            _ => None,
        };
        let closures = Closures::read(
            reader,
            read().flat_map(|read| &read.specials).filter_map(closure),
        )?;
        Ok(Self { first, closures })
    }

    /// Adds what a span's specials say, and the collection that its bits are of.
    fn add(
        &self,
        fields: &Fields,
        names: &mut Names<'_>,
        wanted: &dyn Fn(&TypeName) -> u64,
        (read, cycle): (&Read, u32),
        look: &mut Look,
    ) {
        for special in &read.specials {
            let Some(kind) = self.kind(fields, names, special) else {
                look.others += 1;
                continue;
            };
            let object = read.span.start.wrapping_add(special.offset);
            let slot = read.span.slot(special.offset);
            let at = slot.map_or(0, |index| index * read.span.elemsize);
            let bytes = match &kind {
                Kind::Finalizer { pointer, .. } => bytes_of(read, special, wanted(pointer)),
                _ => None,
            };
            let mark = slot.map_or(Mark::Unread(Unread::Malformed), |index| {
                read.bits().mark(index)
            });
            look.specials.push(Special {
                object,
                slot: read.span.start.wrapping_add(at),
                size: read.span.elemsize,
                tiny: read.span.class == fields.tiny_class,
                mark: match mark {
                    // Something hangs on it, so that it is no free slot.
                    Mark::Free => Mark::Unread(Unread::Malformed),
                    other => other,
                },
                cycle,
                kind,
                bytes: bytes.and_then(|(at, len)| Some(Box::from(self.first.get(at, len)?))),
            });
        }
    }

    fn kind(&self, fields: &Fields, names: &mut Names<'_>, special: &RawSpecial) -> Option<Kind> {
        let code = |at: Option<u64>| at.and_then(|at| self.first.word(at)).unwrap_or(0);
        if special.kind == fields.kinds.finalizer {
            let of = &fields.finalizer_special;
            return Some(Kind::Finalizer {
                pointer: names.type_name(special.word(of.pointer_type.offset).unwrap_or(0)),
                function: names.function(code(special.word(of.function.offset))),
            });
        }
        if Some(special.kind) == fields.kinds.weak {
            return Some(Kind::Weak);
        }
        if Some(special.kind) != fields.kinds.cleanup {
            return None;
        }
        match fields.cleanup_special? {
            CleanupSpecial::Pair { cleanup, id, .. } => {
                let of = fields.cleanup_fn.as_ref()?;
                let word = |field: Field| special.word(cleanup.offset + field.offset);
                Some(Kind::Cleanup {
                    function: names.function(code(word(of.function))),
                    argument: word(of.argument).and_then(|at| self.first.word(at)),
                    id: special.word(id.offset).unwrap_or(0),
                })
            }
            CleanupSpecial::Closure { function, id, .. } => {
                let closure = special
                    .word(function.offset)
                    .and_then(|at| self.first.get(at, CLOSURE))
                    .unwrap_or_default();
                let (function, argument) = self.closures.unwrap(names, closure);
                Some(Kind::Cleanup {
                    function,
                    argument,
                    id: special.word(id.offset).unwrap_or(0),
                })
            }
        }
    }
}

/// What is read of an object for a special: address and length, within its slot.
fn bytes_of(read: &Read, special: &RawSpecial, wanted: u64) -> Option<(u64, u64)> {
    let end = (special.offset / read.span.elemsize + 1) * read.span.elemsize;
    let len = wanted.min(end.checked_sub(special.offset)?);
    (len > 0).then(|| (read.span.start.wrapping_add(special.offset), len))
}

/// What has to be read for one special.
fn ranges_of(
    fields: &Fields,
    names: &mut Names<'_>,
    wanted: &dyn Fn(&TypeName) -> u64,
    read: &Read,
    special: &RawSpecial,
    ranges: &mut Vec<(u64, u64)>,
) {
    if special.kind == fields.kinds.finalizer {
        let of = &fields.finalizer_special;
        ranges.extend(special.word(of.function.offset).map(|at| (at, 8)));
        let pointer = names.type_name(special.word(of.pointer_type.offset).unwrap_or(0));
        ranges.extend(bytes_of(read, special, wanted(&pointer)));
        return;
    }
    if Some(special.kind) != fields.kinds.cleanup {
        return;
    }
    match (fields.cleanup_special, &fields.cleanup_fn) {
        (Some(CleanupSpecial::Pair { cleanup, .. }), Some(of)) => {
            for field in [of.function, of.argument] {
                ranges.extend(
                    special
                        .word(cleanup.offset + field.offset)
                        .map(|at| (at, 8)),
                );
            }
        }
        (Some(CleanupSpecial::Closure { function, .. }), _) => {
            ranges.extend(special.word(function.offset).map(|at| (at, CLOSURE)));
        }
        _ => {}
    }
}

/// What closures of `runtime.AddCleanup` refer to: two steps.
pub struct Closures {
    first: Gathered,
    second: Gathered,
}

impl Closures {
    /// Of these closures.
    pub fn read<'c>(
        reader: &Reader<'_>,
        closures: impl Iterator<Item = &'c [u8]>,
    ) -> Result<Self, Error> {
        let words = |closure: &[u8]| [1, 2].map(|i| number(closure, i * 8, 8).unwrap_or(0));
        let words: Vec<u64> = closures.flat_map(words).collect();
        let first = reader.gather(words.iter().map(|at| (*at, 8)))?;
        let second = reader.gather(words.iter().filter_map(|at| Some((first.word(*at)?, 8))))?;
        Ok(Self { first, second })
    }

    /// The function and the first word of the argument (`runtime/mcleanup.go`, 1.24 and 1.25: `fn := func() {
    /// cleanup(arg) }`). Behind its code the closure has the function, in 1.25 where that stands, and where the argument
    /// stands. Any other function is given as it is.
    pub fn unwrap(&self, names: &mut Names<'_>, closure: &[u8]) -> (Arc<str>, Option<u64>) {
        let word = |index: u64| number(closure, index * 8, 8).unwrap_or(0);
        let outer = names.function(word(0));
        if !outer.starts_with(ADD_CLEANUP) {
            return (outer, None);
        }
        let direct = self.first.word(word(1));
        let indirect = direct.and_then(|at| self.second.word(at));
        let begins = |pc: &u64| names.entry(*pc) == Some(*pc);
        let function = direct.filter(begins).or(indirect.filter(begins));
        match function {
            Some(pc) => (names.function(pc), self.first.word(word(2))),
            None => (outer, None),
        }
    }
}

/// What is said of the objects at these addresses.
pub fn marks(
    reader: &Reader<'_>,
    fields: &Fields,
    heap: u64,
    objects: &[u64],
) -> Result<Vec<Mark>, Error> {
    let spans = span_of(reader, fields, heap, objects)?;
    let mut marks = vec![Mark::Unread(Unread::NotInHeap); objects.len()];
    // By span, the objects in it.
    let mut members: Vec<(u64, usize)> = spans
        .iter()
        .enumerate()
        .filter_map(|(i, span)| Some(((*span)?, i)))
        .collect();
    members.sort_unstable();
    let mut pending: Vec<u64> = members.iter().map(|(span, _)| *span).collect();
    pending.dedup();
    for size in ATTEMPTS {
        let mut again = Vec::new();
        for chunk in pending.chunks(size) {
            let mut batch = Batch::read(reader, fields, heap, chunk, false)?;
            batch.confirm(reader, fields, heap)?;
            for (at, read) in &batch.spans {
                if matches!(read, Err(Unread::Moving | Unread::Sweeping)) {
                    again.push(*at);
                }
                let first = members.partition_point(|(span, _)| span < at);
                for (_, i) in members[first..].iter().take_while(|(span, _)| span == at) {
                    marks[*i] = match read {
                        Ok(read) => mark_at(read, objects[*i]),
                        Err(why) => Mark::Unread(*why),
                    };
                }
            }
        }
        pending = again;
    }
    Ok(marks)
}

fn mark_at(read: &Read, object: u64) -> Mark {
    let offset = object
        .checked_sub(read.span.start)
        .filter(|offset| *offset < read.span.size);
    match offset.and_then(|offset| read.span.slot(offset)) {
        Some(index) => read.bits().mark(index),
        // The span is another's by now, or the address is behind its last slot.
        None => Mark::Unread(Unread::NotInHeap),
    }
}
