//! All of a profile but its samples: strings, functions, locations.
//!
//! Go writes the strings last, after the samples that mean them: the message is gone through
//! twice, first for these tables.

use super::ProfileError;
use super::error::content;
use super::wire::{Bad, Value, fields};
use std::collections::HashMap;
use std::ops::Range;

const MAX_TYPES: usize = 16;
const MAX_STRINGS: usize = 4 << 20;
const MAX_FUNCTIONS: usize = 1 << 20;
const MAX_LOCATIONS: usize = 2 << 20;
const MAX_LINES: usize = 4 << 20;
/// The longest name of a function, or path of a file.
const LONGEST: usize = 16 << 10;

/// `Function`: indexes of strings.
#[derive(Default)]
pub(super) struct Function {
    pub name: i64,
    pub system_name: i64,
    pub file: i64,
}

/// `Location`.
pub(super) struct Location {
    pub address: u64,
    /// In [`Tables::lines`]; innermost first.
    pub lines: Range<usize>,
}

/// `Line`: the function's id, and the line.
#[derive(Default, Clone, Copy)]
pub(super) struct Line {
    pub function: u64,
    pub line: i64,
}

/// `ValueType`: indexes of strings.
#[derive(Default, Clone, Copy)]
struct ValueType {
    kind: i64,
    unit: i64,
}

/// Which values of a sample are the heap's.
#[derive(Clone, Copy)]
pub(super) struct Columns {
    pub count: usize,
    pub objects: usize,
    pub bytes: usize,
}

/// See the module.
#[derive(Default)]
pub(super) struct Tables<'a> {
    strings: Vec<&'a [u8]>,
    pub functions: HashMap<u64, Function>,
    pub locations: HashMap<u64, Location>,
    pub lines: Vec<Line>,
    types: Vec<ValueType>,
    period_type: ValueType,
    period: i64,
    pub time_nanos: i64,
    pub duration_nanos: i64,
    /// Of the first mapping, the program's: indexes of its path and its build id.
    program: Option<(i64, i64)>,
    /// The largest index of a string in any mapping.
    in_mappings: i64,
}

impl<'a> Tables<'a> {
    /// Reads the tables of a profile.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, ProfileError> {
        let mut tables = Self::default();
        for field in fields(bytes) {
            let read = field
                .map_err(ProfileError::from)
                .and_then(|(number, value)| tables.field(number, value));
            if let Err(error) = read {
                return Err(match error {
                    // Profiles begin with their types; what has none never was one.
                    ProfileError::Truncated if tables.types.is_empty() => NO_PROFILE,
                    other => other,
                });
            }
        }
        if tables.types.is_empty() {
            return Err(NO_PROFILE);
        }
        match tables.strings.first() {
            None => return Err(ProfileError::Truncated),
            Some(first) if !first.is_empty() => {
                return Err(content("its strings", "the first is not empty"));
            }
            Some(_) => {}
        }
        // Nothing is made of the others, but what is cut off is told by them.
        tables.string(tables.in_mappings)?;
        Ok(tables)
    }

    fn field(&mut self, number: u64, value: Value<'a>) -> Result<(), ProfileError> {
        match number {
            1 => {
                self.types.push(value_type(value)?);
                at_most(self.types.len(), MAX_TYPES, "sample types")?;
            }
            3 => self.mapping(value.bytes()?)?,
            4 => self.location(value.bytes()?)?,
            5 => self.function(value.bytes()?)?,
            6 => {
                self.strings.push(value.bytes()?);
                at_most(self.strings.len(), MAX_STRINGS, "strings")?;
            }
            9 => self.time_nanos = value.signed()?,
            10 => self.duration_nanos = value.signed()?,
            11 => self.period_type = value_type(value)?,
            12 => self.period = value.signed()?,
            _ => {}
        }
        Ok(())
    }

    fn mapping(&mut self, message: &[u8]) -> Result<(), ProfileError> {
        let (mut file, mut build_id) = (0, 0);
        for field in fields(message) {
            match inside(field)? {
                (5, value) => file = value.signed()?,
                (6, value) => build_id = value.signed()?,
                _ => {}
            }
        }
        self.program.get_or_insert((file, build_id));
        self.in_mappings = self.in_mappings.max(file).max(build_id);
        Ok(())
    }

    fn location(&mut self, message: &[u8]) -> Result<(), ProfileError> {
        let (mut id, mut address) = (0, 0);
        let from = self.lines.len();
        for field in fields(message) {
            match inside(field)? {
                (1, value) => id = value.number()?,
                (3, value) => address = value.number()?,
                (4, value) => {
                    self.lines.push(line(value.bytes()?)?);
                    at_most(self.lines.len(), MAX_LINES, "lines")?;
                }
                _ => {}
            }
        }
        let lines = from..self.lines.len();
        if self
            .locations
            .insert(id, Location { address, lines })
            .is_some()
        {
            return Err(content("a location", format!("two have the id {id}")));
        }
        at_most(self.locations.len(), MAX_LOCATIONS, "locations")
    }

    fn function(&mut self, message: &[u8]) -> Result<(), ProfileError> {
        let mut id = 0;
        let mut function = Function::default();
        for field in fields(message) {
            match inside(field)? {
                (1, value) => id = value.number()?,
                (2, value) => function.name = value.signed()?,
                (3, value) => function.system_name = value.signed()?,
                (4, value) => function.file = value.signed()?,
                _ => {}
            }
        }
        if self.functions.insert(id, function).is_some() {
            return Err(content("a function", format!("two have the id {id}")));
        }
        at_most(self.functions.len(), MAX_FUNCTIONS, "functions")
    }

    /// A string that is a name; empty: there is none.
    pub(super) fn string(&self, index: i64) -> Result<&'a [u8], ProfileError> {
        let at =
            usize::try_from(index).map_err(|_| content("a string", "its index is negative"))?;
        let string = self.strings.get(at).ok_or(ProfileError::Truncated)?;
        if string.len() > LONGEST {
            return Err(content("a string", "a name is longer than 16 KiB"));
        }
        Ok(string)
    }

    fn optional(&self, index: i64) -> Result<Option<String>, ProfileError> {
        let string = self.string(index)?;
        Ok((!string.is_empty()).then(|| model::decode(string)))
    }

    pub(super) fn executable(&self) -> Result<Option<String>, ProfileError> {
        self.optional(self.program.unwrap_or_default().0)
    }

    pub(super) fn build_id(&self) -> Result<Option<String>, ProfileError> {
        self.optional(self.program.unwrap_or_default().1)
    }

    pub(super) fn sample_rate(&self) -> Result<Option<u64>, ProfileError> {
        if self.names(self.period_type)? != (b"space", b"bytes") {
            return Ok(None);
        }
        Ok(u64::try_from(self.period).ok().filter(|&rate| rate > 0))
    }

    /// Which values are those of the heap, or what the profile is instead.
    pub(super) fn columns(&self) -> Result<Columns, ProfileError> {
        let types = self.types.iter().map(|&one| self.names(one));
        let types = types.collect::<Result<Vec<_>, _>>()?;
        let at = |kind: &[u8], unit: &[u8]| types.iter().position(|&one| one == (kind, unit));
        let objects = at(b"inuse_objects", b"count");
        let bytes = at(b"inuse_space", b"bytes");
        let (Some(objects), Some(bytes)) = (objects, bytes) else {
            return Err(other_profile(&types));
        };
        let count = types.len();
        Ok(Columns {
            count,
            objects,
            bytes,
        })
    }

    fn names(&self, one: ValueType) -> Result<(&'a [u8], &'a [u8]), ProfileError> {
        Ok((self.string(one.kind)?, self.string(one.unit)?))
    }
}

const NO_PROFILE: ProfileError = ProfileError::NotAProfile {
    why: "it does not begin with the types of its samples",
};

impl From<Bad> for ProfileError {
    fn from(bad: Bad) -> Self {
        match bad {
            Bad::Ends => Self::Truncated,
            Bad::Malformed(why) => Self::NotAProfile { why },
        }
    }
}

/// A field within a message: what ends there was not cut off with the file, it is wrong.
pub(super) fn inside(
    field: Result<(u64, Value<'_>), Bad>,
) -> Result<(u64, Value<'_>), ProfileError> {
    field.map_err(|bad| match bad {
        Bad::Ends => ProfileError::NotAProfile {
            why: "a message ends within a field",
        },
        Bad::Malformed(why) => ProfileError::NotAProfile { why },
    })
}

pub(super) fn at_most(count: usize, most: usize, what: &'static str) -> Result<(), ProfileError> {
    if count > most {
        return Err(ProfileError::TooMany { what, most });
    }
    Ok(())
}

fn value_type(value: Value<'_>) -> Result<ValueType, ProfileError> {
    let mut read = ValueType::default();
    for field in fields(value.bytes()?) {
        match inside(field)? {
            (1, value) => read.kind = value.signed()?,
            (2, value) => read.unit = value.signed()?,
            _ => {}
        }
    }
    Ok(read)
}

fn line(message: &[u8]) -> Result<Line, ProfileError> {
    let mut read = Line::default();
    for field in fields(message) {
        match inside(field)? {
            (1, value) => read.function = value.number()?,
            (2, value) => read.line = value.signed()?,
            _ => {}
        }
    }
    Ok(read)
}

/// What a profile without a heap is. Types as `runtime/pprof` and `net/http/pprof` write them.
fn other_profile(types: &[(&[u8], &[u8])]) -> ProfileError {
    let has = |kind: &[u8]| types.iter().any(|one| one.0 == kind);
    let what = if has(b"cpu") {
        "a CPU profile"
    } else if has(b"contentions") {
        "a block or mutex profile"
    } else if has(b"goroutine") {
        "a goroutine profile"
    } else if has(b"goroutineleak") {
        "a profile of leaked goroutines"
    } else if has(b"threadcreate") {
        "a thread profile"
    } else {
        "another profile"
    };
    let names = types.iter().map(|(kind, unit)| {
        let text = format!("{}/{}", model::decode(kind), model::decode(unit));
        model::escape_controls(&crate::error::cut(&text))
    });
    ProfileError::OtherProfile {
        what,
        types: names.collect::<Vec<_>>().join(", "),
    }
}
