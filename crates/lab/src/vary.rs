//! Runs one scenario with several values of its parameters, and counts.

use crate::books::Occasion;
use crate::build::Build;
use crate::catalog::Scenario;
use crate::error::Error;
use crate::prepare::prepare;
use crate::program::{Log, Running};
use crate::signals::Signals;
use crate::{environment, leftovers};
use serde::Serialize;
use std::time::{Duration, Instant};

/// A parameter and the values that it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    /// The parameter.
    pub name: String,
    /// Its values, in the order in which they are tried.
    pub values: Vec<String>,
}

/// One combination of values, and what came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// A value of each axis, in their order.
    pub values: Vec<String>,
    /// Steps that were done.
    pub steps: u64,
    /// How long that took, in seconds.
    pub seconds: f64,
    /// Handles that were made and not closed, reachable or not.
    pub made: u64,
    /// Descriptors on BPF objects that the process has open at the end, as /proc has it.
    pub open: u64,
    /// A step failed as it must some day, and ended it early.
    pub stuck: Option<String>,
}

impl Row {
    /// Descriptors a second.
    pub fn open_per_second(&self) -> f64 {
        self.open as f64 / self.seconds
    }
}

/// Every combination of the axes, each for so long, with steps as fast as they go. `told` hears
/// each row.
pub fn vary(
    scenario: &Scenario,
    axes: &[Axis],
    each: Duration,
    told: &mut dyn FnMut(&Row),
) -> Result<Vec<Row>, Error> {
    leftovers::sweep();
    let program = prepare(scenario, &Build::default())?;
    // Not before: a build ends at Ctrl-C as every program does.
    let signals = Signals::to_end()?;
    let mut rows = Vec::new();
    for values in combinations(axes) {
        let names = axes.iter().map(|axis| axis.name.clone());
        let set: Vec<(String, String)> = names.zip(values.iter().cloned()).collect();
        let env = environment(scenario, &set)?;
        let mut running = Running::start(&program, &env, Log::Kept, Some(&signals))?;
        let begun = Instant::now();
        let (mut steps, mut stuck) = (0, None);
        while begun.elapsed() < each && stuck.is_none() {
            // What the books hold is read once, when the time is over.
            let occasion = running.step(Some(&signals))?;
            steps += 1;
            if occasion == Occasion::Stuck {
                stuck = Some(running.books()?.error.clone().unwrap_or_default());
            }
        }
        let seconds = begun.elapsed().as_secs_f64();
        let books = running.books()?.groups.values();
        let made = books
            .map(|book| book.held.len() + book.dropped.len())
            .sum::<usize>() as u64;
        let row = Row {
            values,
            steps,
            seconds,
            made,
            open: open(running.pid())?,
            stuck,
        };
        running.end()?;
        told(&row);
        rows.push(row);
    }
    Ok(rows)
}

/// The last axis moves fastest.
fn combinations(axes: &[Axis]) -> Vec<Vec<String>> {
    axes.iter().fold(vec![Vec::new()], |all, axis| {
        let longer = all.iter().flat_map(|values| {
            axis.values.iter().map(move |value| {
                let mut values = values.clone();
                values.push(value.clone());
                values
            })
        });
        longer.collect()
    })
}

/// Descriptors of a process on BPF objects.
fn open(pid: u32) -> Result<u64, Error> {
    let folder = format!("/proc/{pid}/fd");
    let entries = std::fs::read_dir(&folder).map_err(|error| Error::host(folder, error))?;
    let targets = entries
        .flatten()
        .filter_map(|entry| std::fs::read_link(entry.path()).ok());
    let bpf = targets.filter(|target| {
        target
            .to_str()
            .is_some_and(|t| t.starts_with("anon_inode:bpf"))
    });
    Ok(bpf.count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_comes_once() {
        let axis = |name: &str, values: &[&str]| Axis {
            name: name.into(),
            values: values.iter().map(|&v| v.to_owned()).collect(),
        };
        let all = combinations(&[axis("a", &["1", "2"]), axis("b", &["x", "y", "z"])]);
        let all: Vec<String> = all.into_iter().map(|values| values.join("")).collect();
        assert_eq!(all, ["1x", "1y", "1z", "2x", "2y", "2z"]);
        assert_eq!(combinations(&[]), [Vec::<String>::new()]);
    }
}
