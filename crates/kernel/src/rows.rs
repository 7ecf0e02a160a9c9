//! The rows that the walks write, as typed values.
//!
//! The structs are generated from the BTF of the walks' object (`rows.h`), so
//! both sides have one definition.

use std::mem::size_of;

/// The generated skeleton: the object file and the types it shares with Rust.
#[allow(
    missing_docs,
    non_camel_case_types,
    unsafe_code,
    clippy::all,
    clippy::pedantic,
    clippy::undocumented_unsafe_blocks,
    clippy::unwrap_used,
    unused_qualifications,
    dead_code
)]
pub(crate) mod generated {
    include!(concat!(env!("OUT_DIR"), "/walks.skel.rs"));
}

pub(crate) use generated::types;

/// Address of a struct in kernel memory. A key: never followed from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Addr(pub u64);

impl Addr {
    /// `None` for a null pointer.
    pub(crate) fn new(address: u64) -> Option<Self> {
        (address != 0).then_some(Self(address))
    }
}

/// Types that any bytes of the right number are a value of.
///
/// # Safety
/// `repr(C)` with integer fields only.
pub(crate) unsafe trait Plain: Copy + Default {}

macro_rules! plain {
    ($($name:ident),*) => {
        // SAFETY: generated from rows.h as repr(C) structs of integers.
        $(unsafe impl Plain for types::$name {})*
    };
}
plain!(
    row,
    row_map,
    row_prog,
    row_link,
    row_btf,
    row_text,
    row_task,
    row_file,
    row_iter_file,
    row_calibration,
    row_super_block,
    row_inode,
    row_dentry,
    row_slot,
    row_hold,
    row_socket,
    row_perf,
    row_uring,
    row_carried,
    row_space
);

/// One row: its head, and all its bytes (the head's included).
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    pub head: types::row,
    bytes: &'a [u8],
}

impl<'a> Row<'a> {
    /// The row as `T`; what the row is too short for is zero.
    #[inline]
    pub fn as_type<T: Plain>(&self) -> T {
        let mut value = T::default();
        let length = size_of::<T>().min(self.bytes.len());
        // SAFETY: both are valid for `length` bytes and do not overlap; any bytes are a `T` (Plain).
        unsafe {
            std::ptr::copy_nonoverlapping(
                self.bytes.as_ptr(),
                (&raw mut value).cast::<u8>(),
                length,
            );
        }
        value
    }

    /// The bytes after the first `T`.
    pub fn after<T: Plain>(&self) -> &'a [u8] {
        self.bytes.get(size_of::<T>()..).unwrap_or_default()
    }

    /// The string of a text row.
    pub fn text(&self) -> &'a [u8] {
        let length = self.as_type::<types::row_text>().len as usize;
        let bytes = self.after::<types::row_text>();
        &bytes[..length.min(bytes.len())]
    }
}

/// Splits a stream of rows. Ends at the first that is cut short.
pub(crate) struct Rows<'a>(pub &'a [u8]);

impl<'a> Iterator for Rows<'a> {
    type Item = Row<'a>;

    #[inline]
    fn next(&mut self) -> Option<Row<'a>> {
        const HEAD: usize = size_of::<types::row>();
        if self.0.len() < HEAD {
            return None;
        }
        let head = Row {
            head: types::row::default(),
            bytes: &self.0[..HEAD],
        }
        .as_type::<types::row>();
        let size = head.size as usize;
        if size < HEAD || size > self.0.len() {
            return None;
        }
        let (bytes, rest) = self.0.split_at(size);
        self.0 = rest;
        Some(Row { head, bytes })
    }
}

/// A C string in a fixed array, as bytes.
pub(crate) fn c_bytes(name: &[i8]) -> Vec<u8> {
    name.iter()
        .take_while(|&&c| c != 0)
        .map(|&c| c.cast_unsigned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kind: u16, size: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(size.to_ne_bytes());
        bytes.extend(7u32.to_ne_bytes());
        bytes.extend(body);
        bytes
    }

    #[test]
    fn rows_follow_each_other() {
        let mut stream = row(8, 16, &42u64.to_ne_bytes());
        stream.extend(row(8, 24, &[1; 16]));
        let rows: Vec<_> = Rows(&stream).collect();
        assert_eq!(rows.len(), 2);
        let short: types::row_file = rows[0].as_type();
        assert_eq!((short.row.n, short.object, short.file), (7, 42, 0));
    }

    #[test]
    fn a_stream_cut_anywhere_is_no_panic() {
        let stream = row(8, 24, &[1; 16]);
        for end in 0..stream.len() {
            assert_eq!(Rows(&stream[..end]).count(), 0);
        }
        assert_eq!(Rows(&row(8, 0, &[])).count(), 0);
    }
}
