//! Functions by their names.

use super::{Format, Function, FunctionTable};
use crate::bytes::u32_at;
use crate::error::Error;
use crate::executable::scan;
use crate::memory::Memory;
use crate::modules::Slice;

/// Bytes of names that are searched at most. A million functions have half of it.
const SEARCHED: u64 = 128 << 20;
/// Bytes of `pclntable` that are read at once.
const WINDOW: u64 = 256 << 10;
/// How often that is done at most: the functions stand in the order of their pcs.
const READS: u32 = 4096;

impl<M: Memory> FunctionTable<M> {
    /// The functions of these names, `None` where there is none. It reads the whole table once, however many
    /// are asked for: some milliseconds in a large program.
    pub fn by_names(&self, names: &[&str]) -> Result<Vec<Option<Function>>, Error> {
        let offsets = self.name_offsets(names);
        let mut found: Vec<Option<Function>> = vec![None; names.len()];
        let mut left = offsets.iter().flatten().count();
        let mut window = Window::default();
        for index in 0..self.ftab.len.saturating_sub(1) {
            if left == 0 {
                break;
            }
            let (start, func) = window.entry(self, index)?;
            let name = window.name_of(self, func)?;
            for (slot, offset) in found.iter_mut().zip(&offsets) {
                if *offset == Some(name) && slot.is_none() {
                    let end = self.ftab_entry(index + 1)?.0;
                    *slot = Some(self.read_func(start, end, func)?);
                    left -= 1;
                }
            }
        }
        Ok(found)
    }

    /// Where the names stand. Each is there once.
    fn name_offsets(&self, names: &[&str]) -> Vec<Option<u32>> {
        let mut offsets = vec![None; names.len()];
        let longest = names.iter().map(|n| n.len()).max().unwrap_or(0);
        // A bit for each length that a name has; the last one is for all that are longer. There may be a hundred million
        // names, if they are empty.
        let bit = |len: usize| 1_u64 << len.min(63);
        let lengths = names.iter().fold(0, |set, name| set | bit(name.len()));
        let size = self.names.len.min(SEARCHED);
        // A chunk's overlap holds the longest name and both NULs around it.
        scan(
            &self.memory,
            self.names.addr,
            size,
            longest + 2,
            |at, bytes| {
                let mut start = 0;
                // The first piece of a chunk may be the rest of a name that began before it: then it has no NUL
                // before it, unless it is the first of all.
                let mut whole = at == self.names.addr;
                for end in 0..bytes.len() {
                    if bytes[end] != 0 {
                        continue;
                    }
                    let name = &bytes[start..end];
                    if whole
                        && lengths & bit(name.len()) != 0
                        && let Some(i) = names.iter().position(|n| n.as_bytes() == name)
                    {
                        offsets[i].get_or_insert((at - self.names.addr) as u32 + start as u32);
                    }
                    whole = true;
                    start = end + 1;
                }
                offsets.iter().any(Option::is_none)
            },
        );
        offsets
    }
}

/// Parts of the tables that were read last.
#[derive(Default)]
struct Window {
    ftab: Part,
    funcs: Part,
}

#[derive(Default)]
struct Part {
    from: u64,
    bytes: Vec<u8>,
    reads: u32,
}

impl Part {
    /// `len` bytes at an offset of a table.
    fn at<M: Memory>(
        &mut self,
        memory: &M,
        table: Slice,
        offset: u64,
        len: u64,
    ) -> Result<&[u8], Error> {
        let inside = |part: &Self| {
            offset >= part.from && offset - part.from + len <= part.bytes.len() as u64
        };
        if !inside(self) {
            let whole = table.len.saturating_sub(offset).min(WINDOW);
            self.from = offset;
            self.reads += 1;
            if self.reads > READS {
                return Err(Error::TooMuch {
                    what: "reads of functions",
                    limit: READS.into(),
                });
            }
            self.bytes.resize(whole as usize, 0);
            memory.read(table.addr.wrapping_add(offset), &mut self.bytes)?;
        }
        let from = (offset - self.from) as usize;
        self.bytes
            .get(from..from + len as usize)
            .ok_or(Error::Malformed {
                what: "a function",
                addr: table.addr.wrapping_add(offset),
            })
    }
}

impl Window {
    fn entry<M: Memory>(
        &mut self,
        table: &FunctionTable<M>,
        index: u64,
    ) -> Result<(u32, u32), Error> {
        let size = table.ftab_size();
        let ftab = Slice {
            addr: table.ftab.addr,
            // The last is cut short before 1.18, and not asked for here.
            len: table.ftab.len.saturating_sub(1) * size,
        };
        table.decode_entry(self.ftab.at(&table.memory, ftab, index * size, size)?)
    }

    /// Offset of the name of the function at an offset.
    fn name_of<M: Memory>(&mut self, table: &FunctionTable<M>, func: u32) -> Result<u32, Error> {
        let bytes = self.funcs.at(&table.memory, table.funcs, func.into(), 12)?;
        let offset = if table.format == Format::Go116 { 8 } else { 4 };
        Ok(u32_at(bytes, offset).unwrap_or(0))
    }
}
