//! A name of a type, a field or a package (`internal/abi.Name`).

use crate::bytes::Stream;
use crate::error::Error;
use crate::memory::Memory;

/// Bytes of the name of a type at most: that of a struct without one holds all its fields.
pub(super) const TYPE: u32 = 64 << 10;
/// Bytes of the name of a field or a package at most.
pub(super) const SHORT: u32 = 4 << 10;

/// A name.
pub(super) struct Name {
    pub text: String,
    /// A field that is embedded (from Go 1.19 on).
    pub embedded: bool,
}

/// Reads the name at an address: flags, length in base 128 (from Go 1.17 on), bytes.
pub(super) fn read(memory: &impl Memory, addr: u64, longest: u32) -> Result<Name, Error> {
    let mut stream = Stream::new(memory, addr, u64::MAX);
    let flags = stream.byte()?;
    let len = stream.varint()?;
    if len > longest {
        return Err(Error::TooMuch {
            what: "bytes of a name",
            limit: longest.into(),
        });
    }
    let bytes = (0..len)
        .map(|_| stream.byte())
        .collect::<Result<Vec<u8>, Error>>()?;
    Ok(Name {
        text: crate::bytes::text(bytes),
        embedded: flags & 8 != 0,
    })
}
