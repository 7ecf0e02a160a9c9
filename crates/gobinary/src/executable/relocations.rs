//! Addresses in a PIE, which the dynamic linker writes when it loads it.

use super::{Arch, Executable};
use crate::bytes::u64_at;
use crate::memory::{Memory, ReadError};
use object::elf;

/// Entries of the dynamic table that are read at most.
const ENTRIES: u64 = 512;
/// Bytes of relocations that are read at most: almost three million of them.
const TABLE: u64 = 64 << 20;
/// Bytes of a relocation with addend.
const RELA: usize = 24;

impl Executable<'_> {
    /// Reads memory as it is after relocation, less the load bias. External linkers leave zeroes where an
    /// address will be, and the address in `.rela.dyn` only.
    pub(crate) fn read_relocated(&self, addr: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        self.read(addr, buf)?;
        let end = addr + buf.len() as u64;
        self.each_relative(|at, addend| {
            if at >= addr && at <= end.saturating_sub(8) {
                let from = (at - addr) as usize;
                buf[from..from + 8].copy_from_slice(&addend.to_le_bytes());
            }
            true
        });
        Ok(())
    }

    /// Where an address will be written, in the order of the table: the first for which `is_it` says yes.
    pub(crate) fn find_relocated(
        &self,
        value: u64,
        mut is_it: impl FnMut(u64) -> bool,
    ) -> Option<u64> {
        let mut found = None;
        self.each_relative(|at, addend| {
            if addend == value && is_it(at) {
                found = Some(at);
            }
            found.is_none()
        });
        found
    }

    /// Every address that is corrected by the load bias, and what will be written there, until `more` says no.
    fn each_relative(&self, mut more: impl FnMut(u64, u64) -> bool) {
        let Some((table, size)) = self.rela() else {
            return;
        };
        let relative = u64::from(match self.arch() {
            Arch::Amd64 => elf::R_X86_64_RELATIVE,
            Arch::Arm64 => elf::R_AARCH64_RELATIVE,
        });
        // Chunks of whole entries.
        let mut buf = vec![0; RELA * 4096];
        let mut at = table;
        let end = table.saturating_add(size);
        while at < end {
            let len = (end - at).min(buf.len() as u64) as usize;
            if self.read(at, &mut buf[..len]).is_err() {
                return;
            }
            for entry in buf[..len].chunks_exact(RELA) {
                let [Some(place), Some(info), Some(addend)] = [0, 8, 16].map(|o| u64_at(entry, o))
                else {
                    return;
                };
                if info == relative && !more(place, addend) {
                    return;
                }
            }
            at += len as u64;
        }
    }

    /// `DT_RELA` and `DT_RELASZ`.
    fn rela(&self) -> Option<(u64, u64)> {
        let (addr, size) = self.headers.dynamic_table?;
        let mut table = vec![0; (size.min(ENTRIES * 16)) as usize];
        self.read(addr, &mut table).ok()?;
        let entry = |tag: u32| {
            let found = table
                .chunks_exact(16)
                .find(|e| u64_at(e, 0) == Some(u64::from(tag)))?;
            u64_at(found, 8)
        };
        if entry(elf::DT_RELAENT)? != RELA as u64 {
            return None;
        }
        Some((
            entry(elf::DT_RELA)?,
            entry(elf::DT_RELASZ)?.min(TABLE).min(self.headers.size),
        ))
    }
}
