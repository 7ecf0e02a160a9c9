//! An address space that is read from outside.

/// Bytes at addresses: a live process's memory, or a test's image of one. What is read is hostile and
/// may change between two reads.
pub trait Memory {
    /// Fills `buf` from `addr` on. Either all of it, or an error.
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), ReadError>;

    /// Fills each piece, or says of it that it could not be read. One after the other, in their order; an
    /// implementation may do it with fewer calls of the system.
    fn read_batch(&self, pieces: &mut [Piece<'_>]) {
        for piece in pieces {
            piece.read = self.read(piece.addr, piece.buf).is_ok();
        }
    }
}

/// A part of a batch.
#[derive(Debug)]
pub struct Piece<'b> {
    /// From where on.
    pub addr: u64,
    /// What is filled.
    pub buf: &'b mut [u8],
    /// Whether all of it was read.
    pub read: bool,
}

/// Memory that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Nothing is mapped there, or less than was asked for.
    #[error("{len} bytes at {addr:#x} are not mapped")]
    Unmapped {
        /// From where on.
        addr: u64,
        /// How many bytes were asked for.
        len: usize,
    },
    /// The process has ended, or called exec.
    #[error("the process is gone")]
    Gone,
    /// Not ours to read.
    #[error("reading its memory is not permitted")]
    Denied,
    /// More than the reader is willing to read.
    #[error("too much to read")]
    Limit,
    /// Another error of the system, by its number.
    #[error("reading memory: error {0}")]
    Other(i32),
}

/// A part of an address space (`/proc/PID/maps`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// May be written.
    pub writable: bool,
    /// Is code.
    pub executable: bool,
    /// Offset in the file that is mapped here.
    pub offset: u64,
    /// Device and inode number of that file; none of anonymous memory.
    pub file: Option<(u64, u64)>,
}

impl<M: Memory + ?Sized> Memory for &M {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        (**self).read(addr, buf)
    }

    fn read_batch(&self, pieces: &mut [Piece<'_>]) {
        (**self).read_batch(pieces);
    }
}
