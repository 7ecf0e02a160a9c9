//! A process's memory as it was when a look read it, and what hostile hands make of it.

use gobinary::{Memory, ReadError};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

const PAGE: u64 = 4096;

/// Reads a process, and keeps every page that was read.
pub struct Recorder<'m> {
    memory: &'m dyn Memory,
    pages: RefCell<BTreeMap<u64, Vec<u8>>>,
}

impl<'m> Recorder<'m> {
    pub fn new(memory: &'m dyn Memory) -> Self {
        Self {
            memory,
            pages: RefCell::default(),
        }
    }

    pub fn image(self) -> Image {
        Image {
            pages: self.pages.into_inner().into_iter().collect(),
            edits: Vec::new(),
            reads: Cell::new(0),
        }
    }
}

impl Memory for Recorder<'_> {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        self.memory.read(addr, buf)?;
        let last = addr + buf.len().max(1) as u64 - 1;
        for number in addr / PAGE..=last / PAGE {
            let mut page = vec![0; PAGE as usize];
            if self.memory.read(number * PAGE, &mut page).is_ok() {
                self.pages.borrow_mut().entry(number).or_insert(page);
            }
        }
        Ok(())
    }
}

/// Pages in memory. Reads alternate between what was recorded and what an edit made of it, where the edit is unsteady.
#[derive(Clone)]
pub struct Image {
    pages: Vec<(u64, Vec<u8>)>,
    edits: Vec<Edit>,
    reads: Cell<u64>,
}

#[derive(Clone, Copy)]
struct Edit {
    addr: u64,
    value: [u8; 8],
    len: usize,
    unsteady: bool,
}

impl Image {
    pub fn reads(&self) -> u64 {
        self.reads.get()
    }

    pub fn len(&self) -> usize {
        self.pages.len()
    }

    /// Changed as the bytes say: each ten of them are an edit.
    pub fn edited(&self, bytes: &[u8]) -> Self {
        let mut image = self.clone();
        image.reads.set(0);
        for edit in bytes.chunks_exact(10) {
            let page = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % self.pages.len();
            let offset = u64::from(u16::from_le_bytes([edit[2], edit[3]])) % PAGE;
            let other = usize::from(u16::from_le_bytes([edit[4], edit[5]])) % self.pages.len();
            let small = u64::from(edit[6]);
            let word = self.pages[other].0 * PAGE + small * 16;
            let (offset, value, len) = match edit[7] % 8 {
                // A pointer to another page that there is, as a list that goes round has.
                0 | 1 => (offset & !7, word, 8),
                2 => (offset & !7, small, 8),
                3 => (offset & !7, u64::MAX - small, 8),
                4 => (offset & !3, small, 4),
                5 => (offset & !1, 1 << (small % 16), 2),
                6 => (offset & !7, small << 40, 8),
                _ => (offset, small, 1),
            };
            image.edits.push(Edit {
                addr: self.pages[page].0 * PAGE + offset,
                value: value.to_le_bytes(),
                len,
                unsteady: edit[8] < 64,
            });
            if edit[9] == 0 && image.pages.len() > 1 {
                image.pages.remove(page % image.pages.len());
            }
        }
        image
    }
}

impl Memory for Image {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let count = self.reads.get() + 1;
        self.reads.set(count);
        let mut done = 0;
        while done < buf.len() {
            let unmapped = ReadError::Unmapped {
                addr,
                len: buf.len(),
            };
            let Some(at) = addr.checked_add(done as u64) else {
                return Err(unmapped);
            };
            let Ok(found) = self
                .pages
                .binary_search_by_key(&(at / PAGE), |(number, _)| *number)
            else {
                return Err(unmapped);
            };
            let from = (at % PAGE) as usize;
            let len = (PAGE as usize - from).min(buf.len() - done);
            buf[done..done + len].copy_from_slice(&self.pages[found].1[from..from + len]);
            done += len;
        }
        for edit in &self.edits {
            if edit.unsteady && count.is_multiple_of(2) {
                continue;
            }
            for (i, byte) in edit.value[..edit.len].iter().enumerate() {
                if let Some(offset) = (edit.addr + i as u64).checked_sub(addr)
                    && let Some(target) = buf.get_mut(offset as usize)
                {
                    *target = *byte;
                }
            }
        }
        Ok(())
    }
}
