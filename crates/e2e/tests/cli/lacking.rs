//! What lastref does without what it would like to have.

use crate::refused;
use e2e::bpf::{self, Kind};
use e2e::confine::{CAP_BPF, CAP_PERFMON, as_nobody, hide};
use e2e::{Scene, here, lastref, scene};
use serde_json::Value;
use std::process::{Command, Output};

fn run(mut command: Command) -> Output {
    let output = command.output();
    output.unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"))
}

fn one_map(name: &'static str) -> Option<Scene> {
    scene(name, |stage| {
        let map = bpf::hash("e2e_lacking")?;
        stage.ready(scene::ids([("map", &map)]))
    })
}

/// Whether something that could not be seen would take `needs`.
fn cannot_see(report: &Value, needs: &str) -> bool {
    let list = report["snapshot"]["cannot_see"].as_array();
    list.into_iter().flatten().any(|c| {
        let words = ["what", "why", "needs"].map(|w| c[w].as_str().unwrap_or_default());
        assert!(words.iter().all(|w| !w.is_empty()), "an empty word in {c}");
        words.iter().any(|w| w.contains(needs))
    })
}

/// No capability at all: 3, and a sentence that names those it would take.
#[test]
fn any_privilege() {
    if !e2e::needs_root(here!()) {
        return;
    }
    for arguments in [&["ls"][..], &["ls", "--json"], &["why", "map:1"]] {
        let output = run(as_nobody(&[], arguments));
        refused(&output, 3, &["CAP_BPF", "CAP_PERFMON"]);
    }
}

#[test]
fn one_of_two_capabilities() {
    if !e2e::needs_root(here!()) {
        return;
    }
    refused(&run(as_nobody(&[CAP_BPF], &["ls"])), 3, &["CAP_PERFMON"]);
}

/// The two that it needs are enough for counts and holders. What it could not see
/// is listed, and that is 3 only with `--strict`.
#[test]
fn all_but_two_capabilities() {
    let Some(s) = one_map(here!()) else {
        return;
    };
    let two = [CAP_BPF, CAP_PERFMON];
    let report = lastref::json(&run(as_nobody(&two, &["ls", "--json"])));
    let map = lastref::find(&report, Kind::Map, s.id("map")).expect("the map is listed");
    assert_eq!(map["refcnt"], 1);
    assert_eq!(map["references"][0]["by"], "fd");
    assert_eq!(map["references"][0]["holders"][0]["pid"], s.pid);
    assert_eq!(map["references"][0]["holders"][0]["fds"][0], s.id("map_fd"));
    assert!(cannot_see(&report, "CAP_"), "{}", report["snapshot"]);
    let strict = run(as_nobody(&two, &["ls", "--json", "--strict"]));
    assert_eq!(strict.status.code(), Some(3));
    assert!(!strict.stdout.is_empty());
}

/// No kernel BTF: nothing can be read.
#[test]
fn kernel_btf() {
    if !e2e::needs_root(here!()) {
        return;
    }
    let mut command = lastref::command(&["ls"]);
    hide(&mut command, c"/sys/kernel/btf");
    refused(&run(command), 3, &["BTF", "/sys/kernel/btf"]);
}

/// No /proc: the counts and pins are there, the processes' names are not.
#[test]
fn proc() {
    let Some(s) = one_map(here!()) else {
        return;
    };
    let mut command = lastref::command(&["ls", "--json"]);
    hide(&mut command, c"/proc");
    let report = lastref::json(&run(command));
    let map = lastref::find(&report, Kind::Map, s.id("map")).expect("the map is listed");
    assert_eq!(map["refcnt"], 1);
    assert!(cannot_see(&report, "/proc"), "{}", report["snapshot"]);
}

/// No bpffs mounted: nothing is missing, pins elsewhere are found all the same.
#[test]
fn bpffs() {
    let Some(s) = scene(here!(), |stage| {
        let pin = e2e::files::private_bpffs()?.join("e2e_elsewhere");
        let map = bpf::hash("e2e_elsewhere")?;
        map.pin(&pin)?;
        let id = map.id;
        drop(map);
        stage.ready(serde_json::json!({"map": id}))
    }) else {
        return;
    };
    let mut command = lastref::command(&["ls", "--json"]);
    hide(&mut command, c"/sys/fs/bpf");
    let report = lastref::json(&run(command));
    let map = lastref::find(&report, Kind::Map, s.id("map")).expect("the map is listed");
    assert_eq!(map["references"][0]["by"], "pin");
    assert_eq!(map["unexplained"], 0);
}

/// In a child pid namespace every object is there, but not every process: the
/// account says that it cannot know, and does not accuse.
#[test]
fn the_host_s_pid_namespace() {
    let Some(s) = one_map(here!()) else {
        return;
    };
    let program = lastref::program();
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc"]);
    command.arg(program).args(["ls", "--json"]);
    let report = lastref::json(&run(command));
    assert_eq!(report["snapshot"]["pid_namespace"], "child");
    let map = lastref::find(&report, Kind::Map, s.id("map")).expect("the map is listed");
    assert_eq!(map["refcnt"], 1);
    assert_eq!(map["explained"], 0);
    assert_eq!(map["unexplained"], Value::Null);
    assert_eq!(map["state"], "unknown");
    assert!(cannot_see(&report, "hostPID"), "{}", report["snapshot"]);
}
