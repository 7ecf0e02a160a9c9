//! A costly walk is wanted only while something is left that it could explain.

use crate::build::*;
use ledger::{Reading, Walks};

const NONE: Walks = Walks {
    pins: false,
    slots: false,
    mappings: false,
};
const SLOTS: Walks = Walks {
    slots: true,
    ..NONE
};
const MAPPINGS: Walks = Walks {
    mappings: true,
    ..NONE
};
const BOTH: Walks = Walks {
    slots: true,
    ..MAPPINGS
};
const PINS: Walks = Walks { pins: true, ..NONE };

#[test]
fn walks_follow_from_remainders() {
    let outer = || map(100, "array_of_maps").fd(1, &[9]);
    let array = || map(101, "prog_array").fd(1, &[9]);
    let cases: Vec<(&str, Vec<Reading>, Walks)> = vec![
        (
            "all explained",
            vec![map(1, "array").fd(1, &[1]), outer(), array()],
            NONE,
        ),
        (
            "no outer map",
            vec![map(1, "hash").counts(1), array()],
            NONE,
        ),
        (
            "an inner map",
            vec![map(1, "hash").counts(1), outer()],
            SLOTS,
        ),
        (
            "a hash of maps",
            vec![map(1, "hash").counts(1), map(2, "hash_of_maps").fd(1, &[1])],
            SLOTS,
        ),
        ("no program array", vec![prog(1).counts(1), outer()], NONE),
        ("a program", vec![prog(1).counts(1), array()], SLOTS),
        (
            "a link is in no slot",
            vec![link(1).counts(1), outer(), array()],
            NONE,
        ),
        (
            "users are in no slot",
            vec![map(1, "hash").fd(1, &[1]).counts(2).users(2), outer()],
            NONE,
        ),
        (
            "users all known",
            vec![map(1, "ringbuf").fd(1, &[1]).counts(2).users(1), outer()],
            SLOTS,
        ),
        (
            "a mapping",
            vec![map(1, "ringbuf").fd(1, &[1]).counts(2).users(2), outer()],
            MAPPINGS,
        ),
        (
            "its program is known",
            vec![
                map(1, "ringbuf").fd(1, &[1]).prog(2).counts(3).users(2),
                outer(),
            ],
            MAPPINGS,
        ),
        (
            "either",
            vec![map(1, "array").fd(1, &[1]).counts(2), outer()],
            BOTH,
        ),
        (
            "both",
            vec![
                map(1, "arena").fd(1, &[1]).prog(2).counts(4).users(2),
                outer(),
            ],
            BOTH,
        ),
        (
            "not mappable",
            vec![map(1, "percpu_array").fd(1, &[1]).counts(2).users(2)],
            NONE,
        ),
        ("programs are not mapped", vec![prog(1).counts(1)], NONE),
        (
            "too many found",
            vec![map(1, "array").fd(1, &[1, 2]).counts(1), outer()],
            NONE,
        ),
    ];
    for (name, readings, expected) in cases {
        let ledger = close(readings);
        assert_eq!(ledger.walks_wanted(PINS), expected, "{name}");
        assert_eq!(
            ledger.walks_wanted(Walks {
                pins: true,
                ..expected
            }),
            NONE,
            "{name}: not asked for again"
        );
        assert_eq!(expected.any(), expected != NONE);
    }
}

#[test]
fn a_count_that_was_not_read_wants_no_walk() {
    let mut unread = map(1, "ringbuf");
    unread.facts.refcnt = None;
    assert_eq!(
        close(vec![unread, map(2, "hash_of_maps")]).walks_wanted(NONE),
        NONE
    );
}

#[test]
fn pins_are_asked_for_before_mappings() {
    let cases: Vec<(&str, Reading, Walks)> = vec![
        ("explained", map(1, "ringbuf").fd(1, &[1]), NONE),
        ("a map", map(1, "ringbuf").counts(1), PINS),
        ("a program", prog(1).counts(1), PINS),
        ("a link", link(1).counts(1), PINS),
        (
            "a program's map",
            map(1, "ringbuf").fd(1, &[1]).counts(2).users(1),
            NONE,
        ),
    ];
    for (name, reading, expected) in cases {
        assert_eq!(close(vec![reading]).walks_wanted(NONE), expected, "{name}");
    }
}

#[test]
fn what_lastref_made_itself_wants_no_walk() {
    let mut own = map(1, "ringbuf").counts(1);
    own.facts.own = true;
    assert_eq!(close(vec![own]).walks_wanted(NONE), NONE);
}

#[test]
fn an_array_that_cannot_be_mapped_wants_no_mappings() {
    let mut plain = map(1, "array").fd(1, &[1]).counts(2).users(2);
    plain.facts.detail = model::Detail::Map(model::MapFacts::default());
    assert_eq!(close(vec![plain]).walks_wanted(PINS), NONE);
}
