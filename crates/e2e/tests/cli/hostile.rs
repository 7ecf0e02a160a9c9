//! Names that somebody else chose, to harm.

use e2e::bpf::{self, Kind};
use e2e::confine::on_terminal;
use e2e::files::private_bpffs;
use e2e::{Scene, here, lastref, scene, sys};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use unicode_width::UnicodeWidthStr;

/// Clears the screen, sets the window's title, rings, breaks lines, reverses the
/// reading direction, and is not UTF-8. No slash and no dot: bpffs allows all else.
const EVIL: &[u8] = b"\x1b[2J\x1b]0;owned\x07\r\n\t\xe2\x80\xae\xff\xfe\xc3\x9b31m";

/// A process with such a name, that holds maps pinned under such names: short,
/// 255 bytes long, and at the end of a path of nearly 4,096.
fn evil_scene(name: &'static str) -> Option<Scene> {
    scene(name, |stage| {
        // The name of a process: 15 bytes, any but zero.
        std::fs::write("/proc/self/comm", &EVIL[..15]).map_err(sys::io("comm"))?;
        let bpffs = private_bpffs()?;
        let map = bpf::hash("e2e_evil")?;
        map.pin(&bpffs.join(OsStr::from_bytes(EVIL)))?;
        map.pin(&bpffs.join("w".repeat(255)))?;
        map.pin(&bpffs.join("宽".repeat(85)))?;
        let mut deep = bpffs.clone();
        while deep.as_os_str().len() < 4095 - 2 * 256 {
            deep.push("d".repeat(255));
            std::fs::create_dir(&deep).map_err(sys::io("mkdir in bpffs"))?;
        }
        let rest = 4095 - deep.as_os_str().len() - 1;
        deep.push("e".repeat(rest.min(255)));
        map.pin(&deep)?;
        let deep = deep.to_string_lossy().into_owned();
        stage.ready(json!({"map": map.id, "deep": deep}))
    })
}

/// The commands whose output has all of it.
fn commands(s: &Scene) -> Vec<Vec<String>> {
    let why = lastref::name(Kind::Map, s.id("map"));
    let pid = s.pid.to_string();
    let words = |list: &[&str]| list.iter().map(ToString::to_string).collect();
    vec![
        words(&["ls", "--pid", &pid]),
        words(&["ls", "--pid", &pid, "--no-group"]),
        words(&["ls", "--pid", &pid, "--group"]),
        words(&["ls"]),
        words(&["why", &why]),
    ]
}

fn command(arguments: &[String]) -> std::process::Command {
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    lastref::command(&arguments)
}

/// JSON stays JSON, and names go through it without loss.
#[test]
fn names_in_json() {
    let Some(s) = evil_scene(here!()) else {
        return;
    };
    let report = lastref::why(Kind::Map, s.id("map"));
    let references = report["object"]["references"].as_array().expect("a list");
    let holders = references.iter().filter_map(|r| r["holders"].as_array());
    let paths: Vec<&str> = holders
        .flatten()
        .filter_map(|h| h["path"].as_str())
        .collect();
    let evil = "/sys/fs/bpf/\u{1b}[2J\u{1b}]0;owned\u{7}\r\n\t\u{202e}\\xff\\xfe\u{db}31m";
    assert!(paths.contains(&evil), "{paths:?}");
    assert!(paths.contains(&format!("/sys/fs/bpf/{}", "w".repeat(255)).as_str()));
    assert!(paths.contains(&format!("/sys/fs/bpf/{}", "宽".repeat(85)).as_str()));
    assert!(paths.contains(&s.text("deep")), "the long path is cut");
    let ls = lastref::ls();
    assert!(lastref::find(&ls, Kind::Map, s.id("map")).is_some());
    assert!(matches!(ls, Value::Object(_)));
}

/// Characters that a terminal would obey.
fn is_unsafe(c: char) -> bool {
    (c.is_control() && c != '\n') || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
}

/// Through a pipe: no control character but the line's end, no line longer than
/// asked for by `COLUMNS`.
#[test]
fn names_in_a_pipe() {
    let Some(s) = evil_scene(here!()) else {
        return;
    };
    for arguments in commands(&s) {
        for columns in [None, Some(60), Some(80), Some(160)] {
            let mut command = command(&arguments);
            if let Some(columns) = columns {
                command.env("COLUMNS", columns.to_string());
            }
            let output = command.output().expect("it runs");
            let text = String::from_utf8(output.stdout).expect("UTF-8");
            assert!(output.status.success(), "{arguments:?}");
            if let Some(c) = text.chars().find(|c| is_unsafe(*c)) {
                panic!("{arguments:?}: {c:?} in {text}");
            }
            fits(&text, columns.unwrap_or(80), &arguments);
        }
    }
}

/// No line is wider than this. Shell commands to copy are an exception, if they
/// cannot be broken: a path may not be cut.
fn fits(text: &str, columns: usize, arguments: &[String]) {
    for line in text.lines() {
        assert!(
            line.width() <= columns,
            "{arguments:?} at {columns}: {} columns: {line}",
            line.width()
        );
    }
}

/// On a terminal: colours, and nothing else that it would obey.
#[test]
fn names_on_a_terminal() {
    let Some(s) = evil_scene(here!()) else {
        return;
    };
    for arguments in commands(&s) {
        for columns in [60, 80, 160] {
            let text = on_terminal(command(&arguments), columns).expect("a terminal");
            let text = String::from_utf8(text).expect("UTF-8");
            // The terminal's own line discipline ends lines with both.
            let text = without_colours(&text.replace("\r\n", "\n"));
            assert!(!text.is_empty(), "{arguments:?}");
            if let Some(c) = text.chars().find(|c| is_unsafe(*c)) {
                panic!("{arguments:?}: {c:?} in {text}");
            }
            fits(&text, usize::from(columns), &arguments);
        }
    }
}

/// Removes `ESC [ digits m`, and only that.
fn without_colours(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        let end = after.find(|c: char| !c.is_ascii_digit() && c != ';');
        match end.map(|end| after.split_at(end)) {
            Some((_, tail)) if tail.starts_with('m') => rest = &tail[1..],
            _ => {
                // Not a colour: leave it, so that it is found.
                plain.push_str("\x1b[");
                rest = after;
            }
        }
    }
    plain + rest
}

/// A name from the command line comes back in a message.
#[test]
fn names_in_messages() {
    if !e2e::needs_root(here!()) {
        return;
    }
    for object in ["map:\u{1b}[2J\u{7}x", "/sys/fs/bpf/\u{1b}]0;owned\u{7}\n"] {
        let output = lastref::run(&["why", object]);
        assert_eq!(output.status.code(), Some(2));
        let errors = crate::errors(&output);
        assert!(!errors.chars().any(is_unsafe), "{errors:?}");
    }
}
