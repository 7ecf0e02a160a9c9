//! Reading spans with their specials while the process goes on.

use crate::error::Error;
use crate::fields::{CleanupSpecial, Fields};
use crate::find::checks::pointer;
use crate::look::Special;
use crate::mark::{Bits, Swept, Unread};
use crate::reader::{Blocks, Gathered, Reader, number};
use crate::spans::{Inline, Span, sweepgen};
use gobinary::layout::Field;

/// Specials after which a batch is full.
const MANY: usize = 1 << 18;
/// Specials of one span at most. It has 1024 objects at most, or a single large one, and each has few.
const MOST_OF_SPAN: usize = 1 << 18;

/// A special as it was read, its own bytes included.
#[derive(Debug, Clone)]
pub struct RawSpecial {
    /// Where the struct stands.
    pub at: u64,
    /// Bytes from the start of its span.
    pub offset: u64,
    /// The release's number of its kind.
    pub kind: u64,
    /// Its first bytes.
    bytes: [u8; LONGEST],
    len: usize,
}

/// Bytes of the longest special.
const LONGEST: usize = 64;

impl RawSpecial {
    /// A word of it.
    pub fn word(&self, offset: u64) -> Option<u64> {
        number(&self.bytes[..self.len], offset, 8)
    }
}

/// What one span said.
pub struct Read {
    /// The span, as it was last.
    pub span: Span,
    /// Its specials, by offset.
    pub specials: Vec<RawSpecial>,
    alloc: Vec<u8>,
    marks: Vec<u8>,
    inline: Vec<u8>,
    swept: Swept,
}

impl Read {
    /// The bits.
    pub fn bits(&self) -> Bits<'_> {
        Bits {
            swept: self.swept,
            freeindex: self.span.freeindex,
            alloc: &self.alloc,
            marks: &self.marks,
            inline: &self.inline,
        }
    }
}

/// Reads spans with their specials so that nothing moved between: heap's number, spans, specials, bits; then whatever the
/// caller reads of the objects; then specials, spans and number again ([`Batch::confirm`]). What is the
/// same at both ends was so in the middle: a special that is freed is overwritten by the list of free ones
/// (`fixalloc.free`), and a slot only gets a new object after its span was swept, which its `allocBits` show.
pub struct Batch {
    /// The heap's number.
    pub sweepgen: u32,
    /// By span, in the order that was asked for; the first ones alone, if these have many specials.
    pub spans: Vec<(u64, Result<Read, Unread>)>,
}

impl Batch {
    /// The first reading. `specials`: read their specials too.
    pub fn read(
        reader: &Reader<'_>,
        fields: &Fields,
        heap: u64,
        spans: &[u64],
        specials: bool,
    ) -> Result<Self, Error> {
        let sweepgen = sweepgen(reader, fields, heap)?;
        let structs = reader.gather(spans.iter().map(|at| (*at, fields.span.size)))?;
        let mut blocks = Blocks::new(reader);
        let mut read = Vec::with_capacity(spans.len());
        let mut total = 0;
        for at in spans {
            let mut one = decode(fields, *at, &structs, sweepgen);
            if let (Ok(found), true) = (&mut one, specials) {
                match list(&mut blocks, fields, &found.span)? {
                    Ok(list) => found.specials = list,
                    Err(why) => one = Err(why),
                }
            }
            total += one.as_ref().map_or(0, |read| read.specials.len());
            read.push((*at, one));
            if total > MANY {
                break;
            }
        }
        let mut batch = Self {
            sweepgen,
            spans: read,
        };
        batch.bits(reader, fields, heap)?;
        Ok(batch)
    }

    fn bits(&mut self, reader: &Reader<'_>, fields: &Fields, heap: u64) -> Result<(), Error> {
        let read = || self.spans.iter().filter_map(|(_, read)| read.as_ref().ok());
        let unswept = || read().filter(|read| read.swept == Swept::No);
        let inline = Inline::read(reader, fields, heap, unswept().map(|read| &read.span))?;
        let ranges = read()
            .map(|read| (read.span.alloc_bits, read.span.bitmap()))
            .chain(unswept().map(|read| (read.span.mark_bits, read.span.bitmap())))
            .chain(unswept().filter_map(|read| inline.marks(fields, &read.span).ok().flatten()));
        let bits = reader.gather(ranges)?;
        for (_, one) in &mut self.spans {
            let Ok(read) = one else { continue };
            let mut all = true;
            let mut take = |at, len| {
                let found = bits.get(at, len).map(<[u8]>::to_vec);
                all &= found.is_some();
                found.unwrap_or_default()
            };
            read.alloc = take(read.span.alloc_bits, read.span.bitmap());
            if read.swept == Swept::No {
                read.marks = take(read.span.mark_bits, read.span.bitmap());
                match inline.marks(fields, &read.span) {
                    Ok(Some((at, len))) => read.inline = take(at, len),
                    Ok(None) => {}
                    // Without them, what is alive would look dead.
                    Err(_) => all = false,
                }
            }
            if !all {
                *one = Err(Unread::Unmapped);
            }
        }
        Ok(())
    }

    /// The second reading. A span that changed becomes unread.
    pub fn confirm(
        &mut self,
        reader: &Reader<'_>,
        fields: &Fields,
        heap: u64,
    ) -> Result<(), Error> {
        let mut blocks = Blocks::new(reader);
        for (_, one) in &mut self.spans {
            let Ok(read) = one else { continue };
            for special in &read.specials {
                let mut again = [0; LONGEST];
                let again = &mut again[..special.len];
                if !blocks.fill(special.at, again)? || *again != special.bytes[..special.len] {
                    *one = Err(Unread::Moving);
                    break;
                }
            }
        }
        let structs = reader.gather(self.spans.iter().map(|(at, _)| (*at, fields.span.size)))?;
        let heap_now = sweepgen(reader, fields, heap)?;
        for (at, one) in &mut self.spans {
            let Ok(read) = one else { continue };
            match decode(fields, *at, &structs, heap_now) {
                Ok(later) if heap_now == self.sweepgen && read.span.same(&later.span, heap_now) => {
                    // Whoever has a special was allocated before it got one.
                    read.span.freeindex = later.span.freeindex;
                }
                Ok(_) | Err(Unread::Moving) => *one = Err(Unread::Moving),
                Err(why) => *one = Err(why),
            }
        }
        let confirmed = self.spans.iter().filter_map(|(_, one)| one.as_ref().ok());
        let specials = confirmed.flat_map(|read| &read.specials);
        let kept = specials.filter(|special| fields.kinds.is_told(special.kind));
        reader.keep((kept.count() * size_of::<Special>()) as u64)
    }
}

fn decode(fields: &Fields, at: u64, structs: &Gathered, heap: u32) -> Result<Read, Unread> {
    let bytes = structs.get(at, fields.span.size).ok_or(Unread::Unmapped)?;
    let span = Span::of(fields, at, bytes)?;
    let swept = Swept::of(span.sweepgen, heap);
    match swept {
        Swept::Now => return Err(Unread::Sweeping),
        Swept::Unknown => return Err(Unread::Moving),
        Swept::Yes | Swept::No => {}
    }
    Ok(Read {
        span,
        specials: Vec::new(),
        alloc: Vec::new(),
        marks: Vec::new(),
        inline: Vec::new(),
        swept,
    })
}

/// The specials of a span, in its order.
fn list(
    blocks: &mut Blocks<'_, '_>,
    fields: &Fields,
    span: &Span,
) -> Result<Result<Vec<RawSpecial>, Unread>, Error> {
    let head = fields.special;
    let short = (head.size as usize).min(LONGEST);
    let mut specials: Vec<RawSpecial> = Vec::new();
    let mut next = span.specials;
    let mut circle = Circle::from(next);
    while next != 0 {
        if !pointer(next) {
            return Ok(Err(Unread::Moving));
        }
        if specials.len() >= MOST_OF_SPAN {
            return Ok(Err(Unread::Limit));
        }
        let mut special = RawSpecial {
            at: next,
            offset: 0,
            kind: 0,
            bytes: [0; LONGEST],
            len: short,
        };
        if !blocks.fill(next, &mut special.bytes[..short])? {
            return Ok(Err(Unread::Moving));
        }
        let get = |bytes: &[u8], field: Field| number(bytes, field.offset, field.size).unwrap_or(0);
        special.offset = get(&special.bytes, head.offset);
        special.kind = get(&special.bytes, head.kind);
        let after = |last: &RawSpecial| (last.offset, last.kind) <= (special.offset, special.kind);
        if special.kind == 0
            || special.kind > fields.kinds.highest
            || special.offset >= span.size
            || !specials.last().is_none_or(after)
        {
            // A free special, or one of another span: the list was changed while it was followed.
            return Ok(Err(Unread::Moving));
        }
        let len = full_size(fields, special.kind).clamp(short, LONGEST);
        if len > short {
            special.len = len;
            let (at, rest) = (next + short as u64, &mut special.bytes[short..len]);
            if !blocks.fill(at, rest)? {
                return Ok(Err(Unread::Moving));
            }
        }
        next = get(&special.bytes, head.next);
        specials.push(special);
        if circle.closes(next) {
            // Of a list that was changed while it was followed, or of one that somebody made up.
            return Ok(Err(Unread::Moving));
        }
    }
    Ok(Ok(specials))
}

/// Finds that a list leads in a circle, at the latest when it has been followed three times as far as it goes before it
/// repeats itself (Brent).
struct Circle {
    /// What is waited for.
    mark: u64,
    /// Steps since it was set, and steps until the next is.
    steps: (usize, usize),
}

impl Circle {
    fn from(first: u64) -> Self {
        Self {
            mark: first,
            steps: (0, 1),
        }
    }

    /// The list goes on with `next`: whether that was passed before.
    fn closes(&mut self, next: u64) -> bool {
        if next == self.mark {
            return true;
        }
        self.steps.0 += 1;
        if self.steps.0 == self.steps.1 {
            self.mark = next;
            self.steps = (0, self.steps.1 * 2);
        }
        false
    }
}

/// Bytes of a special of this kind that are wanted.
fn full_size(fields: &Fields, kind: u64) -> usize {
    if kind == fields.kinds.finalizer {
        return fields.finalizer_special.size as usize;
    }
    match fields.cleanup_special {
        Some(CleanupSpecial::Closure { size, .. } | CleanupSpecial::Pair { size, .. })
            if Some(kind) == fields.kinds.cleanup =>
        {
            size as usize
        }
        _ => 0,
    }
}
