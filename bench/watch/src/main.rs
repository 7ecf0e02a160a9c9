//! Measures, on this host and in one run:
//!
//! - a system call of another program with nothing, `lastref watch` and bpftrace beside ([`tax`]);
//! - what a watch of 10,000 handles takes itself;
//! - how soon it tells of a leak of one handle a second;
//! - what it makes of 20,000 acquisitions a second.
//!
//! `LASTREF_BIN` names the built program. Nothing stays behind.

mod results;
mod table;
mod tax;
mod watcher;
mod work;

use anyhow::Result;
use bench_sweep::crowd::{self, Crowd, Size};
use bench_sweep::holders::{self, Holders, Maps};
use bench_sweep::host::{self, Host};
use bench_sweep::measure::monotonic;
use bench_sweep::results::write;
use clap::{Parser, Subcommand};
use results::{Churn, Cost, Results, Told};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::NamedTempFile;
use watcher::Lastref;
use work::{Churner, How, Leaker};

#[derive(Parser)]
#[command(about = "What lastref watch costs, and how soon it tells")]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// Folder for the results; without it they are printed only.
    #[arg(long)]
    out: Option<PathBuf>,
    /// A short run, to see that it works. The figures mean nothing.
    #[arg(long)]
    smoke: bool,
    /// A sentence to keep with the results; may be given again.
    #[arg(long)]
    note: Vec<String>,
}

/// What this program is when it runs itself.
#[derive(Subcommand)]
#[command(hide = true)]
enum Part {
    /// Holds descriptors on a few maps.
    Hold {
        parent: u32,
        count: usize,
        ids: String,
    },
    /// Makes processes that hold maps of their own.
    Crowd {
        parent: u32,
        processes: u64,
        maps: u64,
        files: u64,
    },
    /// Leaks one handle a second.
    Leak { parent: u32, how: How },
    /// Acquires and releases.
    Churn {
        parent: u32,
        how: How,
        per_second: u64,
    },
}

/// How much is measured.
struct Plan {
    tax_rounds: u32,
    tax_block: Duration,
    cost_runs: u32,
    cost_for: Duration,
    handles: u64,
    suspected_rounds: u32,
    yes_rounds: u32,
    /// Given to the watch; its own if none.
    window: Option<Duration>,
    churn_for: Duration,
    churn_per_second: u64,
}

const FULL: Plan = Plan {
    tax_rounds: 21,
    // A sweep and more falls into each.
    tax_block: Duration::from_millis(1_200),
    cost_runs: 3,
    cost_for: Duration::from_secs(30),
    handles: 10_000,
    suspected_rounds: 10,
    yes_rounds: 4,
    window: None,
    churn_for: Duration::from_secs(60),
    churn_per_second: 20_000,
};

const SMOKE: Plan = Plan {
    tax_rounds: 1,
    tax_block: Duration::from_millis(100),
    cost_runs: 1,
    cost_for: Duration::from_secs(2),
    handles: 100,
    suspected_rounds: 1,
    yes_rounds: 1,
    window: Some(Duration::from_secs(6)),
    churn_for: Duration::from_secs(2),
    churn_per_second: 2_000,
};

/// Leaks, and the seconds between two sweeps while nothing moves. Of two, one is left once
/// something does: the pace of the goal.
const LEAKS: [(How, u32); 4] = [
    (How::ById, 1),
    (How::NewMap, 1),
    (How::Dup, 1),
    (How::ById, 2),
];

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.part {
        Some(Part::Hold { parent, count, ids }) => holders::hold(parent, count, &ids),
        Some(Part::Crowd {
            parent,
            processes,
            maps,
            files,
        }) => {
            let size = Size {
                processes,
                maps,
                files,
            };
            crowd::run(parent, size)
        }
        Some(Part::Leak { parent, how }) => work::leak(parent, how),
        Some(Part::Churn {
            parent,
            how,
            per_second,
        }) => work::churn(parent, how, per_second),
        None => measure_all(&arguments),
    }
}

fn measure_all(arguments: &Arguments) -> Result<()> {
    let plan = if arguments.smoke { SMOKE } else { FULL };
    let lastref =
        std::env::var_os("LASTREF_BIN").unwrap_or_else(|| "target/release/lastref".into());
    let lastref = Lastref(PathBuf::from(lastref));
    let mut results = Results {
        schema: "lastref.bench-watch/0",
        date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
        host: Host::read(&mut lastref.command(&[])),
        bpftrace: bpftrace_version(),
        load_before: host::load(),
        load_after: None,
        notes: arguments.note.clone(),
        tax: Vec::new(),
        tax_sweeps: 0,
        cost: Vec::new(),
        told: Vec::new(),
        churn: Vec::new(),
    };
    eprintln!("system calls of others");
    let bpftrace = results.bpftrace.is_some();
    if !bpftrace {
        let note = "bpftrace is not installed, and was not measured.";
        results.notes.push(note.into());
    }
    (results.tax, results.tax_sweeps) =
        tax::measure(&lastref, bpftrace, plan.tax_rounds, plan.tax_block)?;
    eprintln!("the watch itself");
    results.cost = cost(&lastref, &plan)?;
    eprintln!("a leak of one handle a second");
    for (how, interval) in LEAKS {
        for round in 0..plan.suspected_rounds {
            let phase = f64::from(round) / f64::from(plan.suspected_rounds);
            let told = suspected(&lastref, how, interval, phase)?;
            results.told.push(told);
        }
    }
    results.told.extend(certain(&lastref, &plan)?);
    eprintln!("many acquisitions");
    for how in [How::ById, How::Dup, How::NewMap] {
        results.churn.push(churn(&lastref, &plan, how)?);
    }
    results.load_after = host::load();
    let table = table::markdown(&results);
    println!("{table}");
    if let Some(folder) = &arguments.out {
        let name = format!("watch-{}-{}", results.date, results.host.kernel);
        write(folder, &name, &results, &table)?;
    }
    Ok(())
}

fn bpftrace_version() -> Option<String> {
    let output = Command::new("bpftrace").arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().next().map(str::to_owned)
}

/// 10,000 handles of one process, on 10 maps and on as many as there are handles.
fn cost(lastref: &Lastref, plan: &Plan) -> Result<Vec<Cost>> {
    let mut all = Vec::new();
    {
        let maps = Maps::create()?;
        let _holders = Holders::start(&maps, 1, plan.handles)?;
        for _ in 0..plan.cost_runs {
            all.push(quiet(lastref, plan, maps.ids.len() as u64)?);
        }
    }
    let _crowd = Crowd::start(Size {
        processes: 1,
        maps: plan.handles,
        files: 0,
    })?;
    for _ in 0..plan.cost_runs {
        all.push(quiet(lastref, plan, plan.handles)?);
    }
    Ok(all)
}

/// One watch while nothing moves.
fn quiet(lastref: &Lastref, plan: &Plan, maps: u64) -> Result<Cost> {
    // What was made or released just now is over.
    thread::sleep(Duration::from_secs(1));
    let watcher = lastref.watch(&[])?;
    thread::sleep(Duration::from_secs(1));
    let (begun, before) = (Instant::now(), watcher.processor_seconds()?);
    thread::sleep(plan.cost_for);
    let proc_seconds = begun.elapsed().as_secs_f64();
    let proc_cpu_seconds = watcher.processor_seconds()? - before;
    let memory_kib = watcher.memory_kib()?;
    Ok(Cost {
        maps,
        handles: plan.handles,
        proc_cpu_seconds,
        proc_seconds,
        memory_kib,
        summary: watcher.stop()?.1,
    })
}

/// A leak that begins at this part of a second, under a watch of the whole host.
fn suspected(lastref: &Lastref, how: How, interval: u32, phase: f64) -> Result<Told> {
    let mut leaker = Leaker::start(how)?;
    let record = NamedTempFile::new()?;
    let (pace, path) = (format!("{interval}s"), record.path().to_string_lossy());
    let watcher = lastref.watch(&["--interval", &pace, "--record", &path])?;
    thread::sleep(Duration::from_secs_f64(3.0 + phase));
    let first = leaker.begin()?;
    let longest = Duration::from_secs(30);
    let told = watcher.wait_for(leaker.pid(), "suspected", longest)?;
    watcher.stop()?;
    told_of(how, interval, "suspected", &leaker, first, told, &record)
}

/// Leaks that go on through the window, each under a watch of its own, at once.
fn certain(lastref: &Lastref, plan: &Plan) -> Result<Vec<Told>> {
    const HOW: How = How::ById;
    let window = plan.window.map(|window| format!("{}s", window.as_secs()));
    let mut running = Vec::new();
    for _ in 0..plan.yes_rounds {
        let mut leaker = Leaker::start(HOW)?;
        let record = NamedTempFile::new()?;
        let (pid, path) = (leaker.pid().to_string(), record.path().to_string_lossy());
        let mut arguments = vec!["--pid", &pid, "--record", &path];
        arguments.extend(
            window
                .iter()
                .flat_map(|window| ["--window", window.as_str()]),
        );
        let watcher = lastref.watch(&arguments)?;
        thread::sleep(Duration::from_millis(1_250));
        let first = leaker.begin()?;
        drop(path);
        running.push((leaker, record, watcher, first));
    }
    let mut all = Vec::new();
    for (leaker, record, watcher, first) in running {
        let told = watcher.wait_for(leaker.pid(), "yes", Duration::from_secs(200))?;
        watcher.stop()?;
        all.push(told_of(HOW, 1, "yes", &leaker, first, told, &record)?);
    }
    Ok(all)
}

fn told_of(
    how: How,
    interval: u32,
    what: &'static str,
    leaker: &Leaker,
    first: u64,
    told: Option<(u64, watcher::Said)>,
    record: &NamedTempFile,
) -> Result<Told> {
    let sweeps = watcher::recorded(record.path())?;
    // The first sweep of all finds what was there before.
    let since = sweeps.iter().skip(1);
    let since = since.skip_while(|sweep| !sweep.is_news_of(leaker.pid()));
    let until = |t: f64| since.take_while(move |sweep| sweep.t <= t).count() as u64;
    Ok(Told {
        how,
        interval,
        what,
        seconds: told
            .as_ref()
            .map(|(at, _)| at.saturating_sub(first) as f64 / 1e9),
        sweeps: told.map(|(_, said)| until(said.t)),
    })
}

/// Very many acquisitions and releases, under a watch of the whole host.
fn churn(lastref: &Lastref, plan: &Plan, how: How) -> Result<Churn> {
    let mut churner = Churner::start(how, plan.churn_per_second)?;
    let record = NamedTempFile::new()?;
    let watcher = lastref.watch(&["--record", &record.path().to_string_lossy()])?;
    let begun = monotonic();
    let pid = churner.pid();
    churner.begin()?;
    let mut rss_kib = Vec::new();
    for _ in 0..plan.churn_for.as_secs() {
        thread::sleep(Duration::from_secs(1));
        rss_kib.push(watcher.memory_kib()?.now);
    }
    let true_acquired = churner.end()?;
    let seconds = (monotonic() - begun) as f64 / 1e9;
    // So that a sweep sees the end.
    thread::sleep(Duration::from_secs(2));
    let (said, summary) = watcher.stop()?;
    let sweeps = watcher::recorded(record.path())?;
    let moved = sweeps.iter().skip(1).map(|sweep| sweep.moved(pid));
    let (acquired, released) = moved.fold((0, 0), |(a, r), m| (a + m.0, r + m.1));
    Ok(Churn {
        how,
        seconds,
        true_acquired,
        acquired,
        released,
        said: said
            .iter()
            .filter(|leak| leak.is_of(pid))
            .map(|leak| format!("{} ({})", leak.state, leak.leak))
            .collect(),
        rss_kib,
        summary,
    })
}
