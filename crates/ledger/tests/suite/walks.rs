//! A costly walk is wanted only while something is left that it could explain.

use crate::build::*;
use ledger::{Ledger, Reading, Walks};

fn names(walks: Walks) -> Vec<&'static str> {
    let all = [
        (walks.pins, "pins"),
        (walks.slots, "slots"),
        (walks.cgroups, "cgroups"),
        (walks.nets, "nets"),
        (walks.tables, "tables"),
        (walks.mappings, "mappings"),
        (walks.tc, "tc"),
        (walks.files, "files"),
    ];
    all.into_iter().filter(|w| w.0).map(|w| w.1).collect()
}

/// What is asked for, one time after the other, as long as nothing explains anything:
/// `pins slots | mappings | files`, then mappings if these did not run.
fn stages(ledger: &Ledger) -> String {
    let mut ran = Walks::default();
    let mut stages = vec![];
    loop {
        let wanted = ledger.walks_wanted(ran);
        if !wanted.any() {
            return stages.join(" | ");
        }
        assert!(stages.len() < 4, "more than four stages: {stages:?}");
        stages.push(names(wanted).join(" "));
        ran |= wanted;
    }
}

fn check(cases: Vec<(&str, Vec<Reading>, &str)>) {
    for (name, readings, expected) in cases {
        assert_eq!(stages(&close(readings)), expected, "{name}");
    }
}

/// A program of this type of which one reference was not found.
fn left(type_name: &str) -> Reading {
    prog_of(1, type_name).counts(1)
}

/// A map that is all explained.
fn there(id: u32, type_name: &str) -> Reading {
    map(id, type_name).fd(1, &[9])
}

#[test]
fn what_is_explained_wants_no_walk() {
    let all = ["array_of_maps", "prog_array", "sockmap", "devmap", "xskmap"];
    let mut readings = vec![map(1, "array").fd(1, &[1]), prog_of(2, "xdp").pinned("/p")];
    readings.extend((10..).zip(all).map(|(id, type_name)| there(id, type_name)));
    check(vec![
        ("all explained", readings, ""),
        (
            "too many found",
            vec![map(1, "array").fd(1, &[1, 2]).counts(1)],
            "",
        ),
    ]);
}

#[test]
fn slots_are_walked_for_the_kernels_part_of_a_count() {
    let outer = || there(100, "array_of_maps");
    let array = || there(101, "prog_array");
    let kernel = || map(1, "hash").fd(1, &[1]).counts(2).users(1);
    let user = || map(1, "hash").fd(1, &[1]).counts(2).users(2);
    check(vec![
        ("no outer map", vec![kernel(), array()], ""),
        ("an inner map", vec![kernel(), outer()], "slots"),
        (
            "a hash of maps",
            vec![kernel(), there(2, "hash_of_maps")],
            "slots",
        ),
        (
            "users are in no slot",
            vec![user(), outer()],
            "pins | files | mappings",
        ),
        (
            "either, without the kernel's split of the count",
            vec![map(1, "hash").counts(1), outer()],
            "pins slots | files | mappings",
        ),
        (
            "no program array",
            vec![left("tracing"), outer()],
            "pins | files | mappings",
        ),
        (
            "a program",
            vec![left("tracing"), array()],
            "pins slots | files | mappings",
        ),
        (
            "a link is in no slot",
            vec![link(1).counts(1), outer(), array()],
            "pins | files | mappings",
        ),
        (
            "BTF is in no slot, and never pinned",
            vec![btf(1, false).counts(1), outer(), array()],
            "files | mappings",
        ),
    ]);
}

#[test]
fn pins_and_slots_are_asked_for_before_mappings() {
    let outer = || there(100, "array_of_maps");
    let plain = || {
        let mut map = map(1, "array").fd(1, &[1]).counts(2).users(2);
        map.facts.detail = model::Detail::Map(model::MapFacts::default());
        map
    };
    check(vec![
        (
            "a mapping",
            vec![map(1, "ringbuf").fd(1, &[1]).counts(2).users(2), outer()],
            "pins | mappings | files",
        ),
        (
            "its program is known",
            vec![
                map(1, "ringbuf").fd(1, &[1]).prog(2).counts(3).users(2),
                outer(),
            ],
            "pins | mappings | files",
        ),
        (
            "users all known",
            vec![map(1, "ringbuf").fd(1, &[1]).counts(2).users(1), outer()],
            "slots",
        ),
        (
            "both",
            vec![
                map(1, "arena").fd(1, &[1]).prog(2).counts(4).users(2),
                outer(),
            ],
            "pins slots | mappings | files",
        ),
        (
            "not mappable",
            vec![map(1, "percpu_array").fd(1, &[1]).counts(2).users(2)],
            "pins | files | mappings",
        ),
        (
            "an array that is not mappable",
            vec![plain()],
            "pins | files | mappings",
        ),
    ]);
}

#[test]
fn programs_want_the_walks_over_what_can_run_them() {
    let mut cases = vec![];
    for type_name in [
        "cgroup_skb",
        "cgroup_sock",
        "sock_ops",
        "cgroup_device",
        "cgroup_sock_addr",
        "cgroup_sysctl",
        "cgroup_sockopt",
        "lsm",
    ] {
        cases.push((
            type_name,
            vec![left(type_name)],
            "pins cgroups | files | mappings",
        ));
    }
    for type_name in ["xdp", "flow_dissector", "sk_lookup"] {
        cases.push((
            type_name,
            vec![left(type_name)],
            "pins nets | files | mappings",
        ));
    }
    for type_name in [
        "sched_cls",
        "sched_act",
        "lwt_in",
        "lwt_out",
        "lwt_xmit",
        "lwt_seg6local",
    ] {
        cases.push((
            type_name,
            vec![left(type_name)],
            "pins nets | tc | files | mappings",
        ));
    }
    for type_name in ["socket_filter", "kprobe", "tracing", "struct_ops", "ext"] {
        cases.push((type_name, vec![left(type_name)], "pins | files | mappings"));
    }
    check(cases);
}

#[test]
fn tables_are_walked_where_they_can_run_such_a_program() {
    let rows: [(&str, &[&str], &str, &str); 4] = [
        (
            "xdp",
            &["devmap", "devmap_hash", "cpumap"],
            "array",
            "pins nets tables | files | mappings",
        ),
        (
            "sk_msg",
            &["sockmap", "sockhash"],
            "devmap",
            "pins tables | files | mappings",
        ),
        (
            "perf_event",
            &["perf_event_array"],
            "array",
            "pins tables | files | mappings",
        ),
        (
            "struct_ops",
            &["struct_ops"],
            "hash",
            "pins tables | files | mappings",
        ),
    ];
    let mut cases = vec![];
    for (program, maps, other, with) in rows {
        for map in maps {
            cases.push((program, vec![left(program), there(2, map)], with));
        }
        let without = if program == "xdp" {
            "pins nets | files | mappings"
        } else {
            "pins | files | mappings"
        };
        cases.push((program, vec![left(program), there(2, other)], without));
    }
    for program in ["sk_skb", "kprobe", "tracepoint"] {
        let map = if program == "sk_skb" {
            "sockmap"
        } else {
            "perf_event_array"
        };
        cases.push((
            program,
            vec![left(program), there(2, map)],
            "pins tables | files | mappings",
        ));
    }
    let timers = || map_with_timers(2, "hash").fd(1, &[9]);
    cases.push((
        "any program may be a timer's",
        vec![left("tracing"), timers()],
        "pins tables | files | mappings",
    ));
    cases.push((
        "a link is no timer's",
        vec![link(1).counts(1), timers()],
        "pins | files | mappings",
    ));
    check(cases);
}

#[test]
fn maps_that_the_kernel_uses_want_tables() {
    let left = |type_name, users| map(1, type_name).fd(1, &[1]).counts(2).users(users);
    check(vec![
        ("xskmap", vec![left("xskmap", 1)], "tables"),
        (
            "its users",
            vec![left("xskmap", 2)],
            "pins | tables files | mappings",
        ),
        (
            "struct_ops",
            vec![left("struct_ops", 1)],
            "nets tables | files | mappings",
        ),
        ("sockmap", vec![left("sockmap", 1)], ""),
    ]);
}

#[test]
fn what_ran_is_not_asked_for_again() {
    let ledger = close(vec![left("sched_cls"), there(2, "prog_array")]);
    let ran = Walks {
        pins: true,
        nets: true,
        ..Walks::default()
    };
    assert_eq!(names(ledger.walks_wanted(ran)), ["slots"]);
    let ran = Walks { slots: true, ..ran };
    assert_eq!(names(ledger.walks_wanted(ran)), ["tc"]);
    let ran = Walks { tc: true, ..ran };
    assert_eq!(names(ledger.walks_wanted(ran)), ["files"]);
}

/// What a process has open may stand in a map too, and that is told whoever asks for files.
#[test]
fn files_come_with_the_maps_that_hold_some() {
    let case = |type_name| vec![left("socket_filter"), there(2, type_name)];
    check(vec![
        (
            "events",
            case("perf_event_array"),
            "pins | tables files | mappings",
        ),
        (
            "sockets",
            case("sockhash"),
            "pins | tables files | mappings",
        ),
        ("neither", case("devmap"), "pins | files | mappings"),
    ]);
}

#[test]
fn a_count_that_was_not_read_wants_no_walk() {
    let mut unread = map(1, "ringbuf");
    unread.facts.refcnt = None;
    check(vec![("unread", vec![unread, map(2, "hash_of_maps")], "")]);
}

#[test]
fn what_lastref_made_itself_wants_no_walk() {
    let mut own = map(1, "ringbuf").counts(1);
    own.facts.own = true;
    check(vec![("own", vec![own], "")]);
}

/// What a program makes or lets go during a pass leaves a remainder, and is no reason for a walk
/// as long as there may be another pass.
#[test]
fn what_moves_does_not_ask() {
    let ledger = close(vec![left("cgroup_skb"), there(2, "array")]);
    let moving = ledger.objects().iter().filter_map(|o| o.facts.object_id());
    let none = Walks::default();
    assert_eq!(ledger.walks_wanted_but_for(&moving.collect(), none), none);
    assert_eq!(names(ledger.walks_wanted(none)), ["pins", "cgroups"]);
}
