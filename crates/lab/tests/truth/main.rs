//! Each scenario's truth, found out without lastref: by bpftool, by /proc, by making the program's
//! collector run, and by its own books.
//!
//! Twelve scenarios by default; `LASTREF_LAB_TRUTH=all`: all, with all their modules;
//! `LASTREF_LAB_TRUTH=NAME`: one, with all its modules.

mod facts;
mod kernel;
mod marks;
mod proc;

use facts::Facts;
use kernel::{Object, listed, lives};
use lab::{Build, Group, Running, Said, Scenario, Unready, prepare, scenarios};
use libtest_mimic::{Arguments, Trial};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Of every language and every kind of end.
const TWELVE: [&str; 12] = [
    "c-close-with-links",
    "c-error-path",
    "c-workers-come-and-go",
    "go-cache-grows",
    "go-link-dropped",
    "go-local-dropped",
    "go-lru-cache",
    "go-ringbuf-reader-left",
    "k-cgroup-outlives",
    "k-in-flight",
    "k-pod-pins",
    "rust-aya-link-forgotten",
];
const STEPS: u64 = 6;
/// As many as it may take until something leaks that does so with some steps only.
const MOST_STEPS: u64 = 60;

fn main() {
    // A scenario's program is started by this very program.
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == lab::CHILD_COMMAND) {
        lab::child_main(words);
    }
    let mut arguments = Arguments::from_args();
    // Builds and counts beside each other say nothing about each other.
    arguments.test_threads = arguments.test_threads.or(Some(1));
    let wanted = std::env::var("LASTREF_LAB_TRUTH").unwrap_or_default();
    let trials = scenarios().iter().flat_map(|scenario| {
        let name = scenario.name;
        let modules: Vec<Option<&'static str>> = match wanted.as_str() {
            "" if TWELVE.contains(&name) => vec![None],
            word if word != "all" && word != name => Vec::new(),
            _ if scenario.manifest.modules.is_empty() => vec![None],
            _ => scenario
                .manifest
                .modules
                .iter()
                .map(|m| Some(m.as_str()))
                .collect(),
        };
        let cases = modules.into_iter().flat_map(move |module| {
            let title = module.map_or(name.into(), |module| format!("{name}::{module}"));
            let innocent = INNOCENT.iter().filter(move |innocent| innocent.0 == name);
            let innocent = innocent.map({
                let title = title.clone();
                move |&(_, parameter, value)| Case {
                    title: format!("{title}::{parameter}={value}"),
                    scenario,
                    module,
                    innocent: Some((parameter, value)),
                }
            });
            let case = Case {
                title,
                scenario,
                module,
                innocent: None,
            };
            std::iter::once(case).chain(innocent)
        });
        cases.map(|case| Trial::test(case.title.clone(), move || tried(&case)))
    });
    let marks = scenarios().iter().map(|scenario| {
        let title = format!("{}::marks", scenario.name);
        Trial::test(title, || marks::are_right(scenario).map_err(Into::into))
    });
    libtest_mimic::run(&arguments, trials.chain(marks).collect()).exit()
}

/// Scenarios, and what they are run with to leak nothing.
const INNOCENT: [(&str, &str, &str); 1] = [("go-gogc-off", "gogc", "100")];
/// What leaks perf events, which are no objects of BPF and in no book: one with each step.
const PERF_EVENTS: &str = "c-perf-fd-on-failure";

/// A program to be tried.
struct Case {
    title: String,
    scenario: &'static Scenario,
    module: Option<&'static str>,
    /// A parameter and its value with which nothing leaks.
    innocent: Option<(&'static str, &'static str)>,
}

fn tried(case: &Case) -> Result<(), libtest_mimic::Failed> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: needs root, for namespaces and BPF");
        return Ok(());
    }
    match truth_of(case) {
        Ok(()) => Ok(()),
        Err(Failed::Needs(what)) => {
            eprintln!("SKIPPED: {} needs {what}", case.title);
            Ok(())
        }
        Err(Failed::Wrong(what)) => Err(what.into()),
    }
}

enum Failed {
    Needs(String),
    Wrong(String),
}

impl From<String> for Failed {
    fn from(what: String) -> Self {
        Self::Wrong(what)
    }
}

impl From<lab::Error> for Failed {
    fn from(error: lab::Error) -> Self {
        Self::Wrong(error.to_string())
    }
}

fn truth_of(case: &Case) -> Result<(), Failed> {
    let scenario = case.scenario;
    let build = Build {
        module: case.module.map(str::to_owned),
        ..Build::default()
    };
    let program = prepare(scenario, &build).map_err(|error| match error {
        Unready::Needs(what) => Failed::Needs(what),
        error => Failed::Wrong(error.to_string()),
    })?;
    let mut groups = scenario.manifest.groups.clone();
    let mut parameters = Vec::new();
    if let Some((name, value)) = case.innocent {
        parameters.push((name.to_owned(), value.to_owned()));
        for group in groups.iter_mut().filter(|group| group.leaks) {
            (group.leaks, group.per_step) = (false, [0, 0]);
        }
    }
    let environment = lab::environment(scenario, &parameters)?;
    let place = Place::of(&environment);
    let mut running = Running::start(&program, &environment, lab::Log::Kept, None)?;
    let first = running.said().clone();
    let facts = holds(&groups, &first, &running, &place)?;
    let mut steps = 0;
    // What leaks with some steps only needs more of them to be seen to.
    while steps < STEPS || steps < MOST_STEPS && !all_leak(&groups, &first, running.said()) {
        running.tell("step", None)?;
        within_bounds(&groups, running.said())?;
        steps += 1;
    }
    let stepped = running.said().clone();
    grown(&groups, &first, &stepped, steps)?;
    let before = facts.counted.perf_events;
    let facts = holds(&groups, &stepped, &running, &place)?;
    let events = facts.counted.perf_events - before.min(facts.counted.perf_events);
    if scenario.name == PERF_EVENTS && events != steps {
        return Err(format!("{events} perf events more after {steps} steps").into());
    }
    reaches_its_bound(&groups, &mut running)?;
    let stepped = running.said().clone();
    running.tell("gc", None)?;
    let collected = running.said().clone();
    released(&groups, &stepped, &collected)?;
    holds_exactly(&groups, &collected, &running, &place)?;

    let mut left: Vec<Object> = objects(&groups, &collected).into_keys().collect();
    running.end()?;
    let deadline = Instant::now() + Duration::from_secs(20);
    while !left.is_empty() {
        if Instant::now() > deadline {
            return Err(format!("left behind: {left:?}").into());
        }
        std::thread::sleep(Duration::from_millis(50));
        left.retain(|object| lives(*object));
    }
    match place.cgroup {
        Some(path) if path.exists() => Err(format!("left behind: {}", path.display()).into()),
        _ => Ok(()),
    }
}

/// Where a scenario may put what is in none of its namespaces.
struct Place {
    cgroup: Option<PathBuf>,
}

impl Place {
    fn of(environment: &[(String, String)]) -> Self {
        let mark = environment.iter().find(|(name, _)| name == "LAB_MARK");
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let mut mounts = mounts
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>());
        let root = mounts.find(|words| words.get(2) == Some(&"cgroup2"));
        let of = |(_, mark): &(String, String)| Some(PathBuf::from(root?[1]).join(mark));
        Self {
            cgroup: mark.and_then(of),
        }
    }
}

/// Each group that leaks holds more than at first.
fn all_leak(groups: &[Group], first: &Said, now: &Said) -> bool {
    let held = |said: &Said, group: &Group| said.book(&group.name).held.len();
    let mut leaking = groups.iter().filter(|group| group.leaks);
    leaking.all(|group| held(now, group) > held(first, group))
}

/// What grows does, as much as it says, and what does not leak has a bound.
fn grown(groups: &[Group], first: &Said, stepped: &Said, steps: u64) -> Result<(), String> {
    for group in groups {
        let count = |said: &Said| said.book(&group.name).held.len() as i64;
        let grown = count(stepped) - count(first);
        let [least, most] = group.per_step.map(|n| (n * steps) as i64);
        let name = &group.name;
        if !(least..=most).contains(&grown) {
            return Err(format!(
                "{name}: {grown} more after {steps} steps, not {least} to {most}"
            ));
        }
        if group.leaks && grown <= 0 {
            return Err(format!("{name}: leaks, and has not grown"));
        }
        let waits = group.verdicts.iter().any(|verdict| verdict == "dropped");
        if !group.leaks && waits && stepped.book(name).dropped.is_empty() {
            return Err(format!("{name}: nothing of it was dropped"));
        }
        if !group.leaks && most > 0 && group.at_most.is_none() {
            return Err(format!("{name}: grows, and has no bound"));
        }
    }
    Ok(())
}

fn within_bounds(groups: &[Group], said: &Said) -> Result<(), String> {
    for group in groups {
        let count = said.book(&group.name).held.len() as u64;
        if group.at_most.is_some_and(|bound| count > bound) {
            return Err(format!("{}: {count}, above its bound", group.name));
        }
    }
    Ok(())
}

/// As many steps more as would take a leak of one with each step above the bound.
fn reaches_its_bound(groups: &[Group], running: &mut Running) -> Result<(), Failed> {
    let bound = groups.iter().filter_map(|group| group.at_most).max();
    for _ in 0..bound.map_or(0, |bound| bound + STEPS) {
        running.tell("step", None)?;
        within_bounds(groups, running.said())?;
    }
    Ok(())
}

/// A collection changes no books, but of what nobody can reach any more and only a forced
/// collection releases: that it releases, all of it.
fn released(groups: &[Group], stepped: &Said, collected: &Said) -> Result<(), String> {
    for group in groups {
        let (before, after) = (stepped.book(&group.name), collected.book(&group.name));
        let name = &group.name;
        if group.leaks && group.verdicts.iter().any(|verdict| verdict == "dropped") {
            if !after.held.is_empty() || after.dropped.len() < before.held.len() {
                return Err(format!("{name}: is held after a collection was forced"));
            }
        } else if after.held != before.held {
            return Err(format!("{name}: a collection changes its books"));
        }
    }
    Ok(())
}

/// Handles that are held, and those that are dropped, by object; whether its references are to
/// be descriptors.
fn objects(groups: &[Group], said: &Said) -> BTreeMap<Object, (u64, u64)> {
    let mut objects = BTreeMap::new();
    for group in groups {
        let fd = u64::from(group.held_by.iter().any(|by| by == "fd"));
        let book = said.book(&group.name);
        for id in book.held {
            objects
                .entry(Object(group.object.kind, id))
                .or_insert((0, 0))
                .0 += fd;
        }
        for id in book.dropped {
            objects
                .entry(Object(group.object.kind, id))
                .or_insert((0, 0))
                .1 += fd;
        }
    }
    objects
}

fn holds(groups: &[Group], said: &Said, running: &Running, place: &Place) -> Result<Facts, String> {
    check(groups, said, running, place, false)
}

/// After a collection nothing that was dropped is left.
fn holds_exactly(
    groups: &[Group],
    said: &Said,
    running: &Running,
    place: &Place,
) -> Result<Facts, String> {
    // Finalizers run when they like.
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        match check(groups, said, running, place, true) {
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(50)),
            result => return result,
        }
    }
}

fn check(
    groups: &[Group],
    said: &Said,
    running: &Running,
    place: &Place,
    exactly: bool,
) -> Result<Facts, String> {
    let facts = Facts::of(running.pid(), place.cgroup.as_ref());
    for (object, (held, dropped)) in objects(groups, said) {
        let count = facts.files.get(&object).copied().unwrap_or(0);
        let most = if exactly { held } else { held + dropped };
        if !(held..=most).contains(&count) {
            return Err(format!(
                "{object:?}: /proc has {count} handles, the books {held} and {dropped} dropped"
            ));
        }
    }
    for group in groups {
        let book = said.book(&group.name);
        let all: BTreeSet<u32> = book.held.iter().chain(&book.dropped).copied().collect();
        for id in all {
            let object = Object(group.object.kind, id);
            let Some(seen) = listed(object) else {
                // What is dropped may be gone.
                if !book.held.contains(&id) {
                    continue;
                }
                let name = &group.name;
                return Err(format!("{object:?} ({name}): bpftool does not know it"));
            };
            let glob = glob::Pattern::new(&group.object.name).map_err(|e| e.to_string())?;
            if !glob.matches(&seen.name) || seen.type_name != group.object.type_name {
                return Err(format!(
                    "{object:?}: bpftool has {} {:?}",
                    seen.type_name, seen.name
                ));
            }
        }
    }
    facts.against(groups, said, exactly)?;
    Ok(facts)
}
