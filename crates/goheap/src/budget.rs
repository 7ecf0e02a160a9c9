//! What the names of functions and types may cost in one look. They are read through tables that the process itself has
//! laid out: a type may have a name of 64 KiB, a function 100 others inlined into it, and each special another of them.

use gobinary::{Memory, ReadError};
use std::cell::Cell;
use std::rc::Rc;

/// What a call costs, in bytes.
const CALL: u64 = 64;

/// Bytes that may still be read or kept.
#[derive(Debug, Default)]
pub struct Budget {
    left: Cell<u64>,
    refused: Cell<bool>,
}

impl Budget {
    /// From now on it is so many.
    pub fn fill(&self, bytes: u64) {
        self.left.set(bytes);
        self.refused.set(false);
    }

    /// Takes some; false if there are not so many.
    pub fn spend(&self, bytes: u64) -> bool {
        let left = self.left.get().checked_sub(bytes);
        self.left.set(left.unwrap_or(0));
        if left.is_none() {
            self.refused.set(true);
        }
        left.is_some()
    }

    /// Something was wanted that was too much, since it was filled: what was found is not all there is.
    pub fn is_spent(&self) -> bool {
        self.refused.get()
    }
}

/// Memory that is read from a budget. Several may share it.
pub struct Limited<'m> {
    memory: &'m dyn Memory,
    budget: Rc<Budget>,
}

impl<'m> Limited<'m> {
    /// Reads `memory`.
    pub fn new(memory: &'m dyn Memory, budget: &Rc<Budget>) -> Self {
        Self {
            memory,
            budget: Rc::clone(budget),
        }
    }
}

impl Memory for Limited<'_> {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        if !self.budget.spend(CALL + buf.len() as u64) {
            return Err(ReadError::Limit);
        }
        self.memory.read(addr, buf)
    }
}
