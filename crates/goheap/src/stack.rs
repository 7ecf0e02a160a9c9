//! The calls on the stack of a goroutine that does not run.

use crate::look::Frame;
use crate::names::Names;
use crate::reader::{Reader, number};
use gobinary::layout::Arch;
use rustc_hash::FxHashSet;

/// Calls of a stack that are shown.
const DEEPEST: usize = 64;
/// Bytes of a stack that are read: those calls' frames, which are rarely large.
const STACK: u64 = 64 << 10;
/// The function that takes a block of cleanups, and calls them.
const RUN_CLEANUPS: &str = "runtime.runCleanups";
/// Functions that a signal has called: what is beneath them stands at an instruction, not behind a call
/// (`runtime.unwinder.next`).
const BY_SIGNAL: [&str; 3] = [
    "runtime.asyncPreempt",
    "runtime.sigpanic",
    "runtime.debugCallV2",
];

/// Where a goroutine goes on, and the bounds of its stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Saved {
    pub low: u64,
    pub high: u64,
    pub sp: u64,
    pub pc: u64,
    /// The return address of a function that has not saved it, on arm64.
    pub lr: u64,
}

/// What a stack says.
#[derive(Debug, Default)]
pub struct Unwound {
    /// The calls, the innermost first.
    pub frames: Vec<Frame>,
    /// The block of cleanups that it goes along: the one whose address its loop has in its frame.
    pub block: Option<u64>,
}

impl Saved {
    /// The calls on the stack (`runtime.unwinder`): each function's frame ends where `pcsp` says. `blocks`: all that there are.
    pub fn unwind(
        &self,
        (reader, arch, names): (&Reader<'_>, Arch, &Names<'_>),
        blocks: &FxHashSet<u64>,
    ) -> Unwound {
        let mut unwound = Unwound::default();
        let frames = &mut unwound.frames;
        if self.sp < self.low || self.sp >= self.high || !self.sp.is_multiple_of(8) {
            return unwound;
        }
        let Ok(stack) = reader.bytes(self.sp, (self.high - self.sp).min(STACK)) else {
            return unwound;
        };
        let word = |at: u64| number(&stack, at.checked_sub(self.sp)?, 8);
        let (mut sp, mut pc) = (self.sp, self.pc);
        // A goroutine that has not run yet goes on at the first instruction of its function.
        let mut exact = names.entry(pc) == Some(pc);
        for depth in 0..DEEPEST {
            // A return address is behind its call; also where a goroutine parked (`runtime.mcall`), or entered the system.
            let call = if exact { pc } else { pc.wrapping_sub(1) };
            let here = names.frames(call);
            let Some(function) = here.last().map(|frame| frame.function.clone()) else {
                break;
            };
            if function == "runtime.goexit" {
                break;
            }
            frames.extend(here);
            exact = BY_SIGNAL.contains(&&*function);
            let Some(size) = names.frame_size(call).map(u64::from) else {
                break;
            };
            if function == RUN_CLEANUPS {
                let words = (sp..sp.saturating_add(size).min(self.high)).step_by(8);
                let mut found = words.filter_map(word).filter(|word| blocks.contains(word));
                let first = found.next();
                unwound.block = first.filter(|first| found.all(|other| other == *first));
            }
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
        unwound.frames.truncate(4 * DEEPEST);
        unwound
    }
}
