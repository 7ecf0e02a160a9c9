//! Runs a scenario to its end, for a person who looks at it.

use crate::books::{Book, Occasion, Said};
use crate::build::Build;
use crate::catalog::Scenario;
use crate::error::Error;
use crate::prepare::prepare;
use crate::program::{Log, Running};
use crate::score::{self, Judgement};
use crate::show::{begin, look_at, tell, todays_commands};
use crate::signals::Signals;
use crate::{environment, leftovers, own};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

/// How a scenario shall run.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Steps a second.
    pub rate: f64,
    /// No more steps than these; then it stands still.
    pub count: Option<u64>,
    /// Its collector runs every so often; `None`: when it likes.
    pub gc: Option<Duration>,
    /// Ends after so long; `None`: until SIGINT, SIGTERM or SIGHUP.
    pub duration: Option<Duration>,
    /// How it is built.
    pub build: Build,
    /// Parameters that do not have their default.
    pub parameters: Vec<(String, String)>,
    /// What becomes of the program's own log.
    pub log: Log,
}

/// What was true of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The scenario.
    pub scenario: &'static str,
    /// The program's pid.
    pub pid: u32,
    /// Steps that it did.
    pub steps: u64,
    /// Collections that it was asked for meanwhile.
    pub collections: u64,
    /// Handles, or objects without any, by group: at the end.
    pub groups: BTreeMap<String, Counted>,
    /// `lastref ls` against the truth, just before the end.
    pub ls: Judgement,
    /// Objects, processes and cgroups that were still there a while after the end: objects that
    /// the program told of, and those that its processes had open before the end.
    pub left_behind: Vec<String>,
}

impl Outcome {
    /// lastref told the truth, and nothing is left.
    pub fn is_met(&self) -> bool {
        self.ls.is_right() && self.left_behind.is_empty()
    }
}

/// A group's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// Made and not closed.
    pub held: usize,
    /// No longer reachable.
    pub dropped: usize,
    /// These grow without bound.
    pub leaks: bool,
}

/// Runs it, and tells what happens on `out`. The first line is for programs: `NAME: pid 4242, …`.
pub fn run(
    scenario: &'static Scenario,
    options: &Options,
    out: &mut impl Write,
) -> Result<Outcome, Error> {
    leftovers::sweep();
    let env = environment(scenario, &options.parameters)?;
    let program = prepare(scenario, &options.build)?;
    // Not before: a build ends at Ctrl-C as every program does.
    let signals = Signals::to_end()?;
    let mut running = Running::start(&program, &env, options.log, Some(&signals))?;
    begin(scenario, options, &running, out)?;
    let Followed { steps, collections } = follow(scenario, options, &mut running, &signals, out)?;
    signals.settle();

    for (command, answer) in todays_commands(scenario, &running) {
        writeln!(out, "  $ {command:<48} {answer}")?;
    }
    let said = collected(scenario, &mut running, Some(&signals))?;
    let pid = running.pid();
    let ls = score::look(scenario, &said, pid);
    let namespace = own::pid_namespace(u64::from(pid));
    let mut objects = leftovers::booked(scenario, &said);
    objects.extend(leftovers::open_in(pid));
    writeln!(
        out,
        "{}: lastref ls is {}{}",
        scenario.name,
        ls.result,
        ls.because()
    )?;
    running.end()?;
    let left_behind = leftovers::left(&objects, namespace.as_deref())?;
    let ended = format!("{}: ended after {steps} steps", scenario.name);
    match left_behind.as_slice() {
        // Not more than is known: what it did not tell of and had not open is not looked for.
        [] => writeln!(
            out,
            "{ended}; none of its processes and of the {} objects that were seen is left",
            objects.len()
        )?,
        left => writeln!(out, "{ended}; still there: {}", left.join(", "))?,
    }
    Ok(Outcome {
        scenario: scenario.name,
        pid,
        steps,
        collections,
        groups: count(scenario, &said),
        ls,
        left_behind,
    })
}

/// What a program holds once a collector has run, and what it found is closed: before, what is
/// dropped may be there or not, and so may be what that holds.
pub fn collected(
    scenario: &Scenario,
    running: &mut Running,
    signals: Option<&Signals>,
) -> Result<Said, Error> {
    /// What a release that hangs keeps is there after that, and is no case for more patience.
    const CLOSED: Duration = Duration::from_secs(1);
    let said = running.tell("gc", signals)?.clone();
    let handles = |book: fn(&Book) -> &Vec<u32>| {
        let by_fd = scenario.manifest.groups.iter();
        let by_fd = by_fd.filter(|group| group.held_by.iter().any(|by| by == "fd"));
        let ids = by_fd.flat_map(|group| {
            let ids = book(&said.book(&group.name)).clone();
            ids.into_iter().map(|id| (group.object.kind, id))
        });
        let mut count: BTreeMap<_, u64> = BTreeMap::new();
        ids.for_each(|id| *count.entry(id).or_default() += 1);
        count
    };
    let (held, dropped) = (handles(|book| &book.held), handles(|book| &book.dropped));
    let until = Instant::now() + CLOSED;
    loop {
        let open = own::descriptors(&own::processes_beside(running.pid()));
        let number = |of: &BTreeMap<_, u64>, id| of.get(id).copied().unwrap_or_default();
        let is_open = |id| number(&open, id) > number(&held, id);
        if !dropped.keys().any(is_open) || Instant::now() >= until {
            return Ok(said);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How far a program came.
struct Followed {
    steps: u64,
    collections: u64,
}

/// Steps at the pace that is asked for, and collections between them.
fn follow(
    scenario: &Scenario,
    options: &Options,
    running: &mut Running,
    signals: &Signals,
    out: &mut impl Write,
) -> Result<Followed, Error> {
    const TELL: Duration = Duration::from_secs(1);
    let begun = Instant::now();
    let end = options
        .duration
        .and_then(|duration| begun.checked_add(duration));
    let mut told = begun;
    let mut steps = 0;
    let mut collections = 0;
    let mut stuck = false;
    let mut shown = look_at(scenario, options, running, out)?;
    let due_at = |collections: u64| {
        let after = options
            .gc?
            .checked_mul(u32::try_from(collections + 1).ok()?)?;
        begun.checked_add(after)
    };
    loop {
        let due = Duration::try_from_secs_f64(steps as f64 / options.rate).ok();
        let more = !stuck && options.count.is_none_or(|count| steps < count);
        let next = due.filter(|_| more).and_then(|due| begun.checked_add(due));
        let idle = Instant::now() + TELL;
        let next_gc = due_at(collections);
        let until = [next, next_gc, end]
            .into_iter()
            .flatten()
            .fold(idle, Instant::min);
        if running.wait(signals, until)? || end.is_some_and(|end| Instant::now() >= end) {
            break;
        }
        if next.is_some_and(|next| Instant::now() >= next) {
            let said = match running.tell("step", Some(signals)) {
                Err(Error::Interrupted) => {
                    // It is being done, and waited for before anything else is asked.
                    steps += 1;
                    break;
                }
                said => said?,
            };
            steps += 1;
            if said.said == Occasion::Stuck {
                stuck = true;
                let error = said.error.clone().unwrap_or_default();
                writeln!(out, "{}: stuck after {steps} steps: {error}", scenario.name)?;
            }
        }
        if !stuck && next_gc.is_some_and(|next| Instant::now() >= next) {
            match running.tell("gc", Some(signals)) {
                Err(Error::Interrupted) => break,
                said => said?,
            };
            collections += 1;
        }
        if !shown && (steps == 1 || told.elapsed() >= TELL) {
            shown = look_at(scenario, options, running, out)?;
        }
        if told.elapsed() >= TELL {
            told = Instant::now();
            tell(scenario, running.said(), steps, out)?;
        }
        // Without an end in time, the last step is the end, and one that no other can follow.
        if let (Some(count), None) = (options.count, options.duration)
            && (stuck || steps >= count)
        {
            break;
        }
    }
    tell(scenario, running.said(), steps, out)?;
    Ok(Followed { steps, collections })
}

/// Numbers of all groups.
pub fn count(scenario: &Scenario, said: &Said) -> BTreeMap<String, Counted> {
    let groups = scenario.manifest.groups.iter().map(|group| {
        let book = said.book(&group.name);
        let counted = Counted {
            held: book.held.len(),
            dropped: book.dropped.len(),
            leaks: group.leaks,
        };
        (group.name.clone(), counted)
    });
    groups.collect()
}
