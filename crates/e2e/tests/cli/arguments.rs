//! Arguments that are wrong, and objects that do not exist.

use crate::refused;
use e2e::{here, lastref};

/// Each is refused with 2, and the message says how to go on.
#[test]
fn that_are_wrong() {
    let wrong: [&[&str]; 14] = [
        &["frobnicate"],
        &["ls", "--no-such-option"],
        &["ls", "frogs"],
        &["ls", "--state", "asleep"],
        &["ls", "--sort", "beauty"],
        &["ls", "--pid", "0"],
        &["ls", "--pid", "many"],
        &["ls", "--pid", "99999999999"],
        &["ls", "--fail-on", "monday"],
        &["ls", "--orphans", "--state", "in-use"],
        &["ls", "--name", "[a"],
        &["why"],
        &["why", "map:1", "map:2"],
        &["lab", "run", "no-such-scenario"],
    ];
    for arguments in wrong {
        let output = lastref::run(arguments);
        refused(&output, 2, &[]);
        let errors = crate::errors(&output);
        let next = [
            "--help",
            "there is",
            "expected",
            "possible values",
            "a glob",
            "lab list",
        ];
        assert!(
            next.iter().any(|n| errors.contains(n)),
            "{arguments:?}: no next step in: {errors}"
        );
    }
}

/// Without a command there is nothing to do: the help, on standard error.
#[test]
fn that_are_missing() {
    let output = lastref::run(&[]);
    refused(&output, 2, &["Usage", "ls", "why"]);
}

#[test]
fn that_ask_for_help() {
    for arguments in [
        &["--help"][..],
        &["ls", "--help"],
        &["why", "--help"],
        &["--version"],
    ] {
        let output = lastref::run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(output.stderr.is_empty(), "{arguments:?}");
        assert!(output.stdout.starts_with(b"lastref") || output.stdout.len() > 200);
    }
}

/// What is asked about does not exist: 2, and the message names it.
#[test]
fn that_name_no_object() {
    if !e2e::needs_root(here!()) {
        return;
    }
    let nothing = [
        "map:4294967295",
        "prog:4294967290",
        "link:4294967290",
        "btf:4294967290",
        "map:e2e_no_such",
        "/sys/fs/bpf/e2e_no_such_pin",
        "/",
        "pid:4194304/fd:3",
        "pid:1/fd:1048570",
    ];
    for object in nothing {
        let output = lastref::run(&["why", object]);
        // The part of the name that matters.
        let (_, name) = object.split_once(':').unwrap_or(("", object));
        let name = name.split('/').next().unwrap_or(name);
        refused(&output, 2, &[if name.is_empty() { object } else { name }]);
    }
}

/// What does not look like an object: 2, and the message says what does.
#[test]
fn that_are_no_object() {
    if !e2e::needs_root(here!()) {
        return;
    }
    for object in [
        "",
        "17",
        "frob:1",
        "map:",
        "map:-1",
        "pid:1",
        "pid:x/fd:3",
        "pid:1/fd:",
    ] {
        let output = lastref::run(&["why", object]);
        refused(&output, 2, &[]);
        let errors = crate::errors(&output);
        assert!(
            errors.contains("map:") || errors.contains("lastref ls"),
            "{object:?}: no next step in: {errors}"
        );
    }
}
