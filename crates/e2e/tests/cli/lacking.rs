//! What lastref does without what it would like to have. Privileges: `privileges.rs`.

use crate::refused;
use e2e::bpf::{self, Kind};
use e2e::confine::hide;
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
        stage.ready(scene::closed([("map", map)]))
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
