//! `lastref watch -- COMMAND` when processes of the command are still ending after it: nobody shows
//! who holds what they had, and yet it is not left behind.

use crate::watch::{around, of, open};
use e2e::{here, scene};
use serde_json::Value;

/// Files that an ending process lets go of, one every 15 ms or so: fewer than two seconds, and more.
const SHORT: &str = "25";
const LONG: &str = "400";

/// A child has maps, a program and a link, is killed, and has no descriptor table when the command ends.
/// What has the low numbers is released last (`task_work_run` begins with what was added last).
fn slain(slow: &str) -> Vec<&str> {
    let words = "leave map e2e_slain1 trace e2e_slain2 map e2e_slain3 slow";
    let mut words: Vec<&str> = words.split(' ').collect();
    words.extend([slow, "map", "e2e_slain4", "end", "slay"]);
    words
}

/// Ours, or with nobody who keeps it: a link has no name of its own.
fn falsely_left(events: &[Value]) -> Vec<&Value> {
    let is_false = |left: &&Value| {
        let name = left["object"]["name"].as_str().expect("a name");
        name.starts_with("e2e_slain") || left["holder"].is_null()
    };
    of(events, "left-behind")
        .into_iter()
        .filter(is_false)
        .collect()
}

/// What is said of objects of which it is not known whether they are left behind.
fn undecided(events: &[Value]) -> Vec<&Value> {
    let blind = events[events.len() - 1]["cannot_see"].as_array();
    let blind = blind.expect("a list").iter();
    blind
        .filter(|blind| {
            let what = blind["what"].as_str().expect("a text");
            what.contains("left behind")
        })
        .collect()
}

/// Whether a process has a thread that is no zombie.
fn is_there(pid: &Value) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
    let mut tasks = tasks.into_iter().flatten().flatten();
    tasks.any(|task| {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        let state = stat.rsplit(") ").next();
        state.is_some_and(|state| !state.is_empty() && !state.starts_with(['Z', 'X']))
    })
}

#[test]
fn what_a_dying_process_had_is_not_left_behind() {
    if !e2e::needs_root(here!()) {
        return;
    }
    for _ in 0..8 {
        let (code, events, _) = around(&["--fail-on", "growth"], &slain(SHORT));
        assert_eq!(code, Some(0));
        assert_eq!(falsely_left(&events), [&Value::Null; 0]);
        let mut names: Vec<String> = open(&events).into_iter().map(|(name, _)| name).collect();
        names.retain(|name| !name.is_empty());
        assert_eq!(names, ["e2e_slain3", "e2e_slain4"]);
    }
}

#[test]
fn what_ends_too_late_is_not_decided() {
    if !e2e::needs_root(here!()) {
        return;
    }
    let (code, events, _) = around(&["--strict"], &slain(LONG));
    assert_eq!(falsely_left(&events), [&Value::Null; 0]);
    let dying = of(&events, "open-at-exit")[0]["holder"]["pid"].clone();
    let blind = undecided(&events);
    // However quick the kernel is: who is not gone now was not before.
    if is_there(&dying) {
        assert_eq!(code, Some(3));
        let [blind] = blind[..] else {
            panic!("{events:?}");
        };
        let why = blind["why"].as_str().expect("a text");
        assert!(why.contains("still ending"), "{blind}");
    } else {
        println!("it took less than the watch");
    }
}

/// Beside it, what is pinned is told as ever.
#[test]
fn what_is_pinned_while_a_process_dies_is_left_behind() {
    let Some(s) = scene(here!(), |stage| {
        let bpffs = e2e::files::private_bpffs()?;
        stage.ready(serde_json::json!({ "path": bpffs.join("left").to_string_lossy() }))
    }) else {
        return;
    };
    for slow in [SHORT, LONG] {
        let path = format!("{}{slow}", s.text("path"));
        let words = [
            &slain(slow)[..],
            &["map", "e2e_pinned", "pin", &path, "close"],
        ]
        .concat();
        let options = ["watch", "--json", "--fail-on", "left-behind", "--"];
        let arguments = [&options[..], &[crate::watch::ACT], &words].concat();
        let output = e2e::lastref::run_in_mounts_of(s.pid, &arguments);
        let events = crate::watch::events(&output);
        assert_eq!(output.status.code(), Some(1), "{events:?}");
        assert_eq!(falsely_left(&events), [&Value::Null; 0]);
        let left = of(&events, "left-behind");
        let pinned = |left: &&&Value| left["object"]["name"] == "e2e_pinned";
        let left: Vec<_> = left.iter().filter(pinned).collect();
        let [left] = left[..] else {
            panic!("{events:?}");
        };
        assert_eq!(left["holder"]["type"], "pin");
    }
}
