//! `lastref watch -- COMMAND`

use super::signals::{Signals, Woken};
use super::{Lines, options};
use crate::args::{WatchArgs, WatchFailOn};
use crate::exit::{Answer, Usage};
use model::{CommandEnd, Leak, LeakEvent, SweepSample, Trend, WatchEvent};
use rustix::process::{Pid, PidfdFlags, Signal, getpgrp, kill_process, pidfd_open};
use session::{Followed, StartError, Sweeper};
use std::collections::HashSet;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus};
use std::time::Instant;

pub fn run(args: &WatchArgs) -> anyhow::Result<Answer> {
    let [program, rest @ ..] = args.command.as_slice() else {
        return Err(Usage("no command".into()).into());
    };
    let mut command = Command::new(program);
    command.args(rest);
    let sweeper = Sweeper::new()?;
    // What is wrong with a file or an address is said before anything is run.
    let mut told = Told {
        out: Lines::new(args, true)?,
        open: 0,
        left: 0,
        grew: HashSet::new(),
        trouble: None,
    };
    // Held before it is started: a signal meanwhile is the command's.
    let mut signals = Signals::hold()?;
    let started = Followed::start(sweeper, options(args), &mut command);
    let (mut followed, start, sample) = match started {
        Ok(started) => started,
        Err(StartError::Session(error)) => return Err(error.into()),
        Err(error) => return Err(Usage(error.to_string()).into()),
    };
    let partial = !start.cannot_see.is_empty();
    let began = told.out.begin(start, &sample, followed.watch());
    told.note(began);

    let status = follow(&mut followed, &mut signals, &mut told)?;
    at_exit(&mut followed, &mut told);
    let words = args.command.iter();
    let end = CommandEnd {
        t: followed.elapsed(),
        argv: words
            .map(|word| word.to_string_lossy().into_owned())
            .collect(),
        exit_code: status.code(),
        signal: status.signal(),
    };
    told.tell(&WatchEvent::Command(Box::new(end)));
    match followed.left_behind() {
        Ok((sample, events)) => {
            let recorded = told.out.record(|| record::sweep_line(&sample));
            told.note(recorded);
            for event in &events {
                told.tell(event);
            }
            let measured = told.out.measure(followed.watch());
            told.note(measured);
        }
        Err(error) => told.note(Err(error.into())),
    }
    let mut summary = followed.summary();
    summary.leaks = told.grew.len() as u64;
    let partial = partial || !summary.cannot_see.is_empty() || summary.lost_events > 0;
    let ended = told.out.end(summary);
    told.note(ended);
    if let Some(trouble) = told.trouble {
        return Err(trouble);
    }
    let found = args.fail_on.iter().any(|condition| match condition {
        WatchFailOn::Growth => !told.grew.is_empty(),
        WatchFailOn::OpenAtExit => told.open > 0,
        WatchFailOn::LeftBehind => told.left > 0,
    });
    Ok(match Answer::of(partial && args.common.strict, found) {
        Answer::Clean => Answer::Command(own_status(status)),
        answer => answer,
    })
}

/// What was told, and what went wrong meanwhile: the command goes on, whatever becomes of us.
struct Told {
    out: Lines,
    open: u64,
    left: u64,
    /// Series that grew to the end, theirs or the command's.
    grew: HashSet<String>,
    trouble: Option<anyhow::Error>,
}

impl Told {
    /// The first error is told at the end.
    fn note(&mut self, done: anyhow::Result<()>) {
        if let Err(error) = done {
            self.trouble.get_or_insert(error);
        }
    }

    fn tell(&mut self, event: &WatchEvent) {
        match event {
            WatchEvent::OpenAtExit(open) => self.open += open.count,
            WatchEvent::LeftBehind(_) => self.left += 1,
            WatchEvent::Leak(leak) => self.grows(leak),
            _ => {}
        }
        let written = self.out.write(event);
        self.note(written);
    }

    /// What a sweep found, and what is to be said after it.
    fn found(&mut self, sample: &SweepSample, events: impl IntoIterator<Item = WatchEvent>) {
        let recorded = self.out.record(|| record::sweep_line(sample));
        self.note(recorded);
        for event in events {
            self.tell(&event);
        }
    }

    /// That its holder has ended does not make it less of a leak.
    fn grows(&mut self, leak: &LeakEvent) {
        if leak.leak >= Leak::Suspected {
            self.grew.insert(leak.id.clone());
        } else if leak.state != Trend::Over {
            self.grew.remove(&leak.id);
        }
    }
}

/// Until it has ended. Gives how it did.
fn follow(
    followed: &mut Followed,
    signals: &mut Signals,
    told: &mut Told,
) -> anyhow::Result<ExitStatus> {
    let pid = Pid::from_child(followed.child());
    // Without one (before 5.3) its end is seen a little later.
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok();
    let mut next = Instant::now() + followed.pause();
    loop {
        if let Some(status) = followed.child().try_wait()? {
            return Ok(status);
        }
        // SAFETY: the descriptor is the ring buffer's, which `followed` has for its life.
        let hooks = unsafe { BorrowedFd::borrow_raw(followed.readiness()) };
        let others = [Some(hooks), pidfd.as_ref().map(|fd| fd.as_fd())];
        let others: Vec<BorrowedFd<'_>> = others.into_iter().flatten().collect();
        match signals.wait(next, &others)? {
            // It is the command that is to end; we go on to its end.
            Woken::Signal(signal) => {
                if signal != Signal::INT || !is_in_foreground() {
                    let _ = kill_process(pid, signal);
                }
            }
            Woken::Readable => {
                at_exit(followed, told);
                // Whoever read what we print may have gone, which is told again and again.
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            Woken::Time => {
                match followed.look() {
                    Ok(Some((sample, leaks))) => {
                        let leaks = leaks.into_iter().map(Box::new);
                        told.found(&sample, leaks.map(WatchEvent::Leak));
                    }
                    Ok(None) => {}
                    Err(error) => told.note(Err(error.into())),
                }
                let measured = told.out.measure(followed.watch());
                told.note(measured);
                next = Instant::now() + followed.pause();
            }
        }
    }
}

/// A terminal's Ctrl-C reaches the command as it reaches us.
fn is_in_foreground() -> bool {
    let terminal = std::fs::File::open("/dev/tty");
    terminal.is_ok_and(|tty| rustix::termios::tcgetpgrp(tty).is_ok_and(|group| group == getpgrp()))
}

fn at_exit(followed: &mut Followed, told: &mut Told) {
    match followed.at_exit() {
        Ok(open) => {
            for event in open {
                told.tell(&WatchEvent::OpenAtExit(Box::new(event)));
            }
        }
        Err(error) => told.note(Err(error.into())),
    }
}

/// As a shell has it: 128 and the number of the signal.
fn own_status(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(255)
}
