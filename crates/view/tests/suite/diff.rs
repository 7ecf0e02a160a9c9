//! `lastref ls --diff`, as it looks.

use crate::screen::{check_says, diff};
use crate::world::{self, agent, held, object, pin, worker};
use model::{
    Before, By, CannotSee, Change, DiffReport, DiffTotals, Growth, GrowthOf, Holder, Kind, Object,
    Reference, State,
};
use view::{Grouping, ListOptions};

fn nothing() -> DiffReport {
    let mut after = world::snapshot();
    after.time = "2026-11-24T03:14:50Z".into();
    DiffReport {
        schema: DiffReport::SCHEMA.into(),
        before: world::snapshot(),
        after,
        same_boot: true,
        appeared: vec![],
        vanished: vec![],
        changed: vec![],
        growth: vec![],
        orphans: vec![],
        unexplained: vec![],
        totals: DiffTotals::default(),
    }
}

fn growth(name: &str, holder: Holder, before: u64, after: u64) -> Growth {
    Growth {
        of: GrowthOf::Objects,
        kind: Kind::Map,
        name: name.into(),
        type_name: "hash".into(),
        tag: None,
        object: None,
        by: None,
        holder: Some(holder),
        holders: 1,
        pattern: None,
        before,
        after,
        ids: vec![],
    }
}

fn change(object: Object, change: impl FnOnce(&mut Before)) -> Change {
    let mut before = Before {
        refcnt: object.facts.refcnt,
        usercnt: object.facts.usercnt,
        explained: object.explained,
        unexplained: object.unexplained,
        settled: true,
        state: object.state,
        memory_bytes: object.facts.memory_bytes,
        entries: object.facts.entries,
        attached: None,
        detached: None,
    };
    change(&mut before);
    Change {
        object,
        before,
        came: vec![],
        went: vec![],
    }
}

/// An agent that leaks maps and descriptors, a pod's pins left behind, a busy table.
fn leak() -> DiffReport {
    let mut report = nothing();
    let events = |id| {
        let mut map = object(
            Kind::Map,
            id,
            "conn_events",
            "hash",
            vec![held(By::Fd, 1, agent(vec![id]))],
        );
        map.kept_by = vec![agent(vec![id])];
        map
    };
    report.appeared = (100..10_100).map(events).collect();
    let mut left = object(
        Kind::Map,
        31,
        "policy",
        "lpm_trie",
        vec![held(By::Pin, 1, pin("/sys/fs/bpf/pods/8a6b2c1e/policy"))],
    );
    left.state = State::OrphanPin;
    left.kept_by = vec![pin("/sys/fs/bpf/pods/8a6b2c1e/policy")];
    let mut left = change(left, |b| {
        b.refcnt = Some(2);
        b.state = State::InUse;
    });
    left.went = vec![held(By::Fd, 1, worker(5_150, vec![9]))];
    report.vanished = vec![object(Kind::Prog, 5, "on_exec", "kprobe", vec![])];
    let mut shared = change(object(Kind::Map, 17, "config", "array", vec![]), |b| {
        b.refcnt = Some(5);
    });
    shared.object.facts.refcnt = Some(1_205);
    shared.came = vec![held(By::Fd, 1_200, agent((9..1_209).collect()))];
    let filled = |id: u32| {
        let mut map = object(Kind::Map, id, &format!("table_{id}"), "hash", vec![]);
        map.facts.entries = Some(u64::from(id));
        change(map, |b| b.entries = Some(3))
    };
    report.changed = vec![left, shared];
    report.changed.extend((40..52).map(filled));
    let pins: Vec<Change> = (60..80)
        .map(|id| {
            let mut pinned = change(object(Kind::Map, id, "ct", "hash", vec![]), |b| {
                b.refcnt = Some(1);
            });
            pinned.object.facts.refcnt = Some(2);
            let path = format!("/sys/fs/bpf/pods/{id}f/ct");
            pinned.came = vec![held(By::Pin, 1, pin(&path))];
            pinned
        })
        .collect();
    report.changed.extend(pins);
    report.growth = vec![
        growth("conn_events", agent(vec![]), 12, 10_012),
        Growth {
            of: GrowthOf::References,
            object: Some("map:17".parse().expect("an id")),
            by: Some(By::Fd),
            ..growth("config", agent(vec![]), 5, 1_205)
        },
        Growth {
            holders: 20,
            pattern: Some("/sys/fs/bpf/pods/*/ct".into()),
            ..growth("ct", pin("/sys/fs/bpf/pods/60f/ct"), 0, 20)
        },
        Growth {
            holders: 3,
            ..growth("cache", worker(5_150, vec![]), 4, 9)
        },
        Growth {
            holder: None,
            ..growth("", agent(vec![]), 1, 2)
        },
    ];
    report.orphans = vec!["map:31".parse().expect("an id")];
    report.after.cannot_see = vec![CannotSee {
        what: "sockets".into(),
        why: "no walk".into(),
        needs: "a later version".into(),
    }];
    report.totals = DiffTotals {
        objects_before: 412,
        objects_after: 10_411,
        references_before: 3_100,
        references_after: 14_317,
        memory_bytes_before: 30 << 20,
        memory_bytes_after: 70 << 20,
        appeared: 10_000,
        vanished: 1,
        changed: 34,
        grown: 5,
        new_orphans: 1,
        new_unexplained: 0,
    };
    report
}

#[test]
fn nothing_changed_is_said_plainly() {
    assert_eq!(
        diff(&nothing(), ListOptions::default(), 80),
        r"nothing changed

before       0 objects, 0 references, 0 B; kernel 6.18.44, 2026-11-24T03:12:45Z
after        0 objects, 0 references, 0 B; kernel 6.18.44, 2026-11-24T03:14:50Z
difference   0 appeared, 0 vanished, 0 changed, 0 groups grew
"
    );
}

#[test]
fn a_leak_at_80_columns() {
    assert_eq!(
        diff(&leak(), ListOptions::default(), 80),
        r"grew
BEFORE   AFTER  WHAT                            HELD BY
    12  10,012  hash map conn_events            tetragon[4242]
     5   1,205  fd references to map:17 config  tetragon[4242]
     0      20  hash map ct                     20 pins /sys/fs/bpf/pods/*/ct
     4       9  hash map cache                  3 × worker
     1       2  hash map                        nobody known

appeared
OBJECT       TYPE  NAME           REFS    MEMORY  STATE   HELD BY
10,000 maps  hash  conn_events  10,000  39.1 MiB  in-use  tetr…[4242] 10,000 fds

vanished
OBJECT  TYPE    NAME     REFS   MEMORY  STATE   HELD BY
prog:5  kprobe  on_exec     0  4.0 KiB  in-use

changed
map:17 config: refs 5 → 1,205, +1,200 fd tetragon[4242]
map:31 policy: in-use → orphan-pin, refs 2 → 1, −1 fd worker[5150]
20 maps ct: refs 20 → 40, +20 pin /sys/fs/bpf/pods/*/ct
map:40 table_40: entries 3 → 40
map:41 table_41: entries 3 → 41
map:42 table_42: entries 3 → 42
map:43 table_43: entries 3 → 43
map:44 table_44: entries 3 → 44
map:45 table_45: entries 3 → 45
map:46 table_46: entries 3 → 46
map:47 table_47: entries 3 → 47
… and entries or memory alone in 4 more objects (--no-group lists them)

before       412 objects, 3,100 references, 30.0 MiB; kernel 6.18.44,
             2026-11-24T03:12:45Z
after        10,411 objects, 14,317 references, 70.0 MiB; kernel 6.18.44,
             2026-11-24T03:14:50Z
difference   10,000 appeared, 1 vanished, 34 changed, 5 groups grew
new orphans  1 orphan pin (map:31)
cannot see   sockets (after only): no walk; needs a later version
"
    );
}

#[test]
fn a_leak_at_160_columns() {
    assert_eq!(
        diff(&leak(), ListOptions::default(), 160),
        r"grew
BEFORE   AFTER  WHAT                            HELD BY
    12  10,012  hash map conn_events            tetragon[4242]
     5   1,205  fd references to map:17 config  tetragon[4242]
     0      20  hash map ct                     20 pins /sys/fs/bpf/pods/*/ct
     4       9  hash map cache                  3 × worker
     1       2  hash map                        nobody known

appeared
OBJECT       TYPE  NAME           REFS    MEMORY  STATE   IDS         HELD BY
10,000 maps  hash  conn_events  10,000  39.1 MiB  in-use  100..10099  tetragon[4242] 10,000 fds

vanished
OBJECT  TYPE    NAME     REFS   MEMORY  STATE   HELD BY
prog:5  kprobe  on_exec     0  4.0 KiB  in-use

changed
map:17 config: refs 5 → 1,205, +1,200 fd tetragon[4242]
map:31 policy: in-use → orphan-pin, refs 2 → 1, −1 fd worker[5150]
20 maps ct: refs 20 → 40, +20 pin /sys/fs/bpf/pods/*/ct
map:40 table_40: entries 3 → 40
map:41 table_41: entries 3 → 41
map:42 table_42: entries 3 → 42
map:43 table_43: entries 3 → 43
map:44 table_44: entries 3 → 44
map:45 table_45: entries 3 → 45
map:46 table_46: entries 3 → 46
map:47 table_47: entries 3 → 47
… and entries or memory alone in 4 more objects (--no-group lists them)

before       412 objects, 3,100 references, 30.0 MiB; kernel 6.18.44, 2026-11-24T03:12:45Z
after        10,411 objects, 14,317 references, 70.0 MiB; kernel 6.18.44, 2026-11-24T03:14:50Z
difference   10,000 appeared, 1 vanished, 34 changed, 5 groups grew
new orphans  1 orphan pin (map:31)
cannot see   sockets (after only): no walk; needs a later version
"
    );
}

#[test]
fn another_boot_at_80_columns() {
    let mut report = nothing();
    report.same_boot = false;
    report.growth = vec![growth("conn_events", agent(vec![]), 12, 13)];
    assert_eq!(
        diff(&report, ListOptions::default(), 80),
        r"The reports are of different boots: ids mean nothing across them, so only groups
are compared.

grew
BEFORE  AFTER  WHAT                  HELD BY
    12     13  hash map conn_events  tetragon[4242]

before       0 objects, 0 references, 0 B; kernel 6.18.44, 2026-11-24T03:12:45Z
after        0 objects, 0 references, 0 B; kernel 6.18.44, 2026-11-24T03:14:50Z
difference   0 groups grew
"
    );
}

#[test]
fn each_change_may_have_its_line() {
    let each = ListOptions {
        grouped: Grouping::Never,
        ..ListOptions::default()
    };
    let text = diff(&leak(), each, 100);
    assert_eq!(text.matches("map:").count(), 10_000 + 34 + 2, "{text}");
    check_says(&text, &["map:51 table_51: entries 3 → 51\n"]);
}

/// A reference whose holders are not known, and one with many.
#[test]
fn holders_that_came_and_went() {
    let mut report = nothing();
    let mut changed = change(object(Kind::Map, 7, "m", "hash", vec![]), |_| ());
    changed.came = vec![
        Reference {
            by: By::Timer,
            count: 2,
            holders: vec![],
        },
        Reference {
            by: By::Fd,
            count: 1,
            holders: (1..6).map(|pid| worker(pid, vec![3])).collect(),
        },
    ];
    report.changed = vec![changed];
    let text = diff(&report, ListOptions::default(), 100);
    let line = "map:7 m: +2 timer nobody known, +1 fd worker[1] and worker[2] and 3 more\n";
    check_says(&text, &[line]);
}
