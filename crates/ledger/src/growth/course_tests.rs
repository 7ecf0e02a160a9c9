//! Series that grow, and such as only look so.

use super::course::Course;
use model::{Leak, Trend};

const WINDOW: f64 = 160.0;

/// One look a second; what was said, each time it was something else.
fn course(values: impl IntoIterator<Item = u64>) -> Vec<(usize, Trend, Leak)> {
    collected(values.into_iter().map(|value| (value, None)))
}

/// The same of a process of which it is read how many collections it has completed.
fn collected(looks: impl IntoIterator<Item = (u64, Option<u64>)>) -> Vec<(usize, Trend, Leak)> {
    let mut looks = looks.into_iter();
    let (first, _) = looks.next().expect("a first value");
    let mut course = Course::new(0.0, first);
    let mut said = Vec::new();
    let mut last = None;
    for (at, (value, completed)) in looks.enumerate() {
        let at = at + 1;
        let now = course.observe(at as f64, value, completed, WINDOW);
        if now != last {
            last = now;
            said.extend(now.map(|(trend, leak)| (at, trend, leak)));
        }
    }
    said
}

fn words(said: &[(usize, Trend, Leak)]) -> Vec<&'static str> {
    let words = said.iter().map(|(_, trend, leak)| match trend {
        Trend::Growing => leak.as_str(),
        other => other.as_str(),
    });
    words.collect()
}

/// A number like chance, the same each time.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % sides
    }
}

#[test]
fn steady_growth_is_suspected_in_five_looks_and_certain_after_the_window() {
    let said = course(7..400);
    assert_eq!(words(&said), ["suspected", "yes"]);
    assert_eq!(said[0].0, 4);
    assert!((160..=180).contains(&said[1].0), "{said:?}");
}

#[test]
fn slow_growth_takes_longer() {
    let said = course((0..3600).map(|t| t / 60));
    assert_eq!(words(&said), ["suspected", "yes"]);
    assert_eq!(said[0].0, 240);
    assert!(said[1].0 <= 1500, "{said:?}");
}

#[test]
fn what_stands_still_or_only_churns_is_nothing() {
    assert_eq!(course([5; 300]), []);
    assert_eq!(course((0..300).map(|t| 5 + t % 2)), []);
    assert_eq!(course((0..300).map(|t| 5 + [0, 1, 2, 1][t % 4])), []);
    // A worker's 30 handles, for a second each.
    assert_eq!(course((0..300).map(|t| [3, 33][t % 2])), []);
}

#[test]
fn a_burst_is_no_leak_whenever_it_comes() {
    for quiet in [0, 5, 600] {
        let said = course((0..1200).map(|t: u64| 8 * t.saturating_sub(quiet).min(29)));
        assert_eq!(words(&said), ["suspected", "plateau"], "{quiet}");
        let (began, ended) = (said[0].0 as u64 - quiet, said[1].0 as u64 - quiet);
        assert!(began == 4 && ended <= 36, "{said:?}");
    }
}

#[test]
fn a_pool_that_is_used_to_its_old_height_is_none() {
    // Filled at the start, then half of it released and used again, for ever.
    let warm = 0..=100;
    let use_again = (0..4000).map(|t| 60 + [0, 10, 20, 30, 40, 30, 20, 10][t % 8]);
    let said = course(warm.chain(use_again));
    assert_eq!(words(&said), ["suspected", "plateau"]);
    // A cache with a bound, and evictions of any size.
    let mut dice = Dice::new();
    for _ in 0..50 {
        let mut value = 0;
        let cache = (0..1800).map(|_| {
            value = if value >= 40 || dice.roll(60) == 0 {
                value - dice.roll(value / 2 + 1)
            } else {
                value + 1
            };
            value
        });
        let said = course(cache.collect::<Vec<_>>());
        assert!(said.iter().all(|said| said.2 != Leak::Yes), "{said:?}");
    }
}

#[test]
fn a_sawtooth_is_a_late_release_once() {
    for (period, floor) in [(20, 3), (6, 3), (7, 10), (100, 50)] {
        let said = course((0..2000).map(|t| floor + t % period));
        assert_eq!(words(&said), ["suspected", "late-release"], "{period}");
    }
    // Down to nothing, it is over each time, and told of once.
    let said = course((0..2000).map(|t| t % 20));
    assert_eq!(words(&said), ["suspected", "over"]);
    // Teeth that are not all alike.
    let mut dice = Dice::new();
    let mut value = 3;
    let saw = (0..2000).map(|_| {
        value = if dice.roll(20) == 0 { 3 } else { value + 1 };
        value
    });
    let said = course(saw.collect::<Vec<_>>());
    assert!(
        said.len() <= 8 && said.iter().all(|s| s.2 != Leak::Yes),
        "{said:?}"
    );
}

#[test]
fn a_collector_that_is_forced_after_two_minutes_is_in_time() {
    let said = course((0..1000).map(|t| 3 + t % 120));
    assert_eq!(words(&said), ["suspected", "late-release"]);
}

#[test]
fn a_sawtooth_whose_floor_rises_is_a_leak() {
    for (period, more) in [(20, 4), (10, 1), (6, 1), (30, 15)] {
        let said = course((0..1200).map(|t| t % period + t / period * more));
        assert_eq!(
            words(&said).last(),
            Some(&"yes"),
            "{period} {more} {said:?}"
        );
        assert!(said.len() <= 6, "{said:?}");
    }
}

#[test]
fn forgetting_one_of_many_is_a_leak() {
    // Ten made and nine closed, time after time.
    let said = course((0..1200).map(|t| t / 10 + if t % 10 < 5 { 10 } else { 0 }));
    assert_eq!(words(&said), ["suspected", "yes"]);
    assert!(said[1].0 <= 400, "{said:?}");
    let said = course((0..400).map(|t: u64| t / 2 * 2 + t % 2 * 5));
    assert_eq!(words(&said), ["suspected", "yes"]);
}

#[test]
fn a_staircase_is_a_leak_and_told_of_in_few_words() {
    // Six more each minute, for an hour.
    let said = course((0..3600).map(|t: u64| t / 60 * 6 + (t % 60).min(6)));
    assert_eq!(words(&said).last(), Some(&"yes"), "{said:?}");
    assert!(said.len() <= 5, "{said:?}");
}

#[test]
fn growth_that_goes_on_after_a_late_release_is_suspected_again() {
    let saw = (0..40).map(|t| 3 + t % 20);
    let said = course(saw.chain((0..400).map(|t| 3 + t)));
    assert_eq!(
        words(&said),
        ["suspected", "late-release", "suspected", "yes"]
    );
}

#[test]
fn after_the_end_nothing_is_held() {
    let said = course((0..30).chain([0, 0, 0]));
    assert_eq!(said.last(), Some(&(30, Trend::Over, Leak::No)));
}

#[test]
fn looks_may_come_at_any_time() {
    let mut dice = Dice::new();
    let mut course = Course::new(0.0, 0);
    let (mut t, mut said) = (0.0, None);
    while t < 600.0 {
        t += 0.1 + dice.roll(50) as f64 / 10.0;
        said = course.observe(t, t as u64, None, WINDOW);
    }
    assert_eq!(said, Some((Trend::Growing, Leak::Yes)));
    assert!(
        (course.per_second() - 1.0).abs() < 0.1,
        "{}",
        course.per_second()
    );
    // A night without a look is no growth of its own.
    assert_eq!(
        course.observe(1e6, t as u64, None, WINDOW).map(|s| s.0),
        Some(Trend::Plateau)
    );
}

#[test]
fn numbers_that_nobody_has_do_no_harm() {
    for values in [
        [0, u64::MAX, 0],
        [u64::MAX, 0, u64::MAX],
        [1, u64::MAX - 1, u64::MAX],
    ] {
        course(values.into_iter().cycle().take(100));
    }
    let mut course = Course::new(0.0, 5);
    for t in [1e300, f64::MAX, f64::MAX] {
        course.observe(t, 6, None, WINDOW);
    }
}

/// The rates of false alarms that the page in the journal tells, in 28 minutes each.
#[test]
fn chance_is_hardly_ever_called_a_leak() {
    let mut dice = Dice::new();
    let count = |walks: &mut dyn FnMut() -> Vec<u64>, collections: Option<u64>| {
        let (mut suspected, mut certain) = (0, 0);
        for _ in 0..200 {
            let completed = |at: u64| collections.map(|each| at / each);
            let looks = walks().into_iter().zip(0..);
            let said = collected(looks.map(|(value, at)| (value, completed(at))));
            suspected += u32::from(said.iter().any(|s| s.2 == Leak::Suspected));
            certain += u32::from(said.iter().any(|s| s.2 == Leak::Yes));
        }
        (suspected, certain)
    };
    // Births and deaths around twenty.
    let mut around = || {
        let mut value = 20_u64;
        let step = |value: u64, dice: &mut Dice| {
            if dice.roll(40) < value {
                value - 1
            } else {
                value + 1
            }
        };
        (0..1700)
            .map(|_| {
                value = step(value, &mut dice);
                value
            })
            .collect()
    };
    // Without collections, and with one each second, and each twenty.
    for collections in [None, Some(1), Some(20)] {
        let (suspected, certain) = count(&mut around, collections);
        println!(
            "births and deaths: {suspected} suspected and {certain} certain of 200, {collections:?}"
        );
        assert!(certain <= 1 && suspected <= 80, "{suspected} {certain}");
    }
    // A walk without an aim adds up, and is the harder case.
    let mut dice = Dice(7);
    let mut walk = || {
        let mut value = 200_u64;
        (0..1700)
            .map(|_| {
                value = (value + dice.roll(3)).saturating_sub(1);
                value
            })
            .collect()
    };
    for collections in [None, Some(1), Some(20)] {
        let (suspected, certain) = count(&mut walk, collections);
        println!("walks: {suspected} suspected and {certain} certain of 200, {collections:?}");
        assert!(
            certain <= if collections.is_some() { 80 } else { 40 },
            "{suspected} {certain}"
        );
    }
}

/// Of a recording that somebody made to harm.
#[test]
fn time_and_window_may_be_anything() {
    for window in [0.0, -1.0, f64::NAN, f64::MAX, 5e-324, 64.0] {
        for step in [0.0, 5e-324, 1e-9, 1.0, 16.0, 1e300] {
            // At 1e17 a second more is no more.
            for begun in [0.0, 1e17, f64::MAX] {
                let mut course = Course::new(begun, 0);
                for at in 1..50_u32 {
                    let t = begun + step * f64::from(at);
                    let completed = [None, Some(0), Some(u64::MAX), Some(at.into())];
                    let completed = completed[at as usize / 3 % 4];
                    course.observe(t, at.into(), completed, window);
                }
            }
        }
    }
}

#[test]
fn two_collections_of_growth_end_the_window_earlier() {
    // A collection each twenty seconds, which releases nothing.
    let said = collected((0..400).map(|t| (t, Some(t / 20))));
    assert_eq!(words(&said), ["suspected", "yes"]);
    // Eight rising blocks are eighty seconds of this window.
    assert!((80..=95).contains(&said[1].0), "{said:?}");
    // One a minute: three ends, so that two periods lie between.
    let said = collected((0..400).map(|t| (t, Some((t + 30) / 60))));
    assert!((150..=155).contains(&said[1].0), "{said:?}");
    // None, or a count that cannot be read: the window alone.
    for completed in [Some(7), None] {
        let said = collected((0..400).map(|t| (t, completed)));
        assert!((160..=180).contains(&said[1].0), "{completed:?} {said:?}");
    }
    // Nothing is left of what an earlier program's collections said.
    let said = collected((0..400).map(|t| (t, (t % 60 != 0).then_some(t / 20))));
    assert!((160..=180).contains(&said[1].0), "{said:?}");
}

#[test]
fn collections_make_no_leak_of_what_has_an_end() {
    // A start-up that takes less than half of the window, in which much is allocated, or little.
    for (time, period) in [(30, 1), (45, 15), (60, 1), (60, 15), (60, 30)] {
        let said = collected((0..300).map(|t: u64| (t.min(time), Some(t / period))));
        assert_eq!(words(&said), ["suspected", "plateau"], "{time} {period}");
    }
    // Two collections, but each gives back what came since the one before.
    for period in [5, 20, 50] {
        let said = collected((0..1200).map(|t| (10 + t % period, Some(t / period))));
        assert!(!words(&said).contains(&"yes"), "{period} {said:?}");
    }
    // It gives back one of two, and what it does not rises.
    let said = collected((0..600).map(|t| (t / 20 * 10 + t % 20, Some(t / 20))));
    assert!(words(&said).contains(&"yes"), "{said:?}");
}

#[test]
fn what_takes_several_collections_to_go_is_no_leak() {
    // Each finalizer lets go of an object that has one, too; and a look comes before they have run.
    for period in [20, 25, 30, 40] {
        for deep in [1, 2, 3] {
            let held =
                |t: u64| t - (t.saturating_sub(1) / period).saturating_sub(deep - 1) * period;
            let said = collected((0..1200).map(|t| (held(t), Some(t / period))));
            assert!(!words(&said).contains(&"yes"), "{period} {deep} {said:?}");
        }
    }
}

#[test]
fn what_falls_at_a_collection_is_released_late() {
    // All of it goes.
    let at = |t: u64| if t < 50 { t } else { 0 };
    let said = |completed: &dyn Fn(u64) -> Option<u64>| {
        let said = collected((0..100).map(|t| (at(t), completed(t))));
        words(&said)
    };
    assert_eq!(said(&|t| Some(t / 50)), ["suspected", "late-release"]);
    assert_eq!(said(&|t| Some(t / 51)), ["suspected", "over"]);
    assert_eq!(said(&|_| None), ["suspected", "over"]);
    // The process has ended: nothing was collected.
    assert_eq!(said(&|t| (t < 50).then_some(t / 50)), ["suspected", "over"]);
    // A collection each second, or each ten: it says nothing that one was near.
    assert_eq!(said(&Some), ["suspected", "over"]);
    assert_eq!(said(&|t| Some(t / 10)), ["suspected", "over"]);
}

#[test]
fn what_is_closed_by_hand_is_rarely_told_as_a_collections_doing() {
    for period in [1, 12, 20, 30, 60] {
        let told = |closed: &u64| {
            let held = |t: u64| if t < *closed { t } else { 0 };
            let said = collected((0..400).map(|t| (held(t), Some(t / period))));
            words(&said).contains(&"late-release")
        };
        let told = (150..350).filter(told).count();
        assert!(told <= 10, "{told} of 200, a collection each {period} s");
    }
}
