//! The head of a function table (`runtime.pcHeader`).

use crate::Arch;
use crate::bytes::{read, u32_at, u64_at};
use crate::error::Error;
use crate::memory::Memory;

/// How a function table is written (`internal/abi.PCLnTabMagic`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// Go 1.16 and 1.17: whole addresses.
    Go116,
    /// Go 1.18 and 1.19: offsets from the start of code.
    Go118,
    /// Go 1.20 and later: functions know their first line.
    Go120,
}

/// The head of a function table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// How the rest is written.
    pub format: Format,
    /// Bytes that each pc is a multiple of.
    pub quantum: u8,
    /// How many functions.
    pub functions: u64,
    /// Where code starts; 0 if it is not said (from Go 1.26 on, and in a PIE that is not relocated).
    pub text: u64,
    /// Offsets of the tables: funcnametab, cutab, filetab, pctab, pclntable.
    pub tables: [u64; 5],
}

impl Header {
    /// Reads the one at an address.
    pub fn read(memory: &(impl Memory + ?Sized), addr: u64) -> Result<Self, Error> {
        let bytes: [u8; 72] = read(memory, addr)?;
        Self::of_bytes(&bytes).ok_or(Error::Malformed {
            what: "a function table",
            addr,
        })
    }

    fn of_bytes(bytes: &[u8; 72]) -> Option<Self> {
        let format = match u32_at(bytes, 0)? {
            0xffff_fffa => Format::Go116,
            0xffff_fff0 => Format::Go118,
            0xffff_fff1 => Format::Go120,
            _ => return None,
        };
        let &[0, 0, quantum, 8] = bytes.get(4..8)? else {
            return None;
        };
        // nfunc, nfiles, textStart (not in 1.16), then the offsets.
        let first = if format == Format::Go116 { 24 } else { 32 };
        let mut tables = [0; 5];
        for (i, table) in tables.iter_mut().enumerate() {
            *table = u64_at(bytes, first + 8 * i)?;
        }
        let functions = u64_at(bytes, 8)?;
        // The tables follow each other. The largest programs have a million functions.
        let sound = tables.is_sorted()
            && tables[0] >= 64
            && tables[4] < 1 << 31
            && (1..1 << 24).contains(&functions)
            && matches!(quantum, 1 | 4);
        sound.then_some(Self {
            format,
            quantum,
            functions,
            text: if format == Format::Go116 {
                0
            } else {
                u64_at(bytes, 24)?
            },
            tables,
        })
    }

    /// Whether it is of that architecture.
    pub fn fits(&self, arch: Arch) -> bool {
        self.quantum
            == match arch {
                Arch::Amd64 => 1,
                Arch::Arm64 => 4,
            }
    }
}
