//! The headers of an ELF file: 64 bits, little-endian.

use crate::bytes::{u16_at, u32_at, u64_at};
use crate::error::Error;
pub use crate::layout::Arch;
use crate::source::Source;
use object::elf;

/// Program headers that are read at most.
const SEGMENTS: u16 = 512;
/// Section headers that are read at most; more, and there are none for us.
const SECTIONS: u16 = 4096;
/// Bytes of their names that are read at most.
const NAMES: u64 = 1 << 20;

/// A part of the file that is loaded (`PT_LOAD`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Address at link time.
    pub addr: u64,
    /// Bytes in memory.
    pub mem_size: u64,
    /// Offset in the file.
    pub offset: u64,
    /// Bytes in the file.
    pub file_size: u64,
    /// May be written, before relocation at least.
    pub writable: bool,
    /// Is code.
    pub executable: bool,
}

/// A section with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section {
    pub name: Vec<u8>,
    /// Address at link time; 0 of what is not loaded.
    pub addr: u64,
    pub size: u64,
}

/// What the headers say.
#[derive(Debug)]
pub(crate) struct Headers {
    pub arch: Arch,
    /// Bytes of the whole file.
    pub size: u64,
    /// `ET_DYN`: loaded anywhere.
    pub dynamic: bool,
    pub entry: u64,
    pub segments: Vec<Segment>,
    /// `PT_DYNAMIC`: address and size.
    pub dynamic_table: Option<(u64, u64)>,
    /// `PT_NOTE`s: offset in the file, and size.
    pub notes: Vec<(u64, u64)>,
    /// `PT_INTERP` is there: a dynamic linker loads it.
    pub interpreter: bool,
    /// Empty if there are no section headers, or they are damaged: nothing rests on them.
    pub sections: Vec<Section>,
}

/// Reads the headers.
pub(crate) fn read(source: &dyn Source) -> Result<Headers, Error> {
    let mut head = [0; 64];
    let size = source.size()?;
    if size < 64 {
        return Err(Error::NotElf);
    }
    source.read_at(0, &mut head)?;
    if head[..4] != elf::ELFMAG {
        return Err(Error::NotElf);
    }
    let half = |offset| u16_at(&head, offset).unwrap_or_default();
    let word = |offset| u64_at(&head, offset).unwrap_or_default();
    // EI_CLASS, EI_DATA, e_machine.
    let arch = arch(head[4], head[5], half(18))?;
    // e_type: ET_EXEC or ET_DYN; a core dump or an object file is no program.
    let dynamic = match half(16) {
        elf::ET_EXEC => false,
        elf::ET_DYN => true,
        _ => return Err(Error::NotElf),
    };
    let mut headers = Headers {
        arch,
        size,
        dynamic,
        entry: word(24),
        segments: Vec::new(),
        dynamic_table: None,
        notes: Vec::new(),
        interpreter: false,
        sections: Vec::new(),
    };
    let (phoff, phentsize, phnum) = (word(32), half(54), half(56));
    if phentsize != 56 {
        return Err(Error::NotElf);
    }
    if phnum > SEGMENTS {
        return Err(Error::TooMuch {
            what: "program headers",
            limit: SEGMENTS.into(),
        });
    }
    let mut table = vec![0; usize::from(phnum) * 56];
    source.read_at(phoff, &mut table)?;
    for entry in table.chunks_exact(56) {
        headers.add_segment(entry);
    }
    headers.sections = sections(source, word(40), half(58), half(60), half(62)).unwrap_or_default();
    Ok(headers)
}

impl Headers {
    fn add_segment(&mut self, entry: &[u8]) {
        let word = |offset| u64_at(entry, offset).unwrap_or_default();
        let kind = u32_at(entry, 0).unwrap_or_default();
        let flags = u32_at(entry, 4).unwrap_or_default();
        let (offset, addr, file_size, mem_size) = (word(8), word(16), word(32), word(40));
        match kind {
            elf::PT_LOAD if addr.checked_add(mem_size).is_some() => self.segments.push(Segment {
                addr,
                mem_size,
                offset,
                file_size: file_size.min(mem_size),
                writable: flags & elf::PF_W != 0,
                executable: flags & elf::PF_X != 0,
            }),
            elf::PT_DYNAMIC => self.dynamic_table = Some((addr, mem_size)),
            elf::PT_NOTE => self.notes.push((offset, file_size)),
            elf::PT_INTERP => self.interpreter = true,
            _ => {}
        }
    }
}

/// The architecture, or the name of the one that it is.
fn arch(class: u8, data: u8, machine: u16) -> Result<Arch, Error> {
    let name = match machine {
        elf::EM_X86_64 if class == elf::ELFCLASS64 => return Ok(Arch::Amd64),
        elf::EM_AARCH64 if class == elf::ELFCLASS64 && data == elf::ELFDATA2LSB => {
            return Ok(Arch::Arm64);
        }
        elf::EM_X86_64 => "x32",
        elf::EM_386 => "386",
        elf::EM_ARM => "arm",
        elf::EM_AARCH64 => "big-endian arm64",
        elf::EM_RISCV => "riscv64",
        elf::EM_S390 => "s390x",
        elf::EM_PPC64 => "ppc64",
        elf::EM_LOONGARCH => "loong64",
        elf::EM_MIPS => "mips",
        other => return Err(Error::Arch(format!("ELF machine {other}"))),
    };
    Err(Error::Arch(name.to_owned()))
}

/// The sections. `None`: there are none that make sense.
fn sections(
    source: &dyn Source,
    offset: u64,
    entry_size: u16,
    count: u16,
    names: u16,
) -> Option<Vec<Section>> {
    if offset == 0 || entry_size != 64 || count == 0 || count > SECTIONS || names >= count {
        return None;
    }
    let mut table = vec![0; usize::from(count) * 64];
    source.read_at(offset, &mut table).ok()?;
    let strings = table.get(usize::from(names) * 64..)?;
    let (offset, size) = (u64_at(strings, 24)?, u64_at(strings, 32)?);
    let mut strings = vec![0; usize::try_from(size.min(NAMES)).ok()?];
    source.read_at(offset, &mut strings).ok()?;
    let section = |header: &[u8]| {
        let name = strings.get(u32_at(header, 0)? as usize..)?;
        let end = name.iter().position(|&b| b == 0)?;
        Some(Section {
            // The longest of Go's is `.data.rel.ro.gopclntab`.
            name: name[..end.min(64)].to_vec(),
            addr: u64_at(header, 16)?,
            size: u64_at(header, 32)?,
        })
    };
    Some(table.chunks_exact(64).filter_map(section).collect())
}
