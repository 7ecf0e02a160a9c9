//! Reports written to files, read back and compared: on real objects.

use e2e::bpf::{self, Kind};
use e2e::files::{Folder, private_bpffs, unlink};
use e2e::{Scene, here, lastref, scene};
use serde_json::{Value, json};

/// Writes what `ls --json` reports now to a file.
fn record(folder: &Folder, name: &str) -> String {
    let output = lastref::run(&["ls", "--json"]);
    assert!(output.status.success(), "{}", crate::errors(&output));
    folder.write(name, &output.stdout)
}

/// The difference of two files, in the objects whose names match.
fn difference(before: &str, after: &str, glob: &str) -> Value {
    let arguments = ["ls", "--diff", before, after, "--name", glob, "--json"];
    let report = lastref::json(&lastref::run(&arguments));
    assert_eq!(report["schema"], "lastref.diff/0");
    assert_eq!(report["same_boot"], true);
    report
}

/// The exit code of a check.
fn code(before: &str, after: &str, glob: &str, condition: &str) -> Option<i32> {
    let arguments = [
        "ls",
        "--diff",
        before,
        after,
        "--name",
        glob,
        "--fail-on",
        condition,
    ];
    let output = lastref::run(&arguments);
    assert!(!output.stdout.is_empty());
    assert!(output.stderr.is_empty(), "{}", crate::errors(&output));
    output.status.code()
}

fn list(report: &Value, key: &str) -> Vec<Value> {
    let list = report[key].as_array().cloned();
    list.unwrap_or_else(|| panic!("no list {key} in {report}"))
}

/// What grew: of what, before and after, and which process holds it.
fn growth(report: &Value) -> Vec<(String, u64, u64, u64)> {
    let number = |value: &Value| value.as_u64().unwrap_or(u64::MAX);
    let growth = list(report, "growth");
    let mut growth: Vec<_> = growth
        .iter()
        .map(|g| {
            let of = format!(
                "{} {}",
                g["of"].as_str().unwrap_or("?"),
                g["name"].as_str().unwrap_or("?")
            );
            let holder = number(&g["holder"]["pid"]);
            (of, number(&g["before"]), number(&g["after"]), holder)
        })
        .collect();
    growth.sort();
    growth
}

/// A process with two maps leaks 20 more and five descriptors.
#[test]
fn a_leak_between_two_reports() {
    let Some(mut s) = scene(here!(), |stage| {
        let pid = std::process::id();
        let (many, one) = (format!("e2e_ol{pid}"), format!("e2e_om{pid}"));
        let shared = bpf::hash(&one)?;
        let mut maps = vec![bpf::hash(&many)?, bpf::hash(&many)?];
        stage.ready(json!({"shared": shared.id}))?;
        let mut files = vec![];
        for _ in 0..20 {
            maps.push(bpf::hash(&many)?);
        }
        for _ in 0..5 {
            files.push(shared.reopen()?);
        }
        let ids: Vec<u32> = maps[2..].iter().map(|m| m.id).collect();
        stage.ready(json!({"shared": shared.id, "new": ids}))
    }) else {
        return;
    };
    let folder = Folder::new(s.name);
    let before = record(&folder, "before");
    s.advance();
    let after = record(&folder, "after");
    let (pid, glob) = (s.pid, format!("e2e_o?{}", s.pid));

    let report = difference(&before, &after, &glob);
    assert_eq!(
        growth(&report),
        [
            (format!("objects e2e_ol{pid}"), 2, 22, u64::from(pid)),
            (format!("references e2e_om{pid}"), 1, 6, u64::from(pid)),
        ]
    );
    let appeared = list(&report, "appeared");
    let mut ids: Vec<u64> = appeared.iter().filter_map(|o| o["id"].as_u64()).collect();
    ids.sort_unstable();
    let mut new: Vec<u64> = s.ids("new").into_iter().map(u64::from).collect();
    new.sort_unstable();
    assert_eq!(ids, new);
    assert!(list(&report, "vanished").is_empty());
    let [change] = &list(&report, "changed")[..] else {
        panic!("{report}");
    };
    assert_eq!(change["object"]["id"], s.id("shared"));
    assert_eq!(
        (&change["before"]["refcnt"], &change["object"]["refcnt"]),
        (&json!(1), &json!(6))
    );
    assert_eq!(change["came"][0]["by"], "fd");
    assert_eq!(change["came"][0]["count"], 5);
    assert_eq!(
        change["came"][0]["holders"][0]["fds"]
            .as_array()
            .map(Vec::len),
        Some(5)
    );

    assert_eq!(code(&before, &after, &glob, "growth"), Some(1));
    assert_eq!(code(&before, &after, &glob, "orphan,unexplained"), Some(0));
    assert_eq!(
        code(&after, &after, &glob, "growth,orphan,unexplained"),
        Some(0)
    );
    // What went away has not grown.
    let arguments = [
        "ls",
        "--diff",
        &after,
        &before,
        "--name",
        &glob,
        "--fail-on",
        "growth",
    ];
    let back = lastref::run(&arguments);
    assert_eq!(back.status.code(), Some(0));
    assert!(crate::errors(&back).contains("is the later report"));

    let text = lastref::run(&["ls", "--diff", &before, &after, "--name", &glob]);
    let text = String::from_utf8(text.stdout).expect("UTF-8");
    let line = |words: &[&str]| text.lines().any(|l| words.iter().all(|w| l.contains(w)));
    assert!(
        line(&[
            "2",
            "22",
            &format!("hash map e2e_ol{pid}"),
            &format!("[{pid}]")
        ]),
        "{text}"
    );
    assert!(line(&["20 maps", &format!("e2e_ol{pid}")]), "{text}");
    assert!(line(&["refs 1 → 6", "+5 fd"]), "{text}");
}

/// A pinned map loses its process, then its pin.
#[test]
fn an_orphan_between_two_reports() {
    let Some(mut s) = scene(here!(), |stage| {
        let bpffs = private_bpffs()?;
        let map = bpf::hash(&format!("e2e_oo{}", std::process::id()))?;
        map.pin(&bpffs.join("orphan"))?;
        let id = map.id;
        stage.ready(json!({"map": id}))?;
        drop(map);
        stage.ready(json!({"map": id}))?;
        unlink(&bpffs.join("orphan"))?;
        stage.ready(json!({"map": id}))
    }) else {
        return;
    };
    let folder = Folder::new(s.name);
    let held = record(&folder, "held");
    s.advance();
    let orphan = record(&folder, "orphan");
    let glob = format!("e2e_oo{}", s.pid);
    let report = difference(&held, &orphan, &glob);
    assert_eq!(report["orphans"], json!([format!("map:{}", s.id("map"))]));
    assert_eq!(report["totals"]["new_orphans"], 1);
    assert_eq!(report["changed"][0]["before"]["state"], "in-use");
    assert_eq!(report["changed"][0]["object"]["state"], "orphan-pin");
    assert_eq!(report["changed"][0]["went"][0]["by"], "fd");
    assert_eq!(code(&held, &orphan, &glob, "orphan"), Some(1));
    assert_eq!(code(&held, &orphan, &glob, "growth"), Some(0));
    // An orphan of long ago is none of this change's.
    assert_eq!(code(&orphan, &orphan, &glob, "orphan"), Some(0));
    // In one report it is one, as on the host.
    for arguments in [
        &[
            "ls",
            "--from",
            &orphan,
            "--name",
            &glob,
            "--fail-on",
            "orphan",
        ][..],
        &[
            "why",
            &format!("map:{glob}"),
            "--from",
            &orphan,
            "--fail-on",
            "orphan",
        ],
    ] {
        assert_eq!(
            lastref::run(arguments).status.code(),
            Some(1),
            "{arguments:?}"
        );
    }
    s.advance();
    // The map goes after a grace period; the pin is gone at once.
    let gone = record(&folder, "gone");
    let report = difference(&orphan, &gone, &glob);
    let (vanished, changed) = (list(&report, "vanished"), list(&report, "changed"));
    assert_eq!(vanished.len() + changed.len(), 1, "{report}");
    assert_eq!(code(&orphan, &gone, &glob, "growth,orphan"), Some(0));
}

/// A map by descriptor and pin, used by a program in a program array, and an outer map.
fn together(name: &'static str) -> Option<Scene> {
    scene(name, |stage| {
        let pid = std::process::id();
        let bpffs = private_bpffs()?;
        let map = bpf::hash(&format!("e2e_or{pid}"))?;
        let pin = bpffs.join(format!("e2e_or{pid}"));
        map.pin(&pin)?;
        let prog = bpf::filter_using(&format!("e2e_og{pid}"), &[&map])?;
        let jump = bpf::prog_array(&format!("e2e_oj{pid}"))?;
        bpf::put(&jump, 0, &prog)?;
        stage.ready(json!({
            "map": map.id, "fd": map.fd(), "prog": prog.id, "jump": jump.id,
            "pin": pin.display().to_string(),
        }))
    })
}

/// What a report answers is what the host answered.
#[test]
fn a_report_answers_as_the_host_did() {
    let Some(s) = together(here!()) else {
        return;
    };
    let folder = Folder::new(s.name);
    let file = record(&folder, "report");
    let again = lastref::run(&["ls", "--from", &file, "--json"]);
    let written = std::fs::read(&file).expect("the report");
    assert!(again.stdout == written, "not the same bytes");

    for (kind, key) in [
        (Kind::Map, "map"),
        (Kind::Prog, "prog"),
        (Kind::Map, "jump"),
    ] {
        let name = lastref::name(kind, s.id(key));
        let host = lastref::why(kind, s.id(key));
        let report = lastref::json(&lastref::run(&["why", &name, "--json", "--from", &file]));
        assert_eq!(report["schema"], "lastref.why/0");
        for part in ["object", "chains", "chains_cut", "to_release", "caveats"] {
            assert_eq!(report[part], host[part], "{part} of {name}");
        }
        let text = lastref::run(&["why", &name, "--from", &file]);
        assert!(String::from_utf8_lossy(&text.stdout).contains("kept by"));
    }
    // Every name that holds on the host. Another process's bpffs may have the path too, so
    // it is unique.
    let map = s.id("map");
    for words in [
        format!("map:{map}"),
        format!("map:e2e_or{}", s.pid),
        format!("pid:{}/fd:{}", s.pid, s.id("fd")),
        format!("/proc/{}/fd/{}", s.pid, s.id("fd")),
        s.text("pin").to_owned(),
        format!("/proc/{}/root{}", s.pid, s.text("pin")),
    ] {
        let report = lastref::json(&lastref::run(&["why", &words, "--json", "--from", &file]));
        assert_eq!(report["object"]["id"], map, "{words}");
    }
    // Every filter.
    let (pid, glob) = (s.pid.to_string(), format!("e2e_o?{}", s.pid));
    for filter in [
        &["maps"][..],
        &["progs"],
        &["--type", "prog_array"],
        &["--state", "in-use"],
        &["--orphans"],
        &["--unexplained"],
        &["--pid", &pid],
        &["--sort", "name"],
    ] {
        let ids = |more: &[&str]| {
            let arguments = [&["ls", "--json", "--name", &glob][..], filter, more].concat();
            let report = lastref::json(&lastref::run(&arguments));
            let objects = list(&report, "objects");
            objects
                .into_iter()
                .map(|o| o["id"].clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(ids(&["--from", &file]), ids(&[]), "{filter:?}");
    }
}

/// A report that leaves objects out says so, and is not compared with one that does not.
#[test]
fn a_report_of_some_objects_says_so() {
    let Some(s) = together(here!()) else {
        return;
    };
    let folder = Folder::new(s.name);
    let all = record(&folder, "all");
    let maps = lastref::run(&["ls", "maps", "--json"]);
    let maps = folder.write("maps", &maps.stdout);
    let report: Value = serde_json::from_slice(&std::fs::read(&maps).expect("read")).expect("JSON");
    assert_eq!(report["filters"], json!(["maps"]));

    let output = lastref::run(&["ls", "--diff", &all, &maps]);
    crate::refused(&output, 2, &["cannot be compared", "`maps`", "all objects"]);
    let output = lastref::run(&["ls", "--diff", &maps, &maps, "--fail-on", "growth"]);
    assert_eq!(output.status.code(), Some(0));

    let name = lastref::name(Kind::Map, s.id("map"));
    let arguments = ["why", &name, "--from", &maps, "--json"];
    let report = lastref::json(&lastref::run(&arguments));
    let blind = report["snapshot"]["cannot_see"].to_string();
    assert!(blind.contains("leaves out"), "{blind}");
    let strict = lastref::run(&[&arguments[..], &["--strict"]].concat());
    assert_eq!(strict.status.code(), Some(3));
}

/// `ls --json | lastref ls --diff before -`
#[test]
fn a_report_from_a_pipe() {
    let Some(s) = together(here!()) else {
        return;
    };
    let folder = Folder::new(s.name);
    let before = record(&folder, "before");
    let now = lastref::run(&["ls", "--json"]).stdout;
    let glob = format!("e2e_o?{}", s.pid);
    let arguments = [
        "ls",
        "--diff",
        &before,
        "-",
        "--name",
        &glob,
        "--fail-on",
        "growth",
    ];
    let output = lastref::run_with_input(&arguments, &now);
    assert_eq!(output.status.code(), Some(0), "{}", crate::errors(&output));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("nothing changed"), "{text}");
    let name = lastref::name(Kind::Map, s.id("map"));
    let output = lastref::run_with_input(&["why", &name, "--from", "-", "--json"], &now);
    assert_eq!(lastref::json(&output)["object"]["id"], s.id("map"));
}
