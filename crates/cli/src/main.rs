//! lastref: who still holds your eBPF objects, why, and how to make them let go.
//!
//! The program is thin: arguments in, exit codes out. `docs/exit-codes.md` has
//! the table of the latter.

mod args;
mod diff;
mod exit;
mod explain;
mod fail;
mod filter;
mod from;
mod labs;
mod ls;
mod output;
mod watch;
mod why;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => return exit::usage(&error),
    };
    let answer = match args.command {
        args::Command::Ls(args) => ls::run(&args),
        args::Command::Why(args) => why::run(&args),
        args::Command::Watch(args) => watch::run(&args),
        args::Command::Explain(args) => explain::run(&args),
        args::Command::Lab(args) => labs::run(&args),
        args::Command::LabChild(args) => labs::child(&args),
    };
    exit::report(answer)
}
