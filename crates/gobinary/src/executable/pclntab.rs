//! Where the function table stands, and the module that it belongs to.

use super::image::{scan, words};
use super::{Arch, Executable, Segment};
use crate::error::Error;
use crate::functions::{Format, FunctionTable, Header};
use crate::memory::{Memory, Region};
use crate::modules::{self, Module};
use crate::{Layout, Layouts};

/// Tables that look like one: a program may carry another as data.
const CANDIDATES: usize = 16;
/// Words that could be a module's first, for all tables together: each may have all relocations gone along.
const ATTEMPTS: usize = 32;
/// Bytes that are searched for tables, and for modules of all of them, at most.
const SEARCHED: u64 = 1 << 30;

/// What may still be done to find the module of one of several tables.
struct Search {
    left: u64,
    attempts: usize,
}

impl Executable<'_> {
    /// The section that holds it. A PIE's, up to Go 1.25, is among what is relocated.
    pub(super) fn go_pclntab_section(&self) -> Option<u64> {
        [".gopclntab", ".data.rel.ro.gopclntab"]
            .into_iter()
            .find_map(|name| self.section(name))
            .map(|(addr, _)| addr)
    }

    /// Address of the function table at link time.
    pub fn pclntab(&self) -> Result<u64, Error> {
        match self.module() {
            Ok(module) => Ok(module.pc_header),
            // Too old for a module that we know.
            Err(Error::Release(_)) => self.first_table(Some),
            Err(error) => Err(error),
        }
    }

    /// The module of this file, at link-time addresses.
    pub fn module(&self) -> Result<Module, Error> {
        self.module_by(self.layout()?)
    }

    /// The same by a layout that the caller has, as of the file's own DWARF.
    pub fn module_by(&self, layout: &Layout) -> Result<Module, Error> {
        let mut search = Search {
            left: SEARCHED,
            attempts: ATTEMPTS,
        };
        self.first_table(|addr| self.module_at(addr, layout, &mut search))
    }

    /// The functions of this file, at link-time addresses. Also those of Go 1.16 and 1.17.
    pub fn functions(&self) -> Result<FunctionTable<&Self>, Error> {
        match self.module() {
            Ok(module) => FunctionTable::new(self, &module),
            Err(Error::Release(minor)) => self
                .first_table(|addr| self.functions_before_118(addr))
                .map_err(|_| Error::Release(minor)),
            Err(error) => Err(error),
        }
    }

    fn functions_before_118(&self, table: u64) -> Option<FunctionTable<&Self>> {
        let header = Header::read(self, table).ok()?;
        if header.format != Format::Go116 {
            return None;
        }
        let contains = |s: &&Segment| (s.addr..s.addr + s.file_size).contains(&table);
        let home = self.segments().iter().find(contains)?;
        FunctionTable::of_addresses(self, &header, table, home.addr + home.file_size).ok()
    }

    /// C code is linked in through cgo, or may be called without it. Reads the names of functions.
    pub fn uses_cgo(&self) -> Result<bool, Error> {
        // How C calls Go: a function of runtime/cgo, and of those who do without it.
        let found = self.functions()?.by_names(&["crosscall2"])?;
        Ok(found.iter().any(Option::is_some))
    }

    /// The layout of its release. Of a release that is newer than all that are known, or does not say what it
    /// is, the newest: all is checked that is read by it.
    fn layout(&self) -> Result<&'static Layout, Error> {
        let minor = self.build_info()?.minor();
        if let Some(minor) = minor
            && let Some(layout) = Layouts::for_release(minor, self.arch())
        {
            return Ok(layout);
        }
        match (minor, Layouts::newest(self.arch())) {
            (Some(minor), Some((newest, _))) if minor <= newest => Err(Error::Release(minor)),
            (_, Some((_, layout))) => Ok(layout),
            (_, None) => Err(Error::Missing("a layout")),
        }
    }

    /// The modules of a process that runs this file, `bias` away from where it was linked to; that of the
    /// program first.
    pub fn live_modules(
        &self,
        memory: &dyn Memory,
        regions: &[Region],
        bias: u64,
        layout: &Layout,
    ) -> Result<Vec<Module>, Error> {
        let module = self.module_by(layout)?;
        let table = module.pc_header.wrapping_add(bias);
        modules::at(memory, module.addr.wrapping_add(bias), table, layout)
            .or_else(|_| modules::find(memory, regions, table, layout))
    }

    /// What `use_it` makes of the first function table that it can use: that of the section, else whatever looks
    /// like one.
    fn first_table<T>(&self, mut use_it: impl FnMut(u64) -> Option<T>) -> Result<T, Error> {
        if let Some(addr) = self.go_pclntab_section()
            && self.is_table(addr)
            && let Some(used) = use_it(addr)
        {
            return Ok(used);
        }
        let (mut budget, mut candidates) = (SEARCHED, 0);
        // Where all is relocated, the table is among what is written first.
        for writable in [self.is_pie(), !self.is_pie()] {
            for segment in self.segments().iter().filter(|s| s.writable == writable) {
                let mut used = None;
                let size = self.stored(segment).min(budget);
                budget -= size;
                scan(self, segment.addr, size, 7, |at, bytes| {
                    for at in self.tables(at, bytes) {
                        candidates += 1;
                        used = use_it(at);
                        if used.is_some() || candidates > CANDIDATES {
                            return false;
                        }
                    }
                    true
                });
                if let Some(used) = used {
                    return Ok(used);
                }
            }
        }
        Err(if self.is_go() {
            Error::Missing("the function table")
        } else {
            Error::NotGo
        })
    }

    fn is_table(&self, addr: u64) -> bool {
        Header::read(self, addr).is_ok_and(|h| h.fits(self.arch()))
    }

    /// What looks like a function table in a chunk of memory at `at`.
    fn tables(&self, at: u64, bytes: &[u8]) -> impl Iterator<Item = u64> {
        let quantum = match self.arch() {
            Arch::Amd64 => 1,
            Arch::Arm64 => 4,
        };
        words(at, bytes)
            // Magic (its lowest byte differs), two zeroes, quantum, size of a pointer.
            .filter(move |(_, word)| {
                word >> 8 == u64::from_be_bytes([0, 8, quantum, 0, 0, 0xff, 0xff, 0xff])
            })
            .map(|(at, _)| at)
            .filter(|&at| self.is_table(at))
    }

    /// The module whose table stands at `table`.
    fn module_at(&self, table: u64, layout: &Layout, search: &mut Search) -> Option<Module> {
        let Search { left, attempts } = search;
        let mut read = |addr| {
            *attempts = attempts.checked_sub(1)?;
            let size = layout.size("runtime.moduledata")?;
            let mut bytes = vec![0; usize::try_from(size).ok()?];
            self.read_relocated(addr, &mut bytes).ok()?;
            let module = Module::of_bytes(addr, &bytes, layout).ok()?;
            module.check(self, table).ok()?;
            Some(module)
        };
        if let Some((addr, _)) = self.section(".go.module")
            && let Some(module) = read(addr)
        {
            return Some(module);
        }
        let mut found = None;
        for segment in self.segments().iter().filter(|s| s.writable) {
            let size = self.stored(segment).min(*left);
            *left -= size;
            scan(self, segment.addr, size, 7, |at, bytes| {
                let mut same = words(at, bytes).filter(|(_, word)| *word == table);
                found = same.find_map(|(at, _)| read(at));
                found.is_none()
            });
            if found.is_some() {
                return found;
            }
        }
        self.find_relocated(table, |at| {
            found = read(at);
            found.is_some()
        });
        found
    }
}
