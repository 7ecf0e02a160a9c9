//! Explained, unexplained, settled, kept by.

use crate::build::*;
use ledger::{Ledger, Reading, Sight};
use model::{By, Holder, Kind};

#[test]
fn the_sum_of_the_references_explains_the_count() {
    let ledger = close(vec![
        map(1, "hash")
            .fd(10, &[5, 6])
            .pinned("/sys/fs/bpf/x")
            .prog(2),
        prog(2).fd(10, &[7]).counts(3),
    ]);
    let map = get(&ledger, "map:1");
    assert_eq!(
        (map.explained, map.unexplained, map.settled),
        (4, Some(0), true)
    );
    let prog = get(&ledger, "prog:2");
    assert_eq!(
        (prog.explained, prog.unexplained, prog.settled),
        (1, Some(2), false)
    );
    assert!(!ledger.is_settled());
}

#[test]
fn an_object_without_a_count_has_nothing_to_settle() {
    let ledger = close(vec![btf(1, true).unsteady()]);
    let btf = get(&ledger, "btf:1");
    assert_eq!((btf.unexplained, btf.settled), (None, true));
    assert!(ledger.is_settled());
}

/// (count, found) of the pass before, of this one, steady, settled?
#[test]
fn an_account_settles_when_it_stood_still_or_is_seen_again() {
    type Case = (Option<(u64, u64)>, (u64, u64), bool, bool);
    let cases: [Case; 10] = [
        (None, (2, 2), true, true),
        (None, (2, 2), false, false),
        (None, (3, 2), true, false),
        (Some((3, 2)), (3, 2), true, true),
        // A remainder that moves is no remainder yet, were it the same twice by chance.
        (Some((3, 2)), (3, 2), false, false),
        (Some((2, 2)), (2, 2), false, true),
        (Some((4, 2)), (3, 2), true, false),
        (Some((3, 1)), (3, 2), true, false),
        (Some((3, 1)), (2, 2), true, true),
        // More found than counted: never of one moment.
        (Some((2, 3)), (2, 3), true, false),
    ];
    for (before, (refcnt, found), steady, expected) in cases {
        let reading = |refcnt, found: u64| {
            let fds: Vec<u32> = (0..found as u32).collect();
            map(1, "hash").fd(10, &fds).counts(refcnt)
        };
        let before = before.map(|(refcnt, found)| close(vec![reading(refcnt, found)]));
        let mut now = reading(refcnt, found);
        now.steady = steady;
        let ledger = Ledger::close(vec![now], &Sight::default(), before.as_ref());
        assert_eq!(
            ledger.is_settled(),
            expected,
            "count {refcnt}, found {found}, steady {steady}, before: {before:?}"
        );
    }
}

/// What comes and goes may leave the same remainder twice. A sum that meets its count needs
/// no such care.
#[test]
fn a_count_that_moved_between_two_passes_settles_no_remainder() {
    let reading = |refcnt| map(1, "hash").fd(10, &[1]).counts(refcnt);
    for (refcnt, steady, expected) in [(3, true, false), (1, true, true), (1, false, true)] {
        let mut before = close(vec![reading(refcnt)]);
        before.note_moved(get(&before, "map:1").facts.object_id());
        let mut now = reading(refcnt);
        now.steady = steady;
        let ledger = Ledger::close(vec![now], &Sight::default(), Some(&before));
        assert_eq!(ledger.is_settled(), expected, "{refcnt}, {steady}");
    }
}

#[test]
fn another_object_of_the_pass_before_settles_nothing() {
    let before = close(vec![
        map(2, "hash").fd(10, &[1]).counts(5),
        prog(1).fd(10, &[1]).counts(5),
    ]);
    let now = vec![map(1, "hash").fd(10, &[1]).counts(5)];
    assert!(!Ledger::close(now, &Sight::default(), Some(&before)).is_settled());
}

#[test]
fn what_may_be_out_of_sight_is_not_unexplained() {
    let sight = Sight {
        holders_out_of_sight: Some("a child pid namespace".into()),
        ..Sight::default()
    };
    let readings = vec![
        map(1, "hash").fd(10, &[1]).counts(3),
        map(2, "hash").fd(10, &[1]),
        map(3, "hash").fd(10, &[1, 2]).counts(1),
    ];
    let ledger = Ledger::close(readings, &sight, None);
    assert_eq!(get(&ledger, "map:1").unexplained, None);
    let why = &get(&ledger, "map:1").facts.unreadable;
    assert_eq!(why.len(), 1);
    assert!(why[0].starts_with("2 of 3 references") && why[0].contains("a child pid namespace"));
    assert_eq!(get(&ledger, "map:2").unexplained, Some(0));
    assert_eq!(get(&ledger, "map:3").unexplained, Some(-1));
    assert!(get(&ledger, "map:2").facts.unreadable.is_empty());
}

/// What may run programs of some types explains nothing of others, nor of maps.
#[test]
fn what_runs_programs_of_some_types_hides_no_others() {
    let sight = Sight {
        programs_out_of_sight: vec![
            (&["sched_cls"], "tc".into()),
            (&["kprobe"], "perf events".into()),
        ],
        ..Sight::default()
    };
    let readings = [
        prog_of(1, "sched_cls"),
        prog_of(2, "kprobe"),
        prog_of(3, "xdp"),
        map(4, "hash"),
    ];
    let readings = readings.map(|r| r.fd(10, &[1]).counts(2)).to_vec();
    let ledger = Ledger::close(readings, &sight, None);
    let left = |id| get(&ledger, id).unexplained;
    assert_eq!(["prog:1", "prog:2"].map(left), [None, None]);
    assert_eq!(["prog:3", "map:4"].map(left), [Some(1), Some(1)]);
    let says = |id| get(&ledger, id).facts.unreadable.concat();
    assert!(says("prog:1").ends_with("(tc)"));
    assert!(says("prog:2").ends_with("(perf events)"));
    let caveats = |of| ledger.release_plan(id(of)).caveats.concat();
    assert!(caveats("prog:1").contains("where lastref cannot look (tc)"));
    assert!(caveats("map:4").contains("could not be explained"));
}

/// A program that uses more maps than can be read explains no program's remainder.
#[test]
fn maps_that_could_not_be_read_hide_maps_alone() {
    let sight = Sight {
        maps_out_of_sight: Some("a program uses too many".into()),
        ..Sight::default()
    };
    let readings = [map(1, "hash"), prog_of(2, "xdp")];
    let readings = readings.map(|r| r.fd(10, &[1]).counts(2)).to_vec();
    let ledger = Ledger::close(readings, &sight, None);
    let left = |id| get(&ledger, id).unexplained;
    assert_eq!(["map:1", "prog:2"].map(left), [None, Some(1)]);
    let says = get(&ledger, "map:1").facts.unreadable.concat();
    assert!(says.ends_with("(a program uses too many)"), "{says}");
}

#[test]
fn kept_by_names_each_end_once_with_all_its_descriptors() {
    let ledger = close(vec![
        map(1, "hash")
            .fd(20, &[9, 3])
            .fd(7, &[4])
            .prog(2)
            .prog(3)
            .held(By::Mmap, 1, vec![process(20, &[])]),
        prog(2).fd(20, &[5]).link(4),
        prog(3).link(4).pinned("/p"),
        link(4)
            .fd(20, &[6])
            .pinned("/l")
            .held(By::Fd, 1, vec![process(7, &[1]), process(8, &[1])]),
    ]);
    let kept_by = |id| shorts(&get(&ledger, id).kept_by);
    assert_eq!(
        kept_by("map:1"),
        ["7[1,4]", "8[1]", "20[3,5,6,9]", "/l", "/p"]
    );
    assert_eq!(kept_by("prog:2"), ["7[1]", "8[1]", "20[5,6]", "/l"]);
    assert_eq!(kept_by("link:4"), ["7[1]", "8[1]", "20[6]", "/l"]);
}

#[test]
fn a_thread_with_its_own_descriptor_table_is_an_end_of_its_own() {
    let thread = match process(10, &[5]) {
        Holder::Process(mut p) => {
            p.tid = Some(11);
            Holder::Process(p)
        }
        other => other,
    };
    let ledger = close(vec![map(1, "hash").fd(10, &[5]).held(
        By::Fd,
        1,
        vec![thread],
    )]);
    assert_eq!(
        shorts(&get(&ledger, "map:1").kept_by),
        ["10[5]", "10/11[5]"]
    );
}

#[test]
fn pins_of_different_mount_namespaces_are_different_ends() {
    let elsewhere = match pin("/x") {
        Holder::Pin(mut p) => {
            p.mount_namespace = Some(7);
            Holder::Pin(p)
        }
        other => other,
    };
    let ledger = close(vec![map(1, "hash").pinned("/x").held(
        By::Pin,
        1,
        vec![elsewhere],
    )]);
    assert_eq!(get(&ledger, "map:1").kept_by.len(), 2);
}

#[test]
fn objects_end_chains_where_nothing_is_known_to_hold_them() {
    let ledger = close(vec![
        map(1, "hash").prog(2),
        prog(2).counts(1),
        // Not shown by the readers.
        map(3, "hash").prog(9),
        // Hold each other.
        map(4, "prog_array").prog(5),
        prog(5).slot(4),
        map(6, "hash").prog(5),
        // Hold each other, but a pin holds one.
        map(7, "prog_array").prog(8).pinned("/x"),
        prog(8).slot(7),
    ]);
    let kept_by = |id| shorts(&get(&ledger, id).kept_by);
    assert_eq!(kept_by("map:1"), ["prog:2"]);
    assert!(kept_by("prog:2").is_empty());
    assert_eq!(kept_by("map:3"), ["prog:9"]);
    assert_eq!(kept_by("map:4"), ["map:4", "prog:5"]);
    assert_eq!(kept_by("map:6"), ["map:4", "prog:5"]);
    assert_eq!(kept_by("prog:8"), ["/x"]);
}

#[test]
fn a_holder_without_an_id_is_not_taken_for_one_with() {
    let nameless = Holder::Link(model::ObjectRef {
        id: None,
        name: "shim".into(),
    });
    let ledger = close(vec![
        prog(1).held(By::Link, 1, vec![nameless.clone()]),
        link(2).fd(1, &[1]),
    ]);
    assert_eq!(get(&ledger, "prog:1").kept_by, [nameless]);
}

#[test]
fn hostile_numbers_do_not_overflow() {
    let huge = |count| map(1, "hash").held(By::Fd, 0, vec![]).counts(count);
    let mut over: Reading = huge(0);
    for _ in 0..2 {
        over.facts.references.push(model::Reference {
            by: By::Fd,
            count: u64::MAX,
            holders: vec![process(1, &[])],
        });
    }
    let ledger = close(vec![over]);
    assert_eq!(get(&ledger, "map:1").unexplained, Some(i64::MIN));
    assert_eq!(
        get(&close(vec![huge(u64::MAX)]), "map:1").unexplained,
        Some(i64::MAX)
    );
    let _ = ledger.release_plan(id("map:1"));
    let _ = Ledger::totals(ledger.objects());
}

#[test]
fn objects_are_found_by_kind_and_id() {
    let ledger = close(vec![map(1, "hash"), prog(1)]);
    assert_eq!(get(&ledger, "prog:1").facts.kind, Kind::Prog);
    assert!(ledger.get(id("map:2")).is_none());
    assert_eq!(ledger.into_objects().len(), 2);
}
