//! Running the program, and reading what it says.

use crate::bpf::Kind;
use serde_json::Value;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Output};

/// The program under test: `LASTREF_BIN`, or the `lastref` beside this test
/// program's folder.
pub fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("LASTREF_BIN") {
        return path.into();
    }
    // …/target/debug/deps/matrix-0123456789abcdef
    let me = std::env::current_exe().expect("/proc is mounted");
    let folder = me.parent().and_then(std::path::Path::parent);
    let path = folder.expect("a target folder").join("lastref");
    assert!(
        path.exists(),
        "{} does not exist: build it first (cargo build -p lastref), or set LASTREF_BIN",
        path.display()
    );
    path
}

/// A command that would run the program, free of the environment that changes its output.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command
        .args(arguments)
        .env_remove("NO_COLOR")
        .env_remove("COLUMNS")
        .env_remove("CLICOLOR_FORCE");
    command
}

/// Runs it to its end.
pub fn run(arguments: &[&str]) -> Output {
    let mut command = command(arguments);
    let output = command.output();
    output.unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"))
}

/// Runs it in the mount namespace of process `pid`.
pub fn run_in_mounts_of(pid: u32, arguments: &[&str]) -> Output {
    let path = format!("/proc/{pid}/ns/mnt");
    let namespace = std::fs::File::open(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut command = command(arguments);
    // SAFETY: between fork and exec only one system call is made, on a descriptor
    // that the closure owns.
    unsafe {
        command.pre_exec(move || {
            use std::os::fd::AsRawFd;
            if libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNS) < 0 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
    let output = command.output();
    output.unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"))
}

/// The JSON that it printed.
pub fn json(output: &Output) -> Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "lastref failed ({}): {errors}",
        output.status
    );
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| {
        panic!(
            "lastref's output is not JSON ({e}): {}",
            String::from_utf8_lossy(&output.stdout)
        )
    })
}

/// `lastref ls --json`
pub fn ls() -> Value {
    json(&run(&["ls", "--json"]))
}

/// `lastref why KIND:ID --json`
pub fn why(kind: Kind, id: u32) -> Value {
    json(&run(&["why", &name(kind, id), "--json"]))
}

/// The object as an argument.
pub fn name(kind: Kind, id: u32) -> String {
    format!("{}:{id}", kind.as_str())
}

/// An object of an `ls` report.
pub fn find(report: &Value, kind: Kind, id: u32) -> Option<&Value> {
    report["objects"]
        .as_array()?
        .iter()
        .find(|o| o["kind"] == kind.as_str() && o["id"] == id)
}
