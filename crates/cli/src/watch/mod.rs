//! `lastref watch`

mod command;
mod signals;

use crate::args::{WatchArgs, WatchFailOn};
use crate::exit::{Answer, Usage};
use crate::{filter, output};
use model::{Holder, WatchEvent};
use session::{Keep, Sweeper, Watch, WatchOptions};
use signals::{Signals, Woken};
use std::io::Write as _;
use std::time::Instant;

pub fn run(args: &WatchArgs) -> anyhow::Result<Answer> {
    if let Some(cgroup) = &args.cgroup {
        filter::check_cgroup(cgroup)?;
    }
    if !args.command.is_empty() {
        return command::run(args);
    }
    for condition in &args.fail_on {
        if *condition != WatchFailOn::Growth {
            let text = "--fail-on open-at-exit and left-behind are about a command: \
                        lastref watch --fail-on open-at-exit -- COMMAND";
            return Err(Usage(text.into()).into());
        }
    }
    let sweeper = Sweeper::new()?;
    if let Some(pid) = args.pid
        && let Err(error) = sweeper.proc().describe(pid)
        && error.is_gone()
    {
        return Err(Usage(error.to_string()).into());
    }
    let mut signals = Signals::hold()?;
    let begun = Instant::now();
    let (mut watch, start) = Watch::begin(sweeper, options(args), keep(args))?;
    let mut partial = !start.cannot_see.is_empty();
    let mut out = Lines::new(args.common.is_json(), false);
    out.write(&WatchEvent::Start(Box::new(start)))?;
    let end = args
        .duration
        .and_then(|duration| begun.checked_add(duration));
    while !out.closed {
        let next = Instant::now() + watch.pause();
        let until = end.map_or(next, |end| end.min(next));
        if signals.wait(until, None)? != Woken::Time {
            break;
        }
        out.leaks(&mut watch)?;
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

fn options(args: &WatchArgs) -> WatchOptions {
    WatchOptions {
        window: args.window,
        interval: args.interval,
    }
}

fn keep(args: &WatchArgs) -> Keep {
    let (pid, cgroup) = (args.pid, args.cgroup.clone());
    Box::new(move |holder: &Holder| is_asked_for(holder, pid, cgroup.as_deref()))
}

/// Held by this process, from this cgroup or one below it.
fn is_asked_for(holder: &Holder, pid: Option<u32>, cgroup: Option<&str>) -> bool {
    let itself = match holder {
        Holder::Process(process) => Some(&**process),
        _ => None,
    };
    let mut processes = itself.into_iter().chain(holder.open_by());
    let fits = |process: &model::Process| {
        let is_it = |wanted: u32| process.pid == wanted || process.tid == Some(wanted);
        let below = |wanted: &str| {
            let at = process.cgroup.as_deref();
            at.is_some_and(|at| filter::is_below(at, wanted))
        };
        pid.is_none_or(is_it) && cgroup.is_none_or(below)
    };
    pid.is_none() && cgroup.is_none() || processes.any(fits)
}

/// Events, one after the other, each at once.
struct Lines {
    json: bool,
    /// Text goes to standard error, as standard output is the command's.
    aside: bool,
    /// The reader has seen enough.
    closed: bool,
}

impl Lines {
    fn new(json: bool, aside: bool) -> Self {
        Self {
            json,
            aside,
            closed: false,
        }
    }

    fn write(&mut self, event: &WatchEvent) -> anyhow::Result<()> {
        if self.closed {
            return Ok(());
        }
        let style = output::style();
        if self.json {
            output::print(|out| {
                serde_json::to_writer(&mut *out, event)?;
                out.write_all(b"\n")
            })?;
        } else if self.aside {
            let mut text = Vec::new();
            view::watch(event, &output::style_of(&std::io::stderr()), &mut text)?;
            // A command goes on, whether anybody reads this or not.
            let _ = std::io::stderr().write_all(&text);
        } else {
            output::print(|out| view::watch(event, &style, out))?;
        }
        self.closed = output::is_closed();
        Ok(())
    }

    /// A sweep, and what has changed with it.
    fn leaks(&mut self, watch: &mut Watch) -> anyhow::Result<()> {
        for event in watch.look()? {
            self.write(&WatchEvent::Leak(Box::new(event)))?;
        }
        Ok(())
    }
}
