//! Measures, on this host and in one run, on Go programs with many handles and heaps of several sizes:
//!
//! - from opening the memory of such a process to verdicts, step by step;
//! - the whole command, with one look and with two seconds of them;
//! - for how long the process is kept from running meanwhile, beside when nobody looks;
//! - the same of goref, viewcore and delve, if they are there.
//!
//! `LASTREF_BIN` names the built program. Nothing stays behind.

mod peers;
mod results;
mod table;
mod target;

use anyhow::{Context as _, Result, ensure};
use bench_sweep::host::{self, Host};
use bench_sweep::measure::{self, elapsed};
use bench_sweep::part::raise_descriptors;
use bench_sweep::results::write;
use clap::Parser;
use model::ExplainReport;
use results::{Results, Scene, Steps};
use session::{ExplainOptions, Step};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
use target::{Programs, Target};

#[derive(Parser)]
#[command(about = "What lastref explain takes, and whether the process it looks at feels it")]
struct Arguments {
    /// Folder for the results; without it they are printed only.
    #[arg(long)]
    out: Option<PathBuf>,
    /// A short run, to see that it works. The figures mean nothing.
    #[arg(long)]
    smoke: bool,
    /// Without goref, viewcore and delve.
    #[arg(long)]
    no_peers: bool,
    /// A sentence to keep with the results; may be given again.
    #[arg(long)]
    note: Vec<String>,
}

/// How much is measured.
struct Plan {
    handles: u64,
    few_maps: u64,
    heaps_mib: &'static [u64],
    rounds: u32,
    /// Of the command that looks for [`LOOKING`].
    long_rounds: u32,
    /// Windows in which gaps are looked for.
    gap_rounds: u32,
}

const FULL: Plan = Plan {
    handles: 10_000,
    few_maps: 10,
    heaps_mib: &[16, 256, 1024],
    rounds: 25,
    long_rounds: 5,
    gap_rounds: 20,
};

const SMOKE: Plan = Plan {
    handles: 100,
    few_maps: 10,
    heaps_mib: &[1, 2],
    rounds: 2,
    long_rounds: 1,
    gap_rounds: 2,
};

/// As long as `lastref explain` looks unless it is told otherwise.
pub const LOOKING: Duration = Duration::from_secs(2);

/// Module files of the lab, and what is measured with each.
const NEWEST: &str = "ebpf-v0.22.0";
const FINALIZERS: &str = "ebpf-v0.19.0";

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let plan = if arguments.smoke { SMOKE } else { FULL };
    raise_descriptors()?;
    let lastref =
        std::env::var_os("LASTREF_BIN").unwrap_or_else(|| "target/release/lastref".into());
    let lastref = PathBuf::from(lastref);
    let programs = Programs::build(&[NEWEST, FINALIZERS])?;
    let mut results = Results {
        schema: "lastref.bench-explain/0",
        date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
        host: Host::read(&mut Command::new(&lastref)),
        load_before: host::load(),
        load_after: None,
        notes: arguments.note.clone(),
        scenes: Vec::new(),
        peers: Vec::new(),
    };
    let peers = if arguments.no_peers {
        vec![]
    } else {
        peers::found(&mut results.notes)
    };
    let middle = plan.heaps_mib[plan.heaps_mib.len() / 2];
    let heaps = plan.heaps_mib.iter();
    let mut scenes: Vec<(&str, u64, u64)> =
        heaps.map(|&heap| (NEWEST, plan.handles, heap)).collect();
    scenes.push((NEWEST, plan.few_maps, middle));
    scenes.push((FINALIZERS, plan.handles, middle));
    for (at, &(module, maps, heap_mib)) in scenes.iter().enumerate() {
        eprintln!("{module}, {maps} maps, {heap_mib} MiB");
        let mut target = programs.start(module, plan.handles, maps, heap_mib)?;
        let scene = scene(&lastref, &plan, &mut target)?;
        results.scenes.push(scene);
        // Those of the newest library, with each heap.
        if at < plan.heaps_mib.len() {
            for peer in &peers {
                eprintln!("  {}", peer.name());
                results.peers.extend(peer.measure(&mut target)?);
            }
        }
    }
    results.load_after = host::load();
    let table = table::markdown(&results);
    println!("{table}");
    if let Some(folder) = &arguments.out {
        let name = format!("explain-{}-{}", results.date, results.host.kernel);
        write(folder, &name, &results, &table)?;
    }
    Ok(())
}

fn scene(lastref: &PathBuf, plan: &Plan, target: &mut Target) -> Result<Scene> {
    // What was made just now is over: the kernel's accounts stand still.
    thread::sleep(Duration::from_secs(1));
    let pid = target.pid();
    let command = |duration: &str| {
        let mut command = Command::new(lastref);
        command.args(["explain", &pid.to_string(), "--for", duration, "--json"]);
        command
    };
    let mut steps = Vec::new();
    let mut said = String::new();
    for _ in 0..plan.rounds {
        let (taken, report) = in_steps(pid)?;
        said = verdicts(&report, plan.handles)?;
        steps.push(taken);
    }
    let costs = |duration: &'static str, rounds: u32| {
        let runs = (0..rounds).map(|_| measure::command(&mut command(duration)));
        runs.collect::<Result<Vec<_>>>()
    };
    let one_look = costs("0", plan.rounds)?;
    let looks = costs("2s", plan.long_rounds)?;
    let mut scene = Scene {
        library: target.module().into(),
        handles: plan.handles,
        maps: target.maps(),
        heap_mib: target.heap_mib(),
        resident_kib: target.resident_kib()?,
        said,
        steps,
        one_look,
        looks,
        gaps_alone_ns: Vec::new(),
        gaps_explained_ns: Vec::new(),
    };
    for _ in 0..plan.gap_rounds {
        // As long alone as with somebody who looks.
        let begun = Instant::now();
        let (gap, cost) = target.gap(|| measure::command(&mut command("0")))?;
        cost?;
        let window = begun.elapsed();
        scene.gaps_explained_ns.push(gap);
        let (gap, ()) = target.gap(|| thread::sleep(window))?;
        scene.gaps_alone_ns.push(gap);
    }
    Ok(scene)
}

/// One look from this program: what `lastref explain` does, with a clock at each step.
fn in_steps(pid: u32) -> Result<(Steps, ExplainReport)> {
    let begun = Instant::now();
    let mut at = Vec::new();
    let explained = session::explain_in_steps(pid, ExplainOptions::default(), &mut |step| {
        at.push((step, elapsed(begun)));
    })?;
    let of = |wanted: Step| {
        at.iter()
            .filter(move |(step, _)| *step == wanted)
            .map(|(_, at)| at)
    };
    let listed: u64 = of(Step::Relisted).sum::<u64>() - of(Step::Interrupted).sum::<u64>();
    let mut last = 0;
    let mut taken = |wanted: Step| {
        let (_, now) = at
            .iter()
            .find(|(step, _)| *step == wanted)
            .context("a step is missing")?;
        let took = now - last;
        last = *now;
        Ok::<_, anyhow::Error>(took)
    };
    let steps = Steps {
        loaded_ns: taken(Step::Loaded)?,
        described_ns: taken(Step::Described)?,
        counted_ns: taken(Step::Counted)?,
        found_ns: taken(Step::Found)?,
        owned_ns: taken(Step::Owned)? - listed,
        listed_ns: listed,
        judged_ns: taken(Step::Judged)?,
    };
    Ok((steps, explained.report))
}

/// What is said of how many handles. All must have an owner, or the figures are of something else.
fn verdicts(report: &ExplainReport, handles: u64) -> Result<String> {
    let owned = report.groups.iter().filter(|group| group.owner.is_some());
    let owned: u64 = owned.map(|group| group.count).sum();
    ensure!(
        owned == handles,
        "{owned} of {handles} handles have an owner"
    );
    let all = report.groups.iter();
    let words = all.map(|group| format!("{} {}", group.count, group.verdict.as_str()));
    let mut words: Vec<String> = words.collect();
    words.truncate(4);
    Ok(words.join(", "))
}
