//! A scenario's child, as its parent has it: started, listened to, ended.

use crate::CHILD_COMMAND;
use crate::error::Error;
use crate::lines::Lines;
use crate::signals::Signals;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Instant;

/// How the lines of a child are read.
#[derive(Debug)]
pub struct Language<M> {
    /// A line; `None` if no child of ours says that.
    pub parse: fn(&str) -> Option<M>,
    /// No line is longer.
    pub longest: usize,
}

/// What happens next to a child.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<M> {
    /// It says something.
    Said(M),
    /// It has exited, or says what no child of ours says.
    Over,
    /// We are asked to end.
    Interrupted,
    /// Nothing, until the time given.
    Timeout,
}

/// A child. Dropping it kills it and waits for it.
pub struct Worker<M> {
    child: Child,
    language: Language<M>,
    pidfd: OwnedFd,
    /// Open for as long as the child shall go on.
    lifeline: Option<ChildStdin>,
    out: ChildStdout,
    lines: Lines,
    said: VecDeque<M>,
    over: bool,
    status: Option<ExitStatus>,
}

impl<M> Worker<M> {
    /// Starts this program again as `lab-child WORDS…`.
    ///
    /// A fork alone would do in a program with one thread, but that is not for a
    /// library to know.
    pub fn start(
        words: &[impl AsRef<OsStr>],
        env: &[(String, String)],
        errors: Stdio,
        language: Language<M>,
    ) -> Result<Self, Error> {
        let failed = |errno| Error::Child {
            doing: "started",
            errno,
        };
        let mut child = Command::new("/proc/self/exe")
            .arg0(
                std::env::args_os()
                    .next()
                    .unwrap_or_else(|| "lastref".into()),
            )
            .arg(CHILD_COMMAND)
            .args(words)
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .map_err(failed)?;
        let parts = pidfd(&child).and_then(|pidfd| {
            let missing = || io::Error::other("its pipes are missing");
            let out = child.stdout.take().ok_or_else(missing)?;
            Ok((pidfd, out))
        });
        match parts {
            Ok((pidfd, out)) => Ok(Self {
                lifeline: child.stdin.take(),
                child,
                language,
                pidfd,
                out,
                lines: Lines::default(),
                said: VecDeque::new(),
                over: false,
                status: None,
            }),
            Err(errno) => {
                // Not reaped yet, so the pid is still its own.
                let _ = child.kill();
                let _ = child.wait();
                Err(failed(errno))
            }
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for what comes next; without `until`, for as long as it takes.
    pub fn next(
        &mut self,
        signals: Option<&Signals>,
        until: Option<Instant>,
    ) -> Result<Event<M>, Error> {
        let failed = |errno: Errno| Error::Child {
            doing: "followed",
            errno: errno.into(),
        };
        loop {
            if let Some(message) = self.said.pop_front() {
                return Ok(Event::Said(message));
            }
            if self.over {
                return Ok(Event::Over);
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            // More seconds than a timespec holds are no limit.
            let timeout = left.and_then(|left| left.try_into().ok());
            let mut fds = vec![PollFd::new(&self.out, PollFlags::IN)];
            if let Some(signals) = signals {
                fds.push(PollFd::new(signals, PollFlags::IN));
            }
            let ready = match poll(&mut fds, timeout.as_ref()) {
                Err(Errno::INTR) => continue,
                ready => ready.map_err(failed)?,
            };
            let said = !fds[0].revents().is_empty();
            if signals.is_some_and(Signals::take) {
                return Ok(Event::Interrupted);
            }
            if ready == 0 {
                return Ok(Event::Timeout);
            }
            if said {
                self.read().map_err(failed)?;
            }
        }
    }

    /// Takes what there is to read, and makes messages of it.
    fn read(&mut self) -> Result<(), Errno> {
        let mut chunk = [0; 16 << 10];
        let n = match rustix::io::read(&self.out, &mut chunk) {
            Err(Errno::INTR) => return Ok(()),
            n => n?,
        };
        self.over = n == 0;
        self.lines.add(&chunk[..n]);
        while let Some(line) = self.lines.take() {
            let line = std::str::from_utf8(&line).ok();
            match line.and_then(self.language.parse) {
                Some(message) => self.said.push_back(message),
                None => self.over = true,
            }
        }
        self.over |= self.lines.pending() > self.language.longest;
        Ok(())
    }

    /// Writes a line to it.
    pub fn tell(&mut self, text: &str) -> io::Result<()> {
        let Some(lifeline) = &mut self.lifeline else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        writeln!(lifeline, "{text}")?;
        lifeline.flush()
    }

    /// Asks it to stop, and to say what it has done.
    pub fn stop(&mut self) {
        self.lifeline = None;
    }

    /// Kills it, if it still lives, and waits until it is gone.
    pub fn end(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        self.lifeline = None;
        match pidfd_send_signal(&self.pidfd, Signal::KILL) {
            // It has exited already.
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => return Err(error.into()),
        }
        let status = self.child.wait()?;
        self.status = Some(status);
        Ok(status)
    }
}

impl<M> Drop for Worker<M> {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

fn pidfd(child: &Child) -> io::Result<OwnedFd> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("its process id is none"))?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// For the child: waits until its parent says stop or dies (true), or until then (false).
pub fn told_to_stop(until: Option<Instant>) -> bool {
    let stdin = io::stdin();
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| left.try_into().ok());
        let mut fds = [PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::empty())];
        match poll(&mut fds, timeout.as_ref()) {
            Err(Errno::INTR) => {}
            Ok(0) => return false,
            // Hung up, or not to be watched: either way nobody is there.
            Ok(_) | Err(_) => return true,
        }
    }
}
