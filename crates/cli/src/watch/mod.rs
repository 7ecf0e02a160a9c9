//! `lastref watch`

mod command;
mod metrics;
mod signals;

use crate::args::{WatchArgs, WatchFailOn};
use crate::exit::{Answer, Usage};
use crate::{filter, from, output};
use anyhow::Context as _;
use metrics::Metrics;
use model::{Holder, SweepSample, WatchEvent, WatchStart, WatchSummary};
use session::{Keep, Replay, Sweeper, Watch, WatchOptions};
use signals::{Signals, Woken};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

pub fn run(args: &WatchArgs) -> anyhow::Result<Answer> {
    if let Some(cgroup) = &args.cgroup {
        filter::check_cgroup(cgroup)?;
    }
    if let Some(file) = &args.from {
        return replay(args, file);
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
    let mut out = Lines::new(args, false)?;
    let mut signals = Signals::hold()?;
    let begun = Instant::now();
    let (mut watch, start, sample) = Watch::begin(sweeper, options(args), keep(args))?;
    let mut partial = !start.cannot_see.is_empty();
    out.begin(start, &sample, &watch)?;
    let end = args
        .duration
        .and_then(|duration| begun.checked_add(duration));
    while !out.closed {
        let next = Instant::now() + watch.pause();
        let until = end.map_or(next, |end| end.min(next));
        match signals.wait(until, &[])? {
            Woken::Time => out.leaks(&mut watch)?,
            // A signal; or nobody reads any more.
            Woken::Signal(_) | Woken::Readable => break,
        }
        if end.is_some_and(|end| Instant::now() >= end) {
            break;
        }
    }
    let summary = watch.summary();
    partial |= !summary.cannot_see.is_empty();
    let leaks = summary.leaks > 0;
    out.end(summary)?;
    let found = leaks && args.fail_on.contains(&WatchFailOn::Growth);
    Ok(Answer::of(partial && args.common.strict, found))
}

/// A recording, told as it was live.
fn replay(args: &WatchArgs, file: &Path) -> anyhow::Result<Answer> {
    let recording = from::parsed(file, record::recording)?;
    let mut start = recording.start;
    if let Some(window) = args.window {
        start.window_seconds = window.as_secs_f64();
    }
    let mut replay = Replay::new(start.window_seconds);
    let mut out = Lines::new(args, false)?;
    let mut partial = !start.cannot_see.is_empty() || recording.cut.is_some();
    out.write(&WatchEvent::Start(Box::new(start)))?;
    for sweep in &recording.sweeps {
        for event in replay.sweep(sweep) {
            out.write(&WatchEvent::Leak(Box::new(event)))?;
        }
    }
    let summary = replay.summary(recording.summary.as_ref());
    if let Some(why) = recording.cut {
        eprintln!("lastref: {}: cut off: {why}", from::name(file));
    } else if recording.summary.is_none() {
        eprintln!("lastref: {}: cut off: it has no end", from::name(file));
    }
    partial |= !summary.cannot_see.is_empty() || recording.summary.is_none();
    let found = summary.leaks > 0 && args.fail_on.contains(&WatchFailOn::Growth);
    out.write(&WatchEvent::Summary(Box::new(summary)))?;
    Ok(Answer::of(partial && args.common.strict, found))
}

fn options(args: &WatchArgs) -> WatchOptions {
    let usual = WatchOptions::default();
    WatchOptions {
        window: args.window.unwrap_or(usual.window),
        interval: args.interval,
        metrics: args.metrics.is_some(),
    }
}

fn keep(args: &WatchArgs) -> Keep {
    let (pid, cgroup) = (args.pid, args.cgroup.clone());
    Box::new(move |_, holder| is_asked_for(holder, pid, cgroup.as_deref()))
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
    /// What is recorded goes here, by this name.
    record: Option<(File, String)>,
    metrics: Option<Metrics>,
}

impl Lines {
    fn new(args: &WatchArgs, aside: bool) -> anyhow::Result<Self> {
        let record = args.record.as_ref().map(|file| {
            let name = file.display().to_string();
            let file = File::create(file).map_err(|error| Usage(format!("{name}: {error}")))?;
            Ok::<_, Usage>((file, name))
        });
        Ok(Self {
            json: args.common.is_json(),
            aside,
            closed: false,
            record: record.transpose()?,
            metrics: args.metrics.as_ref().map(Metrics::open).transpose()?,
        })
    }

    fn begin(
        &mut self,
        start: WatchStart,
        first: &SweepSample,
        watch: &Watch,
    ) -> anyhow::Result<()> {
        self.record(|| record::first_line(&start))?;
        self.record(|| record::sweep_line(first))?;
        self.measure(watch)?;
        self.write(&WatchEvent::Start(Box::new(start)))
    }

    fn end(&mut self, summary: WatchSummary) -> anyhow::Result<()> {
        self.record(|| record::last_line(&summary))?;
        self.write(&WatchEvent::Summary(Box::new(summary)))
    }

    /// Each line is written at once: what is killed has recorded what it has seen.
    fn record(&mut self, line: impl FnOnce() -> String) -> anyhow::Result<()> {
        if let Some((file, name)) = &mut self.record {
            let written = file.write_all(line().as_bytes());
            written.with_context(|| format!("{name} cannot be written"))?;
        }
        Ok(())
    }

    /// The numbers after a sweep.
    fn measure(&mut self, watch: &Watch) -> anyhow::Result<()> {
        match &mut self.metrics {
            Some(metrics) => metrics.publish(watch),
            None => Ok(()),
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
        let Some((sample, events)) = watch.look()? else {
            return self.measure(watch);
        };
        self.record(|| record::sweep_line(&sample))?;
        for event in events {
            self.write(&WatchEvent::Leak(Box::new(event)))?;
        }
        self.measure(watch)
    }
}
