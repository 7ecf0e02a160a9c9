//! Known leaks, reproduced for real.
//!
//! A scenario runs in a child process: the program that calls [`run_raw_fd`],
//! started again as `lab-child …`, so that program must pass the words after
//! `lab-child` to [`child_main`]. The child ends with its parent, however that
//! ends, and pins only in a bpffs of its own mount namespace, which goes with it.
//! Nothing is written to the host's file systems.

mod error;
mod message;
mod raw_fd;
mod signals;
mod worker;

pub use error::{Error, Step};
pub use raw_fd::{Outcome, RawFd, run_raw_fd};

use std::ffi::OsString;

/// The word that starts the program again as a scenario's child.
pub const CHILD_COMMAND: &str = "lab-child";

/// A leak that can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scenario {
    /// As on the command line.
    pub name: &'static str,
    /// What leaks, in a few words.
    pub title: &'static str,
    /// What there is to see.
    pub shows: &'static str,
}

/// The scenarios, in the order in which they are listed.
pub fn list() -> &'static [Scenario] {
    &[Scenario {
        name: raw_fd::NAME,
        title: "descriptors from BPF_OBJ_GET, never closed",
        shows: "one map whose reference count grows, held by one process and by a pin in \
                another mount namespace",
    }]
}

/// The child of a scenario; `words` are those after [`CHILD_COMMAND`].
///
/// Never returns: the process ends with its parent, or when its parent says so.
pub fn child_main(words: impl IntoIterator<Item = OsString>) -> ! {
    let words: Option<Vec<String>> = words.into_iter().map(|w| w.into_string().ok()).collect();
    let order = words.as_deref().and_then(|words| match words {
        [name, rest @ ..] if name == raw_fd::NAME => raw_fd::Order::parse(rest),
        _ => None,
    });
    let Some(order) = order else {
        eprintln!("{CHILD_COMMAND} is what `lab run` starts by itself; `lab run` is for you");
        std::process::exit(2);
    };
    raw_fd::child(&order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_and_differ() {
        for (at, scenario) in list().iter().enumerate() {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(scenario.name.chars().all(plain), "{}", scenario.name);
            assert!(list()[..at].iter().all(|other| other.name != scenario.name));
            assert!(!scenario.title.is_empty() && !scenario.shows.is_empty());
        }
    }
}
