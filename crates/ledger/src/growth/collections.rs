//! The course of one number between the ends of garbage collections.
//!
//! A Go program that relies on finalizers or cleanups gives back at a collection what it dropped before it. So
//! what rises from one period between collections to the next is not waiting for one.
//!
//! A look reads the number first and the count of collections shortly after it. What was released as a collection ended is seen
//! in that look or in those that follow: spans are swept in the background, and finalizers run after that.

use super::course::Rising;

/// Looks in which it is seen what a collection has released, the one that found its end included.
const LOOKS: u32 = 3;
/// What falls to nothing in the look that found a collection's end is told as its doing if the period before had so many: by
/// chance such a fall comes in one of so many. Where collections are more frequent, it says nothing.
const APART: u32 = 20;

/// Periods between the ends of collections, as far as each is above the one before.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Collections {
    completed: Option<u64>,
    /// When it began, and the lowest and highest number since; `None` before the next look.
    under_way: Option<(f64, u64, u64)>,
    rising: Rising,
    /// Looks since the last period ended.
    after_period: u32,
    /// Looks since the last collection ended.
    after_end: u32,
    /// One ended with this look, long enough after the one before.
    telling: bool,
}

impl Collections {
    /// A look found `value`, and so many completed collections after it. `None`: the count was not read, and nothing that was
    /// known before counts any more: it may be another program's by now.
    /// A period has so many seconds at least; where collections are more frequent it has several.
    pub fn observe(&mut self, t: f64, value: u64, completed: Option<u64>, shortest: f64) {
        let before = self.completed;
        let fewer = completed
            .zip(before)
            .is_some_and(|(now, before)| now < before);
        if completed.is_none() || fewer {
            *self = Self {
                completed,
                ..Self::default()
            };
            return;
        }
        self.completed = completed;
        self.after_period = self.after_period.saturating_add(1);
        self.after_end = self.after_end.saturating_add(1);
        self.telling = false;
        let (began, lowest, highest) = self.under_way.unwrap_or((t, value, value));
        self.under_way = Some((began, lowest.min(value), highest.max(value)));
        if before.is_none() || completed == before {
            return;
        }
        self.telling = self.after_end >= APART;
        self.after_end = 0;
        if t - began >= shortest {
            self.rising
                .push(began, (lowest.min(value), highest.max(value)));
            self.under_way = None;
            self.after_period = 0;
        }
    }

    /// Periods with a collection at their end that it was higher after than before; `None` if no count was read.
    pub fn through(&self) -> Option<u32> {
        self.completed?;
        // The first was before any of them.
        let all = self.rising.blocks().saturating_sub(1);
        // What the last of them has released may not be seen yet.
        let seen = all.saturating_sub(u32::from(self.after_period < LOOKS));
        let lowest = self.under_way.map_or(u64::MAX, |(_, lowest, _)| lowest);
        Some(if self.rising.goes_on(1, lowest) {
            seen
        } else {
            0
        })
    }

    /// What falls in this look may have been released by a collection.
    pub fn just_ended(&self) -> bool {
        self.telling
    }
}
