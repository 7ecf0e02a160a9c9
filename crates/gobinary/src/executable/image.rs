//! The file as it would be loaded at its link-time addresses.

use super::Executable;
use crate::bytes::u64_at;
use crate::memory::{Memory, ReadError};

/// Bytes that are searched at once.
const CHUNK: usize = 64 << 10;

impl Memory for Executable<'_> {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let unmapped = ReadError::Unmapped {
            addr,
            len: buf.len(),
        };
        let inside = |s: &&super::Segment| addr >= s.addr && addr - s.addr < s.mem_size;
        let segment = self
            .segments()
            .iter()
            .find(inside)
            .ok_or(unmapped.clone())?;
        let from = addr - segment.addr;
        if buf.len() as u64 > segment.mem_size - from {
            return Err(unmapped);
        }
        let in_file = segment.file_size.saturating_sub(from).min(buf.len() as u64) as usize;
        let (stored, zero) = buf.split_at_mut(in_file);
        zero.fill(0);
        if stored.is_empty() {
            return Ok(());
        }
        let offset = segment.offset.checked_add(from).ok_or(unmapped.clone())?;
        self.source()
            .read_at(offset, stored)
            .map_err(|e| match e.raw_os_error() {
                Some(errno) => ReadError::Other(errno),
                None => unmapped,
            })
    }
}

impl Executable<'_> {
    /// The first address, aligned to `align`, where `pattern` stands.
    pub(crate) fn search(&self, addr: u64, size: u64, align: u64, pattern: &[u8]) -> Option<u64> {
        let mut found = None;
        scan(self, addr, size, pattern.len() - 1, |at, bytes| {
            let first = (align - at % align) % align;
            let mut steps = (first as usize..bytes.len()).step_by(align as usize);
            let hit = steps.find(|&i| bytes[i..].starts_with(pattern));
            found = hit.map(|i| at + i as u64);
            found.is_none()
        });
        found
    }
}

/// Gives out memory from `addr` on in chunks, each with `overlap` bytes of what follows it, until `more` says
/// that it was enough. It ends where nothing can be read: a file that claims to be longer than it is costs nothing.
pub(crate) fn scan(
    memory: &(impl Memory + ?Sized),
    addr: u64,
    size: u64,
    overlap: usize,
    mut more: impl FnMut(u64, &[u8]) -> bool,
) {
    let mut buf = vec![0; CHUNK + overlap];
    let end = addr.saturating_add(size);
    let mut at = addr;
    while at < end {
        let chunk = (end - at).min(CHUNK as u64);
        let whole = (end - at).min((CHUNK + overlap) as u64) as usize;
        if memory.read(at, &mut buf[..whole]).is_err() || !more(at, &buf[..whole]) {
            return;
        }
        at += chunk;
    }
}

/// The words of a chunk of memory at `at` that are aligned, and where they are.
pub(crate) fn words(at: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, u64)> {
    let first = (8 - at % 8) % 8;
    let aligned = bytes.get(first as usize..).unwrap_or_default();
    let words = aligned
        .chunks_exact(8)
        .map(|w| u64_at(w, 0).unwrap_or_default());
    words
        .enumerate()
        .map(move |(i, word)| (at + first + i as u64 * 8, word))
}
