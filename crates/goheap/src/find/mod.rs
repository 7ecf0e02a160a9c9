//! Where the runtime's variables are, without symbols: in the code of functions that use them, each then checked by what
//! stands there.

pub mod checks;
mod operands;

use crate::error::Error;
use crate::fields::Fields;
use crate::reader::Reader;
use gobinary::layout::Arch;
use gobinary::{Function, Memory};
use operands::{Access, Operand, operands};
use std::ops::Range;

/// Bytes of one function at most. The longest of these has some 3 KiB.
const CODE: u64 = 64 << 10;

/// Functions whose code is read, in the order of [`Code`].
const FUNCTIONS: [&str; 8] = [
    "runtime.mallocinit",
    "runtime.queuefinalizer",
    "runtime.allgadd",
    "runtime.gcenable",
    "runtime.gcinit",
    "runtime.runCleanups",
    "runtime.procresize",
    "runtime.stkbucket",
];
/// Functions that are only recognised, behind those of [`FUNCTIONS`].
const KNOWN: [&str; 4] = [
    // The goroutine of finalizers, until 1.24 and from 1.25 on.
    "runtime.runfinq",
    "runtime.runFinalizers",
    // Profiles are off if the linker found no reference to it (cmd/link, `disableMemoryProfiling`): until 1.22,
    // and from 1.23 on, where runtime/pprof calls the latter by another way.
    "runtime.MemProfile",
    "runtime.memProfileInternal",
];

/// Addresses of variables. A zero: not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Variables {
    /// `runtime.mheap_`.
    pub heap: u64,
    /// `runtime.gcphase`.
    pub phase: u64,
    /// `runtime.finq`.
    pub finalizers: u64,
    /// `runtime.allfin`.
    pub all_finalizers: u64,
    /// `runtime.allgs`.
    pub goroutines: u64,
    /// `runtime.memstats`.
    pub memstats: u64,
    /// `runtime.gcController`.
    pub controller: u64,
    /// `runtime.gcCleanups`, from 1.25 on. 0 there: it was not found.
    pub cleanups: u64,
    /// `runtime.allp`.
    pub processors: u64,
    /// `runtime.mbuckets`.
    pub buckets: u64,
    /// First pc of the function that runs finalizers.
    pub run_finalizers: u64,
    /// First pc of `runtime.runCleanups`.
    pub run_cleanups: u64,
    /// The heap profile is compiled in.
    pub profile: bool,
}

/// Where they may be.
#[derive(Debug, Clone, Default)]
pub struct Candidates {
    lists: [Vec<Operand>; FUNCTIONS.len()],
    entries: [u64; FUNCTIONS.len()],
    known: [u64; KNOWN.len()],
}

/// Names that [`Candidates::of`] wants the functions of, in this order.
pub fn names() -> Vec<&'static str> {
    FUNCTIONS.iter().chain(&KNOWN).copied().collect()
}

impl Candidates {
    /// From the code of the functions. `data` is where variables are.
    pub fn of(
        arch: Arch,
        memory: &dyn Memory,
        functions: &[Option<Function>],
        data: &Range<u64>,
    ) -> Result<Self, Error> {
        let mut found = Self::default();
        for (i, function) in functions.iter().enumerate() {
            let Some(function) = function else { continue };
            if let Some(known) = i.checked_sub(FUNCTIONS.len()) {
                if let Some(slot) = found.known.get_mut(known) {
                    *slot = function.entry;
                }
                continue;
            }
            let mut code = vec![0; function.end.saturating_sub(function.entry).min(CODE) as usize];
            memory.read(function.entry, &mut code)?;
            found.entries[i] = function.entry;
            found.lists[i] = operands(arch, &code, function.entry, data);
        }
        Ok(found)
    }

    /// Distinct addresses that a function refers to, first those whose address it takes.
    fn targets(&self, function: usize) -> Vec<u64> {
        let list = &self.lists[function];
        let addresses = list.iter().filter(|o| o.access == Access::Address);
        let others = list.iter().filter(|o| o.access != Access::Address);
        let mut targets = Vec::new();
        for operand in addresses.chain(others) {
            if !targets.contains(&operand.target) {
                targets.push(operand.target);
            }
        }
        targets
    }

    /// Those of them that are slices: length and capacity are referred to as well.
    fn slices(&self, function: usize) -> Vec<u64> {
        let targets = self.targets(function);
        let all = |at: &u64| {
            [8, 16]
                .iter()
                .all(|more| targets.contains(&at.wrapping_add(*more)))
        };
        targets.iter().copied().filter(all).collect()
    }

    /// What may be `gcCleanups`: an empty one is all zeros, as much is, so that one of its parts has to be referred to, too.
    /// Code without inlining has other functions count those that run; it still counts what was executed itself.
    fn cleanups(&self, fields: &Fields) -> Vec<u64> {
        let Some(queue) = &fields.cleanup_queue else {
            return Vec::new();
        };
        let targets = self.targets(5);
        let parts = [queue.running.offset, queue.executed.offset];
        let has = |at: &&u64| {
            parts
                .iter()
                .any(|part| targets.contains(&at.wrapping_add(*part)))
        };
        targets.iter().filter(has).copied().collect()
    }

    /// `gcphase`, `finq` and `allfin`, in the order in which `runtime.queuefinalizer` first reads them: `gcphase`,
    /// `finq`, `finc`, `allfin`. Older code for arm64 takes addresses instead, also those of the lock and of a counter of
    /// memory that the block is charged to.
    fn queue(&self) -> Option<(u64, u64, u64)> {
        let distinct = |wanted: Access| {
            let mut targets = Vec::new();
            for operand in &self.lists[1] {
                if operand.access == wanted && !targets.contains(&operand.target) {
                    targets.push(operand.target);
                }
            }
            targets
        };
        let loads = distinct(Access::Load);
        if let [phase, finq, _, allfin, ..] = loads[..] {
            return Some((phase, finq, allfin));
        }
        match distinct(Access::Address)[..] {
            [phase, _, finq, _, _, allfin, ..] => Some((phase, finq, allfin)),
            _ => None,
        }
    }

    /// What `runtime.gcenable` stores last: `memstats.enablegc`, of which only the address is wanted. arm64 took it first.
    fn memstats(&self, fields: &Fields) -> Option<u64> {
        let list = &self.lists[3];
        let stored = list.iter().rev().find(|o| o.access == Access::Store);
        let enabled = stored.or_else(|| list.last())?;
        enabled.target.checked_sub(fields.memstats.enabled.offset)
    }

    /// Those that what stands there agrees with.
    pub fn check(&self, reader: &Reader<'_>, fields: &Fields) -> Result<Variables, Error> {
        let (phase, finalizers, all_finalizers) = self
            .queue()
            .ok_or(Error::NotFound("the queue of finalizers"))?;
        checks::queue(reader, fields, phase, finalizers, all_finalizers)?;
        let heap = self
            .targets(0)
            .into_iter()
            .find(|at| checks::heap(reader, fields, *at).unwrap_or(false))
            .ok_or(Error::NotFound("the heap (mheap_)"))?;
        let goroutines = self
            .slices(2)
            .into_iter()
            .find(|at| checks::goroutines(reader, fields, *at).unwrap_or(false))
            .ok_or(Error::NotFound("the list of goroutines (allgs)"))?;
        let memstats = self
            .memstats(fields)
            .filter(|at| checks::memstats(reader, fields, *at, heap).unwrap_or(false))
            .ok_or(Error::NotFound("the collector's counters (memstats)"))?;
        let controller = self
            .targets(4)
            .into_iter()
            .find(|at| checks::controller(reader, fields, *at).unwrap_or(false))
            .ok_or(Error::NotFound("the collector's settings (gcController)"))?;
        let sound =
            |targets: Vec<u64>, check: fn(&Reader<'_>, &Fields, u64) -> Result<bool, Error>| {
                let mut targets = targets.into_iter();
                targets
                    .find(|at| check(reader, fields, *at).unwrap_or(false))
                    .unwrap_or(0)
            };
        // Without it, a look says that cleanups are unread.
        let cleanups = sound(self.cleanups(fields), checks::cleanups);
        let [runfinq, run_finalizers, profile, profile_internal] = self.known;
        Ok(Variables {
            heap,
            phase,
            finalizers,
            all_finalizers,
            goroutines,
            memstats,
            controller,
            cleanups,
            processors: sound(self.slices(6), checks::processors),
            buckets: sound(self.targets(7), checks::buckets),
            run_finalizers: if run_finalizers == 0 {
                runfinq
            } else {
                run_finalizers
            },
            run_cleanups: self.entries[5],
            profile: profile != 0 || profile_internal != 0,
        })
    }
}

#[cfg(test)]
mod tests;
