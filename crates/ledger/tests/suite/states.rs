//! The state of an object: one row per rule.

use crate::build::*;
use ledger::{Ledger, Reading, Sight};
use model::{By, State};

fn states(readings: Vec<Reading>, expected: &[(&str, State)]) {
    let ledger = close(readings);
    for (id, state) in expected {
        assert_eq!(get(&ledger, id).state, *state, "{id}");
    }
}

#[test]
fn in_use_if_any_chain_ends_in_a_process() {
    states(
        vec![
            map(1, "hash").prog(2).pinned("/m"),
            prog(2).link(3),
            link(3).fd(10, &[5]).detached(),
        ],
        &[
            ("map:1", State::InUse),
            ("prog:2", State::InUse),
            ("link:3", State::InUse),
        ],
    );
    // A process is enough, whatever else is not explained.
    states(
        vec![map(1, "hash").fd(10, &[1]).counts(9)],
        &[("map:1", State::InUse)],
    );
    states(
        vec![map(1, "hash").held(By::Mmap, 1, vec![process(10, &[])])],
        &[("map:1", State::InUse)],
    );
}

#[test]
fn in_use_if_pinned_and_something_on_a_chain_is_attached() {
    states(
        vec![
            map(1, "hash").prog(2),
            prog(2).link(3),
            link(3).pinned("/l"),
        ],
        &[
            ("map:1", State::InUse),
            ("prog:2", State::InUse),
            ("link:3", State::InUse),
        ],
    );
    states(
        vec![prog(2).pinned("/p").attached()],
        &[("prog:2", State::InUse)],
    );
    // The pin is on one chain, the attachment on another.
    states(
        vec![
            map(1, "hash").pinned("/m").prog(2),
            prog(2).link(3),
            link(3).counts(1),
        ],
        &[("map:1", State::InUse), ("prog:2", State::Unknown)],
    );
}

#[test]
fn orphan_pin_if_every_chain_ends_in_a_pin_and_nothing_is_attached() {
    states(
        vec![
            map(1, "hash").pinned("/m").prog(2),
            prog(2).link(3).pinned("/p"),
            link(3).pinned("/l").detached(),
            map(4, "array_of_maps").pinned("/o"),
            map(5, "hash").outer(4),
        ],
        &[
            ("map:1", State::OrphanPin),
            ("prog:2", State::OrphanPin),
            ("link:3", State::OrphanPin),
            ("map:4", State::OrphanPin),
            ("map:5", State::OrphanPin),
        ],
    );
    // The attachment of a program says nothing of a map that it does not use.
    states(
        vec![map(1, "hash").pinned("/m"), prog(2).pinned("/p").attached()],
        &[("map:1", State::OrphanPin), ("prog:2", State::InUse)],
    );
    // A pinned program array and the program in it that uses it.
    states(
        vec![map(1, "prog_array").pinned("/m").prog(2), prog(2).slot(1)],
        &[("map:1", State::OrphanPin), ("prog:2", State::OrphanPin)],
    );
}

#[test]
fn held_by_kernel_if_only_each_other_holds_them() {
    states(
        vec![
            map(1, "prog_array").prog(2),
            prog(2).slot(1),
            map(3, "hash").prog(2),
        ],
        &[
            ("map:1", State::HeldByKernel),
            ("prog:2", State::HeldByKernel),
            ("map:3", State::HeldByKernel),
        ],
    );
    states(vec![btf(1, true)], &[("btf:1", State::HeldByKernel)]);
    states(
        vec![btf(1, true).held(By::Fd, 1, vec![process(1, &[4])])],
        &[("btf:1", State::InUse)],
    );
}

#[test]
fn unreferenced_if_the_count_is_nought() {
    states(
        vec![map(1, "hash"), prog(2).attached()],
        &[
            ("map:1", State::Unreferenced),
            ("prog:2", State::Unreferenced),
        ],
    );
}

#[test]
fn unknown_if_a_holder_is_not_known() {
    let mut unread = link(6).detached();
    unread.facts.refcnt = None;
    unread.facts.references.push(model::Reference {
        by: By::Pin,
        count: 1,
        holders: vec![pin("/x")],
    });
    states(
        vec![
            map(1, "hash").counts(1),
            map(2, "hash").pinned("/m").counts(2),
            // What holds its holder is not known.
            map(3, "hash").prog(4),
            prog(4).pinned("/p").counts(2),
            // Its holder was not shown.
            map(5, "hash").prog(99),
            unread,
            map(7, "prog_array").prog(8).counts(2),
            prog(8).slot(7),
            map(9, "hash").pinned("/9").held(By::Fd, 1, vec![]),
            // A pin, and a cycle beside it.
            map(10, "hash").pinned("/10").prog(12),
            map(11, "prog_array").prog(12),
            prog(12).slot(11),
        ],
        &[
            ("map:1", State::Unknown),
            ("map:2", State::Unknown),
            ("map:3", State::Unknown),
            ("prog:4", State::Unknown),
            ("map:5", State::Unknown),
            ("link:6", State::Unknown),
            ("map:7", State::Unknown),
            ("prog:8", State::Unknown),
            ("map:9", State::Unknown),
            ("map:10", State::Unknown),
        ],
    );
}

#[test]
fn unknown_if_holders_are_out_of_sight() {
    let sight = Sight {
        holders_out_of_sight: Some("a child pid namespace".into()),
        ..Sight::default()
    };
    let ledger = Ledger::close(
        vec![
            map(1, "hash").pinned("/m").counts(2),
            map(2, "hash").pinned("/n"),
        ],
        &sight,
        None,
    );
    assert_eq!(get(&ledger, "map:1").state, State::Unknown);
    assert_eq!(get(&ledger, "map:2").state, State::OrphanPin);
}

/// A socket that no process in sight has open: perhaps one outside has.
#[test]
fn a_socket_of_processes_out_of_sight_is_not_the_kernel_s() {
    let readings = || {
        let with = |inode, openers: &[(u32, u32)]| vec![socket(inode, openers)];
        vec![
            map(1, "xskmap").held(By::MapEntry, 1, with(7, &[])),
            map(2, "xskmap").held(By::MapEntry, 1, with(8, &[(10, 3)])),
        ]
    };
    let sight = Sight {
        holders_out_of_sight: Some("a child pid namespace".into()),
        processes_out_of_sight: true,
        ..Sight::default()
    };
    let ledger = Ledger::close(readings(), &sight, None);
    assert_eq!(get(&ledger, "map:1").unexplained, Some(0));
    assert_eq!(get(&ledger, "map:1").state, State::Unknown);
    assert_eq!(get(&ledger, "map:2").state, State::InUse);
    states(readings(), &[("map:1", State::HeldByKernel)]);
}

/// More references than the count has are no hint of holders that are missing.
#[test]
fn a_count_that_is_exceeded_does_not_hide_a_pin() {
    states(
        vec![map(1, "hash").pinned("/m").pinned("/n").counts(1)],
        &[("map:1", State::OrphanPin)],
    );
}
