//! The course of one number: does it grow without bound?
//!
//! Growth is not yet a leak. A cache fills, a start-up ends, a load comes and goes, a collector
//! releases late. What they have in common is that the number comes back: below where it was, or to
//! where it once has been. So two things are looked at, and both without keeping the numbers themselves.
//!
//! **Records.** A look that found more than any look before. Four in a row without a fall are a
//! suspicion: it is said within five looks. A pool that is used again up to its old height makes none.
//!
//! **Blocks** of time, each with its lowest and highest number. That both are above those of the
//! block before, time after time, is what growth means whatever comes and goes meanwhile. If blocks
//! were alike, each order of `n` of them would be as likely as any other, and `n` in rising order a chance
//! of 1 in `n!`. Six are a suspicion (1 in 720), eight that make up the window or more a leak (1 in
//! 40,320). Blocks have ten lengths, each twice the one before: what grows once a minute is found in
//! blocks of minutes. The teeth of a saw are blocks too, each from its floor to its peak.
//!
//! **Collections**, of a Go process whose count of them can be read. Eight rising blocks of any length are a leak if two
//! collections left more than there was before: a collector that covers for a missing `Close` would have taken it. They take the
//! place of the window, which only waits for a collection to come.
//!
//! A suspicion ends when half of what was gained is lost: something releases late. After that, records
//! count only beyond twice that height, and blocks only if they are longer than that tooth. It ends too
//! when there was no record for three times as long as the longest pause that growth ever made. What falls as a collection
//! ends has been released late, also if nothing is left.

use super::collections::Collections;
use model::{Leak, Trend};

/// Records without a fall that make a suspicion.
const RECORDS: u32 = 4;
/// Rising blocks that make a suspicion.
const SUSPICIOUS: u32 = 6;
/// And a leak.
const CERTAIN: u32 = 8;
/// Collections that stand for the rest of the window.
const COLLECTIONS: u32 = 2;
/// Lengths of blocks.
const LENGTHS: usize = 10;
/// The shortest is this part of the window.
const SHORTEST: f64 = 16.0;
/// The first length of which `CERTAIN` make up the window.
const LONG: usize = 1;
/// After so many times its longest pause growth has stopped …
const STILL: f64 = 3.0;
/// … but not before so many seconds.
const STILL_SECONDS: f64 = 5.0;
/// A tooth has at least this height: what goes up and down by less is nothing.
const TOOTH: u64 = 4;

/// Blocks that follow each other, as far as each is above the one before.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Rising {
    last: Option<(u64, u64)>,
    blocks: u32,
    /// When and how low the first of them began.
    since: (f64, u64),
}

impl Rising {
    pub(super) fn push(&mut self, began: f64, (lowest, highest): (u64, u64)) {
        let above = self
            .last
            .is_some_and(|last| lowest > last.0 && highest > last.1);
        if above {
            self.blocks = self.blocks.saturating_add(1);
        } else {
            self.blocks = 1;
            self.since = (began, lowest);
        }
        self.last = Some((lowest, highest));
    }

    /// So many follow each other.
    pub(super) fn blocks(&self) -> u32 {
        self.blocks
    }

    /// There are as many, and the block that has begun since is not below the last.
    pub(super) fn goes_on(&self, wanted: u32, lowest: u64) -> bool {
        self.blocks >= wanted && self.last.is_some_and(|last| lowest > last.0)
    }
}

/// Blocks of one length.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Blocks {
    began: f64,
    lowest: u64,
    highest: u64,
    rising: Rising,
}

impl Blocks {
    fn new(t: f64, value: u64) -> Self {
        Self {
            began: t,
            lowest: value,
            highest: value,
            rising: Rising::default(),
        }
    }

    /// Until now it was `before`.
    fn advance(&mut self, t: f64, length: f64, before: u64, value: u64) {
        // Nobody looked for long: what was not seen does not rise.
        if t - self.began > 4.0 * length {
            *self = Self::new(t, before);
        }
        // No more lie between; of a recording, time and window may be anything, and a sum no more than
        // its greater part.
        for _ in 0..4 {
            if t - self.began < length {
                break;
            }
            self.rising.push(self.began, (self.lowest, self.highest));
            self.began += length;
            (self.lowest, self.highest) = (before, before);
        }
        self.lowest = self.lowest.min(value);
        self.highest = self.highest.max(value);
    }
}

/// Growth that is told of.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Growing {
    /// When and from what it began.
    base: (f64, u64),
    peak: u64,
    certain: bool,
}

/// What is known of one number.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Course {
    t: f64,
    value: u64,
    blocks: [Blocks; LENGTHS],
    /// Of a saw: the tooth that it is in, from when and where, and up to what; and those before.
    tooth: (f64, u64, u64),
    teeth: Rising,
    /// A record is above this.
    mark: u64,
    /// Records since the last fall, and when and from what they began.
    streak: u32,
    streak_base: (f64, u64),
    last_record: f64,
    /// The longest pause between two records of growth.
    pause: f64,
    /// Shorter blocks lie within a tooth of something that releases late.
    shortest: f64,
    growing: Option<Growing>,
    /// While it grows.
    collections: Collections,
    said: Option<(Trend, Leak)>,
}

impl Course {
    pub fn new(t: f64, value: u64) -> Self {
        Self {
            t,
            value,
            blocks: [Blocks::new(t, value); LENGTHS],
            tooth: (t, value, value),
            teeth: Rising::default(),
            mark: value,
            streak: 0,
            streak_base: (t, value),
            last_record: t,
            pause: 0.0,
            shortest: 0.0,
            growing: None,
            collections: Collections::default(),
            said: None,
        }
    }

    /// The next look found this, and so many completed collections of its holder, if they were read. Gives what is to
    /// be said now, if anything is.
    pub fn observe(
        &mut self,
        t: f64,
        value: u64,
        completed: Option<u64>,
        window: f64,
    ) -> Option<(Trend, Leak)> {
        let mut length = window / SHORTEST;
        for blocks in &mut self.blocks {
            blocks.advance(t, length, self.value, value);
            length *= 2.0;
        }
        if value > self.value {
            self.rise(t, value);
        } else if value < self.value {
            self.fall(t, value);
        }
        (self.t, self.value) = (t, value);
        if self.growing.is_some() {
            self.collections
                .observe(t, value, completed, window / SHORTEST);
        } else {
            self.collections = Collections::default();
        }
        let said = self.judge(window);
        if said.is_some() {
            self.said = said;
        }
        self.said
    }

    fn rise(&mut self, t: f64, value: u64) {
        self.tooth.2 = self.tooth.2.max(value);
        if value <= self.mark {
            return;
        }
        if self.streak == 0 {
            self.streak_base = (self.t, self.value);
            // Growth that has been told of goes on after a pause.
            if matches!(self.said, Some((Trend::Growing | Trend::Plateau, _))) {
                self.pause = self.pause.max(t - self.last_record);
            }
        } else {
            self.pause = self.pause.max(t - self.last_record);
        }
        self.mark = value;
        self.streak = self.streak.saturating_add(1);
        self.last_record = t;
    }

    fn fall(&mut self, t: f64, value: u64) {
        self.streak = 0;
        let (began, floor, peak) = self.tooth;
        let gained = peak.saturating_sub(floor);
        if value <= floor || peak.saturating_sub(value).saturating_mul(2) >= gained {
            if gained >= TOOTH {
                self.teeth.push(began, (floor, peak));
            }
            self.tooth = (t, value, value);
        }
    }

    /// The longest run of rising blocks that says this much, if one does.
    fn rising(&self, window: f64, wanted: u32, first: usize) -> Option<Rising> {
        let length = |at: usize| window / SHORTEST * f64::from(1_u32 << at);
        let lengths = (first..LENGTHS).filter(|&at| length(at) >= self.shortest);
        let mut blocks = lengths.map(|at| &self.blocks[at]);
        let found = blocks.find(|blocks| blocks.rising.goes_on(wanted, blocks.lowest));
        found.map(|blocks| blocks.rising)
    }

    fn judge(&mut self, window: f64) -> Option<(Trend, Leak)> {
        let (t, value) = (self.t, self.value);
        let through = t - self.teeth.since.0 >= window;
        let teeth = |wanted| {
            self.teeth
                .goes_on(wanted, self.tooth.1)
                .then_some(self.teeth)
        };
        let certain = self
            .rising(window, CERTAIN, LONG)
            .or(teeth(CERTAIN).filter(|_| through));
        let rising = self.rising(window, SUSPICIOUS, 0).or(teeth(SUSPICIOUS));
        let collected = self.collections.through() >= Some(COLLECTIONS);
        let certain = certain.or_else(|| {
            let blocks = || self.rising(window, CERTAIN, 0).or(teeth(CERTAIN));
            collected.then(blocks).flatten()
        });
        let Some(mut growing) = self.growing else {
            let base = match rising {
                Some(rising) => rising.since,
                None if self.streak >= RECORDS => self.streak_base,
                None => return None,
            };
            self.growing = Some(Growing {
                base,
                peak: value,
                certain: certain.is_some(),
            });
            return self.grows();
        };
        growing.peak = growing.peak.max(value);
        growing.certain |= certain.is_some();
        let gained = growing.peak.saturating_sub(growing.base.1);
        let lost = growing.peak - value;
        if value == 0 || rising.is_none() && lost.saturating_mul(2) >= gained.max(1) {
            self.growing = None;
            self.streak = 0;
            self.mark = self
                .mark
                .max(growing.base.1.saturating_add(gained.saturating_mul(2)));
            self.shortest = self.shortest.max(t - growing.base.0);
            let trend = if value == 0 && !self.collections.just_ended() {
                Trend::Over
            } else {
                Trend::LateRelease
            };
            return Some((trend, Leak::No));
        }
        let still = (STILL * self.pause).max(STILL_SECONDS);
        if rising.is_none() && t - self.last_record > still {
            self.growing = None;
            self.streak = 0;
            return Some((Trend::Plateau, Leak::No));
        }
        self.growing = Some(growing);
        self.grows()
    }

    fn grows(&self) -> Option<(Trend, Leak)> {
        let growing = self.growing?;
        let leak = if growing.certain {
            Leak::Yes
        } else {
            Leak::Suspected
        };
        Some((Trend::Growing, leak))
    }

    /// What was said last.
    pub fn said(&self) -> Option<(Trend, Leak)> {
        self.said
    }

    /// Collections, at least, that left more than there was before; `None` if they are not counted.
    pub fn collections(&self) -> Option<u32> {
        self.growing.and_then(|_| self.collections.through())
    }

    /// When the growth began; now, if there is none.
    pub fn since(&self) -> f64 {
        self.growing.map_or(self.t, |growing| growing.base.0)
    }

    /// How much it grows in a second, since then.
    pub fn per_second(&self) -> f64 {
        match self.growing {
            Some(Growing { base, .. }) if self.t > base.0 => {
                self.value.saturating_sub(base.1) as f64 / (self.t - base.0)
            }
            _ => 0.0,
        }
    }
}
