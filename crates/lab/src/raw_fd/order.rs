//! What the parent orders from the child, and when the next descriptor is due.

use crate::error::Error;
use crate::message::{OrDash, or_dash};
use crate::raw_fd::{NAME, RawFd};
use std::time::Duration;

/// More descriptors a second than anybody can have.
const FASTEST: f64 = 1e6;

/// What the child needs to know.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Order {
    /// The child goes on only under this parent.
    pub parent: u32,
    pub rate: f64,
    pub count: Option<u64>,
    pub map_name: String,
    pub value_size: u32,
    pub max_entries: u32,
}

impl Order {
    pub fn new(options: &RawFd) -> Result<Self, Error> {
        let order = Self {
            parent: std::process::id(),
            rate: options.rate,
            count: options.count,
            map_name: options.map_name.clone(),
            value_size: options.value_size,
            max_entries: options.max_entries,
        };
        order.check().map_err(|what| Error::Option(what.into()))?;
        Ok(order)
    }

    fn check(&self) -> Result<(), &'static str> {
        if !(self.rate > 0.0 && self.rate <= FASTEST) {
            return Err("the rate must be above 0 and at most 1000000 descriptors a second");
        }
        // As bpf_obj_name_cpy has it.
        let good = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'.';
        if !matches!(self.map_name.len(), 1..=15) || !self.map_name.bytes().all(good) {
            return Err("the map's name must have 1 to 15 letters, digits, _ or .");
        }
        if self.value_size == 0 || self.max_entries == 0 {
            return Err("the map must have at least one entry of one byte");
        }
        Ok(())
    }

    /// The child's arguments.
    pub fn words(&self) -> Vec<String> {
        vec![
            NAME.into(),
            self.parent.to_string(),
            self.rate.to_string(),
            OrDash(self.count).to_string(),
            self.map_name.clone(),
            self.value_size.to_string(),
            self.max_entries.to_string(),
        ]
    }

    /// Reads [`Self::words`] less the first.
    pub fn parse(words: &[String]) -> Option<Self> {
        let [parent, rate, count, map_name, value_size, max_entries] = words else {
            return None;
        };
        let order = Self {
            parent: parent.parse().ok()?,
            rate: rate.parse().ok()?,
            count: or_dash(count)?,
            map_name: map_name.clone(),
            value_size: value_size.parse().ok()?,
            max_entries: max_entries.parse().ok()?,
        };
        order.check().ok().map(|()| order)
    }

    /// How many descriptors are due after so long. The first at once.
    pub fn due(&self, elapsed: Duration) -> u64 {
        // Saturates.
        let due = ((elapsed.as_secs_f64() * self.rate) as u64).saturating_add(1);
        self.count.map_or(due, |count| due.min(count))
    }

    /// When the next one after `leaked` is due, from the beginning; `None` if never.
    pub fn next(&self, leaked: u64) -> Option<Duration> {
        if self.count.is_some_and(|count| leaked >= count) {
            return None;
        }
        Duration::try_from_secs_f64(leaked as f64 / self.rate).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(rate: f64, count: Option<u64>) -> Order {
        let options = RawFd {
            rate,
            count,
            ..RawFd::default()
        };
        Order::new(&options).expect("good options")
    }

    #[test]
    fn arguments_survive() {
        for order in [
            order(0.3, None),
            order(1e6, Some(u64::MAX)),
            order(50.0, Some(0)),
        ] {
            let words = order.words();
            assert_eq!(words[0], NAME);
            assert_eq!(Order::parse(&words[1..]), Some(order));
        }
        assert_eq!(Order::parse(&[]), None);
        let mut words = order(1.0, None).words();
        words[2] = "NaN".into();
        assert_eq!(Order::parse(&words[1..]), None);
    }

    #[test]
    fn impossible_options_are_refused() {
        let good = RawFd::default();
        for bad in [
            RawFd {
                rate: 0.0,
                ..good.clone()
            },
            RawFd {
                rate: f64::NAN,
                ..good.clone()
            },
            RawFd {
                rate: f64::INFINITY,
                ..good.clone()
            },
            RawFd {
                map_name: "a/b".into(),
                ..good.clone()
            },
            RawFd {
                map_name: "sixteen_letters_".into(),
                ..good.clone()
            },
            RawFd {
                map_name: String::new(),
                ..good.clone()
            },
            RawFd {
                value_size: 0,
                ..good.clone()
            },
        ] {
            assert!(matches!(Order::new(&bad), Err(Error::Option(_))), "{bad:?}");
        }
    }

    #[test]
    fn the_pace_is_kept() {
        let ten = order(10.0, Some(4));
        let ms = Duration::from_millis;
        for (elapsed, due) in [(0, 1), (99, 1), (101, 2), (250, 3), (9_000, 4)] {
            assert_eq!(ten.due(ms(elapsed)), due, "{elapsed} ms");
        }
        assert_eq!(ten.next(1), Some(ms(100)));
        assert_eq!(ten.next(4), None);
        assert_eq!(order(1.0, Some(0)).next(0), None);
        // Far beyond any clock: never, not a panic.
        assert_eq!(order(1e-300, None).next(1), None);
        assert_eq!(order(1e6, None).due(Duration::MAX), u64::MAX);
    }

    #[test]
    fn each_is_due_when_its_time_has_come() {
        // Rounding may wake the child a little early, never again and again.
        for rate in [0.3, 3.0, 7.0, 49.9, 1000.0, 999_999.0] {
            let order = order(rate, None);
            for leaked in 1..2_000 {
                let at = order.next(leaked).expect("a time") + Duration::from_micros(1);
                assert!(order.due(at) > leaked, "{rate} {leaked}");
            }
        }
    }
}
