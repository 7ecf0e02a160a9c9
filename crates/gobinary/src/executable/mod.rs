//! An executable file: what it is built for, where its parts are.

mod build_id;
mod elf;
mod image;
mod pclntab;
mod relocations;

pub use elf::{Arch, Segment};
pub(crate) use image::{scan, words};

use crate::error::Error;
use crate::memory::Region;
use crate::source::Source;
use elf::{Headers, Section};

/// The linker's magic of build info (`cmd/link/internal/ld.(*Link).buildinfo`).
pub(crate) const BUILD_INFO: &[u8; 14] = b"\xff Go buildinf:";
/// Bytes of a file without section headers that are searched for build info.
const SEARCHED: u64 = 64 << 20;
/// Bytes of notes that are read.
const NOTES: u64 = 4096;

/// An executable of Linux on one of the architectures that we read. It is read as it is asked for: opening
/// costs its headers.
///
/// As a [`Memory`](crate::Memory) it is itself as loaded at its link-time addresses, not relocated.
pub struct Executable<'a> {
    source: Opened<'a>,
    headers: Headers,
}

enum Opened<'a> {
    Bytes(&'a [u8]),
    Source(&'a dyn Source),
}

impl<'a> Executable<'a> {
    /// Of a file in memory.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        Ok(Self {
            headers: elf::read(&bytes)?,
            source: Opened::Bytes(bytes),
        })
    }

    /// Of a file that is read piece by piece.
    pub fn open(source: &'a dyn Source) -> Result<Self, Error> {
        Ok(Self {
            headers: elf::read(source)?,
            source: Opened::Source(source),
        })
    }

    /// What it is built for.
    pub fn arch(&self) -> Arch {
        self.headers.arch
    }

    /// Loaded at any address (`-buildmode=pie`), not where it was linked to.
    pub fn is_pie(&self) -> bool {
        self.headers.dynamic
    }

    /// Started by a dynamic linker, as cgo programs and PIEs are.
    pub fn is_dynamic(&self) -> bool {
        self.headers.interpreter
    }

    /// What of it is loaded.
    pub fn segments(&self) -> &[Segment] {
        &self.headers.segments
    }

    /// Address and size of a section at link time, if there are section headers.
    pub fn section(&self, name: &str) -> Option<(u64, u64)> {
        let section = self.sections().iter().find(|s| s.name == name.as_bytes())?;
        (section.addr != 0).then_some((section.addr, section.size))
    }

    /// Bytes of a segment that the file has: a damaged one claims more.
    fn stored(&self, segment: &Segment) -> u64 {
        segment
            .file_size
            .min(self.headers.size.saturating_sub(segment.offset))
    }

    fn sections(&self) -> &[Section] {
        &self.headers.sections
    }

    fn source(&self) -> &dyn Source {
        match &self.source {
            Opened::Bytes(bytes) => bytes,
            Opened::Source(source) => *source,
        }
    }

    /// A Go program, or a program that Go code is linked into. Cheap: headers and notes; only a file without
    /// section headers and without the note of Go's linker is searched for build info.
    pub fn is_go(&self) -> bool {
        if self.section(".go.buildinfo").is_some() || self.go_pclntab_section().is_some() {
            return true;
        }
        self.has_go_note() || (self.sections().is_empty() && self.build_info_addr().is_some())
    }

    /// The note that Go's linker writes: name `Go`, type 4, the build id. No `strip` takes it away.
    fn has_go_note(&self) -> bool {
        self.headers.notes.iter().any(|&(offset, size)| {
            let mut notes = vec![0; size.min(NOTES) as usize];
            self.source().read_at(offset, &mut notes).is_ok()
                // namesz 4, any descsz, type 4, name.
                && notes.windows(16).any(|w| w[..4] == [4, 0, 0, 0] && w[8..] == *b"\x04\0\0\0Go\0\0")
        })
    }

    /// Where build info stands: in its section, or 16-aligned in a writable segment.
    pub(crate) fn build_info_addr(&self) -> Option<u64> {
        if let Some((addr, size)) = self.section(".go.buildinfo")
            && let Some(found) = self.search(addr, size.min(SEARCHED), 16, BUILD_INFO)
        {
            return Some(found);
        }
        // All segments together: a file may have hundreds over the same bytes.
        let mut left = SEARCHED;
        let mut writable = self.segments().iter().filter(|s| s.writable);
        writable.find_map(|segment| {
            let size = self.stored(segment).min(left);
            left -= size;
            self.search(segment.addr, size, 16, BUILD_INFO)
        })
    }

    /// How far a process has this file away from its link-time addresses, by what is mapped there: what to
    /// add to a link-time address (it wraps). `file` says which of the regions map it (device and inode, as
    /// `/proc/PID/maps` shows them). Some file systems (overlay, btrfs) tell one device there and another to `stat`: if no
    /// region has both, the inode has to do; then, as without a file, offsets and rights.
    ///
    /// 0 for what is not a PIE. `None` if no region fits.
    pub fn load_bias(&self, regions: &[Region], file: Option<(u64, u64)>) -> Option<u64> {
        if !self.is_pie() {
            return Some(0);
        }
        // Code is never split by relocation (RELRO), so one region shows a whole segment.
        let code = self.segments().iter().find(|s| s.executable)?;
        let page = |value: u64| value & !0xfff;
        let fits = |r: &&Region| {
            r.executable
                && r.file.is_some()
                && r.offset <= page(code.offset)
                && page(code.offset) - r.offset < r.end.saturating_sub(r.start)
        };
        let inode = |file: Option<(u64, u64)>| file.map(|(_, inode)| inode);
        let by: [&dyn Fn(&Region) -> bool; 3] = [
            &|r| r.file == file,
            &|r| inode(r.file) == inode(file),
            &|_| true,
        ];
        let region = by
            .iter()
            .find_map(|same| regions.iter().filter(fits).find(|r| same(r)))?;
        let at = region.start.wrapping_add(page(code.offset) - region.offset);
        Some(at.wrapping_sub(page(code.addr)))
    }

    /// The same from the address where the kernel says that the process began (`AT_ENTRY` of `/proc/PID/auxv`).
    pub fn load_bias_of_entry(&self, at_entry: u64) -> u64 {
        at_entry.wrapping_sub(self.headers.entry)
    }
}

impl std::fmt::Debug for Executable<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executable")
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}
