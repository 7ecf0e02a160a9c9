//! What one run of a test program means for each of its tests.
//!
//! A program runs all its tests in one process, one after another and uncaptured: what they share
//! is costly to make on an emulated processor. Between the results stands what the tests wrote, and
//! a test may take the whole process or machine with it, so the reading is wary: the summary at
//! the end is believed, and a test without a clear result has not passed.

use crate::stream::Outcome;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The result of a test on a kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It ran and held.
    Passed,
    /// It proved that this kernel cannot do what it tests; how.
    Impossible(String),
    /// Anything else; why.
    Failed(String),
}

/// How the process with the tests ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, or at the hands of `vm-init`.
    Process(Outcome),
    /// With its machine; why.
    Machine(String),
}

/// By which a test says that it cannot be made here: the word, its own name, and the proof.
const IMPOSSIBLE: &str = "IMPOSSIBLE: ";

/// The verdicts on the tests that a run decides, by name, each with what the test wrote. Those
/// missing have to run again. At least one of `names` is decided, whatever the output.
pub fn read(names: &[&str], end: &End, output: &str) -> BTreeMap<String, (Verdict, String)> {
    let segments = segments(names, output);
    let decided = match (end, Summary::read(output)) {
        (End::Process(Outcome::Exit(code)), Some(summary)) => whole(names, *code, &summary),
        (end, _) => part(names, &segments, &reason(end)),
    };
    decided
        .into_iter()
        .map(|(name, verdict)| {
            let verdict = match (verdict, impossible(&name, output)) {
                (Verdict::Passed, Some("")) => {
                    Verdict::Failed("called itself impossible without a reason".into())
                }
                (Verdict::Passed, Some(reason)) => Verdict::Impossible(reason.to_owned()),
                (verdict, _) => verdict,
            };
            let text = segments.iter().find(|(n, _)| *n == name);
            let text = text.map_or(output, |(_, text)| text).to_owned();
            (name, (verdict, text))
        })
        .collect()
}

/// The verdicts of a program that came to its end.
fn whole(names: &[&str], code: i32, summary: &Summary) -> BTreeMap<String, Verdict> {
    let verdict = |name: &str| {
        if !summary.fits(code, names.len()) {
            // It contradicts itself, or ran something else than it was told.
            return Verdict::Failed(format!(
                "exit status {code}, {} of {} tests passed, {} named as failed, {} ignored",
                summary.passed,
                names.len(),
                summary.failures.len(),
                summary.ignored
            ));
        }
        if summary.failures.contains(name) {
            Verdict::Failed("failed".into())
        } else {
            Verdict::Passed
        }
    };
    names
        .iter()
        .map(|name| ((*name).to_owned(), verdict(name)))
        .collect()
}

/// The verdicts of a program that did not come to its end. The last test to begin is blamed, and
/// all of them if none began.
fn part(names: &[&str], segments: &[(&str, &str)], why: &str) -> BTreeMap<String, Verdict> {
    let blamed = |name: &str| (name.to_owned(), Verdict::Failed(why.to_owned()));
    let Some(((culprit, _), before)) = segments.split_last() else {
        return names.iter().map(|name| blamed(name)).collect();
    };
    let decided = before.iter().filter_map(|(name, text)| {
        let last = text.trim_end();
        let verdict = if last.ends_with("FAILED") {
            Verdict::Failed("failed".into())
        } else if last.ends_with("ok") {
            Verdict::Passed
        } else {
            return None;
        };
        Some(((*name).to_owned(), verdict))
    });
    decided.chain([blamed(culprit)]).collect()
}

/// The name of the test that a line of output says to begin.
pub fn begins(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("test ")?;
    Some(rest.split_once(" ... ")?.0)
}

fn reason(end: &End) -> String {
    match end {
        End::Machine(why) => format!("the machine died: {why}"),
        End::Process(Outcome::Timeout) => "timed out".into(),
        End::Process(Outcome::NotStarted) => "could not be started".into(),
        End::Process(Outcome::Signal(number)) => format!("killed by signal {number}"),
        End::Process(Outcome::Exit(code)) => format!("exit status {code}, and no summary"),
    }
}

/// What stands between the beginning of a test and that of the next, in the order of the output.
fn segments<'a>(names: &[&'a str], output: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut starts: Vec<(usize, &str)> = Vec::new();
    let mut at = 0;
    for line in output.split_inclusive('\n') {
        if let Some(name) = begins(line).and_then(|n| names.iter().find(|known| **known == n))
            && !starts.iter().any(|(_, seen)| seen == name)
        {
            starts.push((at, name));
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).map(|(at, _)| *at);
    let ends: Vec<usize> = ends.chain([output.len()]).collect();
    starts
        .iter()
        .zip(ends)
        .map(|((start, name), end)| (*name, &output[*start..end]))
        .collect()
}

/// What the test framework says at the end.
struct Summary {
    passed: usize,
    failed: usize,
    ignored: usize,
    failures: BTreeSet<String>,
}

impl Summary {
    /// The last one in the output.
    fn read(output: &str) -> Option<Self> {
        let (before, line) = output.rsplit_once("test result: ")?;
        let line = line.lines().next()?;
        let count = |word: &str| -> Option<usize> {
            let (before, _) = line.split_once(&format!(" {word}"))?;
            before.rsplit(' ').next()?.parse().ok()
        };
        // The last of two lists under this title has the names alone.
        let failures = before
            .rsplit_once("\nfailures:\n")
            .map_or("", |(_, list)| list);
        Some(Self {
            passed: count("passed")?,
            failed: count("failed")?,
            ignored: count("ignored")?,
            failures: failures
                .lines()
                .filter_map(|line| line.strip_prefix("    "))
                .map(str::to_owned)
                .collect(),
        })
    }

    /// Exit status, counts and list agree with each other and with the number of tests asked for.
    fn fits(&self, code: i32, tests: usize) -> bool {
        let agreed = if self.failed == 0 {
            code == 0
        } else {
            code == 101
        };
        agreed
            && self.ignored == 0
            && self.passed + self.failed == tests
            && self.failures.len() == self.failed
    }
}

/// The proof that this test printed. It may stand behind other output on its line. A line about
/// another test is not this test's.
fn impossible<'a>(name: &str, output: &'a str) -> Option<&'a str> {
    output.lines().find_map(|line| {
        let (_, rest) = line.split_once(IMPOSSIBLE)?;
        let rest = rest.strip_prefix(name)?.strip_prefix(':')?;
        Some(rest.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 3] = ["a::one", "a::two", "b"];
    const GOOD: &str = "\nrunning 3 tests\ntest a::one ... ok\n\
        test a::two ... noise without end of lineok\ntest b ... \nIMPOSSIBLE: b: needs 6.6\nok\n\n\
        test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";
    const BAD: &str = "test a::one ... ok\ntest a::two ... thread panicked\nFAILED\ntest b ... ok\n\n\
        failures:\n\nfailures:\n    a::two\n\n\
        test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n";

    fn verdicts(end: &End, output: &str) -> BTreeMap<String, Verdict> {
        let read = read(&NAMES, end, output);
        read.into_iter().map(|(name, (v, _))| (name, v)).collect()
    }

    fn exit(code: i32) -> End {
        End::Process(Outcome::Exit(code))
    }

    fn failed(verdicts: &BTreeMap<String, Verdict>, name: &str, why: &str) -> bool {
        matches!(verdicts.get(name), Some(Verdict::Failed(w)) if w.contains(why))
    }

    #[test]
    fn passed_and_impossible() {
        let got = verdicts(&exit(0), GOOD);
        assert_eq!(got["a::one"], Verdict::Passed);
        assert_eq!(got["a::two"], Verdict::Passed);
        assert_eq!(got["b"], Verdict::Impossible("needs 6.6".into()));
    }

    #[test]
    fn a_failed_test_and_what_it_wrote() {
        let got = read(&NAMES, &exit(101), BAD);
        assert_eq!(got["a::one"].0, Verdict::Passed);
        assert_eq!(got["a::two"].0, Verdict::Failed("failed".into()));
        assert_eq!(got["a::two"].1, "test a::two ... thread panicked\nFAILED\n");
    }

    #[test]
    fn a_program_that_contradicts_itself_has_failed_whole() {
        // Status and summary, one test too few, an ignored one, none at all.
        let few = GOOD.replace("3 passed", "2 passed");
        let ignored = few.replace("0 ignored", "1 ignored");
        let none = "running 0 tests\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured;";
        for (code, output) in [(1, GOOD), (0, BAD), (0, &few), (0, &ignored), (0, none)] {
            let got = verdicts(&exit(code), output);
            for name in NAMES {
                assert!(failed(&got, name, "exit status"), "{code} {output}");
            }
        }
    }

    #[test]
    fn no_summary_blames_the_test_that_ran() {
        let cut = "test a::one ... ok\ntest a::two ... begun";
        for (end, why) in [
            (End::Machine("Kernel panic".into()), "Kernel panic"),
            (End::Process(Outcome::Timeout), "timed out"),
            (End::Process(Outcome::Signal(11)), "signal 11"),
            (exit(0), "no summary"),
        ] {
            let got = verdicts(&end, cut);
            assert_eq!(got["a::one"], Verdict::Passed);
            assert!(failed(&got, "a::two", why));
            assert!(!got.contains_key("b"), "b has to run again");
        }
    }

    #[test]
    fn an_unclear_result_before_a_crash_is_run_again() {
        let cut = "test a::one ... what is thi\ntest a::two ... begun";
        let got = verdicts(&End::Process(Outcome::Timeout), cut);
        assert!(!got.contains_key("a::one"));
    }

    #[test]
    fn a_failure_cannot_hide_behind_impossible() {
        let output = format!("IMPOSSIBLE: a::two: no reason\n{BAD}");
        assert!(failed(&verdicts(&exit(101), &output), "a::two", "failed"));
        let bare = GOOD.replace("b: needs 6.6", "b:");
        assert!(failed(&verdicts(&exit(0), &bare), "b", "without a reason"));
        let other = GOOD.replace("b: needs 6.6", "bb: no");
        assert_eq!(verdicts(&exit(0), &other)["b"], Verdict::Passed);
    }

    #[test]
    fn nothing_began() {
        let got = verdicts(&End::Process(Outcome::NotStarted), "");
        assert_eq!(got.len(), 3);
        assert!(failed(&got, "b", "could not be started"));
    }
}
