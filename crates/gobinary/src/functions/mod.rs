//! Which function a pc is in, at which line, and what was inlined there (`runtime/symtab.go`).

mod by_name;
mod func;
mod header;
mod inlined;

pub use func::{FuncData, Function, PcData};
pub use header::{Format, Header};

use crate::bytes::{Stream, read_u64, u32_at, u64_at};
use crate::error::Error;
use crate::memory::Memory;
use crate::modules::{Module, Slice};

/// Bytes of a name of a function or file at most: generic functions have the longest.
const NAME: usize = 16 << 10;
/// Steps through tables of values by pc for one question at most. The largest functions of real programs have some
/// 100,000.
const STEPS: u32 = 1 << 22;

/// The functions of one module. Nothing is read ahead: each question reads what it needs, a function by binary
/// search.
pub struct FunctionTable<M> {
    memory: M,
    format: Format,
    quantum: u8,
    /// How far the pcs that are asked for are away from those of `memory`.
    bias: u64,
    text: u64,
    minpc: u64,
    maxpc: u64,
    /// What `funcdata` is counted from; `None` where it is addresses.
    gofunc: Option<u64>,
    names: Slice,
    cutab: Slice,
    files: Slice,
    values: Slice,
    funcs: Slice,
    ftab: Slice,
}

/// A place in source code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Full name, as Go prints it in a stack: with `[...]` for what a generic function was compiled for.
    pub function: String,
    /// Path of the file as it was at build time; empty if it is not known.
    pub file: String,
    /// Line in it; 0 if it is not known.
    pub line: u32,
    /// The function has no code of its own here: it was inlined into the frame that follows.
    pub inlined: bool,
}

impl<M: Memory> FunctionTable<M> {
    /// The functions of a module, from where its tables stand in `memory`.
    pub fn new(memory: M, module: &Module) -> Result<Self, Error> {
        let header = Header::read(&memory, module.pc_header)?;
        if module.ftab.len != header.functions + 1 {
            return Err(Error::Malformed {
                what: "a module's number of functions",
                addr: module.addr,
            });
        }
        if module.textsects > 1 {
            return Err(Error::Missing("code in one part"));
        }
        Ok(Self {
            format: header.format,
            quantum: header.quantum,
            memory,
            bias: 0,
            text: module.text.start,
            minpc: module.minpc,
            maxpc: module.maxpc,
            gofunc: Some(module.gofunc),
            names: module.funcnametab,
            cutab: module.cutab,
            files: module.filetab,
            values: module.pctab,
            funcs: module.pclntable,
            ftab: module.ftab,
        })
    }

    /// The functions of Go 1.16 and 1.17, whose table tells all of itself. `end` is where it ends at the latest.
    pub(crate) fn of_addresses(
        memory: M,
        header: &Header,
        table: u64,
        end: u64,
    ) -> Result<Self, Error> {
        let [names, cutab, files, values, funcs] = header.tables;
        let part = |from: u64, to: u64| Slice {
            addr: table.wrapping_add(from),
            len: to - from,
        };
        let start = table.wrapping_add(funcs);
        let mut found = Self {
            format: header.format,
            quantum: header.quantum,
            memory,
            bias: 0,
            text: 0,
            minpc: 0,
            maxpc: 0,
            gofunc: None,
            names: part(names, cutab),
            cutab: Slice {
                addr: table.wrapping_add(cutab),
                len: (files - cutab) / 4,
            },
            files: part(files, values),
            values: part(values, funcs),
            funcs: Slice {
                addr: start,
                len: end.saturating_sub(start),
            },
            // What is behind the last function is the first word only of another entry.
            ftab: Slice {
                addr: start,
                len: header.functions + 1,
            },
        };
        found.minpc = read_u64(&found.memory, start)?;
        found.text = found.minpc;
        found.maxpc = read_u64(&found.memory, start.wrapping_add(header.functions * 16))?;
        if found.minpc >= found.maxpc {
            return Err(Error::Malformed {
                what: "a function table",
                addr: table,
            });
        }
        Ok(found)
    }

    /// The same functions, asked for by the addresses of a process that has the file `bias` away from where it
    /// was linked to.
    #[must_use]
    pub fn with_bias(mut self, bias: u64) -> Self {
        self.bias = bias;
        self
    }

    /// The function that a pc is in. `None`: no Go code of this module.
    ///
    /// A return address is behind its call, and may be in the next function: ask for one less.
    pub fn function(&self, pc: u64) -> Result<Option<Function>, Error> {
        let pc = pc.wrapping_sub(self.bias);
        if pc < self.minpc || pc >= self.maxpc {
            return Ok(None);
        }
        let Ok(offset) = u32::try_from(pc - self.text.min(pc)) else {
            return Ok(None);
        };
        // The last entry that is not beyond it. All but the last, which only ends the table, are functions.
        let (mut low, mut high) = (0, self.ftab.len.saturating_sub(1));
        while low < high {
            let middle = low + (high - low) / 2;
            if self.ftab_entry(middle)?.0 <= offset {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let Some(index) = low.checked_sub(1) else {
            return Ok(None);
        };
        let (start, func) = self.ftab_entry(index)?;
        let end = self.ftab_entry(index + 1)?.0;
        self.read_func(start, end, func).map(Some)
    }

    /// The frames at a pc, the innermost first: what was inlined there, then the function itself. Empty: no Go
    /// code of this module. For a return address, ask for one less.
    pub fn frames(&self, pc: u64) -> Result<Vec<Frame>, Error> {
        match self.function(pc)? {
            Some(function) => self.inlined_frames(&function, pc),
            None => Ok(Vec::new()),
        }
    }

    /// Bytes that the function has on the stack at a pc (`pcsp`): what its sp is below the sp at its entry. On
    /// amd64 the return address follows them, on arm64 the caller's frame. `None`: no Go code, or not known there.
    pub fn frame_size(&self, pc: u64) -> Result<Option<u32>, Error> {
        let Some(function) = self.function(pc)? else {
            return Ok(None);
        };
        let size = self.value(&function, function.pcsp, pc, &mut { STEPS })?;
        Ok(size.and_then(|s| u32::try_from(s).ok()))
    }

    /// An entry of the table by pc: offset of the pc from the start of code, and of the function.
    fn ftab_entry(&self, index: u64) -> Result<(u32, u32), Error> {
        let addr = self
            .ftab
            .addr
            .wrapping_add(index.wrapping_mul(self.ftab_size()));
        // The last has nothing behind its pc before 1.18.
        if index + 1 == self.ftab.len && self.format == Format::Go116 {
            return Ok((self.code_offset(read_u64(&self.memory, addr)?)?, 0));
        }
        let mut bytes = [0; 16];
        let bytes = &mut bytes[..self.ftab_size() as usize];
        self.memory.read(addr, bytes)?;
        self.decode_entry(bytes)
    }

    /// Bytes of an entry.
    fn ftab_size(&self) -> u64 {
        if self.format == Format::Go116 { 16 } else { 8 }
    }

    fn decode_entry(&self, bytes: &[u8]) -> Result<(u32, u32), Error> {
        let word = |offset| u32_at(bytes, offset).unwrap_or_default();
        if self.format == Format::Go116 {
            let pc = u64_at(bytes, 0).unwrap_or_default();
            return Ok((self.code_offset(pc)?, word(8)));
        }
        Ok((word(0), word(4)))
    }

    /// How far from the start of code.
    fn code_offset(&self, pc: u64) -> Result<u32, Error> {
        let offset = pc
            .checked_sub(self.text)
            .and_then(|o| u32::try_from(o).ok());
        offset.ok_or(Error::Malformed {
            what: "an entry of a function table",
            addr: pc,
        })
    }

    /// The value that a table (an offset into `pctab`) has at a pc of the function (`runtime.pcvalue`). `None`:
    /// there is no such table, or it does not reach that far. `steps` are those that may still be taken.
    fn value(
        &self,
        function: &Function,
        table: u32,
        pc: u64,
        steps: &mut u32,
    ) -> Result<Option<i32>, Error> {
        if table == 0 {
            return Ok(None);
        }
        let target = pc.wrapping_sub(function.entry);
        let mut stream = self.stream(self.values, table.into());
        let (mut at, mut value) = (0_u64, -1_i32);
        let mut first = true;
        while *steps > 0 {
            *steps -= 1;
            // Zig-zag: the lowest bit is the sign.
            let delta = stream.varint()?;
            if delta == 0 && !first {
                return Ok(None);
            }
            first = false;
            value = value.wrapping_add((delta >> 1) as i32 ^ -((delta & 1) as i32));
            at += u64::from(stream.varint()?) * u64::from(self.quantum);
            if target < at {
                return Ok(Some(value));
            }
        }
        Err(Error::TooMuch {
            what: "steps of a table of values",
            limit: STEPS.into(),
        })
    }

    /// A table of bytes from an offset on.
    fn stream(&self, table: Slice, offset: u64) -> Stream<'_, M> {
        let end = table.addr.wrapping_add(table.len);
        Stream::new(&self.memory, table.addr.wrapping_add(offset), end)
    }

    /// A function's name by its offset.
    fn name(&self, offset: u32) -> Result<String, Error> {
        self.stream(self.names, offset.into()).text(NAME)
    }
}

/// The name of a function as Go prints it (`runtime.funcNameForPrint`).
fn printed(name: &str) -> String {
    match (name.find('['), name.rfind(']')) {
        (Some(open), Some(close)) if open < close => {
            format!("{}[...]{}", &name[..open], &name[close + 1..])
        }
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::printed;

    #[test]
    fn what_a_function_was_compiled_for_is_left_out() {
        assert_eq!(
            printed("main.f[go.shape.string].func1"),
            "main.f[...].func1"
        );
        assert_eq!(printed("main.(*t[main.a[int]]).f"), "main.(*t[...]).f");
        assert_eq!(printed("main.]["), "main.][");
    }
}
