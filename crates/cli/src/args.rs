//! The command line.

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Who still holds your eBPF objects, why, and how to make them let go.
#[derive(Debug, Parser)]
#[command(name = "lastref", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 answered, nothing found; 1 the condition of --fail-on holds;
2 wrong arguments, no such object, or an error; 3 the question could not be
answered (no privilege, no kernel support), or not in full with --strict.";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List BPF objects: reference counts, who holds them, their state
    Ls(LsArgs),
    /// Account for every reference of one object, what keeps it, how to let it go
    Why(WhyArgs),
    /// Follow handles live, and tell of leaks as they grow
    Watch(WatchArgs),
    /// Say why a process still holds its handles
    Explain(ExplainArgs),
    /// Known leaks, reproduced for real
    Lab(LabArgs),
    /// The process that a lab scenario runs in
    #[command(hide = true)]
    LabChild(LabChildArgs),
}

/// Options that mean the same everywhere.
#[derive(Debug, ClapArgs)]
pub struct Common {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Text, conflicts_with = "json", hide = true)]
    pub format: Format,
    /// Exit with 3 if anything could not be seen
    #[arg(long)]
    pub strict: bool,
}

impl Common {
    pub fn is_json(&self) -> bool {
        self.json || self.format == Format::Json
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
}

#[derive(Debug, ClapArgs)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a switch on the command line"
)]
pub struct LsArgs {
    /// Only this kind of object
    #[arg(value_enum)]
    pub kind: Option<ListKind>,
    /// Only objects that this process holds, directly or through others
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pub pid: Option<u32>,
    /// Only objects whose name matches
    #[arg(long, value_name = "GLOB", value_parser = parse_glob)]
    pub name: Option<glob::Pattern>,
    /// Only objects of this type (hash, kprobe, cgroup …)
    #[arg(long = "type", value_name = "TYPE")]
    pub type_name: Option<String>,
    /// Only objects in this state
    #[arg(long, value_name = "STATE", value_parser = parse_state)]
    pub state: Option<model::State>,
    /// Only objects that nothing but pins keeps: --state orphan-pin
    #[arg(long, conflicts_with = "state")]
    pub orphans: bool,
    /// Only objects with unexplained references
    #[arg(long)]
    pub unexplained: bool,
    /// Only objects held from, or charged to, this cgroup or one below it
    #[arg(long, value_name = "CGROUP")]
    pub cgroup: Option<String>,
    /// Also the objects that lastref made in order to look
    #[arg(long)]
    pub own: bool,
    /// Sort by id, name, type, refs, unexplained, memory or state; without it by
    /// id, or, where alike objects share a line, by memory
    #[arg(long, value_name = "BY")]
    pub sort: Option<view::Sort>,
    /// One line for objects that are alike, also where there are few
    #[arg(long, overrides_with = "no_group")]
    pub group: bool,
    /// One line for each object, however many
    #[arg(long, overrides_with = "group")]
    pub no_group: bool,
    /// List a report of `ls --json` instead of this host; - reads standard input
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// Compare two reports of `ls --json`: what appeared, vanished, changed and grew
    #[arg(long, num_args = 2, value_names = ["BEFORE", "AFTER"], conflicts_with = "from")]
    pub diff: Option<Vec<PathBuf>>,
    /// Exit with 1 if a listed object is an orphan, or has unexplained references; with
    /// --diff, if one is that was not, or if a group grew
    #[arg(long, value_enum, value_name = "CONDITION", value_delimiter = ',')]
    pub fail_on: Vec<FailOn>,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ListKind {
    #[value(alias = "map")]
    Maps,
    #[value(alias = "prog")]
    Progs,
    #[value(alias = "link")]
    Links,
    #[value(alias = "btfs")]
    Btf,
}

impl ListKind {
    /// As on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Maps => "maps",
            Self::Progs => "progs",
            Self::Links => "links",
            Self::Btf => "btf",
        }
    }

    pub fn kind(self) -> model::Kind {
        match self {
            Self::Maps => model::Kind::Map,
            Self::Progs => model::Kind::Prog,
            Self::Links => model::Kind::Link,
            Self::Btf => model::Kind::Btf,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Nothing but pins keeps an object, and nothing is attached
    Orphan,
    /// References that could not be explained, in an account that stands still
    Unexplained,
    /// More objects of a group, or more references of one holder (--diff only)
    Growth,
}

#[derive(Debug, ClapArgs)]
pub struct WhyArgs {
    /// map:17, prog:5, link:3, btf:9, map:NAME, a path in a bpffs, or pid:4242/fd:9
    pub object: String,
    /// Look in a report of `ls --json` instead of on this host; - reads standard input
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// Exit with 1 if it is an orphan, or has unexplained references
    #[arg(long, value_enum, value_name = "CONDITION", value_delimiter = ',')]
    pub fail_on: Vec<FailOn>,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, ClapArgs)]
pub struct WatchArgs {
    /// End after this long (30s, 5m); otherwise at Ctrl-C
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// Only what this process holds
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pub pid: Option<u32>,
    /// Only what is held from this cgroup or one below it
    #[arg(long, value_name = "CGROUP")]
    pub cgroup: Option<String>,
    /// Growth through this long is a leak; before, it is suspected (150s)
    #[arg(long, value_name = "DURATION", value_parser = parse_pause)]
    pub window: Option<Duration>,
    /// Between two sweeps; half of it while something moves. Without it 1s, or more if a sweep takes
    /// long
    #[arg(long, value_name = "DURATION", value_parser = parse_pause)]
    pub interval: Option<Duration>,
    /// Exit with 1 if something grows at the end; of a command, also if a handle was open when a
    /// process of it ended, or if it left objects behind
    #[arg(long, value_enum, value_name = "CONDITION", value_delimiter = ',')]
    pub fail_on: Vec<WatchFailOn>,
    /// Also write what each sweep finds into this file
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Serve numbers for Prometheus at http://ADDRESS:PORT/metrics (:PORT is all addresses), or write
    /// them into a file (with a / in its name, or ending in .prom) after each sweep
    #[arg(long, value_name = "ADDRESS:PORT|FILE", value_parser = parse_target)]
    pub metrics: Option<Target>,
    /// Tell of a recording instead of this host; - reads standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["record", "metrics", "duration", "pid", "cgroup", "command"])]
    pub from: Option<PathBuf>,
    #[command(flatten)]
    pub common: Common,
    /// Run this, and follow it and all that it starts until it ends
    #[arg(last = true, value_name = "COMMAND", conflicts_with_all = ["duration", "pid", "cgroup"])]
    pub command: Vec<std::ffi::OsString>,
}

#[derive(Debug, ClapArgs)]
pub struct ExplainArgs {
    /// The process: its pid here, or in its own pid namespace if that is unique
    #[arg(value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pub pid: u32,
    /// Look for this long, to see what grows; 0 is one look
    #[arg(long = "for", default_value = "2s", value_name = "DURATION", value_parser = parse_duration)]
    pub duration: Duration,
    /// Take growth from a recording of `watch --record`; - reads standard input
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// Where the program allocates, from its own heap profile (/debug/pprof/heap)
    #[arg(long, value_name = "FILE")]
    pub profile: Option<PathBuf>,
    #[command(flatten)]
    pub common: Common,
}

/// Where metrics go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// These addresses, the first that the host has.
    Address(Vec<SocketAddr>),
    /// This file.
    File(PathBuf),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WatchFailOn {
    /// A series grows at the end
    Growth,
    /// A process of the command ended with a handle open
    OpenAtExit,
    /// An object outlives the command, and no process holds it
    LeftBehind,
}

#[derive(Debug, ClapArgs)]
pub struct LabArgs {
    #[command(subcommand)]
    pub command: LabCommand,
}

#[derive(Debug, Subcommand)]
pub enum LabCommand {
    /// List the scenarios
    List(LabListArgs),
    /// Run one: build it, start it, and hold lastref's answer against the truth
    Run(LabRunArgs),
    /// Run all for a moment, and say of each whether lastref is right
    All(LabAllArgs),
    /// Ask every command about every scenario
    Score(LabScoreArgs),
    /// Run one with several values of its parameters, and compare
    Vary(LabVaryArgs),
    /// Remove what could not end with its scenario
    Clean(LabCleanArgs),
}

#[derive(Debug, ClapArgs)]
pub struct LabListArgs {
    /// Only this one, with all that is true of it
    pub name: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
pub struct LabRunArgs {
    /// Which one; `lastref lab list` lists them
    pub scenario: String,
    /// Steps a second; of raw-fd, descriptors
    #[arg(long, default_value_t = 10.0, value_name = "PER_SECOND", value_parser = parse_rate)]
    pub rate: f64,
    /// Stop after this many steps; with --for, stay
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// Have its garbage collector run every so often (5s); otherwise it does when it likes
    #[arg(long, value_name = "EVERY", value_parser = parse_duration)]
    pub gc: Option<Duration>,
    /// End after this long (30s, 5m); otherwise at Ctrl-C
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// Set a parameter of the scenario; may be repeated
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parse_pair)]
    pub parameters: Vec<(String, String)>,
    #[command(flatten)]
    pub build: LabBuildArgs,
    /// Print only what came of it, as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
pub struct LabBuildArgs {
    /// Build with this module of the scenario's list (`lastref lab list NAME`)
    #[arg(long)]
    module: Option<String>,
    /// Build with this release of Go (1.24.6)
    #[arg(long, value_name = "RELEASE")]
    go: Option<String>,
    /// Give `go build` this word (`--build "-ldflags=-s -w"`) or variable (GOEXPERIMENT=…); may be repeated
    #[arg(long = "build", value_name = "WORD", allow_hyphen_values = true)]
    flags: Vec<String>,
}

impl LabBuildArgs {
    /// In the words of the lab.
    pub fn build(&self) -> lab::Build {
        lab::Build {
            module: self.module.clone(),
            go: self.go.clone(),
            flags: self.flags.clone(),
        }
    }
}

#[derive(Debug, ClapArgs)]
pub struct LabAllArgs {
    /// Only scenarios whose name contains this
    pub part: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub struct LabScoreArgs {
    /// Only scenarios whose name contains this
    pub part: Option<String>,
    /// Ask only this command; may be repeated
    #[arg(long = "command", value_name = "COMMAND", value_parser = clap::builder::PossibleValuesParser::new(lab::score::COMMANDS))]
    pub commands: Vec<String>,
    /// Set a parameter of the scenarios; may be repeated
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parse_pair)]
    pub parameters: Vec<(String, String)>,
    #[command(flatten)]
    pub build: LabBuildArgs,
    /// Print JSON
    #[arg(long, conflicts_with = "markdown")]
    pub json: bool,
    /// Print a page of Markdown
    #[arg(long)]
    pub markdown: bool,
}

#[derive(Debug, ClapArgs)]
pub struct LabVaryArgs {
    /// Which one; `lastref lab list NAME` tells its parameters
    pub scenario: String,
    /// A parameter and its values; may be repeated: all combinations are run
    #[arg(long = "vary", required = true, value_name = "NAME=VALUE,VALUE…", value_parser = parse_pair)]
    pub axes: Vec<(String, String)>,
    /// How long each combination runs
    #[arg(long = "for", default_value = "3s", value_name = "DURATION", value_parser = parse_duration)]
    pub duration: Duration,
    /// Draw a picture into this file
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
pub struct LabCleanArgs {
    /// Remove the programs that the lab has built, too
    #[arg(long)]
    pub cache: bool,
}

#[derive(Debug, ClapArgs)]
pub struct LabChildArgs {
    /// For the scenario
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub rest: Vec<std::ffi::OsString>,
}

fn parse_glob(text: &str) -> Result<glob::Pattern, String> {
    glob::Pattern::new(text).map_err(|e| format!("{e}; a glob has *, ? and [abc]"))
}

fn parse_state(text: &str) -> Result<model::State, String> {
    let mut all = model::State::ALL.into_iter();
    all.find(|s| s.as_str() == text).ok_or_else(|| {
        let names = model::State::ALL.map(model::State::as_str).join(", ");
        format!("expected one of {names}")
    })
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1e6 => Ok(rate),
        _ => Err("expected a number above 0, at most 1000000".into()),
    }
}

/// `30s`, `5m`, `2h`, `500ms`; a bare number is seconds.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("expected a duration such as 500ms, 30s, 5m or 2h".into()),
    };
    let number: f64 = number
        .parse()
        .map_err(|_| "expected a duration such as 30s".to_owned())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|e| e.to_string())
}

/// `127.0.0.1:9435`, `[::1]:9435`, `:9435`; what has a `/` or ends in `.prom` is a file. No name of a
/// host: looking one up would ask somebody else where to listen.
fn parse_target(text: &str) -> Result<Target, String> {
    if text.contains('/') || Path::new(text).extension().is_some_and(|e| e == "prom") {
        return Ok(Target::File(text.into()));
    }
    if let Some(port) = text.strip_prefix(':').and_then(|port| port.parse().ok()) {
        // The first takes IPv4, too, on a host that has both.
        let all: [SocketAddr; 2] = [
            (Ipv6Addr::UNSPECIFIED, port).into(),
            (Ipv4Addr::UNSPECIFIED, port).into(),
        ];
        return Ok(Target::Address(all.into()));
    }
    let address = text.parse();
    address.map(|address| Target::Address(vec![address])).map_err(|_| {
        "expected an address with a port (127.0.0.1:9435, [::1]:9435, :9435 for all), or a file with \
         a / in its name or ending in .prom"
            .into()
    })
}

/// A duration that is not nothing.
fn parse_pause(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        duration if duration < Duration::from_millis(10) => Err("at least 10ms".into()),
        duration => Ok(duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory as _;
        Args::command().debug_assert();
    }

    #[test]
    fn metrics_go_to_an_address_or_a_file() {
        let address = |text: &str| match parse_target(text) {
            Ok(Target::Address(all)) => all.iter().map(ToString::to_string).collect(),
            other => vec![format!("{other:?}")],
        };
        assert_eq!(address("127.0.0.1:9435"), ["127.0.0.1:9435"]);
        assert_eq!(address("[::1]:0"), ["[::1]:0"]);
        assert_eq!(address(":9435"), ["[::]:9435", "0.0.0.0:9435"]);
        for file in ["/a/b", "./9435", "a.prom", ":9.prom"] {
            assert_eq!(parse_target(file), Ok(Target::File(file.into())));
        }
        for bad in [
            "",
            "metrics",
            "9435",
            ":",
            ":70000",
            "::1:9435",
            "localhost:9435",
        ] {
            assert!(parse_target(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(parse_duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        for bad in [
            "",
            "s",
            "-1s",
            "1d",
            "1e400",
            "1..2s",
            "9999999999999999999999h",
        ] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
