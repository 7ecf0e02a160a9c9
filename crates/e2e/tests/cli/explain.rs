//! `lastref explain`: its report, exit codes and messages, of processes that are not Go.

mod contract;
pub(crate) mod go;
mod moving;
mod places;

use crate::watch::{ACT, leaking};
use crate::{errors, refused, run_unread};
use contract::keeps_contract;
use e2e::bpf;
use e2e::files::Folder;
use e2e::process::map_memory;
use e2e::{Scene, here, lastref, scene, sys};
use serde_json::{Value, json};
use std::os::fd::IntoRawFd as _;
use std::process::{Command, Output};
use std::time::Duration;
use unicode_width::UnicodeWidthStr as _;

/// A report, whatever the exit code says; that is the second.
fn parsed(output: &Output) -> (Value, Option<i32>) {
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| {
        let text = String::from_utf8_lossy(&output.stdout);
        panic!("{e}: {text} {}", errors(output))
    });
    (report, output.status.code())
}

/// `lastref explain PID --json …`
fn explain(pid: u32, more: &[&str]) -> (Value, Option<i32>) {
    parsed(&lastref::run(&arguments(pid, more)))
}

fn arguments<'a>(pid: u32, more: &[&'a str]) -> Vec<&'a str> {
    let pid: &str = Box::leak(pid.to_string().into_boxed_str());
    [&["explain", pid, "--json"], more].concat()
}

/// One look, which saw all that there is to see of the process.
fn look(pid: u32) -> Value {
    let (report, code) = explain(pid, &["--for", "0", "--strict"]);
    for what in ["what the process runs", "who owns descriptors"] {
        assert_eq!(needs(&report, what), None, "{report:#}");
    }
    // Of the host, an old kernel may hide something from root, too.
    let partial = report["cannot_see"] != json!([]);
    assert_eq!(code, Some(if partial { 3 } else { 0 }), "{report:#}");
    report
}

fn groups(report: &Value) -> &[Value] {
    report["groups"].as_array().expect("a list")
}

/// The group of objects with this name.
fn group<'r>(report: &'r Value, name: &str) -> &'r Value {
    let mut found = groups(report)
        .iter()
        .filter(|g| g["objects"]["name"] == name);
    let group = found.next();
    assert!(
        found.next().is_none(),
        "{name} is in two groups: {report:#}"
    );
    group.unwrap_or_else(|| panic!("no {name} in {report:#}"))
}

fn verdict<'r>(report: &'r Value, name: &str) -> &'r str {
    group(report, name)["verdict"].as_str().expect("a verdict")
}

/// What it would take to see what begins with `what`.
fn needs<'r>(report: &'r Value, what: &str) -> Option<&'r str> {
    let all = report["cannot_see"].as_array().expect("a list");
    let begins = |c: &&Value| c["what"].as_str().is_some_and(|w| w.starts_with(what));
    let found = all.iter().find(begins)?;
    assert!(
        found["why"].as_str().is_some_and(|why| !why.is_empty()),
        "{found}"
    );
    found["needs"].as_str()
}

/// Three handles by four descriptors on a map, and one that a mapping alone keeps.
fn holding(name: &'static str) -> Option<Scene> {
    scene(name, |stage| {
        let map = bpf::hash("e2e_x_files")?;
        let (one, two) = (map.reopen()?, map.reopen()?);
        let dup = map.dup()?.into_raw_fd();
        let mapped = bpf::mmapable_array("e2e_x_mapped")?;
        map_memory(&mapped, 4096)?;
        let report = json!({
            "map": map.id, "mapped": mapped.id,
            "fds": [map.fd(), one.fd(), two.fd(), dup],
        });
        drop(mapped);
        stage.ready(report)
    })
}

#[test]
fn handles_of_a_program_without_a_collector() {
    let Some(s) = holding(here!()) else {
        return;
    };
    let report = look(s.pid);
    keeps_contract(&report);
    let process = &report["process"];
    assert_eq!(process["pid"], s.pid);
    assert_eq!(process["runtime"], Value::Null);
    assert_eq!(process["language"], "rust");
    assert_eq!(groups(&report).len(), 2, "{report:#}");
    let files = group(&report, "e2e_x_files");
    assert_eq!(files["verdict"], "unmanaged");
    assert_eq!(files["objects"]["ids"], json!([s.id("map")]));
    assert_eq!(files["count"], 3);
    let mut fds = s.ids("fds");
    fds.sort_unstable();
    assert_eq!(files["fds"], json!(fds));
    let mapped = group(&report, "e2e_x_mapped");
    assert_eq!(mapped["verdict"], "mapped");
    assert_eq!(mapped["objects"]["ids"], json!([s.id("mapped")]));
    assert_eq!((&mapped["count"], &mapped["fds"]), (&json!(1), &json!([])));
    for group in groups(&report) {
        // One look.
        assert_eq!(group["leak"], "unknown");
        assert_eq!(group["per_second"], Value::Null);
        assert_eq!(group["owner"], Value::Null);
    }
    // Longer, and nothing grows.
    let (report, code) = explain(s.pid, &["--for", "1s"]);
    keeps_contract(&report);
    assert_eq!(code, Some(0));
    for group in groups(&report) {
        assert_eq!(group["leak"], "no", "{group:#}");
    }
    // Who says so in words says the same.
    let text = lastref::text(&["explain", &s.pid.to_string(), "--for", "0"], 160);
    let line = |words: &[&str]| text.lines().any(|l| words.iter().all(|w| l.contains(w)));
    assert!(line(&["Rust", "4 handles"]), "{text}");
    assert!(
        line(&["3 handles by 4 descriptors", "e2e_x_files"]),
        "{text}"
    );
    assert!(line(&["1 handle on", "e2e_x_mapped"]), "{text}");
    assert!(line(&["mapped", "no descriptor is left"]), "{text}");
}

#[test]
fn a_number_that_is_no_process() {
    // Before anything is read.
    for pid in ["0", "-1", "abc", "4294967296", ""] {
        refused(&lastref::run(&["explain", pid]), 2, &["PID"]);
    }
    refused(&lastref::run(&["explain"]), 2, &["PID"]);
    refused(
        &lastref::run(&["explain", "1", "--for", "soon"]),
        2,
        &["--for"],
    );
    if !e2e::needs_root(here!()) {
        return;
    }
    for pid in ["4294967295", "2147483647"] {
        refused(
            &lastref::run(&["explain", pid]),
            2,
            &[pid, "does not exist"],
        );
    }
}

#[test]
fn processes_of_every_kind() {
    let Some(s) = scene(here!(), |stage| {
        let map = bpf::hash("e2e_x_kinds")?;
        let (told, tid) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let _ = told.send(e2e::process::tid());
            std::thread::park();
        });
        // SAFETY: the child ends at once, and is not waited for.
        let zombie = sys::check("fork", i64::from(unsafe { libc::fork() }))?;
        if zombie == 0 {
            // SAFETY: ends it.
            unsafe { libc::_exit(0) };
        }
        let tid = tid.recv().expect("it says who it is");
        stage.ready(json!({"map": map.id, "tid": tid, "zombie": zombie}))
    }) else {
        return;
    };
    // A thread is its process.
    let report = look(s.id("tid"));
    assert_eq!(report["process"]["pid"], s.pid);
    assert_eq!(group(&report, "e2e_x_kinds")["count"], 1);
    // A zombie, this program itself, one without handles.
    let zombie = look(s.id("zombie"));
    assert_eq!(zombie["process"]["pid"], s.id("zombie"));
    let me = look(std::process::id());
    for report in [&zombie, &me] {
        keeps_contract(report);
        assert_eq!(report["groups"], json!([]), "{report:#}");
    }
    let text = lastref::text(&["explain", &s.id("zombie").to_string()], 80);
    assert!(text.contains("no handles on BPF objects"), "{text}");
    // A kernel thread, where they are in sight.
    if std::fs::read_to_string("/proc/2/comm").is_ok_and(|comm| comm == "kthreadd\n") {
        let report = look(2);
        assert_eq!(report["process"]["exe"], Value::Null);
        assert_eq!(report["groups"], json!([]), "{report:#}");
    }
}

/// What it makes in order to look is its own, and hidden.
#[test]
fn itself() {
    if !e2e::needs_root(here!()) {
        return;
    }
    let program = lastref::program().display().to_string();
    let words = format!("exec {program} explain $$ --json --for 500ms");
    let output = Command::new("sh").args(["-c", &words]).output();
    let (report, code) = parsed(&output.expect("sh"));
    assert_eq!(report["process"]["exe"], program);
    assert_eq!(report["groups"], json!([]), "{report:#}");
    assert_eq!(code, Some(0));
}

#[test]
fn what_grows_for_a_moment_and_in_a_recording() {
    let Some(s) = leaking() else {
        return;
    };
    let slow = lastref::calm();
    // A few looks make a suspicion, and no more.
    let time = format!("{}ms", (slow * 12 + Duration::from_secs(2)).as_millis());
    let (report, code) = explain(s.pid, &["--for", &time]);
    keeps_contract(&report);
    let grown = group(&report, "e2e_leaks_1");
    assert_eq!(
        (&grown["leak"], code),
        (&json!("suspected"), Some(0)),
        "{grown:#}"
    );
    assert!(grown["per_second"].as_f64() > Some(0.0), "{grown:#}");
    let limits = grown["exhausts"].as_array().expect("a list");
    assert!(
        limits.iter().any(|l| l["limit"] == "RLIMIT_NOFILE"),
        "{grown:#}"
    );

    // A recording that is long enough is certain.
    let folder = Folder::new(here!());
    let record = folder.path("recording");
    let [window, time] = [
        slow * 4 + Duration::from_secs(1),
        slow * 16 + Duration::from_secs(5),
    ]
    .map(|time| format!("{}ms", time.as_millis()));
    let pid = s.pid.to_string();
    let watch = [
        "watch",
        "--pid",
        &pid,
        "--record",
        &record,
        "--interval",
        "300ms",
    ];
    let window = ["--window", &window, "--for", &time];
    let output = lastref::run(&[&watch[..], &window].concat());
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    let (report, code) = explain(s.pid, &["--for", "0", "--from", &record]);
    keeps_contract(&report);
    let grown = group(&report, "e2e_leaks_1");
    assert_eq!(
        (&grown["leak"], code),
        (&json!("yes"), Some(1)),
        "{grown:#}"
    );
    let says = grown["evidence"].to_string();
    assert!(says.contains("in a recording of"), "{says}");
    // The same from a pipe; and in words.
    let recorded = std::fs::read(&record).expect("a recording");
    let arguments = ["explain", &pid, "--for", "0", "--from", "-"];
    let output = lastref::run_with_input(&arguments, &recorded);
    assert_eq!(output.status.code(), Some(1), "{}", errors(&output));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("leaking") && text.contains("leak, +"),
        "{text}"
    );
    // It says nothing of another process.
    let (report, code) = explain(std::process::id(), &["--for", "0", "--from", &record]);
    assert_eq!((&report["groups"], code), (&json!([]), Some(0)));
}

#[test]
fn files_that_are_something_else() {
    let Some(s) = holding(here!()) else {
        return;
    };
    let folder = Folder::new(here!());
    let pid = s.pid.to_string();
    let run =
        |option: &str, file: &str| lastref::run(&["explain", &pid, "--for", "0", option, file]);
    let files = [
        ("empty", &b""[..]),
        ("text", b"this is no such thing\n"),
        ("report", br#"{"schema":"lastref.ls/0","objects":[]}"#),
        ("zeros", &[0; 4096]),
    ];
    for (name, bytes) in files {
        let file = folder.write(name, bytes);
        for option in ["--from", "--profile"] {
            refused(&run(option, &file), 2, &[&file]);
        }
    }
    let missing = folder.path("no-such");
    for option in ["--from", "--profile"] {
        refused(&run(option, &missing), 2, &[&missing, "No such file"]);
    }
    let log = std::fs::read(ACT).expect("a program");
    let program = folder.write("program", &log);
    refused(&run("--profile", &program), 2, &[&program]);
}

#[test]
fn nobody_reads_it() {
    let Some(s) = holding(here!()) else {
        return;
    };
    let pid = s.pid.to_string();
    for more in [&["--for", "0"][..], &["--for", "0", "--json"]] {
        let output = run_unread(&[&["explain", pid.as_str()], more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
        assert_eq!(errors(&output), "");
    }
}

/// A process, and an executable, with names that a terminal would obey.
#[test]
fn names_that_somebody_chose_to_harm() {
    const EVIL: &str = "\u{1b}[2J\u{7}\r\n\u{202e}evil!";
    let Some(s) = scene(here!(), |stage| {
        let map = bpf::hash("e2e_x_evil")?;
        std::fs::write("/proc/self/comm", &EVIL.as_bytes()[..15]).map_err(sys::io("comm"))?;
        stage.ready(json!({"map": map.id}))
    }) else {
        return;
    };
    let (report, _) = explain(s.pid, &["--for", "0"]);
    let comm = report["process"]["comm"].as_str().expect("text");
    assert!(comm.starts_with("\u{1b}[2J\u{7}"), "{comm:?}");
    let pid = s.pid.to_string();
    for columns in [20, 60, 80, 160] {
        let text = lastref::text(&["explain", &pid, "--for", "0"], columns);
        let evil =
            |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
        assert!(!text.chars().any(evil), "{text:?}");
        assert!(text.contains("unmanaged"), "{text}");
        for line in text.lines() {
            // Words are not broken; the longest is a name here.
            assert!(line.width() <= columns.max(30), "{columns}: {line}\n{text}");
        }
    }
}
