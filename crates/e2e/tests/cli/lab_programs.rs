//! The lab's scenarios that are programs of their own.

mod cleanup;

use crate::{errors, refused};
use e2e::files::Folder;
use e2e::{here, lastref};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// `lastref lab …`, building in a folder of the test's.
fn lab(folder: &Folder, arguments: &[&str]) -> Command {
    let mut command = lastref::command(&["lab"]);
    command
        .args(arguments)
        .env("LASTREF_LAB_CACHE", folder.path("cache"));
    command
}

/// Whether scenarios in C can be built here. A test machine has no compiler; there, what is said
/// of that is tested.
fn has_cc(output: &Output) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join("cc").is_file()) {
        return true;
    }
    refused(output, 3, &["needs C", "cc"]);
    false
}

#[test]
fn are_listed_with_what_is_true_of_them() {
    let list = lastref::json(&lastref::run(&["lab", "list", "--json"]));
    let scenarios = list["scenarios"].as_array().expect("a list");
    for language in ["Go", "C", "Rust"] {
        let of_it = scenarios.iter().filter(|s| s["language"] == language);
        assert!(of_it.count() >= 5, "{language}");
    }
    assert!(scenarios.iter().any(|s| s["leaks"] == false));
    let output = lastref::run(&["lab", "list", "go-cache-grows"]);
    let text = String::from_utf8(output.stdout).expect("text");
    for part in ["conn_stats", "a leak", "ebpf-v0.22.0", "https://"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    refused(
        &lastref::run(&["lab", "list", "no-such"]),
        2,
        &["no-such", "lab list"],
    );
}

#[test]
fn are_run_and_judged() {
    let folder = Folder::new(here!());
    let arguments = [
        "run",
        "c-error-path",
        "--rate",
        "1000",
        "--count",
        "5",
        "--json",
    ];
    let output = lab(&folder, &arguments).output().expect("it runs");
    if !has_cc(&output) {
        return;
    }
    let outcome = lastref::json(&output);
    assert_eq!(outcome["ls"]["result"], "right", "{outcome}");
    assert_eq!(outcome["left_behind"], json!([]), "{outcome}");
    assert_eq!(outcome["steps"], 5);
    let output = lab(
        &folder,
        &["score", "c-error-path", "--command", "ls", "--json"],
    )
    .output();
    let score = lastref::json(&output.expect("it runs"));
    assert_eq!(score["schema"], "lastref.score/0");
    assert_eq!(
        score["totals"],
        json!({"right": 1, "wrong": 0, "unknown": 0, "not_run": 0})
    );
}

/// The same program with another truth: then lastref's answer is not that.
#[test]
fn a_false_truth_is_not_met() {
    let folder = Folder::new(here!());
    let sources = folder.path("sources");
    let scenario = Path::new(&sources).join("c-error-path");
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../lab");
    if !ours.is_dir() {
        // In a test machine; the sources are in the program alone.
        assert!(std::env::var_os("LASTREF_VM").is_some());
        return;
    }
    std::fs::create_dir_all(&scenario).expect("a folder");
    std::fs::create_dir_all(Path::new(&sources).join("kit/c")).expect("a folder");
    for (from, to) in [("c-error-path", "c-error-path"), ("kit/c", "kit/c")] {
        for entry in std::fs::read_dir(ours.join(from)).expect("a folder") {
            let entry = entry.expect("an entry");
            let to = Path::new(&sources).join(to).join(entry.file_name());
            std::fs::copy(entry.path(), to).expect("a copy");
        }
    }
    let file = scenario.join("scenario.toml");
    let truth = std::fs::read_to_string(&file).expect("it is there");
    assert!(truth.contains("state = \"in-use\""), "{truth}");
    std::fs::write(&file, truth.replace("\"in-use\"", "\"orphan-pin\"")).expect("a lie");
    let arguments = [
        "run",
        "c-error-path",
        "--rate",
        "1000",
        "--count",
        "3",
        "--json",
    ];
    let output = lab(&folder, &arguments)
        .env("LASTREF_LAB_SOURCES", &sources)
        .output()
        .expect("it runs");
    if !has_cc(&output) {
        return;
    }
    assert_eq!(output.status.code(), Some(1), "{}", errors(&output));
    let outcome: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(outcome["ls"]["result"], "wrong", "{outcome}");
    let why = outcome["ls"]["why"].as_str().unwrap_or_default();
    assert!(why.contains("state in-use, not orphan-pin"), "{outcome}");
}

/// The kernel ends a program, and all that it has started, when its lab is killed.
#[test]
fn end_with_their_lab() {
    let folder = Folder::new(here!());
    let built = ["run", "k-inherited-by-child", "--count", "1", "--json"];
    if !has_cc(&lab(&folder, &built).output().expect("it runs")) {
        return;
    }
    let mut process = lab(&folder, &["run", "k-inherited-by-child", "--rate", "50"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
    let first = lines.next().expect("a line").expect("text");
    let pid = first
        .split_once("pid ")
        .and_then(|(_, rest)| rest.split_once(','));
    let pid: u32 = pid.and_then(|(pid, _)| pid.parse().ok()).expect("a pid");
    assert!(Path::new(&format!("/proc/{pid}")).exists());
    let namespace = std::fs::read_link(format!("/proc/{pid}/ns/pid")).expect("it lives");
    // It holds nothing itself: who does is named, once there is one.
    let mut named = lines.by_ref().filter_map(|line| {
        let line = line.ok()?;
        line.trim().strip_prefix("lastref explain ")?.parse().ok()
    });
    let named: u32 = named.next().expect("it is named");
    assert_ne!(named, pid);
    let of_it = std::fs::read_link(format!("/proc/{named}/ns/pid"));
    assert_eq!(of_it.ok().as_ref(), Some(&namespace));
    // Until it has children.
    lines.find(|line| line.as_ref().is_ok_and(|line| line.contains(" steps; ")));
    assert!(processes_in(&namespace) > 1);
    process.kill().expect("it lives");
    process.wait().expect("it ends");
    let deadline = Instant::now() + Duration::from_secs(20);
    while processes_in(&namespace) > 0 {
        assert!(Instant::now() < deadline, "its processes live on");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn processes_in(namespace: &Path) -> usize {
    let all = std::fs::read_dir("/proc").expect("/proc").flatten();
    let theirs = all.filter(|entry| {
        let link = std::fs::read_link(entry.path().join("ns/pid"));
        link.is_ok_and(|link| link == namespace)
    });
    theirs.count()
}

/// What a program made since its last collection is judged by none: one can be had.
#[test]
fn are_collected_when_asked() {
    let folder = Folder::new(here!());
    let run = |more: &[&str]| {
        let words = ["run", "go-local-dropped", "--rate", "50"];
        lab(&folder, &[&words, more].concat())
            .output()
            .expect("it runs")
    };
    match Command::new("go").arg("version").output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return refused(&run(&["--count", "1"]), 3, &["needs Go"]);
        }
        output => assert!(output.is_ok_and(|o| o.status.success()), "go version"),
    }
    let output = run(&["--count", "1"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("not-judged") && text.contains("--gc 5s"),
        "{text}"
    );
    let outcome = lastref::json(&run(&["--for", "2s", "--gc", "300ms", "--json"]));
    let collections = outcome["collections"].as_u64().expect("a number");
    assert!((1..=7).contains(&collections), "{outcome}");
    let text = String::from_utf8(run(&["--for", "2s", "--gc", "300ms"]).stdout).expect("text");
    assert!(!text.contains("not-judged"), "{text}");
}

#[test]
fn with_arguments_that_are_wrong() {
    let folder = Folder::new(here!());
    let run = |arguments: &[&str]| lab(&folder, arguments).output().expect("it runs");
    refused(&run(&["run", "no-such"]), 2, &["no-such"]);
    refused(
        &run(&["run", "raw-fd", "--param", "a=b"]),
        2,
        &["no parameters"],
    );
    refused(
        &run(&["run", "c-error-path", "--param", "a=b"]),
        2,
        &["no parameters"],
    );
    for scenario in ["raw-fd", "c-error-path"] {
        refused(
            &run(&["run", scenario, "--gc", "5s"]),
            2,
            &["--gc", scenario],
        );
    }
    refused(
        &run(&["run", "go-workers-leak", "--param", "a=b"]),
        2,
        &["gogc"],
    );
    refused(
        &run(&["run", "go-workers-leak", "--param", "a"]),
        2,
        &["NAME=VALUE"],
    );
    refused(&run(&["score", "no-such"]), 2, &["no-such"]);
}
