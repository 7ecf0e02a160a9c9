//! Splits the tests on each kernel over several machines that run at the same time.

use crate::guest::Guest;
use crate::kernels::Kernel;
use crate::testrun::{self, KernelRun, Options, Suite};
use anyhow::{Result, anyhow};
use std::collections::HashMap;
use std::iter;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;

/// Tests to run on one kernel.
pub struct Job<'a> {
    /// The kernel.
    pub kernel: &'a Kernel,
    /// What its machines contain.
    pub guest: Guest,
    /// The tests.
    pub suites: &'a [Suite],
    /// How to run them; each machine adds its number to the name.
    pub options: Options<'a>,
}

/// Runs all jobs, so many machines at a time, and gives what came of each, in their order.
pub fn run(jobs: &[Job], machines: usize) -> Result<Vec<KernelRun>> {
    let machines = machines.max(1);
    // Every job in as many parts as there are machines, so that none idles at the end.
    let parts: Vec<(usize, usize, Vec<Suite>)> = (0..jobs.len())
        .flat_map(|job| {
            let split = split(jobs[job].suites, machines);
            split.into_iter().enumerate().map(move |(n, s)| (job, n, s))
        })
        .collect();
    let next = AtomicUsize::new(0);
    let (sender, done) = mpsc::channel();
    let work = |sender: Sender<(usize, Result<KernelRun>)>| {
        while let Some((job, number, suites)) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
            let Job {
                kernel,
                guest,
                options,
                ..
            } = &jobs[*job];
            let mut options = options.clone();
            options.name = format!("{}-{number}", options.name);
            let run = testrun::run(kernel, &mut guest.clone(), suites, &options);
            // What is left would most likely end the same way.
            if run.is_err() {
                next.store(parts.len(), Ordering::Relaxed);
            }
            let _ = sender.send((*job, run));
        }
    };
    thread::scope(|scope| {
        for _ in 0..machines {
            let sender = sender.clone();
            scope.spawn(move || work(sender));
        }
    });
    drop(sender);
    let mut runs: Vec<Vec<KernelRun>> = iter::repeat_with(Vec::new).take(jobs.len()).collect();
    for (job, run) in done {
        runs[job].push(run?);
    }
    let merged = jobs.iter().zip(runs).map(|(job, runs)| {
        merge(job.suites, runs).ok_or_else(|| anyhow!("no tests ran on {}", job.kernel.version))
    });
    merged.collect()
}

/// Deals the tests of each suite out to so many parts; those with nothing to do are left out.
fn split(suites: &[Suite], parts: usize) -> Vec<Vec<Suite>> {
    let part = |n: usize| -> Vec<Suite> {
        let suites = suites.iter().map(|suite| {
            let mut part = suite.clone();
            part.keep(|place, _| place % parts == n);
            if n > 0 {
                part.ignored.clear();
            }
            part
        });
        suites
            .filter(|suite| !suite.tests.is_empty() || !suite.ignored.is_empty())
            .collect()
    };
    (0..parts)
        .map(part)
        .filter(|suites| !suites.is_empty())
        .collect()
}

/// One run from those of the parts, in the order of suites and tests. Nothing, if there is none.
fn merge(suites: &[Suite], runs: Vec<KernelRun>) -> Option<KernelRun> {
    let order: HashMap<String, usize> = suites
        .iter()
        .flat_map(Suite::ids)
        .enumerate()
        .map(|(place, id)| (id, place))
        .collect();
    let mut merged = runs.into_iter().reduce(|mut all, part| {
        all.results.extend(part.results);
        all.complaints.extend(part.complaints);
        all
    })?;
    merged
        .results
        .sort_by_key(|result| order.get(&result.id).copied());
    Some(merged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Verdict;
    use crate::testrun::CaseResult;

    fn suite(name: &str, tests: &[&str], ignored: &[&str]) -> Suite {
        let owned = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect();
        Suite {
            name: name.into(),
            argv: Vec::new(),
            cwd: "/".into(),
            tests: owned(tests),
            skipped: vec!["s".into()],
            ignored: owned(ignored),
        }
    }

    fn outcome(suites: &[Suite]) -> KernelRun {
        let ids = suites.iter().flat_map(Suite::ids);
        let result = |id| CaseResult {
            id,
            verdict: Verdict::Passed,
            output: String::new(),
        };
        KernelRun {
            kernel: "6.1".into(),
            results: ids.map(result).collect(),
            complaints: Vec::new(),
        }
    }

    #[test]
    fn every_test_is_in_one_part_and_skipped_in_the_others() {
        let suites = [
            suite("a", &["1", "2", "3"], &["i"]),
            suite("b", &["4"], &[]),
        ];
        let parts = split(&suites, 2);
        assert_eq!(parts.len(), 2);
        assert_eq!(parts[0][0].tests, ["1", "3"]);
        assert_eq!(parts[0][0].skipped, ["s", "2"]);
        assert_eq!(parts[0][0].ignored, ["i"]);
        assert_eq!(parts[0][1].tests, ["4"]);
        assert_eq!(parts[1].len(), 1);
        assert_eq!(parts[1][0].tests, ["2"]);
        assert_eq!(parts[1][0].skipped, ["s", "1", "3"]);
        assert!(parts[1][0].ignored.is_empty());
        assert_eq!(split(&suites, 9).len(), 3);
    }

    #[test]
    fn parts_make_a_whole_in_the_old_order() {
        let suites = [
            suite("a", &["1", "2", "3"], &["i"]),
            suite("b", &["4", "5"], &[]),
        ];
        let mut parts = split(&suites, 3);
        parts.reverse();
        let merged = merge(&suites, parts.iter().map(|part| outcome(part)).collect()).unwrap();
        let ids: Vec<String> = merged.results.into_iter().map(|r| r.id).collect();
        assert_eq!(ids, ["a::1", "a::2", "a::3", "a::i", "b::4", "b::5"]);
        assert!(merge(&suites, Vec::new()).is_none());
    }
}
