//! The goroutines that run finalizers and cleanups.
//!
//! There is one for finalizers (`runtime.createfing`), and as many for cleanups as the queue of these counts
//! (`cleanupQueue.ng`). None of them ends but by the program's own doing, and they are made early. So the list of
//! goroutines is read in parts, until all of them are found, and not again while they are what they were. A goroutine's
//! struct is used again for another one (`runtime.gfget`): a place in the list says nothing of how old it is.

use crate::error::Error;
use crate::fields::Fields;
use crate::find::{Variables, checks};
use crate::look::{Look, Runner, State};
use crate::names::Names;
use crate::reader::{Reader, number};
use crate::stack::{Saved, Unwound};
use gobinary::layout::{Arch, Field};
use rustc_hash::FxHashSet;

/// Goroutines that are looked at.
const MOST: u64 = 1 << 17;
/// Goroutines that are looked at at once, at first and at most.
const PARTS: (u64, u64) = (256, 4096);
/// How often is read again what moved: a stack, or the list of all.
const ATTEMPTS: usize = 4;
/// Goroutines that are shown: `runtime.maxCleanupGs` is a quarter of GOMAXPROCS.
const MOST_RUNNERS: usize = 64;

/// What a status is, and what it may be combined with (`_Gscan`): the same in all releases (`runtime/runtime2.go`).
const RUNNABLE: u64 = 1;
const SYSCALL: u64 = 3;
const WAITING: u64 = 4;
const DEAD: u64 = 6;
const PREEMPTED: u64 = 9;
const DEAD_EXTRA: u64 = 11;
const SCAN: u64 = 0x1000;

/// A goroutine that runs finalizers or cleanups: where it stands, and which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    at: u64,
    cleanups: bool,
}

/// What is needed to look for them.
#[derive(Clone, Copy)]
pub struct Goroutines<'a, 'm, 'n> {
    pub reader: &'a Reader<'m>,
    pub arch: Arch,
    pub fields: &'a Fields,
    pub at: &'a Variables,
    pub names: &'a Names<'n>,
}

impl Goroutines<'_, '_, '_> {
    /// Reads them. `known` are those that an earlier look found, and then those that this one did; `blocks` the blocks of
    /// the queue of cleanups.
    pub fn read(
        &self,
        blocks: &FxHashSet<u64>,
        known: &mut Vec<Known>,
        look: &mut Look,
    ) -> Result<(), Error> {
        let places: Vec<u64> = known.iter().map(|known| known.at).collect();
        known.clear();
        // What cannot be read any more is looked for anew.
        let _ = self.among(&places, known)?;
        if !self.all(known)? {
            known.clear();
            self.search(known, look)?;
        }
        for known in &*known {
            match self.runner(*known, blocks) {
                Ok(runner) => look.runners.push(runner),
                Err(Error::Read(_)) => look.unread_goroutines += 1,
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    /// There are no more than these. Of a queue of cleanups that was not found it is not known how many run it.
    fn all(&self, known: &[Known]) -> Result<bool, Error> {
        let unknown = self.fields.cleanup_queue.is_some()
            && self.at.cleanups == 0
            && self.at.run_cleanups != 0;
        let finalizers = known.iter().any(|known| !known.cleanups);
        Ok(finalizers && !unknown && self.missing(known)? == 0)
    }

    /// How many there must be beside these that run cleanups, as far as the queue tells (`cleanupQueue.ng`, from Go 1.25 on).
    fn missing(&self, known: &[Known]) -> Result<u64, Error> {
        let cleanups = known.iter().filter(|known| known.cleanups).count();
        let wanted = match &self.fields.cleanup_queue {
            Some(queue) if self.at.cleanups != 0 => {
                checks::field(self.reader, self.at.cleanups, queue.goroutines)?
            }
            Some(_) | None => 0,
        };
        Ok(wanted.saturating_sub(cleanups as u64))
    }

    /// Looks for them in the list of all (`runtime.allgs`), which only grows, and whose entries never change.
    fn search(&self, found: &mut Vec<Known>, look: &mut Look) -> Result<(), Error> {
        let Some(mut list) = self.list()? else {
            look.unread_goroutines += 1;
            return Ok(());
        };
        let (mut from, mut part, mut moved) = (0, PARTS.0, 0);
        while from < list.1.min(MOST) {
            let count = part.min(list.1.min(MOST) - from);
            let words = self.reader.bytes(list.0.wrapping_add(from * 8), count * 8);
            let later = self.list()?;
            if later.is_none_or(|later| later.0 != list.0) {
                // It was copied to where it has more room, and the old place is free.
                moved += 1;
                let Some(later) = later.filter(|_| moved < ATTEMPTS) else {
                    look.unread_goroutines += (list.1 - from) as usize;
                    return Ok(());
                };
                list = later;
                continue;
            }
            list = later.unwrap_or(list);
            from += count;
            part = (part * 2).min(PARTS.1);
            let words = match words {
                Ok(words) => words,
                Err(Error::Read(_)) => {
                    look.unread_goroutines += count as usize;
                    continue;
                }
                Err(other) => return Err(other),
            };
            let words = words.chunks_exact(8);
            let places: Vec<u64> = words.filter_map(|word| number(word, 0, 8)).collect();
            look.unread_goroutines += self.among(&places, found)?;
            if found.len() >= MOST_RUNNERS || self.all(found)? {
                break;
            }
        }
        if from < list.1 && !self.all(found)? {
            look.unread_goroutines += (list.1 - from) as usize;
        }
        if look.unread_goroutines == 0 {
            // One that has just been made may not be in the list yet.
            look.unread_goroutines = self.missing(found)?.min(MOST_RUNNERS as u64) as usize;
        }
        // Those that are not shown have not been looked at.
        look.unread_goroutines += found.len().saturating_sub(MOST_RUNNERS);
        found.truncate(MOST_RUNNERS);
        Ok(())
    }

    /// Pointer and length of the list of all: read twice, as it may be read while it is written. `None`: it never was the
    /// same twice.
    fn list(&self) -> Result<Option<(u64, u64)>, Error> {
        let mut before = None;
        for _ in 0..ATTEMPTS {
            let now = checks::slice(self.reader, self.at.goroutines)?;
            if now.is_some() && now == before {
                return Ok(now);
            }
            before = now;
        }
        Ok(None)
    }

    /// Those of these goroutines that run finalizers or cleanups, and how many could not be read.
    fn among(&self, places: &[u64], found: &mut Vec<Known>) -> Result<usize, Error> {
        let g = &self.fields.g;
        let start = g.status.offset.min(g.start.offset);
        let end = (g.status.offset + 4).max(g.start.offset + 8);
        let sound = places.iter().filter(|g| checks::pointer(**g));
        let read = self
            .reader
            .gather(sound.map(|g| (g.wrapping_add(start), end - start)))?;
        let mut unread = 0;
        for &at in places {
            let Some(bytes) = read.get(at.wrapping_add(start), end - start) else {
                unread += 1;
                continue;
            };
            let get = |field: Field| number(bytes, field.offset - start, field.size.min(8));
            let status = get(g.status).unwrap_or(0) & !SCAN;
            let function = get(g.start).unwrap_or(0);
            let cleanups = function == self.at.run_cleanups;
            let runs = function != 0 && (cleanups || function == self.at.run_finalizers);
            if runs && !matches!(status, 0 | DEAD | DEAD_EXTRA) {
                found.push(Known { at, cleanups });
            }
        }
        Ok(unread)
    }

    fn runner(&self, known: Known, blocks: &FxHashSet<u64>) -> Result<Runner, Error> {
        let seen = || {
            let bytes = self.reader.bytes(known.at, self.fields.g.size)?;
            Ok::<_, Error>(Seen::of(self.fields, &bytes))
        };
        let mut before = seen()?;
        for _ in 0..ATTEMPTS {
            let unwound = match before.state {
                State::Running | State::Moving => Unwound::default(),
                State::Waiting { .. } | State::Idle | State::Syscall { .. } | State::Runnable => {
                    let of = (self.reader, self.arch, self.names);
                    before.saved.unwind(of, blocks)
                }
            };
            let after = seen()?;
            if after == before {
                return Ok(self.shown(known, before, unwound));
            }
            before = after;
        }
        before.state = State::Moving;
        Ok(self.shown(known, before, Unwound::default()))
    }

    fn shown(&self, known: Known, seen: Seen, unwound: Unwound) -> Runner {
        let runs = known.cleanups && seen.runs.unwrap_or(seen.state != State::Idle);
        Runner {
            id: seen.id,
            cleanups: known.cleanups,
            state: seen.state,
            runs_cleanups: runs,
            // What is called is taken out of its block before that only where blocks hold functions and arguments.
            left_queue: runs && self.fields.cleanup_fn.is_some(),
            block: unwound.block.filter(|_| runs),
            stack: unwound.frames,
        }
    }
}

/// What of a goroutine must not change while its stack is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    id: u64,
    state: State,
    /// It runs cleanups. `None`: its struct does not tell.
    runs: Option<bool>,
    saved: Saved,
}

impl Seen {
    fn of(fields: &Fields, bytes: &[u8]) -> Self {
        let g = &fields.g;
        let get = |field: Field| number(bytes, field.offset, field.size.min(8)).unwrap_or(0);
        let word = |offset: u64| number(bytes, offset, 8).unwrap_or(0);
        let saved = |field: Field| word(g.sched.offset + field.offset);
        let status = get(g.status) & !SCAN;
        let reason = get(g.reason);
        let idle = reason == fields.finalizer_wait || Some(reason) == fields.cleanup_wait;
        let since = Some(get(g.since)).filter(|since| *since != 0);
        let state = match status {
            WAITING if idle => State::Idle,
            WAITING => State::Waiting {
                reason: reason as u8,
                since,
            },
            SYSCALL => State::Syscall { since },
            RUNNABLE | PREEMPTED => State::Runnable,
            _ => State::Running,
        };
        // runtime/traceback.go: within a call of the system, where that was entered.
        let (sp, pc, lr) = if status == SYSCALL {
            (get(g.syscallsp), get(g.syscallpc), 0)
        } else {
            let of = &fields.gobuf;
            (saved(of.sp), saved(of.pc), saved(of.lr))
        };
        Self {
            id: get(g.id),
            state,
            runs: fields.g_running_cleanups.map(|field| get(field) != 0),
            saved: Saved {
                low: word(g.stack.offset),
                high: word(g.stack.offset + 8),
                sp,
                pc,
                lr,
            },
        }
    }
}
