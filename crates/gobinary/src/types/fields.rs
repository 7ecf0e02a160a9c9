//! The fields of structs (`internal/abi.StructType`).

use super::{Kind, Type, Types, name};
use crate::bytes::{read, u64_at};
use crate::error::Error;
use crate::memory::Memory;

/// Fields of a struct that are read at most.
const FIELDS: u64 = 1024;
/// Names in a path to a field at most.
const DEPTH: usize = 16;

/// A field of a struct.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name; of an embedded field, that of its type.
    pub name: String,
    /// Bytes from the start of the struct.
    pub offset: u64,
    /// Where its type's descriptor stands.
    pub ty: u64,
    /// It is embedded.
    pub embedded: bool,
}

impl<M: Memory> Types<M> {
    /// The fields of a struct, in their order; none of another type. Each is read when it is asked for, so that one
    /// who has seen enough may stop.
    pub fn fields(
        &self,
        of: &Type,
    ) -> Result<impl Iterator<Item = Result<Field, Error>> + '_, Error> {
        let (first, count) = self.field_table(of)?;
        Ok((0..count).map(move |i| self.field_at(first.wrapping_add(i * 24))))
    }

    /// Offset and type of the field that a path of names leads to through structs that hold each other (`pfd.Sysfd`).
    /// `None`: no such field.
    pub fn field(&self, of: &Type, path: &str) -> Result<Option<(u64, Type)>, Error> {
        let (mut offset, mut at) = (0_u64, of.clone());
        for name in path.split('.').take(DEPTH) {
            let is_it = |field: &Result<Field, Error>| {
                field.as_ref().map_or(true, |field| field.name == name)
            };
            let Some(field) = self.fields(&at)?.find(is_it) else {
                return Ok(None);
            };
            let field = field?;
            offset = offset.wrapping_add(field.offset);
            at = self.read(field.ty)?;
        }
        Ok(Some((offset, at)))
    }

    /// Where the fields stand, and how many there are.
    fn field_table(&self, of: &Type) -> Result<(u64, u64), Error> {
        if of.kind != Kind::Struct {
            return Ok((0, 0));
        }
        // Behind what all types have: PkgPath, then the slice of fields.
        let bytes: [u8; 16] = read(&self.memory, of.addr.wrapping_add(56))?;
        let (first, count) = (u64_at(&bytes, 0), u64_at(&bytes, 8));
        match (first, count) {
            (Some(first), Some(count)) if count <= FIELDS => Ok((first, count)),
            _ => Err(Error::TooMuch {
                what: "fields of a struct",
                limit: FIELDS,
            }),
        }
    }

    /// The field at an address: name, type, offset. In Go 1.18 the lowest bit of the offset says that it is embedded.
    fn field_at(&self, addr: u64) -> Result<Field, Error> {
        let bytes: [u8; 24] = read(&self.memory, addr)?;
        let word = |offset| u64_at(&bytes, offset).unwrap_or_default();
        let name = name::read(&self.memory, word(0), name::SHORT)?;
        let (offset, embedded) = match self.minor {
            ..=18 => (word(16) >> 1, word(16) & 1 != 0),
            _ => (word(16), name.embedded),
        };
        Ok(Field {
            name: name.text,
            offset,
            ty: word(8),
            embedded,
        })
    }
}
