//! What lets an object go, and what goes with it.

use crate::build::*;
use ledger::{Ledger, Reading, ReleasePlan, Sight};
use model::{By, Detail, Holder, Kind, Pin, Process};

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

fn with_process(fds: &[u32], change: impl FnOnce(&mut Process)) -> Holder {
    match process(4242, fds) {
        Holder::Process(mut p) => {
            change(&mut p);
            Holder::Process(p)
        }
        other => other,
    }
}

fn with_pin(path: &str, change: impl FnOnce(&mut Pin)) -> Holder {
    match pin(path) {
        Holder::Pin(mut p) => {
            change(&mut p);
            Holder::Pin(p)
        }
        other => other,
    }
}

#[test]
fn the_last_step_frees_the_object_and_what_only_it_held() {
    let plan = plan(
        vec![
            map(1, "hash").prog(2).fd(10, &[3]),
            prog(2).link(3).pinned("/p"),
            link(3).fd(10, &[5, 6]).detached(),
            btf(4, false)
                .held(By::BtfUser, 1, vec![object(Kind::Map, 1)])
                .held(By::BtfUser, 1, vec![object(Kind::Prog, 2)]),
        ],
        "map:1",
    );
    assert_eq!(
        steps(&plan),
        [
            "close fds 3, 5, 6 of agent (pid 10), or end it -> link:3",
            "rm /p -> prog:2 map:1 btf:4",
        ]
    );
    assert_eq!((plan.steps[0].bytes, plan.steps[1].bytes), (1000, 3000));
    assert!(plan.caveats.is_empty(), "{:?}", plan.caveats);
}

#[test]
fn only_what_is_on_the_chains_is_dropped() {
    let plan = plan(
        vec![
            map(1, "hash").fd(10, &[3]),
            map(2, "hash").fd(10, &[4]),
            prog(5).pinned("/p"),
        ],
        "map:1",
    );
    assert_eq!(
        steps(&plan),
        ["close fd 3 of agent (pid 10), or end it -> map:1"]
    );
}

#[test]
fn a_shared_file_goes_with_the_last_that_has_it() {
    let plan = plan(
        vec![
            map(1, "hash")
                .held(By::Fd, 2, vec![process(10, &[3, 4]), process(11, &[3, 4])])
                .fd(11, &[9]),
        ],
        "map:1",
    );
    assert_eq!(
        steps(&plan),
        [
            "close fds 3, 4, 9 of agent (pid 11), or end it -> ",
            "close fds 3, 4 of agent (pid 10), or end it -> map:1",
        ]
    );
}

#[test]
fn a_process_that_is_named_twice_lets_go_once() {
    let twice = vec![process(10, &[3]), process(10, &[4])];
    let plan = plan(vec![map(1, "hash").held(By::Fd, 1, twice)], "map:1");
    assert_eq!(
        steps(&plan),
        ["close fds 3, 4 of agent (pid 10), or end it -> map:1"]
    );
}

#[test]
fn freeing_an_outer_map_frees_its_inner_maps() {
    let plan = plan(
        vec![
            map(1, "hash_of_maps").pinned("/o"),
            map(2, "hash").held(By::OuterMap, 3, vec![object(Kind::Map, 1)]),
            map(3, "hash").outer(1).fd(10, &[1]),
        ],
        "map:2",
    );
    assert_eq!(steps(&plan), ["rm /o -> map:1 map:2"]);
}

#[test]
fn each_holder_has_its_own_words() {
    let fds: Vec<u32> = (5..1205).collect();
    let unit = |unit: &str| {
        let unit = Some(unit.to_owned());
        with_process(&[5], |p| p.unit = unit.map(Into::into))
    };
    let cases: Vec<(By, Holder, &str)> = vec![
        (
            By::Fd,
            process(4242, &fds),
            "close 1,200 fds (5, 6, 7, …) of agent (pid 4242), or end it",
        ),
        (By::Fd, process(1, &[5]), "close fd 5 of agent (pid 1)"),
        (
            By::Fd,
            with_process(&[5], |p| (p.pid, p.unit) = (1, Some("a.service".into()))),
            "close fd 5 of agent (pid 1)",
        ),
        (
            By::Fd,
            with_process(&[5], |p| {
                (p.pid, p.comm, p.unit) = (1, "systemd".into(), Some("a.service".into()));
            }),
            "close fd 5 of systemd (pid 1) (systemctl stop a.service && systemctl clean --what=fdstore a.service)",
        ),
        (By::Fd, process(4242, &[]), "end agent (pid 4242)"),
        (
            By::Fd,
            with_process(&[5], |p| p.comm = "".into()),
            "close fd 5 of pid 4242, or end it",
        ),
        (
            By::Fd,
            with_process(&[5], |p| p.comm = "a\u{1b}[2J".into()),
            "close fd 5 of a\\x1b[2J (pid 4242), or end it",
        ),
        (
            By::Fd,
            with_process(&[5], |p| p.tid = Some(4250)),
            "close fd 5 of agent (pid 4242, descriptor table of thread 4250), or end it",
        ),
        (
            By::Fd,
            unit("agent.service"),
            "close fd 5 of agent (pid 4242), or end it (systemctl restart agent.service)",
        ),
        (
            By::Fd,
            unit("a b.service"),
            "close fd 5 of agent (pid 4242), or end it (systemctl restart 'a b.service')",
        ),
        (
            By::Fd,
            unit("session-3.scope"),
            "close fd 5 of agent (pid 4242), or end it",
        ),
        (
            By::Mmap,
            process(4242, &[]),
            "unmap map:1 in agent (pid 4242), or end it",
        ),
        (By::Pin, pin("/sys/fs/bpf/x y"), "rm '/sys/fs/bpf/x y'"),
        (
            By::Pin,
            with_pin("/x", |p| p.enter_pid = Some(77)),
            "rm /proc/77/root/x",
        ),
        (
            By::Pin,
            with_pin("/x", |p| p.also = vec!["/y".into(), "/it's".into()]),
            "rm /x /y $'/it\\'s'",
        ),
        (
            By::Pin,
            with_pin("/x", |p| p.unlinked = true),
            "close the file that keeps the unlinked pin /x",
        ),
        (
            By::Pin,
            with_pin("(bpffs 0:43)/x", |_| {}),
            "remove the pin '(bpffs 0:43)/x': lastref sees no path that leads there",
        ),
        (
            By::Pin,
            with_pin("/x", |p| p.also = vec!["(bpffs 0:43)/y".into()]),
            "rm /x, and remove the pin '(bpffs 0:43)/y': lastref sees no path that leads there",
        ),
    ];
    for (by, holder, action) in cases {
        let plan = plan(vec![map(1, "hash").held(by, 1, vec![holder])], "map:1");
        assert_eq!(steps(&plan), [format!("{action} -> map:1")]);
    }
}

#[test]
fn descriptors_and_mappings_of_one_process_are_one_step() {
    let plan = plan(
        vec![
            map(1, "ringbuf")
                .fd(10, &[5])
                .held(By::Mmap, 1, vec![process(10, &[])]),
        ],
        "map:1",
    );
    assert_eq!(
        steps(&plan),
        ["close fd 5 and unmap map:1 in agent (pid 10), or end it -> map:1"]
    );
    assert_eq!(
        plan.caveats,
        ["A mapping of map:1 outlasts its descriptors: whoever mapped it must unmap it too."]
    );
}

#[test]
fn dropping_a_link_says_what_it_detaches() {
    let readings = |detached: bool| {
        let link = link(3).pinned("/l");
        vec![
            map(1, "hash").prog(5),
            prog(5).link(3),
            if detached { link.detached() } else { link },
        ]
    };
    assert_eq!(
        plan(readings(false), "map:1").caveats,
        ["Dropping link:3 detaches prog:5 from cgroup:/a."]
    );
    assert!(plan(readings(true), "map:1").caveats.is_empty());
    let mut struct_ops = link(3).pinned("/l");
    if let Detail::Link(link) = &mut struct_ops.facts.detail {
        link.prog_id = None;
        link.target = None;
    }
    assert_eq!(
        plan(vec![struct_ops], "link:3").caveats,
        ["Dropping link:3 detaches it from its target."]
    );
}

#[test]
fn many_caveats_of_one_sort_are_counted() {
    let mut program = prog(5);
    let mut readings = vec![];
    for at in 0..20 {
        program = program.link(at);
        readings.push(link(at).fd(10, &[at]));
    }
    readings.push(program);
    let plan = plan(readings, "prog:5");
    assert_eq!(plan.caveats.len(), 9);
    assert_eq!(plan.caveats[8], "And 12 more links detach likewise.");
}

/// `bpf_map_put_uref`: the last user reference empties a program array.
#[test]
fn a_program_array_lets_go_of_its_slots_with_its_last_user() {
    let readings = vec![
        map(1, "prog_array").pinned("/m").fd(10, &[3]).prog(3),
        prog(2).slot(1),
        // Keeps using the array: no reason to touch it for prog:2.
        prog(3).pinned("/p").pinned("/q").pinned("/r"),
    ];
    let plan = plan(readings, "prog:2");
    assert_eq!(
        steps(&plan),
        [
            "close fd 3 of agent (pid 10), or end it -> ",
            "rm /m -> prog:2"
        ]
    );
    assert_eq!(
        plan.caveats,
        [
            "When the last descriptor and pin of map:1 go, the kernel empties this program array: \
             tail calls through it fail from then on."
        ]
    );
}

#[test]
fn a_cycle_through_a_program_array_breaks_with_its_last_user() {
    let readings = || vec![map(1, "prog_array").pinned("/m").prog(2), prog(2).slot(1)];
    assert_eq!(
        steps(&plan(readings(), "prog:2")),
        ["rm /m -> prog:2 map:1"]
    );
    assert_eq!(steps(&plan(readings(), "map:1")), ["rm /m -> prog:2 map:1"]);
    // The same with the kernel's own split of the count.
    let mut split = readings();
    split[0] = map(1, "prog_array").pinned("/m").prog(2).users(1);
    assert_eq!(steps(&plan(split, "prog:2")), ["rm /m -> prog:2 map:1"]);
}

#[test]
fn a_cycle_without_users_does_not_break_by_itself() {
    let plan = plan(
        vec![map(1, "prog_array").prog(2), prog(2).slot(1)],
        "prog:2",
    );
    assert!(plan.steps.is_empty());
    assert_eq!(plan.caveats.len(), 1);
    assert!(plan.caveats[0].starts_with("map:1 (a program array) and prog:2 keep each other"));
    assert!(plan.caveats[0].contains("bpftool map delete id 1 key"));
}

#[test]
fn an_array_without_users_goes_with_what_uses_it() {
    let plan = plan(
        vec![
            map(1, "prog_array").prog(3),
            prog(2).slot(1),
            prog(3).pinned("/p"),
        ],
        "prog:2",
    );
    assert_eq!(steps(&plan), ["rm /p -> prog:3 map:1 prog:2"]);
    assert!(plan.caveats.is_empty());
}

#[test]
fn hidden_users_of_an_array_keep_its_slots() {
    let plan = plan(
        vec![
            map(1, "prog_array").pinned("/m").prog(3).counts(3).users(2),
            prog(2).slot(1),
            prog(3).pinned("/p"),
        ],
        "prog:2",
    );
    assert_eq!(steps(&plan), ["rm /m -> "]);
    assert_eq!(plan.caveats.len(), 1);
    assert!(
        plan.caveats[0].contains("1 reference to map:1"),
        "{:?}",
        plan.caveats
    );
}

/// Only the kernel's part of the array's count is not explained: its slots are still emptied.
#[test]
fn what_is_unexplained_but_no_user_does_not_keep_slots() {
    let plan = plan(
        vec![
            map(1, "prog_array").pinned("/m").counts(2).users(1),
            prog(2).slot(1),
        ],
        "prog:2",
    );
    assert_eq!(steps(&plan), ["rm /m -> prog:2"]);
}

/// The array is needed whole, though a slot of its own asks only for its users.
#[test]
fn what_is_unexplained_keeps_the_array_itself() {
    let array = map(1, "prog_array").pinned("/m").prog(2).counts(3).users(1);
    let plan = plan(vec![array, prog(2).slot(1)], "map:1");
    assert_eq!(steps(&plan), ["rm /m -> prog:2"]);
    assert!(plan.caveats[0].starts_with("1 reference to map:1 could not be explained"));
}

#[test]
fn who_else_uses_an_array_does_not_matter_to_its_slots() {
    let array = map(1, "prog_array").pinned("/m").prog(99);
    let plan = plan(vec![array, prog(2).slot(1)], "prog:2");
    assert_eq!(steps(&plan), ["rm /m -> prog:2"]);
    assert_eq!(plan.caveats.len(), 1, "{:?}", plan.caveats);
    assert!(plan.caveats[0].contains("the kernel empties this program array"));
}

#[test]
fn what_keeps_an_object_for_good_is_said() {
    let mut unread = link(3).detached().pinned("/l");
    unread.facts.refcnt = None;
    let cases: Vec<(Vec<Reading>, &str, &str)> = vec![
        (
            vec![map(1, "hash").pinned("/m").counts(3).unsteady()],
            "map:1",
            "2 references to map:1 could not be explained while its count moved: look again.",
        ),
        (
            vec![map(1, "hash").prog(9)],
            "map:1",
            "prog:9 holds map:1, but what holds it was not seen.",
        ),
        (
            vec![map(1, "hash").held(By::Fd, 2, vec![])],
            "map:1",
            "2 references to map:1 have no known holder.",
        ),
        (
            vec![map(1, "hash").pinned("/m").pinned("/n").counts(1)],
            "map:1",
            "The account of map:1 was still moving: look again.",
        ),
        (
            vec![prog(5).link(3), unread],
            "prog:5",
            "The reference count of link:3 could not be read, so it may have holders that are not listed.",
        ),
        (
            vec![btf(1, true)],
            "btf:1",
            "btf:1 belongs to the kernel, and stays as long as it does.",
        ),
        (
            vec![map(1, "hash").prog(2), prog(2)],
            "map:1",
            "prog:2 is being freed already.",
        ),
        (
            vec![map(1, "hash")],
            "map:1",
            "map:1 is being freed already.",
        ),
        (
            vec![map(1, "hash").outer(2), map(2, "hash_of_maps").outer(1)],
            "map:1",
            "map:1 is kept by objects that keep each other: these steps do not free it.",
        ),
    ];
    for (readings, of, caveat) in cases {
        let plan = plan(readings, of);
        assert_eq!(plan.caveats, [caveat]);
        assert!(
            plan.steps.iter().all(|s| s.frees.is_empty()),
            "{:?}",
            plan.steps
        );
    }
}

#[test]
fn unexplained_and_out_of_sight_are_told_apart() {
    let readings = || vec![map(1, "hash").pinned("/m").counts(2)];
    let before = close(readings());
    let settled = Ledger::close(readings(), &Sight::default(), Some(&before));
    assert_eq!(
        settled.release_plan(id("map:1")).caveats,
        [
            "1 reference to map:1 could not be explained, and may keep it. It could be what lastref \
             cannot list: a program that is just being loaded; a descriptor that an io_uring \
             request in progress uses; a file of a process that just exited."
        ]
    );
    let sight = Sight {
        holders_out_of_sight: Some("a child pid namespace".into()),
        ..Sight::default()
    };
    let dark = Ledger::close(readings(), &sight, None);
    assert_eq!(
        dark.release_plan(id("map:1")).caveats,
        ["1 reference to map:1 may be held where lastref cannot look (a child pid namespace)."]
    );
}

#[test]
fn an_object_that_is_not_there_has_no_plan() {
    assert_eq!(plan(vec![], "map:1"), ReleasePlan::default());
}
