//! Whether somebody kept the process from running while it was looked at.

use super::Parts;
use explain::evidence::Why;
use process::{Pause, Proc};

/// What was seen of that, look by look.
pub struct Pauses<'p> {
    process: Option<&'p (Proc, u32)>,
    /// The last that was seen, and whether it was there in the last look.
    seen: Option<(Pause, bool)>,
}

impl<'p> Pauses<'p> {
    /// Of a process whose memory is read; of another, none are seen.
    pub fn of(parts: Option<&'p Parts<'_>>) -> Self {
        Self {
            process: parts.map(|parts| &parts.process),
            seen: None,
        }
    }

    /// One look more: whether somebody keeps it from running.
    pub fn look(&mut self) -> bool {
        let now = self.process.and_then(|(proc, pid)| proc.pause(*pid));
        let before = self.seen.map(|(pause, _)| (pause, false));
        self.seen = now.map(|pause| (pause, true)).or(before);
        now.is_some()
    }

    /// In the words of the evidence.
    pub fn why(&self) -> Option<Why> {
        let (pause, still) = self.seen?;
        Some(if still {
            pause.to_string().into()
        } else {
            format!("{pause}, for a part of the look").into()
        })
    }
}
