//! The program as a user meets it: its arguments, exit codes, messages and
//! output, what it does without what it needs, and what it leaves behind.

mod arguments;
mod explain;
mod filters;
mod hostile;
mod lab;
mod lab_programs;
mod lacking;
mod metrics;
mod naming;
mod offline;
mod offline_files;
mod output;
mod privileges;
mod traces;
mod watch;
mod watch_after;
mod watch_collections;
mod watch_moves;
mod watch_who;

use std::process::{Output, Stdio};

/// The output's errors as text, for messages.
fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs it with an output whose reader has gone away, as `head` does.
fn run_unread(arguments: &[&str]) -> Output {
    let mut child = e2e::lastref::command(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    drop(child.stdout.take());
    child.wait_with_output().expect("it ends")
}

/// Refused with this exit code, nothing on standard output, and a message that
/// contains all of these words.
fn refused(output: &Output, code: i32, words: &[&str]) {
    let errors = errors(output);
    assert_eq!(output.status.code(), Some(code), "{errors}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{errors}");
    for word in words {
        assert!(errors.contains(word), "{word:?} is not in: {errors}");
    }
}
