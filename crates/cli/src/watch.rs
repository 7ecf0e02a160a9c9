//! `lastref watch`

use crate::args::{WatchArgs, WatchFailOn};
use crate::exit::{Answer, Usage};
use crate::{filter, output};
use model::{Holder, WatchEvent};
use session::{Sweeper, Watch, WatchOptions};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

pub fn run(args: &WatchArgs) -> anyhow::Result<Answer> {
    if let Some(cgroup) = &args.cgroup {
        filter::check_cgroup(cgroup)?;
    }
    let sweeper = Sweeper::new()?;
    if let Some(pid) = args.pid
        && let Err(error) = sweeper.proc().describe(pid)
        && error.is_gone()
    {
        return Err(Usage(error.to_string()).into());
    }
    let options = WatchOptions {
        window: args.window,
        interval: args.interval,
    };
    let signals = Signals::hold()?;
    let (pid, cgroup) = (args.pid, args.cgroup.clone());
    let keep = Box::new(move |holder: &Holder| is_asked_for(holder, pid, cgroup.as_deref()));
    let begun = Instant::now();
    let (mut watch, start) = Watch::begin(sweeper, options, keep)?;
    let mut partial = !start.cannot_see.is_empty();
    let mut out = Lines {
        json: args.common.is_json(),
        closed: false,
    };
    out.write(&WatchEvent::Start(Box::new(start)))?;
    let end = args
        .duration
        .and_then(|duration| begun.checked_add(duration));
    while !out.closed {
        let next = Instant::now() + watch.pause();
        let until = end.map_or(next, |end| end.min(next));
        if signals.wait(until)? {
            break;
        }
        for event in watch.look()? {
            out.write(&WatchEvent::Leak(Box::new(event)))?;
        }
        if end.is_some_and(|end| Instant::now() >= end) {
            break;
        }
    }
    let summary = watch.summary();
    partial |= !summary.cannot_see.is_empty();
    let leaks = summary.leaks > 0;
    out.write(&WatchEvent::Summary(Box::new(summary)))?;
    let found = leaks && args.fail_on.contains(&WatchFailOn::Growth);
    Ok(Answer::of(partial && args.common.strict, found))
}

/// Held by this process, from this cgroup or one below it.
fn is_asked_for(holder: &Holder, pid: Option<u32>, cgroup: Option<&str>) -> bool {
    let process = match holder {
        Holder::Process(process) => Some(&**process),
        other => other.open_by().first(),
    };
    let is_it = |wanted: u32| {
        let direct = process.is_some_and(|p| p.pid == wanted || p.tid == Some(wanted));
        direct || holder.open_by().iter().any(|p| p.pid == wanted)
    };
    let below = |wanted: &str| {
        process.is_some_and(|p| {
            p.cgroup
                .as_deref()
                .is_some_and(|at| filter::is_below(at, wanted))
        })
    };
    pid.is_none_or(is_it) && cgroup.is_none_or(below)
}

/// Events, one after the other, each at once.
struct Lines {
    json: bool,
    /// The reader has seen enough.
    closed: bool,
}

impl Lines {
    fn write(&mut self, event: &WatchEvent) -> anyhow::Result<()> {
        if self.closed {
            return Ok(());
        }
        let written = output::print(|out| {
            if self.json {
                serde_json::to_writer(&mut *out, event)?;
                out.write_all(b"\n")
            } else {
                view::watch(event, &output::style(), out)
            }
        });
        self.closed = output::is_closed();
        written
    }
}

/// SIGINT, SIGTERM and SIGHUP, as the end of a wait.
struct Signals {
    woken: OwnedFd,
}

impl Signals {
    fn hold() -> io::Result<Self> {
        let (woken, write) = UnixStream::pair()?;
        woken.set_nonblocking(true)?;
        for signal in [
            signal_hook::consts::SIGINT,
            signal_hook::consts::SIGTERM,
            signal_hook::consts::SIGHUP,
        ] {
            signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
        }
        Ok(Self {
            woken: woken.into(),
        })
    }

    /// Waits until then; true if a signal came first.
    fn wait(&self, until: Instant) -> io::Result<bool> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left.min(Duration::from_secs(3600)))
                .map_err(|_| io::ErrorKind::InvalidInput)?;
            let mut fds = [PollFd::new(&self.woken, PollFlags::IN)];
            match poll(&mut fds, Some(&timeout)) {
                Ok(0) if left.is_zero() => return Ok(false),
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(true),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}
