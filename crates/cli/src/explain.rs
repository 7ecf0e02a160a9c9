//! `lastref explain`

use crate::args::ExplainArgs;
use crate::exit::{self, Answer, Usage};
use crate::{from, output};
use model::{ExplainReport, Leak};
use session::{
    ExplainError, ExplainOptions, Explained, GivenProfile, ProfiledStack, RecordedSweeps,
};
use std::io::IsTerminal as _;
use std::path::Path;
use std::time::Duration;

/// A look that takes longer says so.
const LONG: Duration = Duration::from_secs(5);

pub fn run(args: &ExplainArgs) -> anyhow::Result<Answer> {
    let options = ExplainOptions {
        duration: args.duration,
        recording: args.from.as_deref().map(recording).transpose()?,
        profile: args.profile.as_deref().map(profile).transpose()?,
    };
    if args.duration >= LONG && std::io::stderr().is_terminal() {
        let time = view::units::duration(args.duration.as_secs_f64());
        eprintln!("lastref: looking for {time}");
    }
    let Explained { report, rest } = match session::explain(args.pid, options) {
        Ok(explained) => explained,
        Err(ExplainError::Sweep(error)) => return Err(error.into()),
        Err(error @ ExplainError::OtherProfile { .. }) => {
            let file = args.profile.as_deref().map(from::name).unwrap_or_default();
            return Err(Usage(format!("{file}: {error}")).into());
        }
        Err(error) => return Err(Usage(error.to_string()).into()),
    };
    if args.common.is_json() {
        output::json(&report)?;
    } else {
        output::print(|out| view::explain(&report, &output::style(), out))?;
    }
    exit::leave(rest);
    let leaks = report.groups.iter().any(|group| group.leak == Leak::Yes);
    Ok(Answer::of(args.common.strict && is_partial(&report), leaks))
}

fn is_partial(report: &ExplainReport) -> bool {
    !report.cannot_see.is_empty()
}

/// Growth as a watch recorded it, and its window.
fn recording(file: &Path) -> anyhow::Result<RecordedSweeps> {
    let recording = from::parsed(file, record::recording)?;
    if let Some(why) = recording.cut {
        eprintln!("lastref: {}: cut off: {why}", from::name(file));
    }
    Ok(RecordedSweeps {
        sweeps: recording.sweeps,
        window: recording.start.window_seconds,
        boot_id: recording.start.boot_id,
    })
}

/// A heap profile that somebody took.
fn profile(file: &Path) -> anyhow::Result<GivenProfile> {
    let profile = from::parsed(file, record::heap_profile)?;
    let stacks = profile.stacks.into_iter().map(|stack| ProfiledStack {
        objects: stack.in_use_objects,
        bytes: stack.in_use_bytes,
        site: stack.site,
    });
    Ok(GivenProfile {
        stacks: stacks.collect(),
        executable: profile.executable,
        build_id: profile.build_id,
        taken: profile.taken,
    })
}
