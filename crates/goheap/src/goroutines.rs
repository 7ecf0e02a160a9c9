//! The goroutines that run finalizers and cleanups, and how many goroutines there are.

use crate::error::Error;
use crate::fields::Fields;
use crate::find::{Variables, checks};
use crate::look::{Frame, Look, Runner, State};
use crate::names::Names;
use crate::reader::{Reader, number};
use gobinary::layout::{Arch, Field};

/// Goroutines that are looked at; of more, the first so many, and their number is not known.
const MOST: u64 = 1 << 17;
/// Calls of a stack that are shown.
const DEEPEST: usize = 64;
/// Bytes of a stack that are read: those calls' frames, which are rarely large.
const STACK: u64 = 64 << 10;
/// How often a stack is read again that moved.
const ATTEMPTS: usize = 3;
/// Goroutines that are shown: `runtime.maxCleanupGs` is a quarter of GOMAXPROCS.
const MOST_RUNNERS: usize = 64;

/// `_Gsyscall`, `_Gwaiting`, `_Gdead`, `_Gdeadextra`, and what a status may be combined with (`_Gscan`): the same in
/// all releases (`runtime/runtime2.go`).
const SYSCALL: u64 = 3;
const WAITING: u64 = 4;
const DEAD: u64 = 6;
const DEAD_EXTRA: u64 = 11;
const SCAN: u64 = 0x1000;

/// Reads them.
pub fn read(
    reader: &Reader<'_>,
    arch: Arch,
    fields: &Fields,
    at: &Variables,
    names: &Names<'_>,
    look: &mut Look,
) -> Result<(), Error> {
    let Some((list, len)) = checks::slice(reader, at.goroutines)? else {
        return Ok(());
    };
    let all = reader.bytes(list, len.min(MOST) * 8)?;
    let all: Vec<u64> = all
        .chunks_exact(8)
        .filter_map(|word| number(word, 0, 8))
        .filter(|g| checks::pointer(*g))
        .collect();
    let g = &fields.g;
    let place = |g: u64, field: Field| (g.wrapping_add(field.offset), field.size.min(8));
    let read = reader.gather(
        all.iter()
            .flat_map(|at| [place(*at, g.status), place(*at, g.start)]),
    )?;
    let get = |at: u64, field: Field| {
        let (at, len) = place(at, field);
        read.get(at, len).and_then(|bytes| number(bytes, 0, len))
    };
    let alive = |at: &&u64| {
        let status = get(**at, g.status).map(|status| status & !SCAN);
        !matches!(status, None | Some(0 | DEAD | DEAD_EXTRA))
    };
    let alive: Vec<u64> = all.iter().filter(alive).copied().collect();
    look.goroutines = (len <= MOST).then_some(alive.len());
    for at_g in alive {
        let start = get(at_g, g.start).unwrap_or(0);
        let cleanups = start == at.run_cleanups;
        if start == 0
            || !(cleanups || start == at.run_finalizers)
            || look.runners.len() >= MOST_RUNNERS
        {
            continue;
        }
        look.runners
            .push(runner(reader, arch, fields, names, at_g, cleanups)?);
    }
    Ok(())
}

fn runner(
    reader: &Reader<'_>,
    arch: Arch,
    fields: &Fields,
    names: &Names<'_>,
    at: u64,
    cleanups: bool,
) -> Result<Runner, Error> {
    let mut id = 0;
    for _ in 0..ATTEMPTS {
        let before = reader.bytes(at, fields.g.size)?;
        let seen = Seen::of(fields, &before);
        id = seen.id;
        let stack = match seen.state {
            State::Waiting { .. } | State::Idle | State::Syscall => seen.stack(reader, arch, names),
            State::Running | State::Moving => Vec::new(),
        };
        let after = Seen::of(fields, &reader.bytes(at, fields.g.size)?);
        if after == seen {
            return Ok(Runner {
                id,
                cleanups,
                state: seen.state,
                stack,
            });
        }
    }
    Ok(Runner {
        id,
        cleanups,
        state: State::Moving,
        stack: Vec::new(),
    })
}

/// What of a goroutine must not change while its stack is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    id: u64,
    state: State,
    low: u64,
    high: u64,
    sp: u64,
    pc: u64,
    lr: u64,
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
        let state = match status {
            WAITING if idle => State::Idle,
            WAITING => State::Waiting {
                reason: reason as u8,
                since: Some(get(g.since)).filter(|since| *since != 0),
            },
            SYSCALL => State::Syscall,
            _ => State::Running,
        };
        // runtime/traceback.go: within a call of the system, where that was entered.
        let (sp, pc, lr) = if status == SYSCALL {
            (get(g.syscallsp), get(g.syscallpc), 0)
        } else {
            (
                saved(fields.gobuf.sp),
                saved(fields.gobuf.pc),
                saved(fields.gobuf.lr),
            )
        };
        Self {
            id: get(g.id),
            state,
            low: word(g.stack.offset),
            high: word(g.stack.offset + 8),
            sp,
            pc,
            lr,
        }
    }

    /// The calls on its stack (`runtime.unwinder`): each function's frame ends where `pcsp` says.
    fn stack(&self, reader: &Reader<'_>, arch: Arch, names: &Names<'_>) -> Vec<Frame> {
        let mut frames = Vec::new();
        if self.sp < self.low || self.sp >= self.high || !self.sp.is_multiple_of(8) {
            return frames;
        }
        let Ok(stack) = reader.bytes(self.sp, (self.high - self.sp).min(STACK)) else {
            return frames;
        };
        let word = |at: u64| number(&stack, at.checked_sub(self.sp)?, 8);
        let (mut sp, mut pc) = (self.sp, self.pc);
        for depth in 0..DEEPEST {
            // A return address is behind its call.
            let call = if depth == 0 { pc } else { pc.wrapping_sub(1) };
            let here = names.frames(call);
            if here.is_empty() {
                break;
            }
            let end = here
                .last()
                .is_some_and(|frame| frame.function == "runtime.goexit");
            if end {
                break;
            }
            frames.extend(here);
            let Some(size) = names.frame_size(call).map(u64::from) else {
                break;
            };
            let (Some(back), Some(next)) = (match arch {
                Arch::Amd64 => (word(sp + size), (sp + size).checked_add(8)),
                // The return address is at the bottom of the frame; a function without one has it in a register.
                Arch::Arm64 if size == 0 => (Some(self.lr).filter(|_| depth == 0), Some(sp)),
                Arch::Arm64 => (word(sp), sp.checked_add(size)),
            }) else {
                break;
            };
            if next >= self.high {
                break;
            }
            (sp, pc) = (next, back);
        }
        frames.truncate(4 * DEEPEST);
        frames
    }
}
