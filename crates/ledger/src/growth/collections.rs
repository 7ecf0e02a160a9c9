//! The course of one number between the ends of garbage collections.
//!
//! A Go program that relies on finalizers or cleanups gives back at a collection what it dropped before it. So
//! what rises from one period between collections to the next is not waiting for one.
//!
//! A look reads the number first and the count of collections after it: what it found belongs to the period that was
//! under way, and the next period begins with the next look. A period has at least the length of the shortest block:
//! where collections are more frequent, it has several.

use super::course::Rising;

/// A fall belongs to a collection that was seen in one of so many looks, itself and those before: spans are swept in
/// the background, and their finalizers run after that.
const LOOKS: u32 = 3;
/// But only if the period before had so many: where collections are more frequent, any fall is near the end of one, and that
/// says nothing.
const APART: u32 = 4 * LOOKS;

/// Periods between the ends of collections, as far as each is above the one before.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Collections {
    completed: Option<u64>,
    /// The lowest and highest number since the last end that was seen; `None` before the next look.
    under_way: Option<(f64, u64, u64)>,
    rising: Rising,
    /// Looks since the last end.
    looks: u32,
    /// The period before that was long enough, and the count was read in the last look too.
    telling: bool,
}

impl Collections {
    /// A look found `value`, and so many completed collections after it. `None`: the count was not read.
    /// A period has so many seconds at least.
    pub fn observe(&mut self, t: f64, value: u64, completed: Option<u64>, shortest: f64) {
        let (began, lowest, highest) = self.under_way.unwrap_or((t, value, value));
        self.under_way = Some((began, lowest.min(value), highest.max(value)));
        let Some(completed) = completed else {
            // What it would tell of is not known any more; a process that has ended collects nothing.
            self.telling = false;
            return;
        };
        let before = self.completed.replace(completed);
        self.looks = self.looks.saturating_add(1);
        match before {
            // A count only rises; it is another runtime's.
            Some(before) if completed < before => {
                *self = Self {
                    completed: Some(completed),
                    ..Self::default()
                };
            }
            Some(before) if completed > before => {
                let whole = |&mut (began, ..): &mut (f64, u64, u64)| t - began >= shortest;
                if let Some((began, lowest, highest)) = self.under_way.take_if(whole) {
                    self.rising.push(began, (lowest, highest));
                }
                self.telling = self.looks >= APART;
                self.looks = 0;
            }
            _ => {}
        }
    }

    /// Whole collections that it was higher after than before; `None` if no count was read.
    pub fn through(&self) -> Option<u32> {
        self.completed?;
        let lowest = self.under_way.map_or(u64::MAX, |(_, lowest, _)| lowest);
        // The first period was before the first of them.
        let through = |blocks: &u32| self.rising.goes_on(*blocks, lowest);
        let blocks = Some(self.rising.blocks()).filter(through);
        Some(blocks.unwrap_or(0).saturating_sub(1))
    }

    /// What falls now may have been released by a collection.
    pub fn just_ended(&self) -> bool {
        self.telling && self.looks < LOOKS
    }
}
