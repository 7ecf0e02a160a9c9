//! Where output goes, and when it cannot.

use e2e::bpf;
use e2e::{here, lastref, scene};
use std::fs::File;

/// The commands that write to standard output.
const COMMANDS: [&[&str]; 3] = [&["ls"], &["ls", "--json"], &["ls", "--no-group"]];

/// A reader that goes away, as `head` does: no error, no message.
#[test]
fn to_a_closed_pipe() {
    if !e2e::needs_root(here!()) {
        return;
    }
    for arguments in COMMANDS {
        let output = crate::run_unread(arguments);
        assert_eq!(crate::errors(&output), "", "{arguments:?}");
        assert_eq!(
            output.status.code(),
            Some(0),
            "{arguments:?}: {}",
            output.status
        );
    }
}

/// A full disk is an error: 2, and a message.
#[test]
fn to_a_full_disk() {
    let Some(s) = scene(here!(), |stage| {
        let map = bpf::hash("e2e_full")?;
        stage.ready(scene::ids([("map", &map)]))
    }) else {
        return;
    };
    let why = lastref::name(bpf::Kind::Map, s.id("map"));
    let mut commands = COMMANDS.to_vec();
    let (text, json) = (["why", &why], ["why", &why, "--json"]);
    commands.extend([&text[..], &json[..]]);
    for arguments in commands {
        let full = File::options().write(true).open("/dev/full");
        let output = lastref::command(arguments)
            .stdout(full.expect("/dev/full is there"))
            .output()
            .expect("it runs");
        let errors = crate::errors(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains("No space left"), "{arguments:?}: {errors}");
    }
}

/// No colour where it is not wanted.
#[test]
fn without_colour() {
    if !e2e::needs_root(here!()) {
        return;
    }
    let escapes = |command| {
        let text = e2e::confine::on_terminal(command, 100).expect("a terminal");
        text.contains(&0x1b)
    };
    let mut command = lastref::command(&["ls"]);
    command.env("NO_COLOR", "1");
    assert!(!escapes(command));
    let output = lastref::run(&["ls"]);
    assert!(!output.stdout.contains(&0x1b), "colour in a pipe");
}

/// The report says of itself what it is, when it was and how long it took.
#[test]
fn describes_itself() {
    if !e2e::needs_root(here!()) {
        return;
    }
    let report = lastref::ls();
    assert_eq!(report["schema"], "lastref.ls/0");
    let snapshot = &report["snapshot"];
    let read = |path: &str| std::fs::read_to_string(path).expect(path).trim().to_owned();
    assert_eq!(snapshot["boot_id"], read("/proc/sys/kernel/random/boot_id"));
    assert_eq!(snapshot["kernel"], read("/proc/sys/kernel/osrelease"));
    assert!((1..=3).contains(&snapshot["passes"].as_u64().unwrap_or(0)));
    assert!(
        snapshot["seconds"]
            .as_f64()
            .is_some_and(|s| s > 0.0 && s < 60.0)
    );
    let time = snapshot["time"].as_str().unwrap_or_default();
    assert!(time.ends_with('Z') && time.contains('T'), "{time}");
    assert!(snapshot["cannot_see"].is_array());
}
