//! Paths from an object to what keeps it.

use crate::build::*;
use ledger::{Ledger, Reading};
use model::{By, Kind};

fn paths(ledger: &Ledger, of: &str, limit: usize) -> (Vec<String>, bool) {
    let chains = ledger.chains(id(of), limit);
    let paths = chains.chains.iter().map(|c| shorts(c).join(" "));
    (paths.collect(), chains.cut)
}

#[test]
fn each_chain_goes_from_a_holder_to_an_end() {
    let ledger = close(vec![
        map(1, "hash").prog(2).fd(10, &[5, 6]).outer(4).prog(2),
        prog(2).link(3).pinned("/p"),
        link(3).held(By::Fd, 1, vec![process(10, &[7]), process(11, &[7])]),
        map(4, "hash_of_maps").counts(1),
    ]);
    let (found, cut) = paths(&ledger, "map:1", 100);
    assert_eq!(
        found,
        [
            "10[5,6]",
            "prog:2 /p",
            "map:4",
            "prog:2 link:3 10[7]",
            "prog:2 link:3 11[7]"
        ]
    );
    assert!(!cut);
    assert!(paths(&ledger, "map:4", 100).0.is_empty());
    assert_eq!(paths(&ledger, "map:99", 100), (vec![], false));
}

#[test]
fn the_limit_cuts_and_says_so() {
    let ledger = close(vec![map(1, "hash").fd(10, &[1]).fd(11, &[1]).fd(12, &[1])]);
    for (limit, count, cut) in [(0, 0, true), (2, 2, true), (3, 3, false), (4, 3, false)] {
        let chains = ledger.chains(id("map:1"), limit);
        assert_eq!(
            (chains.chains.len(), chains.cut),
            (count, cut),
            "limit {limit}"
        );
    }
}

#[test]
fn a_cycle_ends_a_chain_only_where_nothing_else_does() {
    let pinned = close(vec![
        map(1, "prog_array").prog(2).prog(3).prog(4).pinned("/m"),
        prog(2).slot(1),
        // Leads back to the array only.
        prog(4).slot(1),
        prog(3).slot(1).pinned("/p"),
    ]);
    assert_eq!(
        paths(&pinned, "prog:2", 10),
        (vec!["map:1 /m".into(), "map:1 prog:3 /p".into()], false)
    );
    let rootless = close(vec![
        map(1, "prog_array").prog(2).prog(3),
        prog(2).slot(1),
        prog(3).slot(1),
        map(4, "hash").prog(2),
    ]);
    assert_eq!(paths(&rootless, "map:4", 10).0, ["prog:2 map:1 prog:3"]);
    assert_eq!(paths(&rootless, "prog:2", 10).0, ["map:1 prog:3"]);
}

/// Two objects a level, each held by both of the next: 2^levels paths.
fn lattice(levels: u32) -> Vec<Reading> {
    let mut readings = vec![];
    for level in 0..levels {
        for side in 0..2 {
            let inner = map(level * 2 + side, "hash");
            readings.push(if level + 1 == levels {
                inner.pinned(&format!("/{side}"))
            } else {
                inner.outer(level * 2 + 2).outer(level * 2 + 3)
            });
        }
    }
    readings
}

#[test]
fn more_paths_than_atoms_are_cut_at_the_limit() {
    let ledger = close(lattice(33));
    let chains = ledger.chains(id("map:0"), 50);
    assert_eq!((chains.chains.len(), chains.cut), (50, true));
    assert!(chains.chains.iter().all(|c| c.len() == 33));
    assert_eq!(shorts(&get(&ledger, "map:0").kept_by), ["/0", "/1"]);
    assert_eq!(close(lattice(4)).chains(id("map:0"), 50).chains.len(), 8);
}

#[test]
fn ten_thousand_objects_in_a_row_are_one_chain() {
    let row: Vec<_> = (0..10_000).map(|i| map(i, "hash").outer(i + 1)).collect();
    let mut row = row;
    row.push(map(10_000, "hash").pinned("/end"));
    let ledger = close(row);
    let chains = ledger.chains(id("map:0"), 10);
    assert_eq!(chains.chains.len(), 1);
    assert_eq!(chains.chains[0].len(), 10_001);
    assert_eq!(
        ledger.release_plan(id("map:0")).steps[0].frees.len(),
        10_001
    );
}

#[test]
fn ten_thousand_objects_in_a_ring_end_somewhere() {
    let ring = (0..10_000).map(|i| map(i, "hash").outer((i + 1) % 10_000));
    let ledger = close(ring.collect());
    let chains = ledger.chains(id("map:0"), 10);
    assert!(chains.cut || chains.chains.len() == 1);
    assert!(ledger.release_plan(id("map:0")).steps.is_empty());
}

/// All programs use the array that they stand in: paths without end, few ends.
#[test]
fn a_thick_cycle_still_shows_its_pin() {
    let mut readings = vec![];
    for i in 0..40 {
        let mut array = map(i, "prog_array");
        for j in 0..40 {
            array = array.held(By::Prog, 1, vec![object(Kind::Prog, j)]);
        }
        readings.push(if i == 7 { array.pinned("/x") } else { array });
        let mut program = prog(i);
        for j in 0..40 {
            program = program.slot(j);
        }
        readings.push(program);
    }
    let chains = close(readings).chains(id("prog:0"), 3);
    assert_eq!(shorts(&chains.chains[0]), ["map:7", "/x"]);
    assert!(chains.cut);
}
