//! One function (`runtime._func`).

use super::{Format, FunctionTable, STEPS};
use crate::bytes::{read_u32, u32_at, u64_at};
use crate::error::Error;
use crate::memory::Memory;

/// One function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// First pc.
    pub entry: u64,
    /// First pc behind it.
    pub end: u64,
    /// Full name, as `runtime.Func.Name` has it.
    pub name: String,
    /// Bytes of arguments and results on the stack; `None` if it takes any number.
    pub args: Option<u32>,
    /// Line where it begins; only from Go 1.20 on.
    pub start_line: Option<u32>,
    /// No caller is above it: a goroutine begins here (`TOPFRAME`). From Go 1.17 on.
    pub top: bool,
    /// It sets sp itself (`SPWRITE`): behind that point its frame size does not hold. From Go 1.17 on.
    pub writes_sp: bool,
    pub(super) pcsp: u32,
    pub(super) pcfile: u32,
    pub(super) pcln: u32,
    pub(super) cu: u32,
    /// Offsets of the tables by pc.
    pcdata: Vec<u32>,
    /// Addresses.
    funcdata: Vec<Option<u64>>,
}

/// `pcdata` by its number (`internal/abi.PCDATA_*`), the same in all releases that we read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PcData {
    /// Where a goroutine may be stopped.
    UnsafePoint = 0,
    /// Which bitmap of `ArgsPointerMaps` and `LocalsPointerMaps` holds.
    StackMapIndex = 1,
    /// Which entry of `InlTree` the pc is in.
    InlTreeIndex = 2,
}

/// `funcdata` by its number (`internal/abi.FUNCDATA_*`), the same in all releases that we read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FuncData {
    /// Which arguments are pointers.
    ArgsPointerMaps = 0,
    /// Which locals are pointers.
    LocalsPointerMaps = 1,
    /// Objects on the stack.
    StackObjects = 2,
    /// What is inlined.
    InlTree = 3,
}

impl<M: Memory> FunctionTable<M> {
    /// Reads the function at an offset of `pclntable`, whose pcs are `start` to `end` from the start of code.
    pub(super) fn read_func(&self, start: u32, end: u32, offset: u32) -> Result<Function, Error> {
        let addr = self.funcs.addr.wrapping_add(offset.into());
        let malformed = || Error::Malformed {
            what: "a function",
            addr,
        };
        // entryOff, nameOff, args, deferreturn, pcsp, pcfile, pcln, npcdata, cuOffset; from 1.20 on startLine;
        // funcID, flag, pad, nfuncdata. Before 1.18 the entry is an address.
        let (wide, fixed) = match self.format {
            Format::Go116 => (4, 44),
            Format::Go118 => (0, 40),
            Format::Go120 => (0, 44),
        };
        let mut bytes = vec![0; fixed];
        self.memory.read(addr, &mut bytes)?;
        let word = |offset: usize| u32_at(&bytes, offset + wide).ok_or_else(malformed);
        let entry = match self.format {
            Format::Go116 => u64_at(&bytes, 0).ok_or_else(malformed)?,
            _ => self
                .text
                .wrapping_add(u32_at(&bytes, 0).ok_or_else(malformed)?.into()),
        };
        if entry != self.text.wrapping_add(start.into()) || end < start {
            return Err(malformed());
        }
        let npcdata = word(28)?;
        // No compiler makes more than a dozen.
        if npcdata > 64 {
            return Err(malformed());
        }
        let behind = addr.wrapping_add(fixed as u64);
        let mut pcdata = vec![0; npcdata as usize * 4];
        self.memory.read(behind, &mut pcdata)?;
        let behind = behind.wrapping_add(pcdata.len() as u64);
        let funcdata = self.read_funcdata(behind, bytes[fixed - 1].into())?;
        let base = self.text.wrapping_add(self.bias);
        Ok(Function {
            entry: base.wrapping_add(start.into()),
            end: base.wrapping_add(end.into()),
            name: self.name(word(4)?)?,
            // _ArgsSizeUnknown is the lowest int32.
            args: u32::try_from(word(8)? as i32).ok(),
            start_line: if self.format == Format::Go120 {
                Some(word(36)?)
            } else {
                None
            },
            // abi.FuncFlag, the third byte from the end.
            top: bytes[fixed - 3] & 1 != 0,
            writes_sp: bytes[fixed - 3] & 2 != 0,
            pcsp: word(16)?,
            pcfile: word(20)?,
            pcln: word(24)?,
            cu: word(32)?,
            pcdata: pcdata
                .chunks_exact(4)
                .filter_map(|w| u32_at(w, 0))
                .collect(),
            funcdata,
        })
    }

    /// Reads where the `funcdata` of a function stand, of which there are `count`.
    fn read_funcdata(&self, addr: u64, count: usize) -> Result<Vec<Option<u64>>, Error> {
        let Some(gofunc) = self.gofunc else {
            // Addresses, aligned as such.
            let mut bytes = vec![0; count * 8];
            self.memory.read(addr.wrapping_add(addr % 8), &mut bytes)?;
            let addrs = bytes
                .chunks_exact(8)
                .map(|w| u64_at(w, 0).filter(|&a| a != 0));
            return Ok(addrs.collect());
        };
        let mut bytes = vec![0; count * 4];
        self.memory.read(addr, &mut bytes)?;
        let place = |w| {
            let offset = u32_at(w, 0).filter(|&o| o != u32::MAX)?;
            Some(gofunc.wrapping_add(offset.into()))
        };
        Ok(bytes.chunks_exact(4).map(place).collect())
    }

    /// The value of a `pcdata` at a pc of the function; `None` if it has none there (the compiler's -1 is a value).
    pub fn pcdata(
        &self,
        function: &Function,
        which: PcData,
        pc: u64,
    ) -> Result<Option<i32>, Error> {
        self.pcdata_within(function, which, pc, &mut { STEPS })
    }

    /// The same with no more than so many steps.
    pub(super) fn pcdata_within(
        &self,
        function: &Function,
        which: PcData,
        pc: u64,
        steps: &mut u32,
    ) -> Result<Option<i32>, Error> {
        match function.pcdata.get(which as usize) {
            Some(&table) => self.value(function, table, pc, steps),
            None => Ok(None),
        }
    }

    /// Where a function's `funcdata` stands in the memory of the table (not moved by its bias).
    pub fn funcdata(&self, function: &Function, which: FuncData) -> Option<u64> {
        function.funcdata.get(which as usize).copied().flatten()
    }

    /// File and line at a pc of the function. An unknown file is empty, an unknown line 0.
    pub(super) fn file_line(
        &self,
        function: &Function,
        pc: u64,
        steps: &mut u32,
    ) -> Result<(String, u32), Error> {
        let line = self.value(function, function.pcln, pc, steps)?;
        let line = line.and_then(|l| u32::try_from(l).ok()).unwrap_or(0);
        let file = self.value(function, function.pcfile, pc, steps)?;
        let Some(file) = file.and_then(|f| u32::try_from(f).ok()) else {
            return Ok((String::new(), line));
        };
        // cutab: by unit and file, an offset into filetab; all ones where the linker dropped the file.
        let index = u64::from(function.cu) + u64::from(file);
        if index >= self.cutab.len {
            return Err(Error::Malformed {
                what: "the file of a function",
                addr: function.entry,
            });
        }
        match read_u32(&self.memory, self.cutab.addr.wrapping_add(index * 4))? {
            u32::MAX => Ok((String::new(), line)),
            offset => Ok((
                self.stream(self.files, offset.into()).text(super::NAME)?,
                line,
            )),
        }
    }
}
