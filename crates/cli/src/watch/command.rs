//! `lastref watch -- COMMAND`

use super::signals::{Signals, Woken};
use super::{Lines, keep, options};
use crate::args::{WatchArgs, WatchFailOn};
use crate::exit::{Answer, Usage};
use model::{CommandEnd, WatchEvent};
use rustix::process::{Pid, kill_process};
use session::{Followed, StartError, Sweeper};
use std::os::fd::BorrowedFd;
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
    // Held before it is started: a signal meanwhile is the command's.
    let mut signals = Signals::hold()?;
    let started = Followed::start(sweeper, options(args), keep(args), &mut command);
    let (mut followed, start, sample) = match started {
        Ok(started) => started,
        Err(StartError::Session(error)) => return Err(error.into()),
        Err(error) => return Err(Usage(error.to_string()).into()),
    };
    let partial = !start.cannot_see.is_empty();
    let mut out = Lines::new(args, true)?;
    out.begin(start, &sample)?;

    let (status, mut open) = follow(&mut followed, &mut signals, &mut out)?;
    open += at_exit(&mut followed, &mut out)?;
    let words = args
        .command
        .iter()
        .map(|word| word.to_string_lossy().into_owned());
    let end = CommandEnd {
        t: followed.watch.summary().t,
        argv: words.collect(),
        exit_code: status.code(),
        signal: status.signal(),
    };
    out.write(&WatchEvent::Command(Box::new(end)))?;
    let (sample, last) = followed.left_behind()?;
    out.record(|| record::sweep_line(&sample))?;
    for event in &last {
        out.write(event)?;
    }
    let is_left = |event: &&WatchEvent| matches!(event, WatchEvent::LeftBehind(_));
    let left = last.iter().filter(is_left).count();
    let mut summary = followed.watch.summary();
    summary.lost_events = followed.lost();
    let partial = partial || !summary.cannot_see.is_empty() || summary.lost_events > 0;
    let leaks = summary.leaks > 0;
    out.end(summary)?;
    let found = args.fail_on.iter().any(|condition| match condition {
        WatchFailOn::Growth => leaks,
        WatchFailOn::OpenAtExit => open > 0,
        WatchFailOn::LeftBehind => left > 0,
    });
    Ok(match Answer::of(partial && args.common.strict, found) {
        Answer::Clean => Answer::Command(own_status(status)),
        answer => answer,
    })
}

/// Until it has ended. Gives how it did, and how many handles were open at exits.
fn follow(
    followed: &mut Followed,
    signals: &mut Signals,
    out: &mut Lines,
) -> anyhow::Result<(ExitStatus, u64)> {
    let mut open = 0;
    let mut next = Instant::now() + followed.watch.pause();
    loop {
        if let Some(status) = followed.child().try_wait()? {
            return Ok((status, open));
        }
        // SAFETY: the descriptor is the ring buffer's, which `followed` has for its life.
        let readiness = unsafe { BorrowedFd::borrow_raw(followed.readiness()) };
        match signals.wait(next, Some(readiness))? {
            // It is the command that is to end; we go on to its end.
            Woken::Signal(signal) => {
                let pid = Pid::from_child(followed.child());
                let _ = kill_process(pid, signal);
            }
            Woken::Readable => {
                open += at_exit(followed, out)?;
                // A process ends a little after its hook.
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            Woken::Time => {
                out.leaks(&mut followed.watch)?;
                next = Instant::now() + followed.watch.pause();
            }
        }
    }
}

fn at_exit(followed: &mut Followed, out: &mut Lines) -> anyhow::Result<u64> {
    let mut open = 0;
    for event in followed.at_exit()? {
        open += event.count;
        out.write(&WatchEvent::OpenAtExit(Box::new(event)))?;
    }
    Ok(open)
}

/// As a shell has it: 128 and the number of the signal.
fn own_status(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(255)
}
