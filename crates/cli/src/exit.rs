//! Exit codes: the same for every command.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// How a command ended, short of an error of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Answered; nothing found.
    Clean,
    /// Answered, and the condition that was asked for holds.
    Found,
    /// Answered in part, and `--strict` wants all.
    Partial,
    /// A command was run, and this is its own status.
    Command(u8),
}

impl Answer {
    /// `partial`: something could not be seen, and `--strict` is given; that goes
    /// before `found`, a condition of `--fail-on` that holds.
    pub fn of(partial: bool, found: bool) -> Self {
        match (partial, found) {
            (true, _) => Self::Partial,
            (_, true) => Self::Found,
            _ => Self::Clean,
        }
    }
}

/// Something that is not needed any more, while the process is about to end: the kernel takes all of its memory at once,
/// which is quicker than to give thousands of objects back one by one.
pub fn leave<T>(rest: T) {
    std::mem::forget(rest);
}

/// The words on the command line were fine in form, but name nothing (exit 2).
#[derive(Debug)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Arguments that clap refused, or `--help`.
pub fn usage(error: &clap::Error) -> ExitCode {
    // A closed pipe while printing help is no error.
    let _ = error.print();
    if error.use_stderr() {
        ExitCode::from(2)
    } else {
        ExitCode::SUCCESS
    }
}

/// Prints an error, if there was one, and chooses the exit code.
pub fn report(answer: anyhow::Result<Answer>) -> ExitCode {
    let error = match answer {
        Ok(Answer::Clean) => return ExitCode::SUCCESS,
        Ok(Answer::Found) => return ExitCode::from(1),
        Ok(Answer::Partial) => return ExitCode::from(3),
        Ok(Answer::Command(status)) => return ExitCode::from(status),
        Err(error) => error,
    };
    if is_closed_pipe(&error) {
        return ExitCode::SUCCESS;
    }
    let text = model::escape_controls(&format!("{error:#}"));
    eprintln!("lastref: {}", text.trim_end());
    if let Some(session::Error::Kernel(kernel)) = error.downcast_ref::<session::Error>() {
        eprintln!("lastref: it would take {}", kernel.needs().as_str());
        if let Some(log) = kernel.log() {
            for line in log.lines() {
                eprintln!("  {}", model::escape_controls(line));
            }
        }
        return ExitCode::from(3);
    }
    if error.is::<session::NameError>() {
        return ExitCode::from(3);
    }
    // The message says what it would take.
    let lab_needs = error
        .downcast_ref::<lab::Error>()
        .and_then(lab::Error::needs);
    ExitCode::from(if lab_needs.is_some() { 3 } else { 2 })
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    })
}
