//! `lastref watch`: what grows, and what a command leaves open or behind.

use e2e::confine::{CAP_BPF, CAP_PERFMON, as_nobody};
use e2e::files::Folder;
use e2e::{bpf, here, lastref, scene};
use serde_json::{Value, json};
use std::process::{Output, Stdio};
use std::time::Duration;

pub(crate) const ACT: &str = env!("CARGO_BIN_EXE_act");

/// The lines that it wrote, without those of the command.
pub(crate) fn events(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().filter(|line| line.starts_with("{\"event\""));
    let events: Vec<Value> = lines
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    let errors = crate::errors(output);
    assert!(!events.is_empty(), "{}: {errors}", output.status);
    assert_eq!(events[0]["event"], "start", "{errors}");
    assert_eq!(events[0]["schema"], "lastref.watch/0");
    assert_eq!(events[events.len() - 1]["event"], "summary", "{errors}");
    events
}

pub(crate) fn of<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events
        .iter()
        .filter(|event| event["event"] == name)
        .collect()
}

/// What a watch of this process told, as often as it takes until the machine was quick enough.
fn watch(arguments: &[&str]) -> (Output, Vec<Value>) {
    let output = lastref::run(arguments);
    let events = events(&output);
    (output, events)
}

/// A process that opens one more file on a map every 50 ms.
pub(crate) fn leaking() -> Option<e2e::Scene> {
    scene(here!(), |stage| {
        let map = bpf::hash("e2e_leaks_1")?;
        let id = map.id;
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            while let Ok(more) = map.reopen() {
                kept.push(more);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        stage.ready(json!({ "map": id }))
    })
}

#[test]
fn a_leak_is_suspected_then_certain_and_the_same_when_replayed() {
    let Some(s) = leaking() else {
        return;
    };
    let folder = Folder::new(here!());
    let record = folder.path("recording");
    let pid = s.pid.to_string();
    let slow = lastref::calm();
    let (window, time) = (
        slow * 4 + Duration::from_secs(2),
        slow * 20 + Duration::from_secs(6),
    );
    let [window, time] = [window, time].map(|time| format!("{}ms", time.as_millis()));
    let arguments = [
        "watch",
        "--json",
        "--pid",
        &pid,
        "--interval",
        "400ms",
        "--window",
        &window,
        "--for",
        &time,
        "--record",
        &record,
        "--fail-on",
        "growth",
    ];
    let (output, events) = watch(&arguments);
    assert_eq!(output.status.code(), Some(1), "{}", crate::errors(&output));
    let leaks = of(&events, "leak");
    let said: Vec<&Value> = leaks.iter().map(|leak| &leak["leak"]).collect();
    assert_eq!(said, ["suspected", "yes"], "{leaks:?}");
    for leak in &leaks {
        assert_eq!(leak["id"], "L1");
        assert_eq!(leak["state"], "growing");
        assert_eq!(leak["by"], "fd");
        assert_eq!(leak["holder"]["type"], "process");
        assert_eq!(leak["holder"]["pid"], s.pid);
        assert_eq!(leak["objects"]["name"], "e2e_leaks_1");
        assert_eq!(leak["objects"]["ids"], json!([s.id("map")]));
        assert_eq!(leak["released"], 0);
        let [open, acquired] = ["open", "acquired"].map(|field| leak[field].as_u64());
        assert!(acquired >= Some(4) && open > acquired, "{leak}");
        let limits = leak["exhausts"].as_array().expect("a list");
        assert!(
            limits.iter().any(|l| l["limit"] == "RLIMIT_NOFILE"),
            "{leak}"
        );
    }
    let summary = &events[events.len() - 1];
    assert_eq!(summary["leaks"], 1);
    assert_eq!(summary["lost_events"], 0);
    drop(s);

    // Elsewhere, later, and without the host.
    let (output, replayed) = watch(&["watch", "--from", &record, "--json", "--fail-on", "growth"]);
    assert_eq!(output.status.code(), Some(1), "{}", crate::errors(&output));
    assert_eq!(of(&replayed, "leak"), leaks);
    assert_eq!(replayed[replayed.len() - 1], *summary);
    // A longer window makes less of the same.
    let (_, replayed) = watch(&["watch", "--from", &record, "--json", "--window", "1h"]);
    assert_eq!(of(&replayed, "leak").len(), 1);

    // Cut off anywhere, it tells what is whole.
    let whole = std::fs::read(&record).expect("it is there");
    let cut = folder.write("cut", &whole[..whole.len() * 2 / 3]);
    let output = lastref::run(&["watch", "--from", &cut, "--json", "--strict"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        crate::errors(&output).contains("cut off"),
        "{}",
        crate::errors(&output)
    );
    for (name, bytes, words) in [
        ("garbage", &b"\x00\xff{"[..], "no report"),
        ("empty", b"", "empty"),
        ("report", b"{\"schema\":\"lastref.ls/0\"}", "--record"),
        (
            "later",
            b"{\"recording\":\"lastref.recording/9\",\"start\":{}}",
            "lastref.recording/9",
        ),
    ] {
        let file = folder.write(name, bytes);
        crate::refused(&lastref::run(&["watch", "--from", &file]), 2, &[words]);
    }
}

/// With the least that it needs it sees less of who it is, and as much of what grows.
#[test]
fn with_little_privilege() {
    let Some(s) = leaking() else {
        return;
    };
    let pid = s.pid.to_string();
    let time = lastref::calm() * 10 + Duration::from_secs(3);
    let time = format!("{}ms", time.as_millis());
    let arguments = [
        "watch",
        "--json",
        "--pid",
        &pid,
        "--interval",
        "200ms",
        "--for",
        &time,
    ];
    let output = as_nobody(&[CAP_BPF, CAP_PERFMON], &arguments).output();
    let output = output.expect("it starts");
    assert_eq!(output.status.code(), Some(0), "{}", crate::errors(&output));
    let events = events(&output);
    assert_eq!(of(&events, "leak").len(), 1, "{events:?}");
    let blind = events[0]["cannot_see"].as_array().expect("a list");
    assert!(!blind.is_empty());
    let output = as_nobody(&[], &["watch", "--for", "1s"]).output();
    let output = output.expect("it starts");
    assert_eq!(output.status.code(), Some(3), "{}", crate::errors(&output));
    assert!(
        crate::errors(&output).contains("CAP_BPF"),
        "{}",
        crate::errors(&output)
    );
}

#[test]
fn what_stands_still_is_not_told() {
    let Some(s) = scene(here!(), |stage| {
        let map = bpf::hash("e2e_still")?;
        let _more = [map.reopen()?, map.reopen()?];
        stage.ready(json!({}))
    }) else {
        return;
    };
    let pid = s.pid.to_string();
    let arguments = [
        "watch",
        "--json",
        "--pid",
        &pid,
        "--interval",
        "100ms",
        "--for",
        "2s",
        "--fail-on",
        "growth",
    ];
    let (output, events) = watch(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", crate::errors(&output));
    assert_eq!(of(&events, "leak"), [&Value::Null; 0]);
    let summary = &events[events.len() - 1];
    assert!(summary["sweeps"].as_u64() >= Some(2), "{summary}");
    assert!(
        summary["cost"]["cpu_seconds"].as_f64() > Some(0.0),
        "{summary}"
    );
}

/// Runs a command under it, and gives exit code and events.
pub(crate) fn around(options: &[&str], words: &[&str]) -> (Option<i32>, Vec<Value>, String) {
    let arguments = [&["watch", "--json"], options, &["--", ACT], words].concat();
    let output = lastref::run(&arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), events(&output), text)
}

/// Name and number of handles of each group that was open at an exit.
pub(crate) fn open(events: &[Value]) -> Vec<(String, u64)> {
    let open = of(events, "open-at-exit").into_iter().map(|event| {
        assert_eq!(event["holder"]["comm"], "act", "{event}");
        let name = event["objects"]["name"].as_str().expect("a name");
        (name.to_owned(), event["count"].as_u64().expect("a number"))
    });
    open.collect()
}

#[test]
fn a_command_that_closes_all_is_clean() {
    if !e2e::needs_root(here!()) {
        return;
    }
    // What other tests pin meanwhile is left behind, too.
    let all = ["--fail-on", "growth,open-at-exit"];
    let words = [
        "map",
        "e2e_closed",
        "dup",
        "open",
        "5",
        "1",
        "close",
        "say",
        "hello",
        "exit",
        "7",
    ];
    let (code, events, text) = around(&all, &words);
    assert_eq!(code, Some(7));
    assert_eq!(open(&events), []);
    let left = of(&events, "left-behind");
    assert!(
        left.iter()
            .all(|left| left["object"]["name"] != "e2e_closed"),
        "{left:?}"
    );
    assert!(text.lines().any(|line| line == "hello"), "{text}");
    let end = of(&events, "command")[0];
    assert_eq!(
        (&end["exit_code"], &end["signal"]),
        (&json!(7), &Value::Null)
    );
    assert_eq!(end["argv"][1], "map");
}

#[test]
fn what_a_command_has_open_when_it_ends() {
    if !e2e::needs_root(here!()) {
        return;
    }
    let name = |name: &str, count| (name.to_owned(), count);
    // A dup is one handle; each file of its own is one more.
    let (code, events, _) = around(&[], &["map", "e2e_open", "dup", "open", "2", "1"]);
    assert_eq!(code, Some(0));
    assert_eq!(open(&events), [name("e2e_open", 3)]);
    let event = of(&events, "open-at-exit")[0];
    assert_eq!(event["fds"].as_array().map(Vec::len), Some(4), "{event}");
    assert_eq!(event["objects"]["count"], 1);

    // What a child inherits it does not leak; what it makes it does, and its parent's is told once.
    let words = ["map", "e2e_parent", "fork", "map", "e2e_child", "end"];
    let (_, events, _) = around(&[], &words);
    assert_eq!(open(&events), [name("e2e_child", 1), name("e2e_parent", 1)]);
    // What a child has that only forks, and its parent closes later as it should.
    let words = [
        "map",
        "e2e_closed",
        "fork",
        "end",
        "mapped",
        "e2e_both",
        "fork",
        "end",
        "close",
    ];
    let (_, events, _) = around(&[], &words);
    assert_eq!(open(&events), []);
    // Closed on exec, and gone; what comes after is the same process.
    let words = ["map", "e2e_before", "exec", "map", "e2e_after"];
    let (_, events, _) = around(&[], &words);
    assert_eq!(open(&events), [name("e2e_after", 1)]);
    // Kept across exec it is the same file, and still open; the program that goes on has forgotten it.
    let words = ["map", "e2e_kept", "keep", "exec", "say", "hello"];
    let (_, events, _) = around(&[], &words);
    assert_eq!(open(&events), [name("e2e_kept", 1)]);
    // By close_range, none is left.
    let words = ["map", "e2e_range", "dup", "open", "5", "0", "range"];
    let (_, events, _) = around(&[], &words);
    assert_eq!(open(&events), []);
    // Sent and received it is another descriptor on the same file.
    let (_, events, _) = around(&[], &["map", "e2e_passed", "pass"]);
    assert_eq!(open(&events), [name("e2e_passed", 1)]);
    // What is still on its way is no descriptor, and goes with the sockets.
    let (_, events, _) = around(&[], &["map", "e2e_flight", "flight"]);
    assert_eq!(open(&events), []);
    let left = of(&events, "left-behind");
    assert!(
        left.iter()
            .all(|left| left["object"]["name"] != "e2e_flight"),
        "{left:?}"
    );
    // A mapping of its own is no other holder.
    let (_, events, _) = around(&[], &["mapped", "e2e_mapped"]);
    assert_eq!(open(&events), [name("e2e_mapped", 1)]);
    // Who shares the table of a process that lives on takes nothing with it.
    let words = [
        "map",
        "e2e_shared",
        "beside",
        "say",
        "hello",
        "end",
        "close",
    ];
    let (_, events, _) = around(&[], &words);
    assert_eq!(open(&events), []);
    // The main thread is gone before.
    let (_, events, _) = around(&[], &["map", "e2e_thread", "thread"]);
    assert_eq!(open(&events), [name("e2e_thread", 1)]);
    // Killed.
    let all = ["--fail-on", "open-at-exit"];
    let (code, events, _) = around(&all, &["map", "e2e_killed", "kill", "9"]);
    assert_eq!(code, Some(1));
    assert_eq!(open(&events), [name("e2e_killed", 1)]);
    assert_eq!(of(&events, "command")[0]["signal"], 9);
    let (code, _, _) = around(
        &["--fail-on", "left-behind"],
        &["map", "e2e_killed", "kill", "9"],
    );
    assert_eq!(code, Some(128 + 9));
}

/// What somebody else has is not left open by the command.
#[test]
fn what_lives_on_elsewhere() {
    let Some(s) = scene(here!(), |stage| {
        let map = bpf::hash("e2e_elsewhere")?;
        stage.ready(json!({ "map": map.id, "fd": map.fd() }))
    }) else {
        return;
    };
    // The command gets the very file of a process that goes on.
    let steal = format!(
        "import os\nfd = os.pidfd_open({})\nimport ctypes\n\
         print(ctypes.CDLL(None).syscall(438, fd, {}, 0) > 0)",
        s.pid,
        s.number("fd")
    );
    let python = std::process::Command::new("python3")
        .arg("--version")
        .output();
    if python.is_err() {
        // In a test machine; the tests of `ls` take files out of other processes there.
        assert!(std::env::var_os("LASTREF_VM").is_some());
        return;
    }
    let output = lastref::run(&["watch", "--json", "--", "python3", "-c", &steal]);
    let events = events(&output);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.lines().any(|line| line == "True"), "{text}");
    assert_eq!(of(&events, "open-at-exit").len(), 0, "{events:?}");
}

#[test]
fn many_processes_and_many_handles() {
    if !e2e::needs_root(here!()) {
        return;
    }
    let each = ["fork", "map", "e2e_many", "open", "99", "0", "end"];
    let words = each.repeat(20);
    let (_, events, _) = around(&[], &words);
    let open = open(&events);
    assert_eq!(open.len(), 20, "{open:?}");
    assert!(open.iter().all(|(_, count)| *count == 100), "{open:?}");
    assert_eq!(events[events.len() - 1]["lost_events"], 0);
}

#[test]
fn what_outlives_a_command() {
    let Some(s) = scene(here!(), |stage| {
        let bpffs = e2e::files::private_bpffs()?;
        stage.ready(json!({ "path": bpffs.join("left").to_string_lossy() }))
    }) else {
        return;
    };
    let arguments = [
        "watch",
        "--json",
        "--fail-on",
        "left-behind",
        "--",
        ACT,
        "map",
        "e2e_left",
        "pin",
        s.text("path"),
        "close",
    ];
    let output = lastref::run_in_mounts_of(s.pid, &arguments);
    assert_eq!(output.status.code(), Some(1), "{}", crate::errors(&output));
    let events = events(&output);
    let left = of(&events, "left-behind");
    let left: Vec<_> = left
        .iter()
        .filter(|e| e["object"]["name"] == "e2e_left")
        .collect();
    let [left] = left[..] else {
        panic!("{events:?}");
    };
    assert_eq!(left["object"]["state"], "orphan-pin");
    assert_eq!(left["holder"]["type"], "pin");
    assert_eq!(open(&events), []);
}

#[test]
fn signals_go_to_the_command_and_its_text_is_its_own() {
    if !e2e::needs_root(here!()) {
        return;
    }
    let arguments = ["watch", "--", ACT, "say", "ready", "sleep", "60000"];
    let mut child = lastref::command(&arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut first = [0; 6];
    let stdout = child.stdout.as_mut().expect("it is piped");
    std::io::Read::read_exact(stdout, &mut first).expect("the command speaks");
    assert_eq!(&first, b"ready\n");
    // SAFETY: our own child.
    unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(128 + libc::SIGTERM));
    assert_eq!(output.stdout, b"");
    let text = crate::errors(&output);
    let words: Vec<&str> = text.split_whitespace().collect();
    assert!(words.join(" ").contains("ended by signal 15"), "{text}");
    assert!(text.lines().all(|line| line.len() <= 80), "{text}");
}

#[test]
fn arguments_that_are_wrong() {
    for (arguments, words) in [
        (&["watch", "--fail-on", "open-at-exit"][..], "-- COMMAND"),
        (
            &["watch", "--for", "1s", "--", "true"],
            "cannot be used with",
        ),
        (&["watch", "--window", "0s"], "at least 10ms"),
        (&["watch", "--interval", "soon"], "a duration"),
        (&["watch", "--cgroup", "a"], "no cgroup's path"),
        (&["watch", "--from", "/no/such/file"], "No such file"),
        (
            &["watch", "--from", "x", "--record", "y"],
            "cannot be used with",
        ),
    ] {
        crate::refused(&lastref::run(arguments), 2, &[words]);
    }
    if !e2e::needs_root(here!()) {
        return;
    }
    for (arguments, words) in [
        (
            &["watch", "--", "/no/such/command"][..],
            "cannot be started",
        ),
        (&["watch", "--pid", "4194304"], "does not exist"),
        (
            &["watch", "--for", "1s", "--record", "/no/such/folder/x"],
            "No such file",
        ),
    ] {
        crate::refused(&lastref::run(arguments), 2, &[words]);
    }
}

/// Nobody reads: it ends with the first line that it cannot write.
#[test]
fn to_a_closed_pipe() {
    if !e2e::needs_root(here!()) {
        return;
    }
    let output = crate::run_unread(&["watch", "--json", "--for", "60s"]);
    assert_eq!(output.status.code(), Some(0), "{}", crate::errors(&output));
}
