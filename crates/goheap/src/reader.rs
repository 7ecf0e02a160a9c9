//! Reading much of another process with few calls of the system, within a limit.

use crate::error::Error;
use gobinary::{Memory, Piece};
use rustc_hash::FxHashMap;
use std::cell::Cell;
use std::collections::hash_map::Entry;

/// Bytes that one look reads at most: a million specials with their objects, and more.
pub const LIMIT: u64 = 512 << 20;
/// Bytes at most that stay when a look is over.
const KEPT: u64 = 144 << 20;
/// Of both, what specials leave to the rest of the look, which is read after them.
const SPARED: (u64, u64) = (64 << 20, 16 << 20);
/// What [`Blocks`] reads at once. The runtime's small structs come from chunks of this size
/// (`runtime._FixAllocChunk`).
const BLOCK: u64 = 16 << 10;
/// A page, the least that can be mapped.
const PAGE: u64 = 4096;
/// Ranges that are this near to each other are read as one.
const GAP: u64 = 128;
/// The longest range that is made of several.
const LONGEST: u64 = 64 << 10;

/// What an entry of a list costs that is kept, or passed.
const ENTRY: u64 = 16;
/// What a call costs beside what it reads: as much as a small page.
const CALL: u64 = 256;
/// The same of one of many that are read together.
const PIECE: u64 = 64;

/// Bytes that may still be taken.
struct Allowance {
    left: Cell<u64>,
    /// So many stay for others.
    spared: Cell<u64>,
}

impl Allowance {
    fn new(bytes: u64) -> Self {
        Self {
            left: Cell::new(bytes),
            spared: Cell::new(0),
        }
    }

    /// Takes some. Once there are not enough, there are none any more but what is spared.
    fn take(&self, bytes: u64) -> bool {
        let (left, spared) = (self.left.get(), self.spared.get());
        let rest = left.checked_sub(bytes).filter(|rest| *rest >= spared);
        self.left.set(rest.unwrap_or(left.min(spared)));
        rest.is_some()
    }
}

/// An address space with a limit of what is read of it.
pub struct Reader<'m> {
    memory: &'m dyn Memory,
    reads: Allowance,
    keeps: Allowance,
}

impl<'m> Reader<'m> {
    /// One that reads `limit` bytes at most.
    pub fn new(memory: &'m dyn Memory, limit: u64) -> Self {
        Self {
            memory,
            reads: Allowance::new(limit),
            keeps: Allowance::new(KEPT),
        }
    }

    /// Does something that must leave enough for what follows.
    pub fn sparing<T>(&self, does: impl FnOnce() -> T) -> T {
        self.reads.spared.set(SPARED.0);
        self.keeps.spared.set(SPARED.1);
        let done = does();
        self.reads.spared.set(0);
        self.keeps.spared.set(0);
        done
    }

    /// Counts work that reads nothing new, too: a step along a list, an entry that is kept.
    pub fn spend(&self, bytes: u64) -> Result<(), Error> {
        let may = self.reads.take(bytes);
        may.then_some(()).ok_or(Error::TooMuch("memory"))
    }

    /// Counts what the look will hold when it is over.
    pub fn keep(&self, bytes: u64) -> Result<(), Error> {
        let may = self.keeps.take(bytes);
        may.then_some(())
            .ok_or(Error::TooMuch("specials and calls that wait"))
    }

    /// Fills `buf`.
    pub fn fill(&self, addr: u64, buf: &mut [u8]) -> Result<(), Error> {
        self.spend(buf.len() as u64 + CALL)?;
        Ok(self.memory.read(addr, buf)?)
    }

    /// `len` bytes.
    pub fn bytes(&self, addr: u64, len: u64) -> Result<Vec<u8>, Error> {
        self.spend(0)?;
        if len > self.reads.left.get() {
            return Err(Error::TooMuch("memory"));
        }
        let mut bytes = vec![0; len as usize];
        self.fill(addr, &mut bytes)?;
        Ok(bytes)
    }

    /// A word.
    pub fn word(&self, addr: u64) -> Result<u64, Error> {
        let mut bytes = [0; 8];
        self.fill(addr, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Half a word.
    pub fn half(&self, addr: u64) -> Result<u32, Error> {
        let mut bytes = [0; 4];
        self.fill(addr, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Many ranges at once, in any order. What cannot be read is missing in the result.
    pub fn gather(&self, ranges: impl IntoIterator<Item = (u64, u64)>) -> Result<Gathered, Error> {
        let mut wanted: Vec<(u64, u64)> = Vec::new();
        for range in ranges.into_iter().filter(|(_, len)| *len > 0) {
            // Before it takes memory of ours. Whoever asks for it may copy it, and of one page as often as he likes.
            self.spend(range.1.saturating_add(ENTRY))?;
            wanted.push(range);
        }
        wanted.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::new();
        for (addr, len) in wanted {
            let Some(end) = addr.checked_add(len) else {
                continue;
            };
            match merged.last_mut() {
                Some((start, stop))
                    if addr <= stop.saturating_add(GAP) && end - *start <= LONGEST =>
                {
                    *stop = end.max(*stop);
                }
                _ => merged.push((addr, end)),
            }
        }
        let total: u64 = merged.iter().map(|(start, end)| end - start).sum();
        self.spend(total + merged.len() as u64 * PIECE)?;
        let mut bytes = vec![0; total as usize];
        let mut pieces = Vec::with_capacity(merged.len());
        let mut rest = &mut bytes[..];
        for (start, end) in &merged {
            let (buf, behind) = rest.split_at_mut((end - start) as usize);
            rest = behind;
            pieces.push(Piece {
                addr: *start,
                buf,
                read: false,
            });
        }
        self.memory.read_batch(&mut pieces);
        let mut at = 0;
        let parts = pieces
            .iter()
            .map(|piece| {
                let part = Part {
                    addr: piece.addr,
                    len: piece.buf.len(),
                    at,
                    read: piece.read,
                };
                at += part.len;
                part
            })
            .collect();
        Ok(Gathered { bytes, parts })
    }
}

struct Part {
    addr: u64,
    len: usize,
    at: usize,
    read: bool,
}

/// What was read of many ranges.
pub struct Gathered {
    bytes: Vec<u8>,
    parts: Vec<Part>,
}

impl Gathered {
    /// The bytes at an address that was asked for.
    pub fn get(&self, addr: u64, len: u64) -> Option<&[u8]> {
        let index = self.parts.partition_point(|part| part.addr <= addr);
        let part = self.parts.get(index.checked_sub(1)?)?;
        let from = usize::try_from(addr - part.addr).ok()?;
        let to = from.checked_add(usize::try_from(len).ok()?)?;
        if !part.read || to > part.len {
            return None;
        }
        self.bytes.get(part.at + from..part.at + to)
    }

    /// A word at such an address.
    pub fn word(&self, addr: u64) -> Option<u64> {
        number(self.get(addr, 8)?, 0, 8)
    }
}

/// Memory that is read by the block and kept: for lists, whose next element is near.
pub struct Blocks<'r, 'm> {
    reader: &'r Reader<'m>,
    by_number: FxHashMap<u64, Block>,
}

/// A block: only some of its pages may be mapped.
struct Block {
    bytes: Vec<u8>,
    pages: [bool; (BLOCK / PAGE) as usize],
}

impl<'r, 'm> Blocks<'r, 'm> {
    /// Nothing read yet.
    pub fn new(reader: &'r Reader<'m>) -> Self {
        Self {
            reader,
            by_number: FxHashMap::default(),
        }
    }

    /// Fills `buf`; false if it cannot be read.
    pub fn fill(&mut self, addr: u64, buf: &mut [u8]) -> Result<bool, Error> {
        // A list may lead in a circle of blocks that are known. A copy costs less than what is read.
        self.reader.spend(ENTRY + buf.len() as u64 / 4)?;
        let mut done = 0;
        while done < buf.len() {
            let Some(at) = addr.checked_add(done as u64) else {
                return Ok(false);
            };
            let block = self.block(at / BLOCK)?;
            let from = (at % BLOCK) as usize;
            let rest = PAGE as usize - from % PAGE as usize;
            let len = rest.min(buf.len() - done);
            if !block.pages[from / PAGE as usize] {
                return Ok(false);
            }
            buf[done..done + len].copy_from_slice(&block.bytes[from..from + len]);
            done += len;
        }
        Ok(true)
    }

    fn block(&mut self, number: u64) -> Result<&Block, Error> {
        match self.by_number.entry(number) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(empty) => Ok(empty.insert(Block::read(self.reader, number * BLOCK)?)),
        }
    }
}

impl Block {
    fn read(reader: &Reader<'_>, addr: u64) -> Result<Self, Error> {
        let mut block = Self {
            bytes: vec![0; BLOCK as usize],
            pages: [true; (BLOCK / PAGE) as usize],
        };
        match reader.fill(addr, &mut block.bytes) {
            Err(Error::Read(_)) => {}
            Err(other) => return Err(other),
            Ok(()) => return Ok(block),
        }
        for (i, page) in block.bytes.chunks_exact_mut(PAGE as usize).enumerate() {
            block.pages[i] = match reader.fill(addr + i as u64 * PAGE, page) {
                Err(Error::Read(_)) => false,
                Err(other) => return Err(other),
                Ok(()) => true,
            };
        }
        Ok(block)
    }
}

/// A little-endian number of 1, 2, 4 or 8 bytes at an offset.
pub fn number(bytes: &[u8], offset: u64, size: u64) -> Option<u64> {
    let from = usize::try_from(offset).ok()?;
    let part = bytes.get(from..from.checked_add(usize::try_from(size).ok()?)?)?;
    let mut value = [0; 8];
    value.get_mut(..part.len())?.copy_from_slice(part);
    Some(u64::from_le_bytes(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gobinary::ReadError;

    /// Zeros at every address.
    struct Zeros;

    impl Memory for Zeros {
        fn read(&self, _: u64, buf: &mut [u8]) -> Result<(), ReadError> {
            buf.fill(0);
            Ok(())
        }
    }

    #[test]
    fn a_list_that_leads_in_a_circle_ends() {
        let reader = Reader::new(&Zeros, 1 << 20);
        let mut blocks = Blocks::new(&reader);
        let mut word = [0; 8];
        let steps = (0..1 << 20).take_while(|_| blocks.fill(4096, &mut word).is_ok());
        assert!(steps.count() < 1 << 17);
    }

    /// One range, asked for so often that the list of them would not fit.
    #[test]
    fn ranges_are_counted_before_they_are_kept() {
        let reader = Reader::new(&Zeros, 1 << 20);
        let mut asked = 0_u64;
        let ranges = std::iter::repeat_with(|| {
            asked += 1;
            (4096, 8)
        });
        let gathered = reader.gather(ranges);
        assert!(matches!(gathered, Err(Error::TooMuch(_))));
        assert!(asked < 1 << 17);
    }
}
