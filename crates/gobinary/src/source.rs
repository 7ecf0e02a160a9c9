//! The bytes of a file.

use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::FileExt;

/// A file's bytes, a piece at a time: an executable may be 100 MiB, of which 100 KiB are needed. A file
/// that is mapped instead can be cut short by its owner, which ends the reader with SIGBUS.
pub trait Source: Sync {
    /// How long it is.
    fn size(&self) -> Result<u64>;
    /// Fills `buf` from `offset` on: all of it, or an error.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()>;
}

impl Source for &[u8] {
    fn size(&self) -> Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let bytes = usize::try_from(offset)
            .ok()
            .and_then(|from| self.get(from..from.checked_add(buf.len())?))
            .ok_or(ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(bytes);
        Ok(())
    }
}

impl Source for std::fs::File {
    fn size(&self) -> Result<u64> {
        let metadata = self.metadata()?;
        if metadata.is_file() {
            Ok(metadata.len())
        } else {
            Err(Error::other("not a regular file"))
        }
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.read_exact_at(buf, offset)
    }
}
