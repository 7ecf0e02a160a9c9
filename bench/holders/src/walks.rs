//! What each walk costs: its programs' loading once, and each run.
//!
//! Every group of walks is measured in a set of walks of its own, so that each is the first that
//! is wanted: what only the first pays (learning how sockets, rings and perf events look) is in it.

use anyhow::Result;
use bench_sweep::bpf;
use bench_sweep::measure::elapsed;
use bench_sweep::verifier::{Program, held_by};
use kernel::holders::{carriers, slots, tc};
use kernel::{Objects, Walks};
use process::Proc;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::time::Instant;

/// What is measured of one walk.
#[derive(Debug, Clone, Serialize)]
pub struct Walked {
    /// The walk.
    pub name: &'static str,
    /// Loading its group, each time anew.
    pub load_ns: Vec<u64>,
    /// Its runs, once it is loaded.
    pub run_ns: Vec<u64>,
}

/// Walks that are loaded in one go.
struct Group {
    names: &'static [&'static str],
    run: fn(&mut Walks, &Objects, &mut Timer) -> Result<()>,
}

const GROUPS: [Group; 5] = [
    Group {
        names: &["pins", "slots", "map entries"],
        run: |walks, objects, timer| {
            timer.time(0, || walks.pins())?;
            let maps = &objects.maps;
            timer.time(1, || {
                walks.slots(maps.iter().filter(|m| slots::holds_objects(m)))
            })?;
            timer.time(2, || {
                walks.slots(maps.iter().filter(|m| slots::has_entries(m)))
            })?;
            Ok(())
        },
    },
    Group {
        names: &["mappings"],
        run: |walks, _, timer| timer.time(0, || walks.mappings()).map(drop),
    },
    Group {
        names: &["network devices", "cgroups"],
        run: |walks, _, timer| {
            timer.time(0, || walks.nets())?;
            timer.time(1, || walks.cgroups()).map(drop)
        },
    },
    Group {
        names: &["sockets, perf events and io_urings", "their contents"],
        run: |walks, _, timer| {
            let mut found: carriers::Carriers = timer.time(0, || walks.carriers())?;
            timer.time(1, || walks.contents(&mut found))
        },
    },
    Group {
        names: &["tc filters and routes"],
        run: |_, objects, timer| timer.time(0, || traffic_control(objects)),
    },
];

/// All network namespaces that a process is in.
fn traffic_control(objects: &Objects) -> Result<()> {
    let wanted = tc::Wanted::of(&objects.progs);
    for namespace in Proc::new().net_namespaces()?.list {
        if namespace.own {
            tc::dump(None, wanted)?;
            continue;
        }
        // It may have ended meanwhile.
        let Ok(file) = File::open(&namespace.path) else {
            continue;
        };
        if file.metadata()?.ino() == namespace.inode {
            tc::dump(Some(file.as_fd()), wanted)?;
        }
    }
    Ok(())
}

/// Times by walk.
struct Timer<'a> {
    runs: &'a mut [Vec<u64>],
}

impl Timer<'_> {
    fn time<T, E>(&mut self, walk: usize, run: impl FnOnce() -> Result<T, E>) -> Result<T>
    where
        anyhow::Error: From<E>,
    {
        let begun = Instant::now();
        let found = run()?;
        self.runs[walk].push(elapsed(begun));
        Ok(found)
    }
}

/// All costs.
#[derive(Debug, Default, Serialize)]
pub struct Costs {
    /// Loading what every sweep needs.
    pub every_sweep_load_ns: Vec<u64>,
    /// Objects, descriptors, objects again: a sweep that leaves nothing to explain.
    pub every_sweep_run_ns: Vec<u64>,
    /// The walks that are run on demand.
    pub staged: Vec<Walked>,
    /// The programs, as the kernel took them.
    pub programs: Vec<Program>,
}

impl Costs {
    /// Loads each group `loads` times, and runs it `runs` times each.
    pub fn measure(loads: u32, runs: u32) -> Result<Self> {
        let mut costs = Self::default();
        for group in &GROUPS {
            costs.staged.extend(group.names.iter().map(|&name| Walked {
                name,
                load_ns: Vec::new(),
                run_ns: Vec::new(),
            }));
        }
        let mut programs = BTreeMap::new();
        for _ in 0..loads {
            let mut first = 0;
            for group in &GROUPS {
                let begun = Instant::now();
                let mut walks = Walks::load()?;
                costs.every_sweep_load_ns.push(elapsed(begun));
                let begun = Instant::now();
                walks.objects()?;
                walks.files()?;
                let objects = walks.objects()?;
                costs.every_sweep_run_ns.push(elapsed(begun));

                let mut times = vec![Vec::new(); group.names.len()];
                let mut discard = times.clone();
                // The first run of each loads.
                (group.run)(&mut walks, &objects, &mut Timer { runs: &mut discard })?;
                let load = walks.loading().as_nanos() as u64;
                for _ in 0..runs {
                    (group.run)(&mut walks, &objects, &mut Timer { runs: &mut times })?;
                }
                for (walked, times) in costs.staged[first..].iter_mut().zip(times) {
                    walked.load_ns.push(load);
                    walked.run_ns.extend(times);
                }
                first += group.names.len();
                note(&mut programs);
            }
        }
        costs.programs = programs.into_values().collect();
        Ok(costs)
    }
}

/// Notes the programs that this process holds just now.
fn note(programs: &mut BTreeMap<String, Program>) {
    for id in held_by(std::process::id()) {
        // It may be one of a probe of libbpf's, and gone.
        let Ok(info) = bpf::prog_by_id(id).and_then(|prog| bpf::prog_info(&prog)) else {
            continue;
        };
        if info.prog_type == bpf::TRACING {
            let program = Program {
                name: info.name(),
                verified_insns: info.verified_insns,
                xlated_bytes: info.xlated_len,
                jited_bytes: info.jited_len,
            };
            programs.insert(program.name.clone(), program);
        }
    }
}
