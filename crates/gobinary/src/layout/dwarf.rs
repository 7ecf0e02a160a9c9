//! Layouts from DWARF: structs with their members, and named constants.
//!
//! Go writes DWARF 4 until 1.24 and DWARF 5 from 1.25 on, compressed as `.zdebug_*` or by `SHF_COMPRESSED`.
//! Constants are `DW_TAG_constant` (`cmd/compile/internal/gc/export.go`, `DwarfIntConst`).

use super::{Field, Layout, Struct, wanted};
use gimli::{
    AttributeValue, DebuggingInformationEntry, Dwarf, EndianSlice, LittleEndian, Section,
    SectionId, Unit, UnitOffset,
};
use object::{Object, ObjectSection};
use std::borrow::Cow;

/// What may be needed, and how many bytes all of it may have, decompressed. A program of 100 MiB has some 50 MiB.
const SECTIONS: [SectionId; 7] = [
    SectionId::DebugInfo,
    SectionId::DebugAbbrev,
    SectionId::DebugStr,
    // A unit is not read without its line program.
    SectionId::DebugLine,
    SectionId::DebugLineStr,
    SectionId::DebugStrOffsets,
    SectionId::DebugAddr,
];
const LARGEST: u64 = 256 << 20;
/// Entries that are looked at, over all units. A program of 100 MiB has about ten million.
const MOST_ENTRIES: usize = 1 << 26;
/// Bytes of one name at most, and of all that are looked at.
const LONGEST_NAME: usize = 4096;
const MOST_NAMES: usize = 1 << 30;
/// Typedefs of typedefs that are followed.
const DEEPEST: usize = 16;

type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// Why no layout could be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not an ELF file, or a damaged one.
    #[error("not a readable ELF file: {0}")]
    Elf(#[from] object::Error),
    /// It has no debugging information, or not all of it.
    #[error("it has no debugging information (linked with -w or stripped)")]
    None,
    /// The debugging information is damaged.
    #[error("damaged debugging information: {0}")]
    Dwarf(#[from] gimli::Error),
    /// More than we are willing to read.
    #[error("its debugging information is too large to read")]
    TooLarge,
    /// It does not describe the runtime as we know it.
    #[error("its debugging information lacks {0}")]
    Lacks(String),
}

/// Reads the layout of the runtime in an ELF file.
pub fn read(file: &[u8]) -> Result<Layout, Error> {
    let elf = object::File::parse(file)?;
    check_sizes(&elf)?;
    let sections = gimli::DwarfSections::load(|id: SectionId| section(&elf, id))?;
    let dwarf = sections.borrow(|bytes| EndianSlice::new(bytes, LittleEndian));
    if dwarf.debug_info.reader().is_empty() {
        return Err(Error::None);
    }
    let mut reader = Collector::default();
    let mut units = dwarf.units();
    while let Some(header) = units.next()? {
        let unit = dwarf.unit(header)?;
        reader.unit(&dwarf, &unit)?;
    }
    let layout = reader.layout;
    match layout.lacks().first() {
        Some(first) => Err(Error::Lacks(first.clone())),
        None => Ok(layout),
    }
}

/// Refuses a file whose sections are too large together, before one of them is decompressed.
fn check_sizes(elf: &object::File<'_>) -> Result<(), Error> {
    let mut left = LARGEST;
    for id in SECTIONS {
        if let Some(section) = elf.section_by_name(id.name()) {
            let size = section.compressed_data()?.uncompressed_size;
            left = left.checked_sub(size).ok_or(Error::TooLarge)?;
        }
    }
    Ok(())
}

/// The bytes of a section, decompressed; none if there is no such section.
fn section<'a>(elf: &object::File<'a>, id: SectionId) -> Result<Cow<'a, [u8]>, Error> {
    match elf
        .section_by_name(id.name())
        .filter(|_| SECTIONS.contains(&id))
    {
        Some(section) => Ok(section.compressed_data()?.decompress()?),
        None => Ok(Cow::Borrowed(&[])),
    }
}

/// A struct whose members are being read.
struct Open {
    /// How deep in the tree it is; its members are one deeper.
    depth: isize,
    name: &'static str,
    fields: wanted::Fields,
    strukt: Struct,
}

#[derive(Default)]
struct Collector {
    layout: Layout,
    entries: usize,
    names: usize,
    /// Structs within each other, the innermost last.
    open: Vec<Open>,
}

impl Collector {
    /// Goes along the entries of a unit, once.
    fn unit(&mut self, dwarf: &Dwarf<Slice<'_>>, unit: &Unit<Slice<'_>>) -> Result<(), Error> {
        let mut cursor = unit.entries();
        while let Some(entry) = cursor.next_dfs()? {
            self.entries += 1;
            if self.entries > MOST_ENTRIES {
                return Err(Error::TooLarge);
            }
            self.close(entry.depth());
            self.member(dwarf, unit, entry)?;
            match entry.tag() {
                gimli::DW_TAG_structure_type => self.strukt(dwarf, unit, entry)?,
                gimli::DW_TAG_constant => self.constant(dwarf, unit, entry)?,
                _ => {}
            }
        }
        self.close(isize::MIN);
        Ok(())
    }

    /// Ends the structs that an entry of this depth is not in.
    fn close(&mut self, depth: isize) {
        while let Some(done) = self.open.pop_if(|open| open.depth >= depth) {
            self.layout
                .structs
                .insert(done.name.to_owned(), done.strukt);
        }
    }

    fn constant(
        &mut self,
        dwarf: &Dwarf<Slice<'_>>,
        unit: &Unit<Slice<'_>>,
        entry: &Entry<'_>,
    ) -> Result<(), Error> {
        let name = self.name(dwarf, unit, entry)?;
        let Some(name) = name.filter(|name| wanted::constant(name)) else {
            return Ok(());
        };
        if let Some(value) = entry
            .attr_value(gimli::DW_AT_const_value)
            .and_then(|value| value.sdata_value())
        {
            self.layout.constants.insert(name, value);
        }
        Ok(())
    }

    fn strukt(
        &mut self,
        dwarf: &Dwarf<Slice<'_>>,
        unit: &Unit<Slice<'_>>,
        entry: &Entry<'_>,
    ) -> Result<(), Error> {
        let found = self.name(dwarf, unit, entry)?;
        let Some((name, fields)) = found.and_then(|name| wanted::strukt(wanted::renamed(&name)))
        else {
            return Ok(());
        };
        let size = entry
            .attr_value(gimli::DW_AT_byte_size)
            .and_then(|value| value.udata_value());
        self.open.push(Open {
            depth: entry.depth(),
            name,
            fields,
            strukt: Struct {
                size: size.unwrap_or(0),
                ..Struct::default()
            },
        });
        Ok(())
    }

    /// Takes an entry that is a member of the innermost struct.
    fn member(
        &mut self,
        dwarf: &Dwarf<Slice<'_>>,
        unit: &Unit<Slice<'_>>,
        entry: &Entry<'_>,
    ) -> Result<(), Error> {
        let inside = |open: &&Open| open.depth + 1 == entry.depth();
        let Some((strukt, fields)) = self.open.last().filter(inside).map(|o| (o.name, o.fields))
        else {
            return Ok(());
        };
        let Some(name) = self.name(dwarf, unit, entry)? else {
            return Ok(());
        };
        let name = wanted::renamed_field(strukt, &name);
        // Padding, and fields of large structs that nobody asks for.
        if name == "_" || !fields.has(name) {
            return Ok(());
        }
        let Some(offset) = entry
            .attr_value(gimli::DW_AT_data_member_location)
            .and_then(|value| value.udata_value())
        else {
            return Ok(());
        };
        let size = size_of(unit, entry, DEEPEST)?;
        if let Some(open) = self.open.last_mut() {
            let field = Field { offset, size };
            open.strukt.fields.insert(name.to_owned(), field);
        }
        Ok(())
    }

    /// An entry's name. None of one that is longer than any of the runtime's.
    fn name(
        &mut self,
        dwarf: &Dwarf<Slice<'_>>,
        unit: &Unit<Slice<'_>>,
        entry: &Entry<'_>,
    ) -> Result<Option<String>, Error> {
        let Some(value) = entry.attr_value(gimli::DW_AT_name) else {
            return Ok(None);
        };
        let text = dwarf.attr_string(unit, value)?;
        // Its end was searched for, and many may share a long one.
        self.names = self.names.saturating_add(text.len());
        if self.names > MOST_NAMES {
            return Err(Error::TooLarge);
        }
        Ok((text.len() <= LONGEST_NAME).then(|| text.to_string_lossy().into_owned()))
    }
}

type Entry<'a> = DebuggingInformationEntry<Slice<'a>>;

/// The size of what an entry's `DW_AT_type` refers to; a pointer's if it states none.
fn size_of(unit: &Unit<Slice<'_>>, entry: &Entry<'_>, deepest: usize) -> Result<u64, Error> {
    let Some(at) = type_of(unit, entry) else {
        return Ok(0);
    };
    let target = unit.entry(at)?;
    if let Some(size) = target
        .attr_value(gimli::DW_AT_byte_size)
        .and_then(|value| value.udata_value())
    {
        return Ok(size);
    }
    match target.tag() {
        gimli::DW_TAG_typedef if deepest > 0 => size_of(unit, &target, deepest - 1),
        // Pointers, functions, maps and channels.
        _ => Ok(u64::from(unit.encoding().address_size)),
    }
}

fn type_of(unit: &Unit<Slice<'_>>, entry: &Entry<'_>) -> Option<UnitOffset> {
    match entry.attr_value(gimli::DW_AT_type)? {
        AttributeValue::UnitRef(at) => Some(at),
        AttributeValue::DebugInfoRef(at) => at.to_unit_offset(&unit.header),
        _ => None,
    }
}

#[cfg(test)]
#[path = "dwarf_tests.rs"]
mod tests;
