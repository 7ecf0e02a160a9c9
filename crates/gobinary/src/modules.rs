//! What the runtime knows of each module: the program, and each plugin (`runtime.moduledata`).

use crate::Layout;
use crate::bytes::u64_at;
use crate::error::Error;
use crate::executable::{scan, words};
use crate::functions::Header;
use crate::memory::{Memory, Region};

/// Modules that are followed at most: a program and its plugins.
const MODULES: usize = 256;
/// Bytes of writable data that are searched at most.
const SEARCHED: u64 = 512 << 20;
/// Words that could be a module's first.
const ATTEMPTS: usize = 4096;
/// Entries of a table at most: no real one comes near.
const LONGEST: u64 = 1 << 31;

/// A slice of Go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Slice {
    /// Its first element.
    pub addr: u64,
    /// Elements.
    pub len: u64,
}

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
}

impl Span {
    /// Whether an address is in it.
    pub fn contains(&self, addr: u64) -> bool {
        (self.start..self.end).contains(&addr)
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

/// One module. The fields are those of `runtime.moduledata`, with its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Module {
    /// Where the struct stands.
    pub addr: u64,
    /// The function table.
    pub pc_header: u64,
    /// Names of functions, each ended by NUL.
    pub funcnametab: Slice,
    /// By compilation unit, offsets into `filetab`: 4 bytes each.
    pub cutab: Slice,
    /// Names of files, each ended by NUL.
    pub filetab: Slice,
    /// Values by pc, as deltas.
    pub pctab: Slice,
    /// The functions themselves (`_func`).
    pub pclntable: Slice,
    /// Their offsets by pc; the last is the end of code.
    pub ftab: Slice,
    /// First pc.
    pub minpc: u64,
    /// First pc behind the last.
    pub maxpc: u64,
    /// Go code.
    pub text: Span,
    /// Initialised data without pointers.
    pub noptrdata: Span,
    /// Initialised data with pointers: its words are described by `gcdatamask`.
    pub data: Span,
    /// Zeroed data with pointers: its words are described by `gcbssmask`.
    pub bss: Span,
    /// Zeroed data without pointers.
    pub noptrbss: Span,
    /// End of the module's data.
    pub end: u64,
    /// Type descriptors, and the names of types.
    pub types: Span,
    /// Read-only data.
    pub rodata: u64,
    /// What functions' `funcdata` is counted from (`go:func.*`).
    pub gofunc: u64,
    /// Parts of code, where a linker had to part it; none or one on our architectures.
    pub textsects: u64,
    /// A bit for each word of `data`: it holds a pointer. Address, and how many bits.
    pub gcdatamask: Slice,
    /// The same of `bss`.
    pub gcbssmask: Slice,
    /// The next module; 0 behind the last.
    pub next: u64,
}

impl Module {
    /// Decodes one. An error: the layout lacks a field that we need.
    pub(crate) fn of_bytes(addr: u64, bytes: &[u8], layout: &Layout) -> Result<Self, Error> {
        let at = |name: &'static str, more: u64| {
            let field = layout.field("runtime.moduledata", name);
            field
                .and_then(|f| u64_at(bytes, usize::try_from(f.offset.checked_add(more)?).ok()?))
                .ok_or(Error::Missing(name))
        };
        let slice = |name| {
            Ok::<_, Error>(Slice {
                addr: at(name, 0)?,
                len: at(name, 8)?,
            })
        };
        let span = |start, end| {
            Ok::<_, Error>(Span {
                start: at(start, 0)?,
                end: at(end, 0)?,
            })
        };
        // runtime.bitvector: n int32, bytedata *uint8.
        let bits = |name| {
            Ok::<_, Error>(Slice {
                addr: at(name, 8)?,
                len: at(name, 0)? & 0x7fff_ffff,
            })
        };
        Ok(Self {
            addr,
            pc_header: at("pcHeader", 0)?,
            funcnametab: slice("funcnametab")?,
            cutab: slice("cutab")?,
            filetab: slice("filetab")?,
            pctab: slice("pctab")?,
            pclntable: slice("pclntable")?,
            ftab: slice("ftab")?,
            minpc: at("minpc", 0)?,
            maxpc: at("maxpc", 0)?,
            text: span("text", "etext")?,
            noptrdata: span("noptrdata", "enoptrdata")?,
            data: span("data", "edata")?,
            bss: span("bss", "ebss")?,
            noptrbss: span("noptrbss", "enoptrbss")?,
            end: at("end", 0)?,
            types: span("types", "etypes")?,
            rodata: at("rodata", 0)?,
            gofunc: at("gofunc", 0)?,
            textsects: at("textsectmap", 8)?,
            gcdatamask: bits("gcdatamask")?,
            gcbssmask: bits("gcbssmask")?,
            next: at("next", 0)?,
        })
    }

    /// Reads the one at an address.
    fn read(memory: &(impl Memory + ?Sized), addr: u64, layout: &Layout) -> Result<Self, Error> {
        let size = layout
            .size("runtime.moduledata")
            .ok_or(Error::Missing("moduledata"))?;
        let mut bytes = vec![0; size.min(4096) as usize];
        memory.read(addr, &mut bytes)?;
        Self::of_bytes(addr, &bytes, layout)
    }

    /// What is true of any module whose function table stands at `table` (the runtime itself ends the program
    /// otherwise: `runtime.moduledataverify1`).
    pub(crate) fn check(&self, memory: &(impl Memory + ?Sized), table: u64) -> Result<(), Error> {
        let refuse = |what| {
            Err(Error::Malformed {
                what,
                addr: self.addr,
            })
        };
        if self.pc_header != table {
            return refuse("a module's function table");
        }
        let tables = [
            self.funcnametab,
            self.cutab,
            self.filetab,
            self.pctab,
            self.pclntable,
            self.ftab,
        ];
        if tables
            .iter()
            .any(|t| t.addr < table || t.len > LONGEST || t.addr - table > LONGEST)
        {
            return refuse("a module's tables");
        }
        let code = [self.text.start, self.minpc, self.maxpc, self.text.end];
        if !code.is_sorted() || self.minpc == self.maxpc {
            return refuse("a module's code");
        }
        let ranges = [
            self.noptrdata,
            self.data,
            self.bss,
            self.noptrbss,
            self.types,
        ];
        if ranges.iter().any(|r| r.start > r.end) || self.types.start == 0 {
            return refuse("a module's data");
        }
        let header = Header::read(memory, table)?;
        if header.functions.checked_add(1) != Some(self.ftab.len) {
            return refuse("a module's number of functions");
        }
        Ok(())
    }
}

/// Finds the modules of a process: that of the function table at `table`, then those that follow it. Searched
/// is what is mapped from the same file as the table, which holds each initialised variable.
pub fn find(
    memory: &(impl Memory + ?Sized),
    regions: &[Region],
    table: u64,
    layout: &Layout,
) -> Result<Vec<Module>, Error> {
    let home = regions.iter().find(|r| (r.start..r.end).contains(&table));
    let file = home.and_then(|r| r.file);
    // Of a file that is mapped, its data; of what is not (a test's image), all.
    let of_it = |r: &&Region| !r.executable && (file.is_none() || r.file == file);
    let (mut budget, mut attempts) = (SEARCHED, 0);
    // Variables are more often in what may be written.
    for writable in [true, false] {
        for region in regions
            .iter()
            .filter(of_it)
            .filter(|r| r.writable == writable)
        {
            let size = region.end.saturating_sub(region.start).min(budget);
            budget -= size;
            let mut found = None;
            scan(memory, region.start, size, 7, |at, bytes| {
                for (at, _) in words(at, bytes).filter(|(_, word)| *word == table) {
                    attempts += 1;
                    found = self::at(memory, at, table, layout).ok();
                    if found.is_some() || attempts > ATTEMPTS {
                        return false;
                    }
                }
                true
            });
            if let Some(found) = found {
                return Ok(found);
            }
        }
    }
    Err(Error::Missing("the data of its module"))
}

/// The modules from the one at `addr` on, whose function table is to stand at `table`. What follows a sound
/// first one and is not sound itself ends the list.
pub(crate) fn at(
    memory: &(impl Memory + ?Sized),
    addr: u64,
    table: u64,
    layout: &Layout,
) -> Result<Vec<Module>, Error> {
    let first = Module::read(memory, addr, layout)?;
    first.check(memory, table)?;
    let mut modules = vec![first];
    let mut next = first.next;
    while next != 0 && modules.len() < MODULES && modules.iter().all(|m| m.addr != next) {
        let Ok(module) = Module::read(memory, next, layout) else {
            break;
        };
        if module.check(memory, module.pc_header).is_err() {
            break;
        }
        next = module.next;
        modules.push(module);
    }
    Ok(modules)
}
