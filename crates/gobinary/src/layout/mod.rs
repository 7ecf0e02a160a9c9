//! Where the fields of the runtime's structs are, by release and architecture.
//!
//! The table `layouts.json` is made by `cargo xtask go-layouts` from the DWARF of a small program per release.
//! Layouts go by minor release: those listed in [`wanted`] did not move between its patches. For a release that
//! the table does not have, [`Layout::from_dwarf`] reads the program's own DWARF with the same code.

mod dwarf;
mod wanted;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

pub use dwarf::Error as DwarfError;

/// The table, one line a struct.
const TABLE: &str = include_str!("layouts.json");
/// The first minor release of the table: Go 1.18.
const FIRST: u16 = 18;
/// How many minor releases there may be. Those without a layout are in no table.
const RELEASES: usize = 32;

/// A processor architecture whose layouts are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arch {
    /// `x86_64`.
    Amd64,
    /// `aarch64`.
    Arm64,
}

impl Arch {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Amd64, Self::Arm64];

    /// As Go names it (`GOARCH`).
    pub fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A part of a struct.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, u64)", into = "(u64, u64)")]
pub struct Field {
    /// Bytes from the start of the struct.
    pub offset: u64,
    /// Its length in bytes.
    pub size: u64,
}

impl From<(u64, u64)> for Field {
    fn from((offset, size): (u64, u64)) -> Self {
        Self { offset, size }
    }
}

impl From<Field> for (u64, u64) {
    fn from(field: Field) -> Self {
        (field.offset, field.size)
    }
}

/// One struct.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Struct {
    size: u64,
    fields: BTreeMap<String, Field>,
}

/// The runtime's structs and constants of one release on one architecture.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    structs: BTreeMap<String, Struct>,
    constants: BTreeMap<String, i64>,
}

impl Layout {
    /// Where a field is (`"runtime.mspan"`, `"elemsize"`). None: this release does not have it.
    pub fn field(&self, strukt: &str, field: &str) -> Option<Field> {
        self.structs.get(strukt)?.fields.get(field).copied()
    }

    /// The length of a struct in bytes.
    pub fn size(&self, strukt: &str) -> Option<u64> {
        Some(self.structs.get(strukt)?.size)
    }

    /// A constant of the runtime (`"runtime._KindSpecialFinalizer"`).
    pub fn constant(&self, name: &str) -> Option<i64> {
        self.constants.get(name).copied()
    }

    /// The constants whose names begin so, without that beginning.
    pub fn constants<'a>(&'a self, start: &'a str) -> impl Iterator<Item = (&'a str, i64)> {
        let all = self.constants.iter();
        all.filter_map(move |(name, value)| Some((name.strip_prefix(start)?, *value)))
    }

    /// Reads it from a Go program's own debugging information. `file` is the whole ELF file.
    pub fn from_dwarf(file: &[u8]) -> Result<Self, DwarfError> {
        dwarf::read(file)
    }

    /// What stands in the table for it: a line for each struct and each constant's group.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let mut structs = Vec::new();
        for (name, strukt) in &self.structs {
            structs.push(format!(
                "{}: {}",
                serde_json::to_string(name)?,
                serde_json::to_string(strukt)?
            ));
        }
        Ok(format!(
            "{{\"structs\": {{\n{}\n}},\n\"constants\": {}}}",
            structs.join(",\n"),
            serde_json::to_string(&self.constants)?
        ))
    }

    /// Fields that every release of the table has and this one lacks, as `struct.field`.
    pub fn lacks(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for (strukt, fields) in wanted::ALWAYS {
            for field in *fields {
                if self.field(strukt, field).is_none() {
                    missing.push(format!("{strukt}.{field}"));
                }
            }
        }
        missing
    }
}

/// The table of all releases.
#[derive(Debug)]
pub struct Layouts;

impl Layouts {
    /// The layout of Go 1.`minor`.
    pub fn for_release(minor: u16, arch: Arch) -> Option<&'static Layout> {
        // A layout is decoded when it is first asked for: the whole table takes longer than a look at a process.
        static DECODED: [[OnceLock<Option<Layout>>; 2]; RELEASES] =
            [const { [const { OnceLock::new() }; 2] }; RELEASES];
        let row = DECODED.get(usize::from(minor.checked_sub(FIRST)?))?;
        row[arch as usize]
            .get_or_init(|| {
                let text = raw().get(format!("1.{minor}/{arch}").as_str())?.get();
                serde_json::from_str(text).ok()
            })
            .as_ref()
    }

    /// The newest layout of the table, and its minor release.
    pub fn newest(arch: Arch) -> Option<(u16, &'static Layout)> {
        let minor = *Self::releases(arch).last()?;
        Some((minor, Self::for_release(minor, arch)?))
    }

    /// The minor releases of the table, ascending.
    pub fn releases(arch: Arch) -> Vec<u16> {
        let mut minors: Vec<u16> = raw()
            .keys()
            .filter_map(|key| key.strip_suffix(arch.name())?.strip_suffix('/'))
            .filter_map(|release| release.strip_prefix("1.")?.parse().ok())
            .collect();
        minors.sort_unstable();
        minors
    }
}

/// The table, each layout still text.
fn raw() -> &'static BTreeMap<&'static str, &'static RawValue> {
    static RAW: OnceLock<BTreeMap<&'static str, &'static RawValue>> = OnceLock::new();
    RAW.get_or_init(|| serde_json::from_str(TABLE).unwrap_or_default())
}

#[cfg(test)]
mod tests;
