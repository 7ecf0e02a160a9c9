//! Processes that do a part of a benchmark: its own program, run again.
//!
//! A part says that it is ready, and ends when its standard input closes, or when its parent dies
//! however that happens (`PR_SET_PDEATHSIG`).

use anyhow::{Context as _, Result, bail};
use rustix::process::{Resource, Rlimit, Signal};
use std::io::{self, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A running part. Dropping it ends it.
pub struct Part {
    child: Child,
    stdin: Option<ChildStdin>,
    /// What it says after it was ready.
    pub stdout: ChildStdout,
}

impl Part {
    /// Starts this program with these arguments. The first after the name of the part is to be the
    /// number of this process, for [`end_with`].
    pub fn start(name: &str, arguments: &[String]) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe().context("where is this program?")?)
            .arg(name)
            .arg(std::process::id().to_string())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("the part {name} does not start"))?;
        Ok(Self {
            stdin: child.stdin.take(),
            stdout: child.stdout.take().context("a pipe was asked for")?,
            child,
        })
    }

    /// Waits until it says that it is ready.
    pub fn ready(&mut self) -> Result<()> {
        let ready = self.stdout.read_exact(&mut [0]);
        ready.context("a part of the benchmark did not get ready")
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Tells it to begin, if it waits for that.
    pub fn go(&mut self) -> Result<()> {
        let stdin = self.stdin.as_mut().context("it was told to end")?;
        stdin
            .write_all(b".")
            .context("a part of the benchmark has ended")
    }

    /// Tells it to end, and reads its last words.
    pub fn finish(mut self) -> Result<String> {
        drop(self.stdin.take());
        let mut words = String::new();
        self.stdout.read_to_string(&mut words)?;
        Ok(words)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

/// The part's own side: dies with the process that started it.
pub fn end_with(parent: u32) -> Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    if rustix::process::getppid().is_none_or(|p| p.as_raw_pid().cast_unsigned() != parent) {
        bail!("the parent died before one could ask to die with it");
    }
    Ok(())
}

/// As many descriptors as may be.
pub fn raise_descriptors() -> Result<()> {
    let hard = rustix::process::getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: hard,
        maximum: hard,
    };
    Ok(rustix::process::setrlimit(Resource::Nofile, limit)?)
}

/// Says that it is ready.
pub fn say_ready() -> Result<()> {
    io::stdout().write_all(b".")?;
    Ok(io::stdout().flush()?)
}

/// Waits until it is told to begin.
pub fn wait_to_begin() -> Result<()> {
    Ok(io::stdin().read_exact(&mut [0])?)
}

/// Waits until it is told to end.
pub fn wait_for_end() -> Result<()> {
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
