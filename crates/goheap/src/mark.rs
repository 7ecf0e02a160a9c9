//! What the collector has said of one object, from its span's bits. Pure.
//!
//! The facts, each with the Go function it comes from (Go 1.18 to 1.27):
//!
//! * `mheap_.sweepgen` grows by two when a collection has marked (`gcSweep`). A span whose `sweepgen` equals it, or is
//!   three more (swept, and cached for allocation), has been swept since: its `allocBits` are the mark bits of that
//!   collection (`sweepLocked.sweep`: `s.allocBits = s.gcmarkBits; s.freeindex = 0`). A span that was made
//!   since has no bit set (`mheap.initSpan`).
//! * Two less, or one more (cached when the collection ended): not swept yet. Its `gcmarkBits`, together with the marks inside the
//!   span where there are some (`moveInlineMarks`, Go 1.25 and later), are those of the last collection. Nobody allocates
//!   there before it is swept (`mcache.prepareForSweep`, `mcentral.cacheSpan`).
//! * One less: it is being swept. Nothing is said.
//! * All slots below `freeindex` are in use, and above it those with an `allocBits` bit (`mspan.isFree`). The cache of those
//!   bits (`allocCache`) need not be read: `freeindex` moves with each allocation (`nextFreeFast`). `freeIndexForScan`, which
//!   lags behind, only keeps the collector from slots that are not initialised.
//! * While a collection marks, no span is unswept (`gcStart` ends the sweep first: `finishsweep_m`), `gcmarkBits` are
//!   unfinished, and `allocBits` and `sweepgen` are still those of the collection before. So the rules are the same in every
//!   phase, and the last *completed* collection answers.
//! * What is allocated while a collection marks is marked (`gcmarknewobject`, `gcMarkTinyAllocs`). After it, such an
//!   object cannot be told from one that was reached. Hence [`Mark::Survived`] says "reached, or made meanwhile", and never
//!   is a dead object said to be so that was not found dead: what errs, errs towards living.
//! * The sweep marks an unmarked object with a finalizer, and takes its finalizers away (`sweepLocked.sweep`, pass 2). So
//!   an object that still has one was marked by the collector, not by the sweep. One that has only cleanups left may
//!   have been kept by its finalizer's queue: its address is in the queue then, or was.

/// What the last completed collection says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// It was reached, or made while that collection marked.
    Survived,
    /// It was made since.
    New,
    /// It was not reached. Its span is still to be swept: then its finalizers and cleanups are queued.
    DeadUnswept,
    /// No object is there.
    Free,
    /// Not known.
    Unread(Unread),
}

/// Why something is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unread {
    /// Each time it was read it had changed meanwhile.
    #[error("it changed each time it was read")]
    Moving,
    /// The collector was just sweeping it.
    #[error("it is being swept")]
    Sweeping,
    /// It was read of a collection that was not the last one any more.
    #[error("a collection ended after it was read, each time")]
    Cycle,
    /// Its memory could not be read.
    #[error("its memory could not be read")]
    Unmapped,
    /// It is not in the heap.
    #[error("it is not in the heap")]
    NotInHeap,
    /// It is more than one look reads.
    #[error("it is more than one look reads")]
    Limit,
    /// What was read contradicts itself.
    #[error("what the runtime says of it does not fit together")]
    Malformed,
}

/// Where a span stands in the cycle of collections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swept {
    /// Swept since the last completed collection, or made since.
    Yes,
    /// Still to be swept.
    No,
    /// Being swept right now.
    Now,
    /// It fits no state: the heap's number was read at another time.
    Unknown,
}

impl Swept {
    /// From a span's `sweepgen` and the heap's (`runtime/mheap.go`, the comment at `mspan.sweepgen`). Both wrap.
    pub fn of(span: u32, heap: u32) -> Self {
        match span.wrapping_sub(heap) as i32 {
            0 | 3 => Self::Yes,
            -2 | 1 => Self::No,
            -1 => Self::Now,
            _ => Self::Unknown,
        }
    }
}

/// The bits of one span.
#[derive(Debug, Clone, Copy)]
pub struct Bits<'a> {
    /// Where it stands.
    pub swept: Swept,
    /// Slots below it are in use. Read after whatever says that there is an object.
    pub freeindex: u64,
    /// `allocBits`.
    pub alloc: &'a [u8],
    /// `gcmarkBits`; only needed where it is not swept.
    pub marks: &'a [u8],
    /// The marks inside the span, where it has some and is not swept.
    pub inline: &'a [u8],
}

impl Bits<'_> {
    /// What is said of the slot of this index.
    pub fn mark(&self, index: u64) -> Mark {
        let Some(survived_before) = bit(self.alloc, index) else {
            return Mark::Unread(Unread::Malformed);
        };
        let in_use = index < self.freeindex || survived_before;
        match self.swept {
            Swept::Yes if survived_before => Mark::Survived,
            Swept::Yes if in_use => Mark::New,
            Swept::Yes => Mark::Free,
            Swept::No => {
                let Some(marked) = bit(self.marks, index) else {
                    return Mark::Unread(Unread::Malformed);
                };
                let marked = marked || bit(self.inline, index).unwrap_or(false);
                match (marked, in_use) {
                    (true, true) => Mark::Survived,
                    (false, true) => Mark::DeadUnswept,
                    (false, false) => Mark::Free,
                    // The runtime calls this a zombie and ends the program.
                    (true, false) => Mark::Unread(Unread::Malformed),
                }
            }
            Swept::Now => Mark::Unread(Unread::Sweeping),
            Swept::Unknown => Mark::Unread(Unread::Moving),
        }
    }
}

fn bit(bits: &[u8], index: u64) -> Option<bool> {
    let byte = bits.get(usize::try_from(index / 8).ok()?)?;
    Some(byte >> (index % 8) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(swept: Swept) -> Bits<'static> {
        Bits {
            swept,
            freeindex: 3,
            alloc: &[0b0001_0001],
            marks: &[0b0000_0010],
            inline: &[0b0001_0000],
        }
    }

    #[test]
    fn a_swept_span_has_the_marks_in_its_allocation_bits() {
        let bits = bits(Swept::Yes);
        let expected = [
            (0, Mark::Survived),
            (1, Mark::New),
            (2, Mark::New),
            (3, Mark::Free),
            // Above freeindex, and in use since an earlier collection.
            (4, Mark::Survived),
            (8, Mark::Unread(Unread::Malformed)),
        ];
        for (index, mark) in expected {
            assert_eq!(bits.mark(index), mark, "slot {index}");
        }
    }

    #[test]
    fn an_unswept_span_has_them_in_both_its_mark_bits() {
        let bits = bits(Swept::No);
        let expected = [
            (0, Mark::DeadUnswept),
            (1, Mark::Survived),
            (2, Mark::DeadUnswept),
            (3, Mark::Free),
            (4, Mark::Survived),
        ];
        for (index, mark) in expected {
            assert_eq!(bits.mark(index), mark, "slot {index}");
        }
    }

    #[test]
    fn what_is_being_swept_says_nothing() {
        assert_eq!(bits(Swept::Now).mark(0), Mark::Unread(Unread::Sweeping));
        assert_eq!(bits(Swept::Unknown).mark(0), Mark::Unread(Unread::Moving));
    }

    #[test]
    fn generations_wrap() {
        assert_eq!(Swept::of(8, 8), Swept::Yes);
        assert_eq!(Swept::of(11, 8), Swept::Yes);
        assert_eq!(Swept::of(6, 8), Swept::No);
        assert_eq!(Swept::of(9, 8), Swept::No);
        assert_eq!(Swept::of(7, 8), Swept::Now);
        assert_eq!(Swept::of(u32::MAX - 1, 0), Swept::No);
        assert_eq!(Swept::of(1, u32::MAX - 1), Swept::Yes);
        assert_eq!(Swept::of(100, 8), Swept::Unknown);
    }
}
