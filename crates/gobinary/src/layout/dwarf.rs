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

/// The largest section that is decompressed, in bytes.
const LARGEST_SECTION: u64 = 1 << 30;
/// Entries that are looked at, over all units. A program of 100 MiB has about ten million.
const MOST_ENTRIES: usize = 1 << 26;
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

/// The bytes of a section, decompressed; none if there is no such section.
fn section<'a>(elf: &object::File<'a>, id: SectionId) -> Result<Cow<'a, [u8]>, Error> {
    // Only these are needed to read types and constants.
    let needed = matches!(
        id,
        SectionId::DebugInfo
            | SectionId::DebugAbbrev
            | SectionId::DebugStr
            // A unit is not read without its line program.
            | SectionId::DebugLine
            | SectionId::DebugLineStr
            | SectionId::DebugStrOffsets
            | SectionId::DebugAddr
    );
    let Some(section) = needed.then(|| elf.section_by_name(id.name())).flatten() else {
        return Ok(Cow::Borrowed(&[]));
    };
    let data = section.compressed_data()?;
    if data.uncompressed_size > LARGEST_SECTION {
        return Err(Error::TooLarge);
    }
    Ok(data.decompress()?)
}

#[derive(Default)]
struct Collector {
    layout: Layout,
    entries: usize,
}

impl Collector {
    fn unit(&mut self, dwarf: &Dwarf<Slice<'_>>, unit: &Unit<Slice<'_>>) -> Result<(), Error> {
        let mut cursor = unit.entries();
        while let Some(entry) = cursor.next_dfs()? {
            self.entries += 1;
            if self.entries > MOST_ENTRIES {
                return Err(Error::TooLarge);
            }
            match entry.tag() {
                gimli::DW_TAG_structure_type => self.strukt(dwarf, unit, entry)?,
                gimli::DW_TAG_constant => self.constant(dwarf, unit, entry)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn constant(
        &mut self,
        dwarf: &Dwarf<Slice<'_>>,
        unit: &Unit<Slice<'_>>,
        entry: &Entry<'_>,
    ) -> Result<(), Error> {
        let Some(name) = name(dwarf, unit, entry)?.filter(|name| wanted::constant(name)) else {
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
        let Some(found) = name(dwarf, unit, entry)? else {
            return Ok(());
        };
        let full = wanted::renamed(&found);
        let Some(fields) = wanted::strukt(full) else {
            return Ok(());
        };
        let mut strukt = Struct {
            size: entry
                .attr_value(gimli::DW_AT_byte_size)
                .and_then(|value| value.udata_value())
                .unwrap_or(0),
            ..Struct::default()
        };
        let mut tree = unit.entries_tree(Some(entry.offset()))?;
        let mut members = tree.root()?.children();
        while let Some(member) = members.next()? {
            let member = member.entry();
            let Some(name) = name(dwarf, unit, member)? else {
                continue;
            };
            let name = wanted::renamed_field(full, &name);
            // Padding, and fields of large structs that nobody asks for.
            if name == "_" || !fields.has(name) {
                continue;
            }
            let Some(offset) = member
                .attr_value(gimli::DW_AT_data_member_location)
                .and_then(|value| value.udata_value())
            else {
                continue;
            };
            let size = size_of(unit, member, DEEPEST)?;
            strukt
                .fields
                .insert(name.to_owned(), Field { offset, size });
        }
        self.layout.structs.insert(full.to_owned(), strukt);
        Ok(())
    }
}

type Entry<'a> = DebuggingInformationEntry<Slice<'a>>;

fn name(
    dwarf: &Dwarf<Slice<'_>>,
    unit: &Unit<Slice<'_>>,
    entry: &Entry<'_>,
) -> Result<Option<String>, Error> {
    let Some(value) = entry.attr_value(gimli::DW_AT_name) else {
        return Ok(None);
    };
    let text = dwarf.attr_string(unit, value)?;
    Ok(Some(text.to_string_lossy().into_owned()))
}

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
