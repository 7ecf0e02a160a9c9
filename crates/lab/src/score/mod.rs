//! How well lastref tells what is true of the scenarios.

mod ls;
#[cfg(test)]
mod ls_tests;
mod table;

pub use ls::judge as judge_ls;
pub use table::{Case, Score, Totals};

use crate::catalog::{Scenario, scenarios};
use crate::error::Error;
use crate::prepare::prepare;
use crate::program::{Log, Running};
use crate::{environment, leftovers, own, run};
use serde::Serialize;
use std::fmt;

/// What came of one question to lastref.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As the truth has it.
    Right,
    /// Something that is not true.
    Wrong,
    /// It says that it does not know.
    Unknown,
    /// Never asked.
    NotRun,
}

impl Verdict {
    /// In the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::Right, Self::Wrong, Self::Unknown, Self::NotRun];
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Right => "right",
            Self::Wrong => "wrong",
            Self::Unknown => "unknown",
            Self::NotRun => "not run",
        })
    }
}

/// One answer against the truth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// What came of it.
    pub result: Verdict,
    /// The truth, in a few words.
    pub expected: String,
    /// What lastref said, in a few words.
    pub got: String,
    /// Why it is not right.
    pub why: String,
}

impl Judgement {
    /// Never asked, for this reason.
    pub fn not_run(why: impl Into<String>) -> Self {
        Self {
            result: Verdict::NotRun,
            expected: String::new(),
            got: String::new(),
            why: why.into(),
        }
    }

    /// It was right.
    pub fn is_right(&self) -> bool {
        self.result == Verdict::Right
    }

    /// `: why`, if there is a why.
    pub fn because(&self) -> String {
        match self.why.as_str() {
            "" => String::new(),
            why => format!(": {why}"),
        }
    }
}

/// The commands that are scored.
pub const COMMANDS: [&str; 4] = ["ls", "watch", "explain", "check"];
/// Steps before the question is asked.
const STEPS: u64 = 10;

/// Asks these commands about every scenario whose name `wanted` says, one after the other; `told`
/// hears each result.
pub fn score(
    wanted: &dyn Fn(&str) -> bool,
    commands: &[&'static str],
    told: &mut dyn FnMut(&Case),
) -> Score {
    let exists = |command: &&'static str| (*command, own::has_command(command));
    let exists: Vec<(&'static str, bool)> = commands.iter().map(exists).collect();
    let mut cases = Vec::new();
    for scenario in scenarios().iter().filter(|s| wanted(s.name)) {
        for &(command, exists) in &exists {
            let judgement = match (exists, command) {
                (false, _) => Judgement::not_run(table::NO_COMMAND),
                (true, "ls") => ls_of(scenario),
                (true, _) => Judgement::not_run("the lab cannot judge it yet"),
            };
            let case = Case {
                scenario: scenario.name,
                command,
                judgement,
            };
            told(&case);
            cases.push(case);
        }
    }
    Score { cases }
}

/// A scenario that cannot run is never right.
fn ls_of(scenario: &'static Scenario) -> Judgement {
    let asked = || -> Result<Judgement, Error> {
        let program = prepare(scenario, None, None)?;
        let mut running = Running::start(&program, &environment(scenario, &[])?, Log::Kept, None)?;
        for _ in 0..STEPS {
            running.tell("step", None)?;
        }
        let said = run::collected(&mut running, None)?;
        let judgement = run::look(scenario, &said, running.pid())?;
        running.end()?;
        let left = leftovers::of(scenario, &said)?;
        if !left.is_empty() {
            return Err(Error::Program(format!("left behind {}", left.join(", "))));
        }
        Ok(judgement)
    };
    asked().unwrap_or_else(|error| Judgement::not_run(error.to_string()))
}
