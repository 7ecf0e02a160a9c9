//! The course of one number: does it grow without bound?
//!
//! Growth is not yet a leak. What is counted here are *rises* and *falls*: looks that found more,
//! or less, than the look before. A number that only goes up and down as load does rises and falls
//! equally often, so of `n` changes the chance that at least `u` are rises is that of `n` fair
//! coins ([`chance`]). On that stand both claims:
//!
//! * *suspected*: four rises and no fall (1 in 16 by chance), so that it is said within five looks;
//!   where something was released meanwhile, or falls were seen, a chance of at most 1 in 200;
//! * *yes*: a chance of at most 1 in 10,000, and growth through the whole window.
//!
//! A fall that takes back half of what was gained ends a *run*. Runs that grew and fell are the
//! sawtooth of something that releases late (a collector for what nobody closed). After one, growth
//! is a suspicion only if it lasts twice as long as any run before, or if the number does not fall
//! back to where it was: of `n` floors in any order, the chance that each is above the one before is
//! 1 in `n!`. Four make a suspicion (1 in 24), eight through the whole window a leak (1 in 40,320).

use model::{Leak, Trend};

/// Rises without a fall that make a suspicion.
const RISES: u32 = 4;
/// The chance that is left for one where there were falls.
const SUSPICIOUS: f64 = 1.0 / 200.0;
/// The chance that is left for a leak.
const CERTAIN: f64 = 1.0 / 10_000.0;
/// After so many times the usual time between two rises it stands still …
const STILL: f64 = 6.0;
/// … but not before so many seconds.
const STILL_SECONDS: f64 = 5.0;
/// Floors that rise, for a suspicion.
const FLOORS: usize = 4;
/// And for a leak.
const CERTAIN_FLOORS: usize = 8;

/// The chance of at least `rises` heads among `rises + falls` fair coins.
pub(crate) fn chance(rises: u32, falls: u32) -> f64 {
    // More than that changes nothing of what is decided by it, and keeps numbers small.
    const MOST: u32 = 512;
    let all = f64::from(rises) + f64::from(falls);
    if all > f64::from(MOST) {
        let scale = f64::from(MOST) / all;
        let scaled = |n: u32| (f64::from(n) * scale) as u32;
        return chance(scaled(rises), scaled(falls));
    }
    let n = rises + falls;
    // Binomial coefficients over 2^n, from the middle of nowhere: n choose n is 1.
    let mut term = 0.5_f64.powi(n.cast_signed());
    let mut sum = term;
    for k in 0..falls {
        term *= f64::from(n - k) / f64::from(k + 1);
        sum += term;
    }
    sum.min(1.0)
}

/// From a fall to the next.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Run {
    since: f64,
    floor: u64,
    peak: u64,
    first_rise: f64,
    last_rise: f64,
    rises: u32,
    falls: u32,
    /// Something was released, though there was never less.
    released: bool,
}

impl Run {
    fn new(t: f64, value: u64) -> Self {
        Self {
            since: t,
            floor: value,
            peak: value,
            first_rise: t,
            last_rise: t,
            rises: 0,
            falls: 0,
            released: false,
        }
    }

    fn gained(&self) -> u64 {
        self.peak - self.floor
    }

    fn grows(&self) -> bool {
        let chance = chance(self.rises, self.falls);
        let quiet = self.falls == 0 && !self.released;
        quiet && self.rises >= RISES || self.gained() >= u64::from(RISES) && chance <= SUSPICIOUS
    }

    fn length(&self) -> f64 {
        self.last_rise - self.since
    }

    /// Nothing rose for long, compared with how often it did.
    fn stands_still(&self, t: f64) -> bool {
        let gaps = f64::from(self.rises.saturating_sub(1).max(1));
        let usual = (self.last_rise - self.first_rise) / gaps;
        t - self.last_rise > (STILL * usual).max(STILL_SECONDS)
    }
}

/// What is known of one number.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Course {
    value: u64,
    run: Run,
    /// The longest run that grew and fell again.
    longest: Option<f64>,
    /// When and where the last runs began, the oldest first.
    floors: Vec<(f64, u64)>,
    /// What was said last.
    said: Option<(Trend, Leak)>,
}

impl Course {
    pub fn new(t: f64, value: u64) -> Self {
        Self {
            value,
            run: Run::new(t, value),
            longest: None,
            floors: vec![(t, value)],
            said: None,
        }
    }

    /// The next look found this; `released`: some of what was there is not, whatever came instead.
    /// Gives what is to be said now, if anything is.
    pub fn observe(
        &mut self,
        t: f64,
        value: u64,
        released: bool,
        window: f64,
    ) -> Option<(Trend, Leak)> {
        self.note(t, value, released);
        let said = self.judge(t, window);
        if said.is_some() {
            self.said = said;
        }
        self.said
    }

    fn note(&mut self, t: f64, value: u64, released: bool) {
        let run = &mut self.run;
        run.released |= released;
        if value > self.value {
            if run.rises == 0 {
                run.first_rise = t;
            }
            run.rises = run.rises.saturating_add(1);
            run.last_rise = t;
            run.peak = run.peak.max(value);
        } else if value < self.value {
            let lost = run.peak.saturating_sub(value);
            if value <= run.floor || lost.saturating_mul(2) >= run.gained() {
                if run.grows() {
                    let length = run.length();
                    self.longest = Some(self.longest.map_or(length, |l| l.max(length)));
                    if self.floors.len() == CERTAIN_FLOORS {
                        self.floors.remove(0);
                    }
                    self.floors.push((t, value));
                }
                self.run = Run::new(t, value);
            } else {
                run.falls = run.falls.saturating_add(1);
            }
        }
        self.value = value;
    }

    fn judge(&mut self, t: f64, window: f64) -> Option<(Trend, Leak)> {
        let run = &self.run;
        let growing = matches!(self.said, Some((Trend::Growing, _)));
        if self.value == 0 && self.said.is_some() {
            return Some((Trend::Over, Leak::No));
        }
        let floors = self.rising_floors();
        let floors_rise = floors.len() >= FLOORS;
        let late = self
            .longest
            .is_some_and(|longest| run.length() <= 2.0 * longest);
        if run.grows() && (!late || floors_rise) || growing && floors_rise {
            if run.stands_still(t) {
                // What comes after is another story.
                self.run = Run::new(t, self.value);
                self.floors = vec![(t, self.value)];
                return growing.then_some((Trend::Plateau, Leak::No));
            }
            let through = |since: f64| t - since >= window;
            let certain = through(run.since) && chance(run.rises, run.falls) <= CERTAIN
                || floors.len() >= CERTAIN_FLOORS && through(floors[0].0);
            let was = matches!(self.said, Some((Trend::Growing, Leak::Yes)));
            let leak = if certain || was {
                Leak::Yes
            } else {
                Leak::Suspected
            };
            return Some((Trend::Growing, leak));
        }
        // It was suspected, and fell.
        growing.then_some((Trend::LateRelease, Leak::No))
    }

    /// The last floors, as far back as each is above the one before.
    fn rising_floors(&self) -> &[(f64, u64)] {
        let pairs = self.floors.windows(2).rev();
        let rising = pairs.take_while(|pair| pair[0].1 < pair[1].1).count();
        &self.floors[self.floors.len() - 1 - rising..]
    }

    /// When the growth began, and from what: with this run, or with the first of floors that rise.
    fn base(&self) -> (f64, u64) {
        match self.rising_floors() {
            floors if floors.len() >= FLOORS => floors[0],
            _ => (self.run.since, self.run.floor),
        }
    }

    /// What was said last.
    pub fn said(&self) -> Option<(Trend, Leak)> {
        self.said
    }

    /// When the growth began.
    pub fn since(&self) -> f64 {
        self.base().0
    }

    /// How much it grows in a second, since then.
    pub fn per_second(&self, t: f64) -> f64 {
        let (since, floor) = self.base();
        if t > since {
            self.value.saturating_sub(floor) as f64 / (t - since)
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: f64 = 60.0;

    /// One look a second; what was said, each time it was something else.
    fn course(values: impl IntoIterator<Item = u64>) -> Vec<(usize, Trend, Leak)> {
        let mut values = values.into_iter();
        let mut course = Course::new(0.0, values.next().expect("a first value"));
        let mut said = Vec::new();
        let mut last = None;
        let mut before = course.value;
        for (at, value) in values.enumerate() {
            let at = at + 1;
            let now = course.observe(at as f64, value, value < before, WINDOW);
            before = value;
            if now != last {
                last = now;
                said.extend(now.map(|(trend, leak)| (at, trend, leak)));
            }
        }
        said
    }

    #[test]
    fn chances_are_those_of_coins() {
        let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(close(chance(0, 0), 1.0));
        assert!(close(chance(4, 0), 1.0 / 16.0));
        assert!(close(chance(3, 1), 5.0 / 16.0));
        assert!(close(chance(0, 5), 1.0));
        assert!(chance(2000, 0) < 1e-100);
        assert!((chance(1000, 1000) - 0.5).abs() < 0.05);
    }

    #[test]
    fn steady_growth_is_suspected_in_five_looks_and_certain_after_the_window() {
        let said = course(7..200);
        assert_eq!(
            said,
            [
                (4, Trend::Growing, Leak::Suspected),
                (60, Trend::Growing, Leak::Yes)
            ]
        );
    }

    #[test]
    fn one_more_in_ten_seconds_is_the_same_only_later() {
        let said = course((0..600).map(|t| t / 10));
        assert_eq!(
            said,
            [
                (40, Trend::Growing, Leak::Suspected),
                (140, Trend::Growing, Leak::Yes)
            ]
        );
    }

    #[test]
    fn what_stands_still_or_only_churns_is_nothing() {
        assert_eq!(course([5; 100]), []);
        assert_eq!(course((0..300).map(|t| 5 + t % 2)), []);
        assert_eq!(course((0..300).map(|t| 5 + [0, 1, 2, 1][t % 4])), []);
    }

    #[test]
    fn a_burst_and_a_plateau_is_no_leak() {
        let said = course((0..100).map(|t: u64| 8 * t.min(10)));
        assert_eq!(
            said,
            [
                (4, Trend::Growing, Leak::Suspected),
                (17, Trend::Plateau, Leak::No)
            ]
        );
    }

    #[test]
    fn a_sawtooth_is_a_late_release() {
        let said = course((0..400).map(|t| t % 20));
        assert_eq!(
            said,
            [
                (4, Trend::Growing, Leak::Suspected),
                (20, Trend::Over, Leak::No)
            ]
        );
        let said = course((0..400).map(|t| 3 + t % 20));
        assert_eq!(
            said,
            [
                (4, Trend::Growing, Leak::Suspected),
                (20, Trend::LateRelease, Leak::No)
            ]
        );
    }

    #[test]
    fn a_sawtooth_whose_floor_rises_is_a_leak() {
        // Each time a fifth is not released.
        let said = course((0..400).map(|t| t % 20 + t / 20 * 4));
        assert_eq!(
            said,
            [
                (4, Trend::Growing, Leak::Suspected),
                (20, Trend::LateRelease, Leak::No),
                // The fourth floor, and the first rises after it.
                (64, Trend::Growing, Leak::Suspected),
                (140, Trend::Growing, Leak::Yes)
            ]
        );
    }

    #[test]
    fn growth_that_goes_on_after_a_late_release_is_suspected_again() {
        let saw = (0..40).map(|t| 3 + t % 20);
        let said = course(saw.chain((0..100).map(|t| 3 + t)));
        let said: Vec<_> = said.into_iter().map(|(_, trend, _)| trend).collect();
        assert_eq!(
            said,
            [
                Trend::Growing,
                Trend::LateRelease,
                Trend::Growing,
                Trend::Growing
            ]
        );
    }

    #[test]
    fn growth_among_churn_takes_more_looks() {
        // Five more and three less, in turn.
        let said = course((0..400).map(|t: u64| t / 2 * 2 + t % 2 * 5));
        assert!(
            said.iter()
                .all(|(at, _, leak)| *at > 4 && *leak != Leak::No),
            "{said:?}"
        );
    }

    #[test]
    fn after_the_end_nothing_is_held() {
        let said = course((0..30).chain([0, 0, 0]));
        assert_eq!(said.last(), Some(&(30, Trend::Over, Leak::No)));
    }

    /// The rate of false alarms that the page in the journal tells, of a fair walk.
    #[test]
    fn a_walk_without_aim_is_hardly_ever_called_a_leak() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let (mut certain, walks) = (0, 300);
        for _ in 0..walks {
            let mut value = 50_u64;
            let walk: Vec<u64> = (0..600)
                .map(|_| {
                    value = match next() % 4 {
                        0 => value + 1,
                        1 => value.saturating_sub(1),
                        _ => value,
                    };
                    value
                })
                .collect();
            certain += u32::from(course(walk).iter().any(|said| said.2 == Leak::Yes));
        }
        assert!(certain * 50 <= walks, "{certain} of {walks}");
    }
}
