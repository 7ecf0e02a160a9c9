//! `lastref lab`

use crate::args::{LabArgs, LabChildArgs, LabCommand, LabListArgs, LabRunArgs};
use crate::exit::{Answer, Usage};
use crate::output;
use serde_json::json;
use std::io::{self, IsTerminal as _, Write as _};

pub fn run(args: &LabArgs) -> anyhow::Result<Answer> {
    match &args.command {
        LabCommand::List(args) => list(args),
        LabCommand::Run(args) => run_one(args),
    }
}

/// The process that a scenario runs in; does not return.
pub fn child(args: &LabChildArgs) -> anyhow::Result<Answer> {
    lab::child_main(args.rest.clone())
}

fn list(args: &LabListArgs) -> anyhow::Result<Answer> {
    if args.json {
        let all = lab::list().iter();
        let all = all.map(|s| json!({"name": s.name, "title": s.title, "shows": s.shows}));
        output::json(
            &json!({"schema": "lastref.lab-list/0", "scenarios": all.collect::<Vec<_>>()}),
        )?;
        return Ok(Answer::Clean);
    }
    output::print(|out| {
        let width = output::style().width;
        for scenario in lab::list() {
            writeln!(out, "{}", scenario.name)?;
            for text in [scenario.title, scenario.shows] {
                view::paragraph(text, "    ", width, out)?;
            }
        }
        Ok(())
    })?;
    Ok(Answer::Clean)
}

fn run_one(args: &LabRunArgs) -> anyhow::Result<Answer> {
    if args.scenario != "raw-fd" {
        let known: Vec<_> = lab::list().iter().map(|s| s.name).collect();
        let message = format!(
            "no scenario `{}`; there is {}",
            args.scenario,
            known.join(", ")
        );
        return Err(Usage(message).into());
    }
    let options = lab::RawFd {
        rate: args.rate,
        count: args.count,
        duration: args.duration,
        in_place: io::stdout().is_terminal(),
        ..Default::default()
    };
    if args.json {
        let outcome = lab::run_raw_fd(&options, &mut io::sink())?;
        output::json(&json!({
            "schema": "lastref.lab-run/0",
            "scenario": args.scenario,
            "leaked": outcome.leaked,
            "object": format!("map:{}", outcome.map_id),
            "gone": outcome.gone,
        }))?;
        return Ok(answer(outcome.gone));
    }
    let mut out = view::Wrapped::new(io::stdout(), output::style().width);
    let outcome = lab::run_raw_fd(&options, &mut out)?;
    Ok(answer(outcome.gone))
}

/// The scenario's truth: when its process is gone, so is the map.
fn answer(gone: bool) -> Answer {
    if gone { Answer::Clean } else { Answer::Found }
}
