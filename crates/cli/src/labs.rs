//! `lastref lab`

use crate::args::{LabArgs, LabChildArgs, LabCommand, LabRunArgs};
use crate::exit::{Answer, Usage};
use crate::output;
use std::io::{self, IsTerminal as _, Write as _};

pub fn run(args: &LabArgs) -> anyhow::Result<Answer> {
    match &args.command {
        LabCommand::List => list(),
        LabCommand::Run(args) => run_one(args),
    }
}

/// The process that a scenario runs in; does not return.
pub fn child(args: &LabChildArgs) -> anyhow::Result<Answer> {
    lab::child_main(args.rest.clone())
}

fn list() -> anyhow::Result<Answer> {
    let mut out = output::stdout();
    for scenario in lab::list() {
        writeln!(out, "{:<10}  {}", scenario.name, scenario.title).map_err(output::write_error)?;
        writeln!(out, "{:<10}  {}", "", scenario.shows).map_err(output::write_error)?;
    }
    output::finish(out)?;
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
    let outcome = lab::run_raw_fd(&options, &mut io::stdout())?;
    Ok(if outcome.gone {
        Answer::Clean
    } else {
        Answer::Found
    })
}
