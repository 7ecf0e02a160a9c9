//! Reports that are no reports, or were made to harm. None of this looks at the host.

use crate::refused;
use e2e::confine::{as_nobody, on_terminal};
use e2e::files::Folder;
use e2e::{here, lastref};
use serde_json::{Value, json};
use std::process::Stdio;
use unicode_width::UnicodeWidthStr;

fn process(pid: u32, comm: &str, fds: &[u32]) -> Value {
    json!({"type": "process", "pid": pid, "ns_pid": null, "start_ticks": 7, "tid": null,
        "comm": comm, "exe": format!("/usr/bin/{comm}"), "fds": fds, "cgroup": null, "unit": null,
        "container": null})
}

fn map(id: u32, name: &str, holder: &Value) -> Value {
    json!({"kind": "map", "id": id, "name": name, "type": "hash", "refcnt": 1, "usercnt": 1,
        "references": [{"by": "fd", "count": 1, "holders": [holder]}], "own": false,
        "memory_bytes": 4096, "memory_source": "computed", "entries": null, "max_entries": 8,
        "charged_to": null, "unreadable": [], "map_flags": 0, "explained": 1, "unexplained": 0,
        "settled": true, "state": "in-use", "kept_by": [holder]})
}

fn report(objects: &[Value]) -> Value {
    json!({"schema": "lastref.ls/0", "snapshot": {"time": "2026-11-24T03:12:45.000Z", "boot_id": "b",
        "kernel": "6.18.44", "pid_namespace": "host", "passes": 1, "seconds": 0.004,
        "staged_walks": [], "cannot_see": []}, "objects": objects})
}

fn small() -> Value {
    let agent = process(4242, "agent", &[5]);
    report(&[map(17, "conn_events", &agent), map(18, "config", &agent)])
}

fn write(folder: &Folder, name: &str, report: &Value) -> String {
    folder.write(name, report.to_string().as_bytes())
}

/// Every command that reads the file, the good one beside it where two are needed.
fn readers<'a>(file: &'a str, good: &'a str) -> [Vec<&'a str>; 5] {
    [
        vec!["ls", "--from", file],
        vec!["ls", "--from", file, "--json"],
        vec!["why", "map:17", "--from", file],
        vec!["ls", "--diff", file, good],
        vec![
            "ls",
            "--diff",
            good,
            file,
            "--fail-on",
            "growth,orphan,unexplained",
        ],
    ]
}

/// Cut off anywhere, it is refused as cut off: 2, never half an answer.
#[test]
fn that_are_cut_off() {
    let folder = Folder::new(here!());
    let text = small().to_string();
    let good = folder.write("good", text.as_bytes());
    for at in (97..text.len()).step_by(97) {
        let file = folder.write("cut", &text.as_bytes()[..at]);
        for arguments in readers(&file, &good) {
            let output = lastref::run(&arguments);
            refused(&output, 2, &[&file, &format!("cut off after {at} bytes")]);
        }
    }
}

/// Something else: 2, and the message says what it is.
#[test]
fn that_are_something_else() {
    let folder = Folder::new(here!());
    let good = write(&folder, "good", &small());
    let schema = |name: &str| {
        let mut other = small();
        other["schema"] = json!(name);
        other.to_string().into_bytes()
    };
    let changed = |pointer: &str, value: Value| {
        let mut other = small();
        *other.pointer_mut(pointer).expect("it is there") = value;
        other.to_string().into_bytes()
    };
    for (bytes, words) in [
        (vec![], "it is empty"),
        (b"map 17 conn_events\n".to_vec(), "it is not JSON"),
        (vec![0xff; 4096], "it is not JSON"),
        (b"[1,2,3]".to_vec(), "no report of lastref"),
        (b"{}".to_vec(), "it has no `schema`"),
        (schema("lastref.why/0"), "it is a `lastref.why/0` report"),
        (schema("lastref.diff/0"), "it is a `lastref.diff/0` report"),
        (schema("lastref.ls/7"), "or a later one"),
        (schema("\u{1b}[2J/0"), "no report of lastref"),
        (
            changed("/objects/0/references/0/by", json!("telepathy")),
            "map:17: unknown variant `telepathy`",
        ),
        (
            changed("/objects/0/references/0/holders/0/type", json!("nail")),
            "map:17: unknown variant `nail`",
        ),
        (
            changed("/objects/1/id", json!(17)),
            "map:17: it is listed twice",
        ),
        (changed("/objects/1/refcnt", json!(-1)), "map:18: "),
        (
            changed("/objects/1/kind", json!("prog")),
            "prog:18: it has the fields of a map",
        ),
        (changed("/snapshot", json!(null)), "`snapshot`"),
    ] {
        let file = folder.write("other", &bytes);
        for arguments in readers(&file, &good) {
            let output = lastref::run(&arguments);
            refused(&output, 2, &[&file, words]);
            assert!(!crate::errors(&output).contains('\u{1b}'));
        }
    }
    for path in [folder.path("missing"), folder.path("")] {
        refused(&lastref::run(&["ls", "--from", &path]), 2, &[&path]);
    }
}

/// Numbers that no kernel has: an answer, or a refusal; never a crash.
#[test]
fn with_numbers_without_measure() {
    let folder = Folder::new(here!());
    let good = write(&folder, "good", &small());
    let max = json!(u64::MAX);
    for pointer in [
        "/objects/0/refcnt",
        "/objects/0/usercnt",
        "/objects/0/references/0/count",
        "/objects/0/memory_bytes",
        "/objects/0/entries",
        "/objects/0/explained",
        "/objects/0/unexplained",
        "/objects/0/references/0/holders/0/start_ticks",
        "/objects/0/references/0/holders/0/pid",
        "/snapshot/passes",
        "/snapshot/seconds",
    ] {
        for value in [max.clone(), json!(i64::MIN), json!(1e300), json!(0)] {
            let mut odd = small();
            *odd.pointer_mut(pointer).expect("it is there") = value;
            let file = write(&folder, "odd", &odd);
            for arguments in readers(&file, &good) {
                let output = lastref::run(&arguments);
                let code = output.status.code();
                let errors = crate::errors(&output);
                assert!(matches!(code, Some(0..=2)), "{pointer}: {code:?} {errors}");
                assert!(!errors.contains("panicked"), "{pointer}: {errors}");
            }
        }
    }
    // Sums that do not fit, and what does not agree, are counted again; that is said.
    let mut odd = small();
    odd["objects"][0]["explained"] = json!(5);
    let file = write(&folder, "odd", &odd);
    let output = lastref::run(&["ls", "--from", &file, "--json"]);
    assert!(crate::errors(&output).contains("map:17: explained is 5, but the references sum to 1"));
    assert_eq!(lastref::json(&output)["objects"][0]["explained"], 1);
}

/// Characters that a terminal would obey.
fn is_unsafe(c: char) -> bool {
    (c.is_control() && c != '\n') || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
}

/// Every text of the file is one that somebody chose.
#[test]
fn with_names_made_to_harm() {
    const EVIL: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\r\n\t\u{202e}\u{9b}31m";
    let folder = Folder::new(here!());
    let mut evil = small();
    let long = EVIL.repeat(40);
    for (pointer, text) in [
        ("/snapshot/time", EVIL),
        ("/snapshot/kernel", EVIL),
        ("/objects/0/name", &*long),
        ("/objects/0/type", EVIL),
        ("/objects/1/name", EVIL),
        ("/objects/0/charged_to", EVIL),
        ("/objects/0/references/0/holders/0/comm", EVIL),
        ("/objects/0/kept_by/0/comm", &*long),
        ("/objects/0/kept_by/0/exe", EVIL),
    ] {
        *evil.pointer_mut(pointer).expect("it is there") = json!(text);
    }
    evil["objects"][0]["unreadable"] = json!([EVIL]);
    evil["snapshot"]["cannot_see"] = json!([{"what": EVIL, "why": long, "needs": EVIL}]);
    let pin = json!({"type": "pin", "path": long, "mount_namespace": null, "enter_pid": 7,
        "also": [EVIL], "unlinked": false});
    evil["objects"][1]["references"][0] = json!({"by": "pin", "count": 1, "holders": [pin]});
    let empty = write(&folder, "empty", &report(&[]));
    let mut other = evil.clone();
    other["objects"][0]["refcnt"] = json!(9);
    other["objects"][0]["unexplained"] = json!(8);
    let (evil, other) = (
        write(&folder, "evil", &evil),
        write(&folder, "other", &other),
    );
    let commands = [
        vec!["ls", "--from", &evil],
        vec!["why", "map:17", "--from", &evil],
        vec!["why", "map:18", "--from", &evil],
        vec!["ls", "--diff", &empty, &evil],
        vec!["ls", "--diff", &evil, &empty],
        vec!["ls", "--diff", &evil, &other],
    ];
    for arguments in commands {
        for columns in [60, 80, 160] {
            let mut command = lastref::command(&arguments);
            command.env("COLUMNS", columns.to_string());
            let output = command.output().expect("it runs");
            assert!(
                output.status.success(),
                "{arguments:?}: {}",
                crate::errors(&output)
            );
            let text = String::from_utf8(output.stdout).expect("UTF-8");
            assert!(!text.contains(is_unsafe), "{arguments:?}: {text:?}");
            for line in text.lines().filter(|line| !line.contains("rm ")) {
                assert!(
                    line.width() <= columns,
                    "{arguments:?} at {columns}: {line}"
                );
            }
            let mut command = lastref::command(&arguments);
            command.env("NO_COLOR", "1");
            let text = on_terminal(command, columns as u16).expect("a terminal");
            let text = String::from_utf8(text)
                .expect("UTF-8")
                .replace("\r\n", "\n");
            assert!(
                !text.is_empty() && !text.contains(is_unsafe),
                "{arguments:?}: {text:?}"
            );
        }
    }
    // What it says of a name that is not there.
    let output = lastref::run(&["why", &format!("map:x{EVIL}"), "--from", &evil]);
    assert_eq!(output.status.code(), Some(2));
    assert!(!crate::errors(&output).contains(is_unsafe));
}

/// A file needs no privilege, as nothing is asked of the kernel.
#[test]
fn need_no_privilege() {
    let arguments = ["ls", "--from", "-"];
    let run = |mut command: std::process::Command| {
        use std::io::Write as _;
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin
            .write_all(small().to_string().as_bytes())
            .expect("it is read");
        drop(stdin);
        child.wait_with_output().expect("it ends")
    };
    let output = if e2e::sys::is_root() {
        run(as_nobody(&[], &arguments))
    } else {
        run(lastref::command(&arguments))
    };
    assert!(output.status.success(), "{}", crate::errors(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("conn_events"));
}

/// A reader that goes away: no message, and the answer stands.
#[test]
fn to_a_closed_pipe() {
    let folder = Folder::new(here!());
    let (empty, full) = (
        write(&folder, "empty", &report(&[])),
        write(&folder, "full", &small()),
    );
    for (more, code) in [
        (&[][..], 0),
        (&["--fail-on", "growth"], 1),
        (&["--json"], 0),
    ] {
        let mut arguments = vec!["ls", "--diff", &empty, &full];
        arguments.extend(more);
        let output = crate::run_unread(&arguments);
        assert_eq!(crate::errors(&output), "", "{arguments:?}");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    }
}

/// Arguments that contradict each other: 2, and how to go on.
#[test]
fn with_arguments_that_are_wrong() {
    let folder = Folder::new(here!());
    let good = write(&folder, "good", &small());
    let good = good.as_str();
    for (arguments, words) in [
        (&["ls", "--diff", good][..], "2 values required"),
        (
            &["ls", "--diff", good, good, "--from", good],
            "cannot be used with",
        ),
        (&["ls", "--diff", "-", "-"], "standard input has one report"),
        (
            &["ls", "--from", good, "--fail-on", "growth"],
            "--diff BEFORE AFTER",
        ),
        (&["ls", "--fail-on", "growth"], "--diff BEFORE AFTER"),
        (
            &["why", "map:17", "--from", good, "--fail-on", "growth"],
            "--diff BEFORE AFTER",
        ),
        (&["why", "map:99", "--from", good], "no map:99 in"),
        (
            &["why", "map:none", "--from", good],
            "--name '*none*' --from",
        ),
        (&["why", "/sys/fs/bpf/x", "--from", good], "pinned there"),
        (
            &["why", "pid:1/fd:3", "--from", good],
            "descriptor 3 of process 1",
        ),
        (&["why", "17", "--from", good], "write map:17"),
        (
            &["ls", "--from", good, "--type", "no_such_type"],
            "known are",
        ),
    ] {
        refused(&lastref::run(arguments), 2, &[words]);
    }
}

/// What one of the reports could not see is said, and is 3 with `--strict`, also where the
/// condition holds.
#[test]
fn that_could_not_see_all() {
    let folder = Folder::new(here!());
    let (full, empty) = (
        write(&folder, "full", &small()),
        write(&folder, "empty", &report(&[])),
    );
    let mut blind = report(&[]);
    blind["snapshot"]["cannot_see"] =
        json!([{"what": "sockets", "why": "no walk", "needs": "more"}]);
    let blind = write(&folder, "blind", &blind);
    let code = |before: &str, after: &str, more: &[&str]| {
        let arguments = [&["ls", "--diff", before, after][..], more].concat();
        lastref::run(&arguments).status.code()
    };
    let fail = ["--fail-on", "growth"];
    assert_eq!(code(&blind, &full, &fail), Some(1));
    assert_eq!(
        code(&blind, &full, &["--fail-on", "growth", "--strict"]),
        Some(3)
    );
    assert_eq!(code(&full, &blind, &["--strict"]), Some(3));
    assert_eq!(code(&empty, &full, &["--strict"]), Some(0));
    let output = lastref::run(&["ls", "--from", &blind, "--strict"]);
    assert_eq!(output.status.code(), Some(3));
    let text = lastref::run(&["ls", "--diff", &blind, &full]).stdout;
    assert!(String::from_utf8_lossy(&text).contains("sockets (before only): no walk"));
}

/// Ids of another boot mean nothing: groups are compared, and that is said.
#[test]
fn of_another_boot() {
    let folder = Folder::new(here!());
    let before = write(&folder, "before", &small());
    let mut after = small();
    after["snapshot"]["boot_id"] = json!("c");
    after["objects"][0]["id"] = json!(18);
    after["objects"][1]["id"] = json!(17);
    let same = write(&folder, "same", &after);
    let run = |after: &str| {
        lastref::run(&[
            "ls",
            "--diff",
            &before,
            after,
            "--fail-on",
            "growth,orphan,unexplained",
        ])
    };
    let output = run(&same);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("different boots") && text.contains("no group grew"),
        "{text}"
    );
    let more = map(19, "config", &process(7, "agent", &[5]));
    after["objects"].as_array_mut().expect("a list").push(more);
    let output = run(&write(&folder, "more", &after));
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("hash map config"), "{text}");
}

/// 10,000 objects: all of them, and one line for what is alike.
#[test]
fn of_ten_thousand_objects() {
    let folder = Folder::new(here!());
    let agent = process(4242, "agent", &[5]);
    let maps = |n: u32| -> Vec<Value> { (1..=n).map(|id| map(id, "events", &agent)).collect() };
    let before = write(&folder, "before", &report(&maps(12)));
    let after = write(&folder, "after", &report(&maps(10_012)));
    let output = lastref::run(&["ls", "--diff", &before, &after, "--fail-on", "growth"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("10,000 maps") && text.lines().count() < 20,
        "{text}"
    );
    let arguments = ["ls", "--diff", &before, &after, "--json"];
    let report = lastref::json(&lastref::run(&arguments));
    assert_eq!(report["appeared"].as_array().map(Vec::len), Some(10_000));
    let arguments = ["why", "map:10012", "--from", &after, "--json"];
    assert_eq!(
        lastref::json(&lastref::run(&arguments))["object"]["id"],
        10_012
    );
}
