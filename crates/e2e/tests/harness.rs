//! The harness must be able to fail: for each thing that it compares, a report
//! or a counter that is wrong in exactly that.

use e2e::bpf::{self, Kind};
use e2e::scene::{Cannot, OrImpossible, Stop};
use e2e::truth::Counts;
use e2e::{Expect, Who, by, here, scene, sys};
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind};

const ID: u32 = 17;

/// This process, as a report would have it.
fn myself(fds: &Value) -> Value {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).expect(name);
    let stat = read("stat");
    let (_, after_comm) = stat.rsplit_once(") ").expect("a command name");
    let started: u64 = after_comm
        .split(' ')
        .nth(19)
        .and_then(|t| t.parse().ok())
        .expect("a start time");
    json!({
        "type": "process", "pid": std::process::id(), "ns_pid": std::process::id(),
        "start_ticks": started, "tid": null, "comm": read("comm").trim_end(), "fds": fds,
        "exe": std::env::current_exe().expect("/proc is mounted"),
    })
}

fn pin() -> Value {
    json!({
        "type": "pin", "path": "/sys/fs/bpf/a", "also": ["/sys/fs/bpf/b"],
        "mount_namespace": 7, "enter_pid": null, "unlinked": false,
    })
}

/// A right report on a map with two files, a pin and two slots.
fn right() -> Value {
    json!({
        "kind": "map", "id": ID, "name": "m", "type": "hash", "own": false,
        "refcnt": 5, "usercnt": 3, "explained": 5, "unexplained": 0, "settled": true,
        "state": "in-use",
        "references": [
            {"by": "fd", "count": 2, "holders": [myself(&json!([4, 3]))]},
            {"by": "pin", "count": 1, "holders": [pin()]},
            {"by": "outer-map", "count": 2, "holders": [{"type": "map", "id": 9, "name": "o"}]},
        ],
        "kept_by": [myself(&json!([4, 3])), pin()],
    })
}

fn expected() -> Expect {
    let me = Who::process(std::process::id(), [3, 4]);
    let pin = Who::Pin {
        names: vec!["/sys/fs/bpf/a".into(), "/sys/fs/bpf/b".into()],
        namespace: Some(7),
        unlinked: false,
    };
    Expect::map(
        ID,
        [
            by("outer-map", 2, [Who::map(9)]),
            by("fd", 2, [me.clone()]),
            by("pin", 1, [pin.clone()]),
        ],
    )
    .kept_by([me, pin])
    .field("name", "m")
    .text("type", "ha")
}

#[test]
fn a_right_report_is_accepted() {
    assert_eq!(expected().against_object(&right()), Vec::<String>::new());
    let report = json!({"objects": [right()]});
    assert_eq!(expected().against_report(&report), Vec::<String>::new());
}

/// Every value of the report, changed alone, is noticed.
#[test]
fn a_report_with_one_mistake_is_refused() {
    let mistakes: Vec<(&str, Value)> = vec![
        ("/refcnt", json!(6)),
        ("/refcnt", json!(null)),
        ("/usercnt", json!(4)),
        ("/explained", json!(4)),
        ("/unexplained", json!(1)),
        ("/unexplained", json!(null)),
        ("/settled", json!(false)),
        ("/own", json!(true)),
        ("/state", json!("orphan-pin")),
        ("/name", json!("n")),
        ("/type", json!("array")),
        ("/references", json!([])),
        ("/references/0/by", json!("mmap")),
        ("/references/0/count", json!(1)),
        ("/references/0/count", json!(3)),
        ("/references/0/holders", json!([])),
        ("/references/0/holders/0/pid", json!(1)),
        ("/references/0/holders/0/tid", json!(std::process::id())),
        ("/references/0/holders/0/fds", json!([3])),
        ("/references/0/holders/0/fds", json!([3, 4, 5])),
        ("/references/0/holders/0/fds", json!([3, 5])),
        ("/references/0/holders/0/comm", json!("other")),
        ("/references/0/holders/0/exe", json!("/bin/sh")),
        ("/references/0/holders/0/ns_pid", json!(1)),
        ("/references/0/holders/0/start_ticks", json!(1)),
        ("/references/1/holders/0/path", json!("/sys/fs/bpf/c")),
        ("/references/1/holders/0/also", json!([])),
        ("/references/1/holders/0/mount_namespace", json!(8)),
        ("/references/1/holders/0/unlinked", json!(true)),
        ("/references/2/holders/0/id", json!(10)),
        ("/references/2/holders/0/type", json!("prog")),
        ("/kept_by", json!([])),
        ("/kept_by/1/path", json!("/sys/fs/bpf/c")),
    ];
    for (place, value) in mistakes {
        let mut wrong = right();
        let slot = wrong.pointer_mut(place);
        *slot.unwrap_or_else(|| panic!("{place} is not in the report")) = value.clone();
        let differences = expected().against_object(&wrong);
        assert!(!differences.is_empty(), "{place} = {value} went unnoticed");
    }
}

/// A right report on a program that is held inside the kernel.
fn right_in_kernel() -> Value {
    let me = myself(&json!([5]));
    json!({
        "kind": "prog", "id": ID, "name": "p", "own": false,
        "refcnt": 7, "explained": 7, "unexplained": 0, "settled": true, "state": "in-use",
        "references": [
            {"by": "attachment", "count": 2, "holders": [
                {"type": "attachment", "target": "dev:lo@7", "attach_type": "xdp",
                 "detach": null, "open_by": []},
                {"type": "attachment", "target": "route:10.0.0.0/8@7", "attach_type": "lwt_in",
                 "detach": null, "open_by": []},
            ]},
            {"by": "attachment", "count": 1, "holders": [
                {"type": "attachment", "target": "tracepoint:a/b", "attach_type": "perf_event",
                 "detach": null, "open_by": [me]},
            ]},
            {"by": "socket", "count": 1, "holders": [
                {"type": "socket", "inode": 12, "netns": 7, "family": "tcp",
                 "processes": [me["pid"]], "open_by": [me]},
                {"type": "socket", "inode": null, "netns": 7, "family": "tcp",
                 "processes": [], "open_by": []},
            ]},
            {"by": "io-uring", "count": 1, "holders": [
                {"type": "io_uring", "pid": me["pid"], "fd": 5, "open_by": [me]},
            ]},
            {"by": "module", "count": 1, "holders": [
                {"type": "module", "name": "bpf_preload"},
            ]},
            {"by": "struct-ops", "count": 1, "holders": [
                {"type": "kernel", "what": "registered"},
            ]},
        ],
        "kept_by": [me, {"type": "module", "name": "bpf_preload"}],
    })
}

fn expected_in_kernel() -> Expect {
    let me = std::process::id();
    Expect::prog(
        ID,
        [
            by("struct-ops", 1, [Who::kernel()]),
            by("module", 1, [Who::module("bpf_preload")]),
            by("io-uring", 1, [Who::io_uring(me, 5)]),
            by(
                "socket",
                1,
                [Who::socket_of_nobody(), Who::socket(12, [me])],
            ),
            by("attachment", 1, [Who::perf_event("tracepoint:a/b", [me])]),
            by(
                "attachment",
                2,
                [
                    Who::attachment_at("route:", "lwt_in"),
                    Who::attachment("dev:lo@7", "xdp"),
                ],
            ),
        ],
    )
    .kept_by([Who::process(me, []), Who::module("bpf_preload")])
}

#[test]
fn holders_in_the_kernel_with_one_mistake_are_refused() {
    let right = right_in_kernel();
    assert_eq!(
        expected_in_kernel().against_object(&right),
        Vec::<String>::new()
    );
    let mistakes: Vec<(&str, Value)> = vec![
        ("/references/0/holders/0/type", json!("socket")),
        ("/references/0/holders/0/target", json!("dev:lo@70")),
        ("/references/0/holders/0/target", json!(null)),
        ("/references/0/holders/0/attach_type", json!("tcx_ingress")),
        (
            "/references/0/holders/0/open_by",
            json!([myself(&json!([]))]),
        ),
        ("/references/0/holders/1/target", json!("dev:route:@7")),
        ("/references/1/holders/0/open_by", json!([])),
        ("/references/1/holders/0/open_by/0/pid", json!(1)),
        ("/references/1/holders/0/open_by/0/start_ticks", json!(1)),
        ("/references/2/holders/0/inode", json!(13)),
        ("/references/2/holders/0/inode", json!(null)),
        ("/references/2/holders/0/processes", json!([])),
        ("/references/2/holders/0/open_by", json!([])),
        ("/references/2/holders/1/inode", json!(13)),
        ("/references/2/holders/1/processes", json!([1])),
        ("/references/3/holders/0/pid", json!(1)),
        ("/references/3/holders/0/fd", json!(6)),
        ("/references/3/holders/0/fd", json!(null)),
        ("/references/3/holders/0/open_by", json!([])),
        ("/references/4/holders/0/name", json!("bpf")),
        ("/references/4/holders/0/type", json!("kernel")),
        ("/references/5/holders/0/what", json!("")),
        ("/references/5/holders/0/type", json!("module")),
        ("/kept_by/1/name", json!("bpf")),
        // A socket that a process has open ends no chain.
        ("/kept_by/0", right["references"][2]["holders"][0].clone()),
    ];
    for (place, value) in mistakes {
        let mut wrong = right.clone();
        let slot = wrong.pointer_mut(place);
        *slot.unwrap_or_else(|| panic!("{place} is not in the report")) = value.clone();
        let differences = expected_in_kernel().against_object(&wrong);
        assert!(!differences.is_empty(), "{place} = {value} went unnoticed");
    }
}

/// Files that are sent or fixed count as user references, slots of the kernel's do not.
#[test]
fn a_map_s_user_count_follows_from_the_kinds() {
    let references = [
        by("in-flight", 1, [Who::socket(12, [])]),
        by("io-uring", 2, [Who::io_uring(1, 5)]),
        by("map-entry", 4, [Who::socket(13, [])]),
    ];
    let counts = |usercnt| Counts {
        maps: [(ID, (7, usercnt))].into(),
        ..Counts::default()
    };
    let expected = Expect::map(ID, references);
    assert!(expected.against_truth(&counts(3)).is_empty());
    assert!(!expected.against_truth(&counts(7)).is_empty());
}

#[test]
fn holders_and_references_too_many_are_refused() {
    let mut wrong = right();
    let holders = wrong
        .pointer_mut("/references/0/holders")
        .and_then(Value::as_array_mut);
    holders.expect("a list").push(myself(&json!([9])));
    assert!(!expected().against_object(&wrong).is_empty());

    // Twice the same: the kinds and holders must be grouped.
    let mut wrong = right();
    let references = wrong["references"].as_array_mut().expect("a list");
    references[0]["count"] = json!(1);
    let split = references[0].clone();
    references.push(split);
    assert!(!expected().against_object(&wrong).is_empty());

    assert!(
        !expected()
            .against_report(&json!({"objects": []}))
            .is_empty()
    );
    assert!(!expected().against_report(&json!({})).is_empty());
}

#[test]
fn a_difference_is_shown_so_that_it_can_be_read() {
    let mut wrong = right();
    wrong["references"][0]["count"] = json!(3);
    let shown = expected().against_object(&wrong).join("\n");
    let me = std::process::id();
    assert!(
        shown.contains(&format!("2 × fd  process {me} fds [3, 4]")),
        "{shown}"
    );
    assert!(
        shown.contains(&format!("3 × fd  process {me} fds [4,3]")),
        "{shown}"
    );
}

#[test]
fn counters_that_differ_from_the_construction_are_refused() {
    let counts = |refcnt, usercnt| Counts {
        maps: [(ID, (refcnt, usercnt))].into(),
        ..Counts::default()
    };
    assert!(expected().against_truth(&counts(5, 3)).is_empty());
    assert!(!expected().against_truth(&counts(6, 3)).is_empty());
    assert!(!expected().against_truth(&counts(4, 3)).is_empty());
    assert!(!expected().against_truth(&counts(5, 4)).is_empty());
    assert!(!expected().against_truth(&Counts::default()).is_empty());
}

/// The same against the real kernel: a construction that is off by one.
#[test]
fn a_wrong_construction_fails() {
    let Some(s) = scene(here!(), |stage| {
        let map = bpf::hash("e2e_harness")?;
        stage.ready(scene::ids([("map", &map)]))
    }) else {
        return;
    };
    let me = Who::process(s.pid, [s.id("map_fd")]);
    let right = Expect::map(s.id("map"), [by("fd", 1, [me.clone()])]);
    let wrong = Expect::map(s.id("map"), [by("fd", 2, [me])]);
    let report = |refcnt: u64| {
        let holder = json!({"type": "process", "pid": s.pid});
        json!({"objects": [{"kind": "map", "id": s.id("map"), "refcnt": refcnt, "settled": true,
            "references": [{"by": "fd", "count": refcnt, "holders": [holder]}]}]})
    };
    // Whatever the program says: the kernel disagrees with the construction …
    let refused = catch_unwind(AssertUnwindSafe(|| s.check_with(&[wrong], || report(2))));
    assert!(refused.is_err());
    // … or the program with both.
    let refused = catch_unwind(AssertUnwindSafe(|| s.check_with(&[right], || report(2))));
    assert!(refused.is_err());
}

#[test]
fn only_the_errno_that_proves_it_makes_a_test_impossible() {
    let failed = |errno| {
        Err::<(), _>(sys::Error {
            what: "BPF_LINK_CREATE".into(),
            errno,
        })
    };
    let always = Cannot {
        errno: libc::EOPNOTSUPP,
        since: None,
        why: "not built",
    };
    let future = Cannot {
        errno: libc::EINVAL,
        since: Some((999, 0)),
        why: "too old",
    };
    let past = Cannot {
        errno: libc::EINVAL,
        since: Some((2, 6)),
        why: "too old",
    };
    let verdict = |errno, cases: &[Cannot]| failed(errno).or_impossible(cases);
    assert!(matches!(
        verdict(libc::EOPNOTSUPP, &[always]),
        Err(Stop::Impossible(_))
    ));
    assert!(matches!(
        verdict(libc::EINVAL, &[always, future]),
        Err(Stop::Impossible(_))
    ));
    assert!(matches!(
        verdict(libc::EINVAL, &[always, past]),
        Err(Stop::Failed(_))
    ));
    assert!(matches!(
        verdict(libc::EPERM, &[always, future]),
        Err(Stop::Failed(_))
    ));
}

#[test]
fn a_scene_that_fails_or_dies_fails_its_test() {
    if !e2e::needs_root(here!()) {
        return;
    }
    let fails = || scene("fails", |_| Err(Stop::Failed("on purpose".into())));
    let panics = || scene("panics", |_| panic!("on purpose"));
    let dies = || {
        scene("dies", |_| {
            // SAFETY: ends this child at once.
            unsafe { libc::_exit(0) }
        })
    };
    assert!(catch_unwind(AssertUnwindSafe(fails)).is_err());
    assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
    assert!(catch_unwind(AssertUnwindSafe(dies)).is_err());
}

/// A scene that is over leaves no object behind.
#[test]
fn nothing_outlives_its_scene() {
    let Some(s) = scene(here!(), |stage| {
        let pin = e2e::files::private_bpffs()?.join("e2e_gone");
        let map = bpf::hash("e2e_gone")?;
        map.pin(&pin)?;
        stage.ready(scene::ids([("map", &map)]))
    }) else {
        return;
    };
    let (id, pid) = (s.id("map"), s.pid);
    let truth = e2e::Truth::get();
    assert!(truth.read().refcnt(Kind::Map, id).is_some());
    drop(s);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    // The mount namespace, and with it the bpffs, is torn down by a kernel worker.
    let gone = (0..500).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        truth.read().refcnt(Kind::Map, id).is_none()
    });
    assert!(gone, "map {id} outlives its scene");
}
