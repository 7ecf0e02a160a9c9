//! Numbers and strings at addresses, little-endian as both architectures of ours are.

use crate::error::Error;
use crate::memory::{Memory, ReadError};

/// Bytes that are read at once by those who do not know how many they need: no such piece crosses a page,
/// so what is behind the end of a mapping is never asked for.
const PIECE: u64 = 128;

/// `u16` at an offset of a slice.
pub fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_le_bytes(array(bytes, offset)?))
}

/// `u32` at an offset of a slice.
pub fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(array(bytes, offset)?))
}

/// `u64` at an offset of a slice.
pub fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_le_bytes(array(bytes, offset)?))
}

fn array<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..offset.checked_add(N)?)?.try_into().ok()
}

/// Bytes at an address.
pub fn read<const N: usize>(
    memory: &(impl Memory + ?Sized),
    addr: u64,
) -> Result<[u8; N], ReadError> {
    let mut bytes = [0; N];
    memory.read(addr, &mut bytes)?;
    Ok(bytes)
}

/// `u32` at an address.
pub fn read_u32(memory: &(impl Memory + ?Sized), addr: u64) -> Result<u32, ReadError> {
    read(memory, addr).map(u32::from_le_bytes)
}

/// `u64` at an address.
pub fn read_u64(memory: &(impl Memory + ?Sized), addr: u64) -> Result<u64, ReadError> {
    read(memory, addr).map(u64::from_le_bytes)
}

/// Text; what is not UTF-8 is replaced.
pub fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

/// A stream of bytes from an address on.
pub struct Stream<'m, M: ?Sized> {
    memory: &'m M,
    addr: u64,
    end: u64,
    piece: [u8; PIECE as usize],
    /// What of `piece` is not yet given out.
    left: std::ops::Range<usize>,
}

impl<'m, M: Memory + ?Sized> Stream<'m, M> {
    /// From `addr` on, not beyond `end`.
    pub fn new(memory: &'m M, addr: u64, end: u64) -> Self {
        Self {
            memory,
            addr,
            end,
            piece: [0; PIECE as usize],
            left: 0..0,
        }
    }

    /// The next byte.
    pub fn byte(&mut self) -> Result<u8, Error> {
        if self.left.is_empty() {
            // Up to the next multiple of a piece, which is none of a page's inside.
            let len = (PIECE - self.addr % PIECE).min(self.end.saturating_sub(self.addr)) as usize;
            if len == 0 {
                return Err(Error::Malformed {
                    what: "a table that runs over its end",
                    addr: self.addr,
                });
            }
            self.memory.read(self.addr, &mut self.piece[..len])?;
            self.addr += len as u64;
            self.left = 0..len;
        }
        let at = self.left.start;
        self.left.start += 1;
        Ok(self.piece[at])
    }

    /// The next number in base 128, the lowest seven bits first (`runtime.readvarint`): at most 32 bits.
    pub fn varint(&mut self) -> Result<u32, Error> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Error::Malformed {
            what: "a number",
            addr: self.addr,
        })
    }

    /// Text up to a NUL, at most `limit` bytes; what is not UTF-8 is replaced.
    pub fn text(&mut self, limit: usize) -> Result<String, Error> {
        let mut bytes = Vec::new();
        loop {
            match self.byte()? {
                0 => break,
                byte => bytes.push(byte),
            }
            if bytes.len() > limit {
                return Err(Error::TooMuch {
                    what: "bytes of a name",
                    limit: limit as u64,
                });
            }
        }
        Ok(text(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes from an address on, and nothing else mapped.
    struct At(u64, Vec<u8>);

    impl Memory for At {
        fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), ReadError> {
            let unmapped = ReadError::Unmapped {
                addr,
                len: buf.len(),
            };
            let from = addr.checked_sub(self.0).ok_or(unmapped.clone())? as usize;
            let bytes = self.1.get(from..from + buf.len()).ok_or(unmapped)?;
            buf.copy_from_slice(bytes);
            Ok(())
        }
    }

    #[test]
    fn a_stream_reads_up_to_the_end_of_a_page_and_no_further() {
        let memory = At(0x1000 - 3, vec![0xe5, 0x8e, 0x26]);
        let mut stream = Stream::new(&memory, 0x1000 - 3, u64::MAX);
        assert_eq!(stream.varint().expect("it is all there"), 624_485);
        assert!(matches!(stream.byte(), Err(Error::Read(_))));
    }

    #[test]
    fn a_number_without_end_is_refused() {
        let memory = At(0, vec![0xff; 256]);
        assert!(Stream::new(&memory, 0, 256).varint().is_err());
        assert!(Stream::new(&memory, 0, 2).varint().is_err());
    }

    #[test]
    fn text_has_a_limit() {
        let memory = At(0, b"main.main\0".repeat(20));
        assert_eq!(
            Stream::new(&memory, 0, 200).text(9).expect("fits"),
            "main.main"
        );
        assert!(Stream::new(&memory, 0, 200).text(8).is_err());
        assert!(Stream::new(&memory, 0, 5).text(9).is_err());
    }
}
