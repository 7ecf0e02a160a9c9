//! A process's memory, of which some parts are hidden, or read as something else.

use gobinary::{Memory, ReadError};
use std::cell::{Cell, RefCell};
use std::ops::Range;

/// What a range reads as, by the number of the read.
type Other = Box<dyn Fn(u64) -> Option<Vec<u8>>>;

pub struct Bent<'m> {
    memory: &'m dyn Memory,
    hidden: RefCell<Vec<Range<u64>>>,
    other: RefCell<Vec<(u64, usize, Other)>>,
    /// Reads that touched what reads as something else.
    touched: Cell<u64>,
    /// Bytes that were read.
    pub bytes: Cell<u64>,
}

impl<'m> Bent<'m> {
    pub fn new(memory: &'m dyn Memory) -> Self {
        Self {
            memory,
            hidden: RefCell::default(),
            other: RefCell::default(),
            touched: Cell::new(0),
            bytes: Cell::new(0),
        }
    }

    /// Cannot be read from now on.
    pub fn hide(&self, range: Range<u64>) {
        self.hidden.borrow_mut().push(range);
    }

    /// These bytes read as what `other` says of each read that touches them, counted from 0 on; as they are where it says nothing.
    pub fn bend(&self, addr: u64, len: usize, other: impl Fn(u64) -> Option<Vec<u8>> + 'static) {
        self.touched.set(0);
        self.other.borrow_mut().push((addr, len, Box::new(other)));
    }

    /// All is as it is again.
    pub fn straighten(&self) {
        self.hidden.borrow_mut().clear();
        self.other.borrow_mut().clear();
    }
}

impl Memory for Bent<'_> {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let len = buf.len();
        let end = addr.saturating_add(len as u64);
        let touches = |range: &Range<u64>| addr < range.end && range.start < end;
        if self.hidden.borrow().iter().any(touches) {
            return Err(ReadError::Unmapped { addr, len });
        }
        self.memory.read(addr, buf)?;
        self.bytes.set(self.bytes.get() + len as u64);
        for (at, size, other) in self.other.borrow().iter() {
            if !touches(&(*at..at + *size as u64)) {
                continue;
            }
            let count = self.touched.get();
            self.touched.set(count + 1);
            let Some(bytes) = other(count) else { continue };
            for (i, byte) in bytes.iter().take(*size).enumerate() {
                if let Some(offset) = (at + i as u64).checked_sub(addr)
                    && let Some(target) = buf.get_mut(offset as usize)
                {
                    *target = *byte;
                }
            }
        }
        Ok(())
    }
}
