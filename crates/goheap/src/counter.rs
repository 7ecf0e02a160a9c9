//! The count of a runtime's collections, and nothing else.

use crate::error::Error;
use crate::fields::Fields;
use crate::reader::{LIMIT, Reader};
use gobinary::Memory;

/// Where a process counts its collections. It stays there until the process calls exec or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter {
    /// Address of `runtime.mheap_.sweepgen`.
    addr: u64,
}

impl Counter {
    pub(crate) fn new(heap: u64, fields: &Fields) -> Self {
        Self {
            addr: heap.wrapping_add(fields.heap_sweepgen.offset),
        }
    }

    /// Collections that have marked to their end, in the memory of the process that it was found in. Reads four bytes.
    pub fn completed(self, memory: &dyn Memory) -> Result<u64, Error> {
        // It rises by two as marking has ended (`gcSweep`, runtime/mgc.go).
        Ok(u64::from(Reader::new(memory, LIMIT).half(self.addr)?) / 2)
    }
}
