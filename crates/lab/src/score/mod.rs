//! How well lastref tells what is true of the scenarios.

mod check;
mod explain;
#[cfg(test)]
mod explain_tests;
mod fates;
#[cfg(test)]
mod fates_tests;
#[cfg(test)]
mod findings_tests;
mod ls;
#[cfg(test)]
mod ls_tests;
mod table;
mod truth;
mod watch;
#[cfg(test)]
mod watch_tests;

pub use check::judge as judge_check;
pub use explain::judge as judge_explain;
pub use ls::judge as judge_ls;
pub use table::{Case, Score, Totals};
pub use watch::judge as judge_watch;

use crate::books::{Occasion, Said};
use crate::build::Build;
use crate::catalog::{Scenario, scenarios};
use crate::error::Error;
use crate::prepare::{prepare, unpack};
use crate::program::{Log, Running};
use crate::{environment, leftovers, own, run};
use serde::Serialize;
use serde_json::Value;
use std::fmt;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use truth::{Against, Leak};

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

/// Whether a command speaks of a leak, whatever it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Says {
    /// Of one, or of a suspicion.
    Leak,
    /// That there is none.
    NoLeak,
    /// It does not know, or was not asked.
    NotKnown,
}

impl From<Leak> for Says {
    fn from(leak: Leak) -> Self {
        match leak {
            Leak::Yes | Leak::Suspected => Self::Leak,
            Leak::No => Self::NoLeak,
            Leak::Unknown => Self::NotKnown,
        }
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
    /// Whether it speaks of a leak; `None` for what is not asked that (`ls`).
    pub says: Option<Says>,
}

impl Judgement {
    /// Never asked, for this reason.
    pub fn not_run(why: impl Into<String>) -> Self {
        Self {
            result: Verdict::NotRun,
            expected: String::new(),
            got: String::new(),
            why: why.into(),
            says: None,
        }
    }

    /// What speaks against it makes the result: what is not true before what is not said.
    fn against(against: Against, expected: String, says: impl Into<Option<Says>>) -> Self {
        let Against { wrong, unknown } = against;
        let (result, why) = match (wrong.is_empty(), unknown.is_empty()) {
            (true, true) => (Verdict::Right, String::new()),
            (false, _) => (Verdict::Wrong, first(&wrong)),
            (true, false) => (Verdict::Unknown, first(&unknown)),
        };
        let got = match result {
            Verdict::Right => "the same".into(),
            _ => format!("{} wrong, {} not known", wrong.len(), unknown.len()),
        };
        Self {
            result,
            expected,
            got,
            why,
            says: says.into(),
        }
    }

    /// lastref itself failed: of that it said nothing right. That it takes long is no lie.
    fn unanswered(why: &own::Unanswered) -> Self {
        let result = match why {
            own::Unanswered::Failed(_) => Verdict::Wrong,
            own::Unanswered::TooLong(_) => Verdict::Unknown,
        };
        Self {
            result,
            expected: "an answer".into(),
            got: "none".into(),
            ..Self::not_run(why.to_string())
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

fn first(all: &[String]) -> String {
    const SHOWN: usize = 3;
    let more = all.len().saturating_sub(SHOWN);
    let text = all[..all.len() - more].join("; ");
    match more {
        0 => text,
        _ => format!("{text}; and {more} more"),
    }
}

/// The commands that are scored.
pub const COMMANDS: [&str; 4] = ["ls", "watch", "explain", "check"];

/// A watch takes its time, and none of a processor's: so many scenarios run beside each other.
const BESIDE: usize = 8;

/// How scenarios are run to be scored.
#[derive(Debug, Clone, Default)]
pub struct Setting {
    /// How they are built.
    pub build: Build,
    /// Parameters that do not have their default.
    pub parameters: Vec<(String, String)>,
}

/// Asks these commands about every scenario whose name `wanted` says; `told` hears each result.
pub fn score(
    wanted: &dyn Fn(&str) -> bool,
    setting: &Setting,
    commands: &[&'static str],
    told: &mut dyn FnMut(&Case),
) -> Score {
    let scenarios: Vec<_> = scenarios().iter().filter(|s| wanted(s.name)).collect();
    let mut cases = Vec::new();
    for &command in commands {
        let exists = own::has_command(command);
        let beside = if command == "watch" { BESIDE } else { 1 };
        for some in scenarios.chunks(beside) {
            if beside > 1 {
                // Beside a compiler nothing keeps its pace. Why one cannot be built is told below.
                for scenario in some {
                    drop(prepare(scenario, &setting.build));
                }
            }
            let asked = std::thread::scope(|scope| {
                // Each in a thread of its own, from its start to its end: a program dies with the
                // thread that started it.
                let each = some.iter().map(|&scenario| {
                    scope.spawn(move || {
                        if exists {
                            ask_of(command, scenario, setting)
                        } else {
                            Ok(absent())
                        }
                    })
                });
                let each: Vec<_> = each.collect();
                let lost =
                    || Judgement::unanswered(&own::Unanswered::Failed("judge".into())).into();
                each.into_iter()
                    .map(|thread| thread.join().unwrap_or_else(|_| Ok(lost())))
                    .collect::<Vec<_>>()
            });
            for (scenario, asked) in some.iter().zip(asked) {
                // A scenario that cannot run is never right.
                let asked =
                    asked.unwrap_or_else(|error| Judgement::not_run(error.to_string()).into());
                let case = Case {
                    scenario: scenario.name,
                    command,
                    leaks: scenario.leaks(),
                    judgement: asked.judgement,
                    left_behind: asked.left_behind,
                };
                told(&case);
                cases.push(case);
            }
        }
    }
    // As people look for them: all about one scenario together.
    let place = |command| commands.iter().position(|&c| c == command);
    cases.sort_by_key(|case| (case.scenario, place(case.command)));
    Score { cases }
}

fn absent() -> Asked {
    Judgement::not_run(table::NO_COMMAND).into()
}

fn ask_of(command: &str, scenario: &'static Scenario, setting: &Setting) -> Result<Asked, Error> {
    match command {
        "watch" => watch_of(scenario, setting),
        "explain" => explain_of(scenario, setting),
        "check" => check_of(scenario, setting),
        _ => ls_of(scenario, setting),
    }
}

/// What came of a question, and of the scenario that it was about.
struct Asked {
    judgement: Judgement,
    left_behind: Vec<String>,
}

impl From<Judgement> for Asked {
    fn from(judgement: Judgement) -> Self {
        Self {
            judgement,
            left_behind: Vec::new(),
        }
    }
}

/// Starts a scenario, has it judged, and ends it. That the program fails is an error; that
/// lastref does is an answer.
fn judged(
    scenario: &'static Scenario,
    setting: &Setting,
    judge: impl FnOnce(&mut Running) -> Result<Judgement, Error>,
) -> Result<Asked, Error> {
    let program = prepare(scenario, &setting.build)?;
    let env = environment(scenario, &setting.parameters)?;
    let mut running = Running::start(&program, &env, Log::Kept, None)?;
    let judgement = judge(&mut running)?;
    let said = running.said().clone();
    let ended = running.end();
    let left = match ended.and_then(|()| leftovers::of(scenario, &said)) {
        Ok(left) => left,
        Err(error) => vec![error.to_string()],
    };
    Ok(Asked {
        judgement,
        left_behind: left,
    })
}

/// What lastref says of a program that stands still after it said this, against the truth.
pub fn look(scenario: &Scenario, said: &Said, pid: u32) -> Judgement {
    look_if_any(scenario, said, pid).unwrap_or_else(|| Judgement::not_run(NOTHING))
}

/// A program that holds nothing is no case for `ls`.
const NOTHING: &str = "the program holds nothing to be right about";

fn look_if_any(scenario: &Scenario, said: &Said, pid: u32) -> Option<Judgement> {
    let report = match own::ask(&["ls", "--json"]) {
        Ok(report) => report,
        Err(why) => return Some(Judgement::unanswered(&why)),
    };
    let namespace = own::pid_namespace(u64::from(pid));
    let ours = |pid| namespace.is_some() && own::pid_namespace(pid) == namespace;
    judge_ls(&scenario.manifest, said, &report, &ours)
}

/// Asks twice: as the program is, and once a collector has run and what it found is closed.
fn ls_of(scenario: &'static Scenario, setting: &Setting) -> Result<Asked, Error> {
    /// Before the question is asked.
    const STEPS: u64 = 10;
    judged(scenario, setting, |running| {
        for _ in 0..STEPS {
            running.tell("step", None)?;
        }
        let before = look_if_any(scenario, running.said(), running.pid());
        if let Some(before) = before.as_ref().filter(|before| !before.is_right()) {
            return Ok(before.clone());
        }
        let said = run::collected(scenario, running, None)?;
        let after = look_if_any(scenario, &said, running.pid());
        Ok(after
            .or(before)
            .unwrap_or_else(|| Judgement::not_run(NOTHING)))
    })
}

/// How a program goes on while it is looked at.
struct Pace {
    /// Between two steps.
    pause: Duration,
    /// A collector runs after so many steps, as it does in a program that allocates.
    gc: u64,
}

type Answer = Result<Vec<Value>, own::Unanswered>;

/// Lets a program go on until all answers are there; gives its books, from first to last.
fn meanwhile(
    scenario: &Scenario,
    running: &mut Running,
    pace: &Pace,
    answers: &[JoinHandle<Answer>],
) -> Result<Vec<Said>, Error> {
    let mut books = vec![running.said().clone()];
    let mut steps = 0;
    while answers.iter().any(|answer| !answer.is_finished()) {
        let next = Instant::now() + pace.pause;
        // One that can do no more stands still.
        if running.said().said != Occasion::Stuck {
            steps += 1;
            books.push(running.tell("step", None)?.clone());
            let due = scenario.manifest.collects && steps % pace.gc == 0;
            if due && running.said().said != Occasion::Stuck {
                books.push(run::collected(scenario, running, None)?);
            }
        }
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(books)
}

fn ask(arguments: Vec<String>) -> JoinHandle<Answer> {
    std::thread::spawn(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        own::ask_lines(&arguments)
    })
}

fn answer(handle: JoinHandle<Answer>) -> Answer {
    let lost = |_| own::Unanswered::Failed("could not be asked".into());
    handle.join().map_err(lost)?
}

fn watch_of(scenario: &'static Scenario, setting: &Setting) -> Result<Asked, Error> {
    const PACE: Pace = Pace {
        pause: Duration::from_millis(250),
        gc: 12,
    };
    judged(scenario, setting, |running| {
        // The window is longer than a collector takes, and than any bound that a clean one reaches.
        let words = ["watch", "--json", "--window", "10s", "--for", "26s"];
        let asked = [ask(words.map(str::to_owned).to_vec())];
        let books = meanwhile(scenario, running, &PACE, &asked)?;
        let [asked] = asked;
        Ok(match answer(asked) {
            Ok(events) => judge_watch(&scenario.manifest, &books, &events),
            Err(why) => Judgement::unanswered(&why),
        })
    })
}

fn explain_of(scenario: &'static Scenario, setting: &Setting) -> Result<Asked, Error> {
    const STEPS: u64 = 10;
    const PACE: Pace = Pace {
        pause: Duration::from_millis(100),
        gc: u64::MAX,
    };
    judged(scenario, setting, |running| {
        for _ in 0..STEPS {
            running.tell("step", None)?;
        }
        run::collected(scenario, running, None)?;
        let pids = own::processes_beside(running.pid());
        let words = |pid: &u32| vec!["explain".into(), pid.to_string(), "--json".into()];
        let asked: Vec<_> = pids.iter().map(|pid| ask(words(pid))).collect();
        let books = meanwhile(scenario, running, &PACE, &asked)?;
        let mut reports = Vec::new();
        for (pid, asked) in pids.iter().zip(asked) {
            match answer(asked) {
                Ok(report) => reports.extend(report),
                // A worker may end while it is looked at.
                Err(_) if !own::is_there(*pid) => {}
                Err(why) => return Ok(Judgement::unanswered(&why)),
            }
        }
        Ok(judge_explain(&scenario.manifest, &books, &reports))
    })
}

fn check_of(scenario: &'static Scenario, setting: &Setting) -> Result<Asked, Error> {
    let folder = unpack(scenario, setting.build.module.as_deref())?;
    let folder = folder.to_string_lossy();
    Ok(match own::ask(&["check", "--format", "json", &folder]) {
        Ok(report) => judge_check(scenario, &report).into(),
        Err(why) => Judgement::unanswered(&why).into(),
    })
}
