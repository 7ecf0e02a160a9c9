//! Large hosts, and hostile ones.

use crate::build::*;
use ledger::{Ledger, Reading, Walks};
use model::{By, Kind, Reference};
use std::time::{Duration, Instant};

/// Unoptimized, on a machine that does other work too.
const SOON: Duration = Duration::from_secs(4);

fn timed<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = run();
    let took = start.elapsed();
    println!("{what}: {took:?}");
    assert!(took < SOON, "{what} took {took:?}");
    result
}

/// 10,000 maps, each used by one of 10,000 programs, each with a link, held by
/// 5,000 processes with 20 descriptors each: 100,000 in all.
fn large_host() -> Vec<Reading> {
    let mut readings = Vec::new();
    for i in 0..10_000_u32 {
        let pid = 1000 + i % 5000;
        readings.push(map(i, "hash").prog(i).fd(pid, &[i, i + 1, i + 2, i + 3]));
        readings.push(prog(i).link(i).fd(pid, &[i + 4, i + 5, i + 6]));
        readings.push(link(i).fd(pid, &[i + 7, i + 8, i + 9]));
    }
    readings
}

#[test]
fn a_large_host_is_closed_at_once() {
    let readings = large_host();
    let ledger = timed("close", || close(readings));
    assert!(ledger.is_settled());
    timed("everything else", || {
        Ledger::totals(ledger.objects());
        ledger.walks_wanted(Walks::default());
        assert_eq!(ledger.chains(id("map:17"), 100).chains.len(), 3);
        let plan = ledger.release_plan(id("map:17"));
        assert_eq!(plan.steps.len(), 1);
        assert_eq!(plan.steps[0].frees.len(), 3);
    });
}

/// 10,000 inner maps of an outer map that 5,000 processes inherited: 50 million ends.
#[test]
fn ends_beyond_any_use_are_cut_and_said_to_be() {
    let processes: Vec<_> = (0..5000).map(|i| process(1000 + i, &[3])).collect();
    let mut readings = vec![map(100_000, "hash_of_maps").held(By::Fd, 1, processes)];
    readings.extend((0..10_000).map(|i| map(i, "hash").outer(100_000)));
    readings.push(map(10_000, "hash").outer(100_000).pinned("/x"));
    let ledger = timed("close", || close(readings));
    let outer = get(&ledger, "map:100000");
    assert_eq!(outer.kept_by.len(), 4096);
    let last = get(&ledger, "map:9999");
    let pinned = get(&ledger, "map:10000");
    assert!(!last.kept_by.is_empty() && last.kept_by.len() < 4096);
    for object in [outer, last, pinned] {
        let why = &object.facts.unreadable[0];
        assert!(
            why.contains(&format!("the first {} ends", object.kept_by.len())),
            "{why}"
        );
    }
    let plan = timed("plan", || ledger.release_plan(id("map:9999")));
    assert_eq!(plan.steps.len(), 5000);
    assert_eq!(
        plan.steps[4999].frees.len(),
        10_001,
        "all but the pinned one"
    );
}

#[test]
fn ends_that_were_cut_below_are_cut_above() {
    let processes = (0..5000).map(|i| process(1000 + i, &[3])).collect();
    let ledger = close(vec![
        map(1, "hash_of_maps").held(By::Fd, 1, processes),
        prog(2).outer(1),
        prog(3).outer(1),
        map(4, "hash").prog(2).prog(3),
    ]);
    for object in ledger.objects() {
        assert_eq!(object.kept_by.len(), 4096);
        assert_eq!(object.facts.unreadable.len(), 1);
    }
}

/// One program that stands in every slot of many arrays, which all use each other.
#[test]
fn a_dense_graph_costs_its_edges() {
    let mut readings = Vec::new();
    for i in 0..300 {
        let mut map = map(i, "prog_array").fd(i, &[3]);
        let users = (0..300).map(|j| Reference {
            by: By::Prog,
            count: 1,
            holders: vec![object(Kind::Prog, j)],
        });
        map.facts.references.extend(users);
        readings.push(map.counts(301));
        let mut prog = prog(i);
        let slots = (0..300).map(|j| Reference {
            by: By::ProgArray,
            count: 1,
            holders: vec![object(Kind::Map, j)],
        });
        prog.facts.references.extend(slots);
        readings.push(prog.counts(300));
    }
    let ledger = timed("close", || close(readings));
    timed("chains", || ledger.chains(id("prog:0"), 10));
    let plan = timed("plan", || ledger.release_plan(id("prog:0")));
    assert_eq!(plan.steps.len(), 300);
    assert_eq!(plan.steps[299].frees.len(), 600);
}

/// One program on 100,000 sockets, of which each of 10 processes has all.
#[test]
fn many_sockets_cost_no_more_than_their_descriptors() {
    let mut program = prog_of(1, "socket_filter");
    for inode in 0..100_000_u32 {
        let openers: Vec<_> = (0..10).map(|pid| (pid, inode)).collect();
        program = program.held(By::Socket, 1, vec![socket(inode.into(), &openers)]);
    }
    let readings = vec![map(2, "hash").prog(1), program];
    let ledger = timed("close", || close(readings));
    assert_eq!(get(&ledger, "map:2").kept_by.len(), 10);
    assert_eq!(ledger.chains(id("map:2"), 10).chains.len(), 10);
    let plan = timed("plan", || ledger.release_plan(id("map:2")));
    assert_eq!(plan.steps.len(), 10);
    assert_eq!(plan.steps[9].frees, [id("prog:1"), id("map:2")]);
}
