//! Known leaks, reproduced for real.
//!
//! A scenario runs in a child process: the program that calls [`run_raw_fd`],
//! started again as `lab-child …`, so that program must pass the words after
//! `lab-child` to [`child_main`]. The child ends with its parent, however that
//! ends, and pins only in a bpffs of its own mount namespace, which goes with it.
//!
//! A scenario with a program of its own has a pid and a network namespace, too. Two things are
//! outside of these: the folder in which programs are built ([`cache`]), and what the kernel
//! ties to no process, such as a cgroup with what is attached to it. That carries a mark, and
//! [`clean`] or the next run removes it if its program was killed before it could.

mod apart;
mod books;
mod build;
mod cache;
mod catalog;
mod compile;
mod error;
mod holder;
mod jail;
mod leftovers;
mod lines;
mod manifest;
mod message;
mod needs;
mod own;
mod plot;
mod prepare;
mod program;
mod raw_fd;
mod run;
mod show;
mod signals;

pub mod score;
#[cfg(test)]
mod testing;
mod tools;
mod vary;
mod worker;

pub use books::{Book, Occasion, Said};
pub use build::Build;
pub use cache::{cache, clean_cache};
pub use catalog::{Scenario, load, scenarios};
pub use error::{Error, Step};
pub use leftovers::{Cleaned, clean, sweep};
pub use manifest::{Group, Language, Manifest, Need, ObjectTruth, Parameter, SiteTruth};
pub use needs::missing;
pub use plot::svg;
pub use prepare::{Program, Unready, prepare, unpack};
pub use program::{Log, Running};
pub use raw_fd::{Outcome, RawFd, run_raw_fd};
pub use run::{Counted, Options, Outcome as RunOutcome, run};
pub use vary::{Axis, Row, vary};

use std::ffi::OsString;

/// The word that starts the program again as a scenario's child.
pub const CHILD_COMMAND: &str = "lab-child";

/// The scenario that needs no toolchain: the program itself runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuiltIn {
    /// As on the command line.
    pub name: &'static str,
    /// What leaks, in a few words.
    pub title: &'static str,
    /// What there is to see.
    pub shows: &'static str,
}

/// The scenario that needs no toolchain.
pub const BUILT_IN: BuiltIn = BuiltIn {
    name: raw_fd::NAME,
    title: "descriptors from BPF_OBJ_GET, never closed",
    shows: "One map whose reference count grows, held by one process and by a pin in another mount \
            namespace.",
};

/// What a scenario's parameters are in its environment; `set` are those that do not have
/// their default.
pub fn environment(
    scenario: &Scenario,
    set: &[(String, String)],
) -> Result<Vec<(String, String)>, Error> {
    let parameters = &scenario.manifest.parameters;
    if let Some((name, _)) = set.iter().find(|(name, _)| !parameters.contains_key(name)) {
        let known: Vec<&str> = parameters.keys().map(String::as_str).collect();
        return Err(Error::Option(match known.as_slice() {
            [] => format!("{} has no parameters", scenario.name),
            known => format!("no parameter {name}; there is {}", known.join(", ")),
        }));
    }
    let value = |name: &str, default: &str| {
        let said = set.iter().rev().find(|(set, _)| set == name);
        said.map_or_else(|| default.to_owned(), |(_, value)| value.clone())
    };
    let mark = ("LAB_MARK".to_owned(), leftovers::mark());
    let all = parameters.iter().map(|(name, parameter)| {
        let variable = parameter.env.clone();
        let variable = variable.unwrap_or_else(|| format!("LAB_{}", name.to_uppercase()));
        (variable, value(name, &parameter.default))
    });
    Ok(all.chain([mark]).collect())
}

/// The child of a scenario; `words` are those after [`CHILD_COMMAND`].
///
/// Never returns: the process ends with its parent, or when its parent says so.
pub fn child_main(words: impl IntoIterator<Item = OsString>) -> ! {
    let words: Vec<OsString> = words.into_iter().collect();
    if let Some((word, rest)) = words.split_first()
        && word == jail::WORD
    {
        jail::jail(rest);
    }
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
    use std::collections::HashSet;

    #[test]
    fn every_scenario_can_be_read_and_is_whole() {
        let mut names: HashSet<&str> = HashSet::from([BUILT_IN.name]);
        for scenario in scenarios() {
            let (name, manifest) = (scenario.name, &scenario.manifest);
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(name.chars().all(plain) && names.insert(name), "{name}");
            assert!(
                !manifest.title.is_empty() && !manifest.shows.is_empty(),
                "{name}"
            );
            assert!(!manifest.groups.is_empty(), "{name}: holds nothing");
            for module in &manifest.modules {
                let folder = format!("modules/{module}");
                assert!(
                    catalog::below(&folder).count() > 0,
                    "{name}: no lab/{folder}"
                );
            }
            for report in &manifest.reports {
                assert!(report.starts_with("https://"), "{name}: {report}");
            }
            for group in &manifest.groups {
                let place = format!("{name}, group {}", group.name);
                assert!(
                    group.object.name.len() <= 15 || group.object.name.contains('*'),
                    "{place}"
                );
                if let Some(site) = &group.site {
                    assert!(
                        scenario.line(&site.file, &site.mark).is_some(),
                        "{place}: no {}",
                        site.mark
                    );
                }
                assert!(
                    !group.leaks || group.per_step[1] > 0,
                    "{place}: leaks, and does not grow"
                );
            }
        }
    }
}
