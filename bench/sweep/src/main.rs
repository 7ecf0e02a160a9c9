//! Measures what a sweep of lastref costs on this host, beside a bare iterator pass, a
//! `/proc` walk, bpftool and lsof, with up to 100,000 extra BPF descriptors.
//!
//! Everything is measured in one run, the peers in turn, so that what else the host does
//! falls on all of them. `LASTREF_BIN` names the built program. Nothing stays behind, however the run ends: see `holders`.

use anyhow::{Context as _, Result};
use bench_sweep::holders::{self, Holders, Maps};
use bench_sweep::host::{self, Host};
use bench_sweep::peers::{Peer, Runner};
use bench_sweep::results::{FirstByte, Results, Sample, Span, write};
use bench_sweep::{btf, measure, table, verifier, walk};
use clap::{Parser, Subcommand};
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

#[derive(Parser)]
#[command(about = "What a sweep of lastref costs, beside its peers")]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// Folder for the results; without it they are printed only.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Few descriptors and few runs, to see that it works. The figures mean nothing.
    #[arg(long)]
    smoke: bool,
    /// A sentence to keep with the results; may be given again.
    #[arg(long)]
    note: Vec<String>,
}

/// What this program is when it runs itself.
#[derive(Subcommand)]
enum Part {
    /// Holds descriptors until it is killed.
    #[command(hide = true)]
    Hold {
        parent: u32,
        count: usize,
        ids: String,
    },
    /// Walks /proc once and prints how many descriptors it found.
    #[command(hide = true)]
    Walk,
    /// Prints the type id of a kernel function. Apart, as reading the kernel's BTF would
    /// raise the peak memory that commands inherit.
    #[command(hide = true)]
    BtfId { function: String },
}

/// How much is measured.
struct Plan {
    /// Extra descriptors.
    points: &'static [u64],
    span: Span,
    rounds: u32,
    /// Runs of a fast peer in a round; of a slow one there is one.
    fast_runs: u32,
    first_byte_runs: u32,
}

const FULL: Plan = Plan {
    points: &[0, 100, 1_000, 10_000, 100_000],
    span: Span {
        from: 1_000,
        to: 100_000,
    },
    rounds: 5,
    fast_runs: 5,
    first_byte_runs: 30,
};

const SMOKE: Plan = Plan {
    points: &[0, 100, 1_000],
    span: Span {
        from: 100,
        to: 1_000,
    },
    rounds: 1,
    fast_runs: 2,
    first_byte_runs: 2,
};

/// A slow peer is left out where a run is bound to take longer.
const LONGEST: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.part {
        Some(Part::Hold { parent, count, ids }) => holders::hold(parent, count, &ids),
        Some(Part::Walk) => {
            let found = walk::walk()?;
            println!("{}", found.values().sum::<u64>());
            Ok(())
        }
        Some(Part::BtfId { function }) => {
            println!("{}", btf::kernel_function(&function)?);
            Ok(())
        }
        None => measure_all(&arguments),
    }
}

fn measure_all(arguments: &Arguments) -> Result<()> {
    let plan = if arguments.smoke { SMOKE } else { FULL };
    let load_before = host::load();
    let lastref = env::var_os("LASTREF_BIN").unwrap_or_else(|| "target/release/lastref".into());
    let runner = Runner::new(Path::new(&lastref), btf_id("bpf_iter_task_file")?)?;
    let maps = Maps::create()?;
    let most = plan.points.iter().copied().max().unwrap_or_default();
    let mut results = Results {
        schema: "lastref.bench-sweep/0",
        date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
        host: Host::read(&mut runner.lastref(&[])),
        load_before,
        load_after: None,
        holders: holders::processes_for(most),
        rss_floor_kib: None,
        notes: arguments.note.clone(),
        programs: verifier::programs(&runner)?,
        first_bytes: first_bytes(&runner, &plan)?,
        own_words: Vec::new(),
        samples: Vec::new(),
    };
    for round in 0..plan.rounds {
        eprintln!("round {} of {}", round + 1, plan.rounds);
        for &point in plan.points {
            let _holders = Holders::start(&maps, results.holders, point)?;
            // What the last holders left to do is done behind the next one's back.
            thread::sleep(Duration::from_millis(200));
            let words = runner.check(&maps, point)?;
            results.own_words.push(words);
            one_point(&runner, &plan, point, round, &mut results)?;
        }
    }
    results.load_after = host::load();
    results.rss_floor_kib = host::own_peak_kib();
    results.notes.extend(not_quiet(&results));

    let table = table::markdown(&results, plan.points, plan.span);
    println!("{table}");
    if let Some(folder) = &arguments.out {
        let name = format!("{}-{}", results.date, results.host.kernel);
        write(folder, &name, &results, &table)?;
    }
    Ok(())
}

/// All peers at one point, the fast ones several times, in turn.
fn one_point(
    runner: &Runner,
    plan: &Plan,
    point: u64,
    round: u32,
    results: &mut Results,
) -> Result<()> {
    for run in 0..plan.fast_runs {
        for peer in Peer::ALL {
            if run > 0 && !peer.is_fast() {
                continue;
            }
            if let Some(why) = skipped(peer, point, results) {
                if !results.notes.contains(&why) {
                    results.notes.push(why);
                }
                continue;
            }
            let cost = runner.run(peer)?;
            results.samples.push(Sample {
                peer,
                descriptors: point,
                round,
                cost,
            });
        }
    }
    Ok(())
}

/// The goals are for a host where one pass is enough. Where other programs make and release
/// BPF objects meanwhile, lastref looks again, and its times are those of two or three passes.
fn not_quiet(results: &Results) -> Option<String> {
    let again = results.own_words.iter().filter(|w| w.passes > 1).count();
    (again > 0).then(|| {
        format!(
            "**Not a quiet host**: {again} of {} sweeps that were looked at took more than one pass, as other programs' BPF objects moved.",
            results.own_words.len()
        )
    })
}

/// Why a peer is not run at a point.
fn skipped(peer: Peer, point: u64, results: &Results) -> Option<String> {
    let program = match peer {
        Peer::Bpftool => "bpftool",
        Peer::Lsof => "lsof",
        _ => return None,
    };
    let missing = match peer {
        Peer::Bpftool => results.host.bpftool.is_none(),
        _ => results.host.lsof.is_none(),
    };
    if missing {
        return Some(format!("{program} is not installed, and was not measured."));
    }
    let before = results.samples.iter().rev();
    let before = before
        .filter(|s| s.peer == peer && s.descriptors > 0)
        .find(|s| s.descriptors <= point)?;
    let bound = before.cost.wall_ns as f64 * point as f64 / before.descriptors as f64;
    // Below a tenth of a second it is not descriptors that take the time.
    (before.cost.wall_ns > 100_000_000 && bound > LONGEST.as_nanos() as f64).then(|| {
        format!("{program} was left out at {point} descriptors: a run takes more than a minute.")
    })
}

fn first_bytes(runner: &Runner, plan: &Plan) -> Result<Vec<FirstByte>> {
    let mut all = Vec::new();
    for _ in 0..plan.first_byte_runs {
        for (peer, arguments) in [
            (Peer::LastrefText, &["ls"][..]),
            (Peer::LastrefJson, &["ls", "--json"][..]),
        ] {
            let (first_byte_ns, _, _) = measure::output(&mut runner.lastref(arguments))?;
            all.push(FirstByte {
                peer,
                first_byte_ns,
            });
        }
    }
    Ok(all)
}

fn btf_id(function: &str) -> Result<u32> {
    let output = Command::new(env::current_exe()?)
        .args(["btf-id", function])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim()
        .parse()
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())
}
