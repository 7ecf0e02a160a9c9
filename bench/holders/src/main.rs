//! Measures, on this host and in one run:
//!
//! - `lastref ls` with and without one holder of every kind ([`kinds`]);
//! - what each walk costs that runs on demand only ([`walks`]);
//! - which of these ran, for each kind of holder, and where nothing is left to explain;
//! - `lastref ls` with 10,000 maps in 5,000 processes, and a million descriptors ([`bench_sweep::crowd`]).
//!
//! `LASTREF_BIN` names the built program. Nothing stays behind.

mod kinds;
mod look;
mod results;
mod table;
mod walks;

use anyhow::{Result, ensure};
use bench_sweep::bare::Bare;
use bench_sweep::btf;
use bench_sweep::crowd::{self, Crowd, Size};
use bench_sweep::host::{self, Host};
use bench_sweep::results::write;
use clap::{Parser, Subcommand};
use e2e::scene::Child;
use kinds::{KINDS, Kind};
use look::{Lastref, Look};
use results::{Asked, Large, Results, Scene};
use std::collections::BTreeSet;
use std::path::PathBuf;
use walks::Costs;

#[derive(Parser)]
#[command(about = "What every kind of holder costs lastref, and what a large host does")]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// Folder for the results; without it they are printed only.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Few processes and few runs, to see that it works. The figures mean nothing.
    #[arg(long)]
    smoke: bool,
    /// A sentence to keep with the results; may be given again.
    #[arg(long)]
    note: Vec<String>,
}

/// What this program is when it runs itself.
#[derive(Subcommand)]
enum Part {
    /// Makes processes that hold maps and files, until it is told to end.
    #[command(hide = true)]
    Crowd {
        parent: u32,
        processes: u64,
        maps: u64,
        files: u64,
    },
}

/// How much is measured.
struct Plan {
    /// Runs of `ls` with and without holders.
    runs: u32,
    /// Looks at each kind: what ran in every one of them is what the kind asks for.
    looks: u32,
    loads: u32,
    walk_runs: u32,
    processes: u64,
    large_runs: u32,
}

const FULL: Plan = Plan {
    runs: 21,
    looks: 5,
    loads: 7,
    walk_runs: 9,
    processes: 5_000,
    large_runs: 11,
};

const SMOKE: Plan = Plan {
    runs: 3,
    looks: 1,
    loads: 1,
    walk_runs: 2,
    processes: 100,
    large_runs: 2,
};

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.part {
        Some(Part::Crowd {
            parent,
            processes,
            maps,
            files,
        }) => crowd::run(
            parent,
            Size {
                processes,
                maps,
                files,
            },
        ),
        None => measure_all(&arguments),
    }
}

fn measure_all(arguments: &Arguments) -> Result<()> {
    let plan = if arguments.smoke { SMOKE } else { FULL };
    let lastref =
        std::env::var_os("LASTREF_BIN").unwrap_or_else(|| "target/release/lastref".into());
    let lastref = Lastref(PathBuf::from(lastref));
    let mut results = Results {
        schema: "lastref.bench-holders/0",
        date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
        host: Host::read(&mut lastref.command(&[])),
        load_before: host::load(),
        load_after: None,
        notes: arguments.note.clone(),
        scenes: Vec::new(),
        asked: Vec::new(),
        bare_pass_ns: Vec::new(),
        walks: Costs::default(),
        large: Vec::new(),
    };
    eprintln!("each kind of holder");
    results.asked.push(asked(&lastref, &plan, "nothing", None)?);
    for kind in &KINDS {
        match kind.start() {
            Ok(child) => results
                .asked
                .push(asked(&lastref, &plan, kind.name, Some(child))?),
            Err(why) => results
                .notes
                .push(format!("{} was not made: {why}", kind.name)),
        }
    }
    eprintln!("all of them");
    all_present(&lastref, &plan, &mut results)?;
    eprintln!("a large host");
    for (name, sizes) in large_hosts(&plan) {
        results.large.push(large(&lastref, &plan, name, &sizes)?);
    }
    results.load_after = host::load();
    results.notes.extend(not_quiet(&results));
    let table = table::markdown(&results);
    println!("{table}");
    if let Some(folder) = &arguments.out {
        let name = format!("holders-{}-{}", results.date, results.host.kernel);
        write(folder, &name, &results, &table)?;
    }
    Ok(())
}

/// Other programs' objects that move make lastref look again, and ask for walks.
fn not_quiet(results: &Results) -> Option<String> {
    let idle = results.asked.first()?;
    let walks = idle.walks.iter().filter(|walk| *walk != "BTF by id");
    (walks.count() > 0).then(|| {
        "**Not a quiet host**: walks on demand ran though the benchmark held nothing: other programs' objects asked for them, in all other figures too."
            .to_owned()
    })
}

/// What a kind of holder makes `ls` do. What other programs do meanwhile may ask for more, but
/// hardly each time.
fn asked(
    lastref: &Lastref,
    plan: &Plan,
    kind: &'static str,
    child: Option<Child>,
) -> Result<Asked> {
    let looks = (0..plan.looks).map(|_| lastref.look());
    let looks: Vec<Look> = looks.collect::<Result<_>>()?;
    drop(child);
    let walks = looks.iter().map(|look| look.staged_walks.clone());
    Ok(Asked {
        kind,
        walks: walks.reduce(|a, b| &a & &b).unwrap_or_default(),
        unexplained: in_all(looks.iter().map(|look| look.unexplained.as_slice())),
        wall_ns: looks.iter().map(|look| look.cost.wall_ns).collect(),
    })
}

fn in_all<'a>(mut lists: impl Iterator<Item = &'a [String]>) -> Vec<String> {
    let mut all: BTreeSet<&String> = lists.next().unwrap_or_default().iter().collect();
    for list in lists {
        all.retain(|entry| list.contains(entry));
    }
    all.into_iter().cloned().collect()
}

/// `ls` with and without holders of all kinds, in turn, and the walks with all of them.
fn all_present(lastref: &Lastref, plan: &Plan, results: &mut Results) -> Result<()> {
    let mut without = Scene::new("without");
    let mut with = Scene::new("with one holder of each kind");
    // Anew in each round, so that the two are beside each other in time.
    let rounds = plan.runs.div_ceil(3);
    for round in 0..rounds {
        for _ in 0..3 {
            without.run(lastref)?;
        }
        without.looks.push(lastref.look()?);
        let _children: Vec<Child> = KINDS
            .iter()
            .map(Kind::start)
            .filter_map(Result::ok)
            .collect();
        for _ in 0..3 {
            with.run(lastref)?;
        }
        with.looks.push(lastref.look()?);
        if round + 1 == rounds {
            let bare = Bare::load(btf::kernel_function("bpf_iter_task_file")?)?;
            for _ in 0..plan.runs {
                results.bare_pass_ns.push(bare.pass()?.wall_ns);
            }
            results.walks = Costs::measure(plan.loads, plan.walk_runs)?;
        }
    }
    results.scenes = vec![without, with];
    Ok(())
}

fn large_hosts(plan: &Plan) -> [(&'static str, Vec<Size>); 3] {
    let processes = plan.processes;
    let crowd = |processes, maps, files| Size {
        processes,
        maps,
        files,
    };
    [
        ("two maps in each process", vec![crowd(processes, 2, 0)]),
        (
            "the same, and 200 files in each process",
            vec![crowd(processes, 2, 200)],
        ),
        (
            "a million files in a row without a BPF object, all maps in one process behind them",
            vec![crowd(processes, 0, 210), crowd(1, 2 * processes, 0)],
        ),
    ]
}

/// `ls` on a host with these processes. All that they hold must be found.
fn large(lastref: &Lastref, plan: &Plan, name: &'static str, sizes: &[Size]) -> Result<Large> {
    let bare = Bare::load(btf::kernel_function("bpf_iter_task_file")?)?;
    let _crowds: Vec<Crowd> = sizes
        .iter()
        .map(|&s| Crowd::start(s))
        .collect::<Result<_>>()?;
    let mut large = Large {
        name,
        sizes: sizes.to_vec(),
        bare_ns: Vec::new(),
        calls_again: Vec::new(),
        text: Vec::new(),
        json: Vec::new(),
        look: lastref.look()?,
    };
    let expected: u64 = sizes.iter().map(|size| size.processes * size.maps).sum();
    let found = large.look.crowd;
    ensure!(
        found >= expected,
        "lastref found {found} of {expected} references"
    );
    for _ in 0..plan.large_runs {
        let (cost, again) = bare.pass_counted()?;
        large.bare_ns.push(cost.wall_ns);
        large.calls_again.push(again);
        large.text.push(lastref.run(&["ls"])?);
        large.json.push(lastref.run(&["ls", "--json"])?);
    }
    Ok(large)
}
