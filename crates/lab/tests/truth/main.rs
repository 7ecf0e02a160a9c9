//! Each scenario's truth, found out without lastref: by bpftool, by /proc, by making the program's
//! collector run, and by its own books.
//!
//! Twelve scenarios by default; `LASTREF_LAB_TRUTH=all`: all, with all their modules;
//! `LASTREF_LAB_TRUTH=NAME`: one, with all its modules.

mod kernel;
mod proc;

use kernel::{Object, listed, lives, pinned_below};
use lab::{Group, Running, Said, Scenario, Unready, prepare, scenarios};
use libtest_mimic::{Arguments, Trial};
use proc::{files_on, mapped, processes_with};
use std::collections::{BTreeMap, BTreeSet};
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
        let modules: Vec<Option<&str>> = match wanted.as_str() {
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
        modules.into_iter().map(move |module| {
            let title = module.map_or(name.into(), |module| format!("{name}::{module}"));
            Trial::test(title, move || tried(scenario, module))
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit()
}

fn tried(scenario: &Scenario, module: Option<&str>) -> Result<(), libtest_mimic::Failed> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: needs root, for namespaces and BPF");
        return Ok(());
    }
    match truth_of(scenario, module) {
        Ok(()) => Ok(()),
        Err(Failed::Needs(what)) => {
            eprintln!("SKIPPED: {} needs {what}", scenario.name);
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

fn truth_of(scenario: &Scenario, module: Option<&str>) -> Result<(), Failed> {
    let program = prepare(scenario, module, None).map_err(|error| match error {
        Unready::Needs(what) => Failed::Needs(what),
        error => Failed::Wrong(error.to_string()),
    })?;
    let groups = &scenario.manifest.groups;
    let text = |error: lab::Error| Failed::Wrong(error.to_string());
    let mut running = Running::start(
        &program,
        &lab::environment(scenario, &[]).map_err(text)?,
        lab::Log::Kept,
        None,
    )
    .map_err(text)?;
    let first = running.said().clone();
    holds(groups, &first, &running)?;
    for _ in 0..STEPS {
        running.tell("step", None).map_err(text)?;
    }
    let stepped = running.said().clone();
    for group in groups {
        let grown =
            stepped.book(&group.name).held.len() as i64 - first.book(&group.name).held.len() as i64;
        let [least, most] = group.per_step.map(|n| (n * STEPS) as i64);
        if !(least..=most).contains(&grown) {
            return Err(format!(
                "{}: {grown} more after {STEPS} steps, not {least} to {most}",
                group.name
            )
            .into());
        }
        if group.leaks && most == 0 {
            return Err(format!("{}: leaks, and does not grow", group.name).into());
        }
    }
    holds(groups, &stepped, &running)?;
    running.tell("gc", None).map_err(text)?;
    let collected = running.said().clone();
    if groups
        .iter()
        .any(|g| collected.book(&g.name).held != stepped.book(&g.name).held)
    {
        return Err("a collection changes its books".to_owned().into());
    }
    holds_exactly(groups, &collected, &running)?;

    let all: BTreeSet<Object> = objects(groups, &collected).into_keys().collect();
    running.end().map_err(text)?;
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut left: Vec<Object> = all.into_iter().collect();
    while !left.is_empty() {
        if Instant::now() > deadline {
            return Err(format!("left behind: {left:?}").into());
        }
        std::thread::sleep(Duration::from_millis(50));
        left.retain(|object| lives(*object));
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

fn holds(groups: &[Group], said: &Said, running: &Running) -> Result<(), String> {
    check(groups, said, running, false)
}

/// After a collection nothing that was dropped is left.
fn holds_exactly(groups: &[Group], said: &Said, running: &Running) -> Result<(), String> {
    // Finalizers run when they like.
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        match check(groups, said, running, true) {
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(50)),
            result => return result,
        }
    }
}

fn check(groups: &[Group], said: &Said, running: &Running, exactly: bool) -> Result<(), String> {
    let processes = processes_with(running.pid());
    let files = files_on(&processes);
    let pins = pinned_below(running.pid());
    for (object, (held, dropped)) in objects(groups, said) {
        let count = files.get(&object).copied().unwrap_or(0);
        let most = if exactly { held } else { held + dropped };
        if !(held..=most).contains(&count) {
            return Err(format!(
                "{object:?}: /proc has {count} handles, the books {held} and {dropped} dropped"
            ));
        }
    }
    for group in groups {
        let ids: BTreeSet<u32> = said.book(&group.name).held.into_iter().collect();
        for id in ids {
            let object = Object(group.object.kind, id);
            let seen = listed(object)
                .ok_or_else(|| format!("{object:?} ({}): bpftool does not know it", group.name))?;
            let glob = glob::Pattern::new(&group.object.name).map_err(|e| e.to_string())?;
            if !glob.matches(&seen.name) || seen.type_name != group.object.type_name {
                return Err(format!(
                    "{object:?}: bpftool has {} {:?}",
                    seen.type_name, seen.name
                ));
            }
            let wants = |by: &str| group.held_by.iter().any(|b| b == by);
            let others = groups.iter().filter(|g| {
                g.object.kind == group.object.kind && said.book(&g.name).held.contains(&id)
            });
            let any_wants = |by: &str| others.clone().any(|g| g.held_by.iter().any(|b| b == by));
            // A pin may be another group's.
            let pinned = pins.contains(&object);
            if pinned && !any_wants("pin") || !pinned && wants("pin") {
                return Err(format!("{object:?}: pinned: {pinned}"));
            }
            if wants("mmap") && !mapped(&processes, object) {
                return Err(format!("{object:?}: mapped nowhere"));
            }
            if !any_wants("fd") && files.contains_key(&object) {
                return Err(format!("{object:?}: has descriptors"));
            }
        }
    }
    Ok(())
}
