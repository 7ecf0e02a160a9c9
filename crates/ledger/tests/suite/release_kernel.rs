//! What lets go of what the kernel holds: attachments, sockets, io_urings; what cannot;
//! and what maps lose with their last user.

use crate::build::*;
use ledger::{Reading, ReleasePlan};
use model::{By, Holder, Kind};

fn plan(readings: Vec<Reading>, of: &str) -> ReleasePlan {
    close(readings).release_plan(id(of))
}

/// `what to do -> what it frees`
fn steps(plan: &ReleasePlan) -> Vec<String> {
    let step = |s: &model::ReleaseStep| {
        let frees: Vec<_> = s.frees.iter().map(ToString::to_string).collect();
        format!("{} -> {}", s.action, frees.join(" "))
    };
    plan.steps.iter().map(step).collect()
}

fn with_detach(target: &str, command: &str) -> Holder {
    match attachment(target) {
        Holder::Attachment(mut a) => {
            a.detach = Some(command.into());
            Holder::Attachment(a)
        }
        other => other,
    }
}

#[test]
fn each_kernel_holder_has_its_own_words() {
    let rows: Vec<(Reading, By, Holder, &str)> = vec![
        (
            prog_of(5, "cgroup_skb"),
            By::Attachment,
            attachment("cgroup:/a\u{1b}[2J"),
            "detach prog:5 from cgroup:/a\\x1b[2J (cgroup_inet_ingress)",
        ),
        (
            prog_of(5, "xdp"),
            By::Attachment,
            with_detach("dev:lo@1", "ip link set dev lo xdp off"),
            "ip link set dev lo xdp off",
        ),
        (
            prog_of(5, "tracepoint"),
            By::Attachment,
            perf_event("tracepoint:sched/sched_switch", &[(10, 7)]),
            "close the perf event on tracepoint:sched/sched_switch (fd 7) of agent (pid 10), or \
             end it",
        ),
        (
            prog_of(5, "socket_filter"),
            By::Socket,
            socket(4711, &[(10, 6)]),
            "make agent (pid 10) close socket:[4711] (fd 6) or detach prog:5 (setsockopt \
             SO_DETACH_BPF), or end it",
        ),
        (
            prog_of(5, "sk_reuseport"),
            By::Socket,
            socket(4711, &[(1, 6)]),
            "make agent (pid 1) close socket:[4711] (fd 6) or detach prog:5 (setsockopt \
             SO_DETACH_REUSEPORT_BPF)",
        ),
        (
            prog_of(5, "sk_msg"),
            By::Socket,
            socket(4711, &[(10, 6)]),
            "make agent (pid 10) close socket:[4711] (fd 6) or delete it from its sockmap, or \
             end it",
        ),
        (
            map(5, "xskmap"),
            By::MapEntry,
            socket(4711, &[(10, 6)]),
            "make agent (pid 10) close socket:[4711] (fd 6) or delete it from map:5, or end it",
        ),
        (
            map(5, "struct_ops"),
            By::StructOps,
            socket(4711, &[(10, 6)]),
            "close socket:[4711] (fd 6) of agent (pid 10), or end it",
        ),
        (
            map(5, "hash"),
            By::InFlight,
            socket(4711, &[(10, 6)]),
            "make agent (pid 10) receive what waits in socket:[4711] (fd 6) or close it, or end it",
        ),
        (
            map(5, "hash"),
            By::IoUring,
            io_uring(&[(10, 6)]),
            "make agent (pid 10) unregister its fixed files (IORING_UNREGISTER_FILES) or close \
             the ring (fd 6), or end it",
        ),
    ];
    for (object, by, holder, action) in rows {
        let of = object.facts.object_id().expect("an id").to_string();
        let plan = plan(vec![object.held(by, 1, vec![holder])], &of);
        assert_eq!(steps(&plan), [format!("{action} -> {of}")]);
        assert!(plan.caveats.is_empty(), "{:?}", plan.caveats);
    }
}

/// A ring that only a mapping keeps: what is known is its process.
#[test]
fn a_ring_without_a_descriptor_is_unmapped() {
    let mut ring = io_uring(&[]);
    if let Holder::IoUring(ring) = &mut ring {
        ring.pid = Some(10);
    }
    let plan = plan(
        vec![map(1, "hash").held(By::IoUring, 1, vec![ring])],
        "map:1",
    );
    assert_eq!(
        steps(&plan),
        [
            "make pid 10 unregister its fixed files (IORING_UNREGISTER_FILES) or unmap or unregister \
          the ring, or end it -> map:1"
        ]
    );
}

#[test]
fn one_process_is_one_step_whatever_it_holds_by() {
    let plan = plan(
        vec![
            map(1, "ringbuf")
                .fd(10, &[5])
                .prog(2)
                .held(By::Mmap, 1, vec![process(10, &[])])
                .held(By::InFlight, 1, vec![socket(8, &[(10, 9)])])
                .held(By::IoUring, 1, vec![io_uring(&[(10, 4)])]),
            prog_of(2, "tracepoint")
                .fd(10, &[6])
                .held(By::Socket, 1, vec![socket(7, &[(10, 3)])])
                .held(By::Attachment, 1, vec![perf_event("perf:x", &[(10, 2)])]),
        ],
        "map:1",
    );
    assert_eq!(
        steps(&plan),
        [
            "make agent (pid 10) close fds 5, 6 and the perf event on perf:x (fd 2) and socket:[7] \
             (fd 3); unmap map:1; receive what waits in socket:[8] (fd 9) or close it; unregister \
             its fixed files (IORING_UNREGISTER_FILES) or close the ring (fd 4); or end it -> \
             prog:2 map:1"
        ]
    );
    let Holder::Process(process) = &plan.steps[0].holder else {
        panic!("a process");
    };
    assert_eq!(process.fds, [2, 3, 4, 5, 6, 9]);
}

#[test]
fn many_sockets_are_counted() {
    let mut program = prog_of(5, "sk_msg");
    for inode in 0..1200 {
        program = program.held(By::Socket, 1, vec![socket(inode, &[(10, inode as u32)])]);
    }
    let plan = plan(vec![program], "prog:5");
    assert_eq!(
        steps(&plan),
        [
            "make agent (pid 10) close 1,200 sockets (socket:[0] (fd 0), socket:[1] (fd 1), \
             socket:[2] (fd 2), …) or delete it from its sockmap, or end it -> prog:5"
        ]
    );
}

/// A socket that two processes share lives as long as both; a message in it too.
#[test]
fn a_shared_socket_goes_with_the_last_that_has_it() {
    let plan = plan(
        vec![
            map(1, "hash").prog(5),
            prog_of(5, "tracing").held(By::Socket, 1, vec![socket(7, &[(10, 5), (11, 5)])]),
        ],
        "map:1",
    );
    assert_eq!(
        steps(&plan),
        [
            "close socket:[7] (fd 5) of agent (pid 10), or end it -> ",
            "close socket:[7] (fd 5) of agent (pid 11), or end it -> prog:5 map:1",
        ]
    );
}

/// A descriptor that is also under way: one reference, and the same process at both ends.
#[test]
fn a_reference_with_a_process_and_its_socket_is_dropped_once() {
    let both = vec![process(10, &[3]), socket(7, &[(10, 5), (11, 6)])];
    let plan = plan(vec![map(1, "hash").held(By::Fd, 1, both)], "map:1");
    assert_eq!(
        steps(&plan),
        [
            "make agent (pid 10) close fd 3; receive what waits in socket:[7] (fd 5) or close it; \
             or end it -> ",
            "make agent (pid 11) receive what waits in socket:[7] (fd 6) or close it, or end it -> \
             map:1",
        ]
    );
}

/// XDP by netlink: the device's own reference, the driver's, the dispatcher's.
#[test]
fn an_attachment_takes_the_drivers_references_with_it() {
    let (lo, eth) = (attachment("dev:lo@1"), attachment("dev:eth0@1"));
    let program = prog_of(5, "xdp")
        .held(By::Attachment, 1, vec![lo.clone()])
        .held(By::Driver, 1, vec![lo.clone()])
        .held(By::Attachment, 1, vec![eth.clone()])
        .held(By::Driver, 1, vec![eth.clone()])
        .held(By::Driver, 1, vec![lo, eth]);
    let plan = plan(vec![program], "prog:5");
    assert_eq!(
        steps(&plan),
        [
            "detach prog:5 from dev:eth0@1 (cgroup_inet_ingress) -> ",
            "detach prog:5 from dev:lo@1 (cgroup_inet_ingress) -> prog:5",
        ]
    );
}

/// The link goes, and with it what the driver has through it.
#[test]
fn a_link_takes_the_drivers_references_with_it() {
    let program = prog_of(5, "xdp")
        .link(3)
        .held(By::Driver, 2, vec![object(Kind::Link, 3)]);
    let plan = plan(vec![program, link(3).pinned("/l")], "prog:5");
    assert_eq!(steps(&plan), ["rm /l -> link:3 prog:5"]);
}

#[test]
fn what_cannot_be_made_to_let_go_is_said() {
    let nameless = match socket(7, &[]) {
        Holder::Socket(mut s) => {
            s.inode = None;
            Holder::Socket(s)
        }
        other => other,
    };
    let rows: Vec<(Reading, By, Holder, &str)> = vec![
        (
            prog_of(5, "socket_filter"),
            By::Socket,
            socket(7, &[]),
            "socket:[7] holds prog:5, but no process has it open: it may be in flight itself, or \
             closed and still draining.",
        ),
        (
            map(5, "hash"),
            By::InFlight,
            nameless,
            "A socket without an inode holds map:5, but no process has it open: it may be in \
             flight itself, or closed and still draining.",
        ),
        (
            map(5, "hash"),
            By::IoUring,
            io_uring(&[]),
            "An io_uring holds map:5 among its fixed files, but no process in sight has it open.",
        ),
        (
            prog_of(5, "tracepoint"),
            By::Attachment,
            perf_event("perf:x", &[]),
            "A perf event on perf:x runs prog:5, but no process in sight has it open.",
        ),
        (
            link(5).detached(),
            By::Module,
            module("bpf\u{1b}preload"),
            "Module bpf\\x1bpreload holds link:5 as long as it is loaded.",
        ),
        (
            map(5, "struct_ops"),
            By::StructOps,
            kernel("registered as tcp_congestion_ops"),
            "The kernel itself holds map:5 (registered as tcp_congestion_ops) until \
             `bpftool struct_ops unregister id 5`.",
        ),
        (
            prog_of(5, "xdp"),
            By::Driver,
            kernel("a dispatcher"),
            "The kernel itself holds prog:5 (a dispatcher).",
        ),
    ];
    for (object, by, holder, caveat) in rows {
        let of = object.facts.object_id().expect("an id").to_string();
        let plan = plan(vec![object.held(by, 1, vec![holder]).pinned("/p")], &of);
        assert_eq!(steps(&plan), ["rm /p -> "], "{caveat}");
        assert_eq!(plan.caveats.len(), 1, "{:?}", plan.caveats);
        assert_eq!(plan.caveats[0], caveat);
    }
}

/// `array_map_free_timers_wq`, `htab_map_free_timers_and_wq`.
#[test]
fn a_map_lets_go_of_its_timers_with_its_last_user() {
    let timer = |program: Reading| program.held(By::Timer, 3, vec![object(Kind::Map, 1)]);
    for type_name in ["array", "hash", "lru_hash"] {
        let readings = || {
            vec![
                map_with_timers(1, type_name).pinned("/m").prog(2),
                timer(prog(2)),
            ]
        };
        // They keep each other: the program uses the map in whose elements its timers are.
        assert_eq!(
            steps(&plan(readings(), "prog:2")),
            ["rm /m -> prog:2 map:1"],
            "{type_name}"
        );
        assert_eq!(
            steps(&plan(readings(), "map:1")),
            ["rm /m -> prog:2 map:1"],
            "{type_name}"
        );
    }
    let kept = vec![
        map_with_timers(1, "hash").pinned("/m").prog(3),
        timer(prog(2)),
        prog(3).pinned("/q").pinned("/r"),
    ];
    let plan = plan(kept, "prog:2");
    assert_eq!(steps(&plan), ["rm /m -> prog:2"]);
    assert_eq!(
        plan.caveats,
        [
            "When the last descriptor and pin of map:1 go, the kernel cancels the timers and work \
             queues of its elements."
        ]
    );
}

/// `sock_map_release_progs`.
#[test]
fn a_sockmap_lets_go_of_its_programs_with_its_last_user() {
    let program = || prog_of(2, "sk_skb").held(By::MapEntry, 1, vec![object(Kind::Map, 1)]);
    for type_name in ["sockmap", "sockhash"] {
        let kept = vec![
            map(1, type_name).fd(10, &[3]).prog(3),
            program(),
            prog(3).pinned("/p"),
        ];
        let plan = plan(kept, "prog:2");
        assert_eq!(
            steps(&plan),
            ["close fd 3 of agent (pid 10), or end it -> prog:2"]
        );
        assert_eq!(
            plan.caveats,
            [
                "When the last descriptor and pin of map:1 go, the kernel detaches this sockmap's \
                 own programs: sockets that are in it keep theirs."
            ]
        );
    }
    // The programs of a devmap's entries go with the map only.
    for type_name in ["devmap", "devmap_hash", "cpumap"] {
        let kept = vec![
            map(1, type_name).fd(10, &[3]).prog(3),
            program(),
            prog(3).pinned("/p"),
        ];
        let plan = plan(kept, "prog:2");
        assert_eq!(
            steps(&plan),
            [
                "close fd 3 of agent (pid 10), or end it -> ",
                "rm /p -> prog:3 map:1 prog:2"
            ],
            "{type_name}"
        );
        assert!(plan.caveats.is_empty());
    }
}

/// A message in flight and a fixed file are users of a map like any descriptor.
#[test]
fn in_flight_and_io_uring_are_users() {
    let plan = plan(
        vec![
            map(1, "prog_array")
                .held(By::InFlight, 1, vec![socket(7, &[(10, 3)])])
                .held(By::IoUring, 1, vec![io_uring(&[(11, 4)])])
                .prog(3),
            prog(2).slot(1),
            prog(3).pinned("/p"),
        ],
        "prog:2",
    );
    assert_eq!(plan.steps.len(), 2);
    assert_eq!(plan.steps[1].frees, [id("prog:2")]);
}
