//! Running other programs, with errors that say what was run.

use anyhow::{Context, Result, bail};
use std::process::{Command, Output, Stdio};

/// Runs to the end and gives standard output. A failure is an error that shows standard error.
pub fn output(command: &mut Command) -> Result<Vec<u8>> {
    let done = run(command)?;
    if !done.status.success() {
        bail!(
            "{} failed ({}): {}",
            shown(command),
            done.status,
            String::from_utf8_lossy(&done.stderr).trim()
        );
    }
    Ok(done.stdout)
}

/// As [`output`], as text.
pub fn text(command: &mut Command) -> Result<String> {
    Ok(String::from_utf8_lossy(&output(command)?).into_owned())
}

/// Runs to the end, whatever the exit status.
pub fn run(command: &mut Command) -> Result<Output> {
    command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", shown(command)))
}

fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(command.get_args().map(|arg| arg.to_string_lossy()));
    words.join(" ")
}
