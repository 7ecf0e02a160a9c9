//! Attachments, sockets, io_urings, modules: who is behind them, and what that makes of
//! the objects that they hold.

use crate::build::*;
use ledger::{Ledger, Reading};
use model::{Attachment, By, Holder, Kind, Socket, State};

fn kept_by(ledger: &Ledger, of: &str) -> Vec<String> {
    shorts(&get(ledger, of).kept_by)
}

fn chains(ledger: &Ledger, of: &str) -> Vec<String> {
    let chains = ledger.chains(id(of), 100).chains;
    chains.iter().map(|c| shorts(c).join(" ")).collect()
}

#[test]
fn chains_go_on_to_the_processes_that_have_a_holder_open() {
    let ledger = close(vec![
        map(1, "hash")
            .prog(2)
            .held(By::InFlight, 1, vec![socket(8, &[(12, 3)])]),
        prog(2)
            .held(By::Socket, 1, vec![socket(7, &[(10, 5), (11, 6)])])
            .held(By::Attachment, 1, vec![perf_event("perf:x", &[(10, 8)])])
            .held(By::IoUring, 1, vec![io_uring(&[(10, 9)])]),
    ]);
    assert_eq!(
        chains(&ledger, "prog:2"),
        [
            "socket#7 10[5]",
            "perf#x 10[8]",
            "io_uring#10 10[9]",
            "socket#7 11[6]"
        ]
    );
    assert_eq!(kept_by(&ledger, "prog:2"), ["10[5,8,9]", "11[6]"]);
    assert_eq!(kept_by(&ledger, "map:1"), ["10[5,8,9]", "11[6]", "12[3]"]);
    assert_eq!(
        chains(&ledger, "map:1")[0..2],
        ["socket#8 12[3]", "prog:2 socket#7 10[5]"]
    );
    assert_eq!(get(&ledger, "prog:2").state, State::InUse);
    assert_eq!(get(&ledger, "map:1").state, State::InUse);
}

/// The same process holds the object by a descriptor, and through a socket.
#[test]
fn one_process_with_several_grips_is_one_end() {
    let shared = vec![process(10, &[3]), socket(7, &[(10, 5)])];
    let ledger = close(vec![map(1, "hash").held(By::Fd, 1, shared).fd(10, &[4])]);
    assert_eq!(kept_by(&ledger, "map:1"), ["10[3,4,5]"]);
    assert_eq!(chains(&ledger, "map:1"), ["10[3,4]", "socket#7 10[5]"]);
}

/// `start_ticks` and `tid` tell processes apart as everywhere.
#[test]
fn a_reused_pid_behind_a_socket_is_another_end() {
    let mut other = socket(8, &[(10, 6)]);
    if let Holder::Socket(socket) = &mut other {
        socket.open_by[0].start_ticks = Some(5);
    }
    let ledger = close(vec![
        prog(1)
            .held(By::Socket, 1, vec![socket(7, &[(10, 5)])])
            .held(By::Socket, 1, vec![other]),
    ]);
    assert_eq!(kept_by(&ledger, "prog:1"), ["10[5]", "10[6]"]);
}

#[test]
fn what_nobody_has_open_ends_a_chain() {
    let ledger = close(vec![
        map(1, "hash").prog(2),
        prog(2)
            .held(By::Attachment, 1, vec![attachment("cgroup:/a")])
            .held(By::Socket, 1, vec![socket(7, &[])]),
        link(3).held(By::Module, 1, vec![module("bpf_preload")]),
        map(4, "struct_ops").held(By::StructOps, 1, vec![kernel("registered")]),
    ]);
    assert_eq!(kept_by(&ledger, "map:1"), ["cgroup#/a", "socket#7"]);
    assert_eq!(
        chains(&ledger, "map:1"),
        ["prog:2 cgroup#/a", "prog:2 socket#7"]
    );
    assert_eq!(kept_by(&ledger, "link:3"), ["module#bpf_preload"]);
    assert_eq!(kept_by(&ledger, "map:4"), ["kernel#registered"]);
    for of in ["map:1", "prog:2", "link:3", "map:4"] {
        assert_eq!(get(&ledger, of).state, State::HeldByKernel, "{of}");
    }
}

/// Each: two descriptions, and whether they are of one thing.
#[test]
fn things_are_told_apart_by_what_identifies_them() {
    let change_attachment = |change: fn(&mut Attachment)| {
        let mut holder = attachment("cgroup:/a");
        if let Holder::Attachment(attachment) = &mut holder {
            change(attachment);
        }
        holder
    };
    let change_socket = |change: fn(&mut Socket)| {
        let mut holder = socket(7, &[]);
        if let Holder::Socket(socket) = &mut holder {
            change(socket);
        }
        holder
    };
    let cases: Vec<(&str, Holder, Holder, bool)> = vec![
        (
            "another attach type",
            attachment("cgroup:/a"),
            change_attachment(|a| a.attach_type = Some("cgroup_inet_egress".into())),
            false,
        ),
        (
            "another way to detach",
            attachment("cgroup:/a"),
            change_attachment(|a| a.detach = Some("bpftool …".into())),
            false,
        ),
        (
            "another namespace",
            socket(7, &[]),
            change_socket(|s| s.netns = Some(1)),
            false,
        ),
        (
            "a family that was not read",
            socket(7, &[]),
            change_socket(|s| s.family = None),
            true,
        ),
        (
            "without inodes, of different families",
            change_socket(|s| s.inode = None),
            change_socket(|s| (s.inode, s.family) = (None, None)),
            false,
        ),
        ("a module", module("a"), module("b"), false),
        ("the kernel", kernel("a"), kernel("a"), true),
    ];
    for (name, first, second, same) in cases {
        let ledger = close(vec![prog(1).held(By::Socket, 1, vec![first]).held(
            By::Socket,
            1,
            vec![second],
        )]);
        let ends = get(&ledger, "prog:1").kept_by.len();
        assert_eq!(ends == 1, same, "{name}");
    }
}

/// Who has a socket open may be read twice, with different results.
#[test]
fn a_socket_described_twice_is_one_way() {
    let ledger = close(vec![
        prog(1)
            .held(By::Socket, 1, vec![socket(7, &[(10, 5)])])
            .held(By::Socket, 2, vec![socket(7, &[(10, 5), (10, 6)])]),
    ]);
    assert_eq!(chains(&ledger, "prog:1"), ["socket#7 10[5,6]"]);
    assert_eq!(ledger.release_plan(id("prog:1")).steps.len(), 1);
}

fn states(readings: Vec<Reading>, expected: &[(&str, State)]) {
    let ledger = close(readings);
    for (of, state) in expected {
        assert_eq!(get(&ledger, of).state, *state, "{of}");
    }
}

#[test]
fn attached_and_pinned_is_in_use() {
    states(
        vec![
            map(1, "hash").prog(2),
            prog(2)
                .pinned("/p")
                .held(By::Attachment, 1, vec![attachment("cgroup:/a")]),
        ],
        &[("prog:2", State::InUse), ("map:1", State::InUse)],
    );
    // The pin is on one chain, the attachment on another.
    states(
        vec![
            map(1, "hash").prog(2).pinned("/m"),
            prog(2).held(By::Attachment, 1, vec![attachment("cgroup:/a")]),
        ],
        &[("prog:2", State::HeldByKernel), ("map:1", State::InUse)],
    );
}

/// One row for each kind of reference that runs a program.
#[test]
fn a_pinned_program_that_something_runs_is_in_use() {
    let map_holder = || object(Kind::Map, 9);
    let rows = [
        (By::Attachment, attachment("cgroup:/a"), State::InUse),
        // Only an entry of a perf event array keeps the event.
        (By::Attachment, map_holder(), State::InUse),
        (By::Driver, attachment("dev:lo"), State::InUse),
        (By::Socket, socket(7, &[]), State::InUse),
        (By::MapEntry, map_holder(), State::InUse),
        (By::Timer, map_holder(), State::InUse),
        (By::ProgArray, map_holder(), State::OrphanPin),
        (By::StructOps, map_holder(), State::OrphanPin),
    ];
    for (by, holder, state) in rows {
        states(
            vec![
                prog(1).pinned("/p").held(by, 1, vec![holder]),
                map(9, "hash").pinned("/m"),
            ],
            &[("prog:1", state), ("map:9", State::OrphanPin)],
        );
    }
}

#[test]
fn a_registered_struct_ops_map_is_attached() {
    for holder in [kernel("registered"), socket(7, &[])] {
        states(
            vec![
                map(1, "struct_ops")
                    .pinned("/m")
                    .held(By::StructOps, 1, vec![holder]),
            ],
            &[("map:1", State::InUse)],
        );
    }
}

#[test]
fn only_attachments_sockets_and_each_other_is_held_by_kernel() {
    states(
        vec![
            prog(1).held(By::Attachment, 1, vec![attachment("dev:lo")]),
            prog(2).held(By::Socket, 1, vec![socket(7, &[])]),
            map(3, "hash").held(By::InFlight, 1, vec![socket(7, &[])]),
            map(4, "prog_array").prog(5),
            prog(5)
                .slot(4)
                .held(By::Driver, 1, vec![attachment("dev:lo")]),
            map(6, "hash").held(By::IoUring, 1, vec![io_uring(&[])]),
        ],
        &[
            ("prog:1", State::HeldByKernel),
            ("prog:2", State::HeldByKernel),
            ("map:3", State::HeldByKernel),
            ("map:4", State::HeldByKernel),
            ("prog:5", State::HeldByKernel),
            ("map:6", State::HeldByKernel),
        ],
    );
}

#[test]
fn an_attachment_does_not_hide_what_is_not_known() {
    let attached = || prog(1).held(By::Attachment, 1, vec![attachment("dev:lo")]);
    states(vec![attached().counts(2)], &[("prog:1", State::Unknown)]);
    // A pin and an attachment are enough, whatever else there is.
    states(
        vec![attached().pinned("/p").counts(9)],
        &[("prog:1", State::InUse)],
    );
}

/// A message with a map waits in a socket that nobody has open; a pin keeps the map too.
#[test]
fn a_pin_and_a_forgotten_message_make_no_state() {
    states(
        vec![
            map(1, "hash")
                .pinned("/m")
                .held(By::InFlight, 1, vec![socket(7, &[])]),
        ],
        &[("map:1", State::Unknown)],
    );
}
