//! What `ls` lists, and when its exit code says that it found something.

use e2e::bpf::{self, Kind, map_type};
use e2e::files::private_bpffs;
use e2e::{Scene, here, lastref, scene};
use serde_json::json;

/// A map by descriptor, an inner map behind it, a pinned map, and a program.
fn some_objects(name: &'static str) -> Option<Scene> {
    scene(name, |stage| {
        let pid = std::process::id();
        let bpffs = private_bpffs()?;
        let inner = bpf::hash(&format!("e2e_fi{pid}"))?;
        let outer = bpf::outer(map_type::ARRAY_OF_MAPS, &format!("e2e_fo{pid}"), 0, &inner)?;
        bpf::put(&outer, 0, &inner)?;
        let orphan = bpf::hash(&format!("e2e_fp{pid}"))?;
        orphan.pin(&bpffs.join("orphan"))?;
        let prog = bpf::filter(&format!("e2e_fg{pid}"))?;
        let report = json!({
            "inner": inner.id, "outer": outer.id, "orphan": orphan.id, "prog": prog.id,
        });
        drop((inner, orphan));
        stage.ready(report)
    })
}

/// Which of the four a list has.
fn listed(s: &Scene, arguments: &[&str]) -> Vec<&'static str> {
    let mut all = vec!["ls", "--json"];
    all.extend(arguments);
    let report = lastref::json(&lastref::run(&all));
    let objects = [
        ("inner", Kind::Map),
        ("outer", Kind::Map),
        ("orphan", Kind::Map),
        ("prog", Kind::Prog),
    ];
    objects
        .into_iter()
        .filter(|(name, kind)| lastref::find(&report, *kind, s.id(name)).is_some())
        .map(|(name, _)| name)
        .collect()
}

#[test]
fn choose_objects() {
    let Some(s) = some_objects(here!()) else {
        return;
    };
    let pid = s.pid.to_string();
    let glob = format!("e2e_f?{pid}");
    assert_eq!(listed(&s, &[]), ["inner", "outer", "orphan", "prog"]);
    assert_eq!(listed(&s, &["maps"]), ["inner", "outer", "orphan"]);
    assert_eq!(listed(&s, &["progs"]), ["prog"]);
    assert_eq!(listed(&s, &["links"]), Vec::<&str>::new());
    // Directly, or through others.
    assert_eq!(listed(&s, &["--pid", &pid]), ["inner", "outer", "prog"]);
    assert_eq!(listed(&s, &["--pid", "1"]), Vec::<&str>::new());
    assert_eq!(
        listed(&s, &["--name", &glob]),
        ["inner", "outer", "orphan", "prog"]
    );
    assert_eq!(listed(&s, &["--name", &glob, "progs"]), ["prog"]);
    assert_eq!(listed(&s, &["--type", "array_of_maps"]), ["outer"]);
    assert_eq!(listed(&s, &["--orphans"]), ["orphan"]);
    assert_eq!(
        listed(&s, &["--state", "in-use"]),
        ["inner", "outer", "prog"]
    );
    assert_eq!(listed(&s, &["--unexplained"]), Vec::<&str>::new());
}

/// `--fail-on orphan` exits with 1 when an orphan is listed, and answers all the same.
#[test]
fn decide_the_exit_code() {
    let Some(s) = some_objects(here!()) else {
        return;
    };
    let code = |name: &str, condition: &str| {
        let glob = format!("{name}{}", s.pid);
        let output = lastref::run(&["ls", "--name", &glob, "--fail-on", condition]);
        assert!(!output.stdout.is_empty());
        assert!(output.stderr.is_empty(), "{}", crate::errors(&output));
        output.status.code()
    };
    assert_eq!(code("e2e_fp", "orphan"), Some(1));
    assert_eq!(code("e2e_fp", "unexplained"), Some(0));
    assert_eq!(code("e2e_fp", "orphan,unexplained"), Some(1));
    assert_eq!(code("e2e_fi", "orphan"), Some(0));
    let orphan = lastref::name(Kind::Map, s.id("orphan"));
    let output = lastref::run(&["why", &orphan, "--fail-on", "orphan"]);
    assert_eq!(output.status.code(), Some(1));
}

/// The objects that lastref makes in order to look are not shown unless asked for.
#[test]
fn hide_our_own() {
    if !e2e::needs_root(here!()) {
        return;
    }
    let own = |arguments: &[&str]| {
        let report = lastref::json(&lastref::run(arguments));
        let objects = report["objects"].as_array().cloned().unwrap_or_default();
        objects.into_iter().filter(|o| o["own"] == true).count()
    };
    assert_eq!(own(&["ls", "--json"]), 0);
    assert!(own(&["ls", "--json", "--own"]) > 0);
}
