//! Two reports compared.

use crate::build::*;
use crate::properties::any_pass;
use ledger::{Reading, diff};
use model::{
    By, DiffReport, GrowthOf, Holder, ListReport, Object, PidNamespace, Process, Snapshot,
};
use proptest::prelude::*;

fn list(boot: &str, readings: Vec<Reading>) -> ListReport {
    ListReport {
        schema: ListReport::SCHEMA.into(),
        snapshot: Snapshot {
            time: "2026-11-24T03:12:45Z".into(),
            boot_id: Some(boot.into()),
            kernel: "6.18.44".into(),
            pid_namespace: PidNamespace::Host,
            passes: 1,
            seconds: 0.1,
            staged_walks: vec![],
            cannot_see: vec![],
        },
        filters: vec![],
        objects: close(readings).into_objects(),
    }
}

fn all(_: &Object) -> bool {
    true
}

fn compare(before: Vec<Reading>, after: Vec<Reading>) -> DiffReport {
    diff(list("a", before), list("a", after), &all, &all)
}

fn named(mut reading: Reading, name: &str) -> Reading {
    reading.facts.name = name.into();
    reading
}

/// `objects: agent[7]: map x 1 → 2`
fn grown(report: &DiffReport) -> Vec<String> {
    let words = |g: &model::Growth| {
        let holder = match (&g.holder, &g.pattern) {
            (_, Some(pattern)) => pattern.clone(),
            (Some(Holder::Process(p)), _) => format!("{}×{}[{}]", g.holders, p.comm, p.pid),
            (Some(holder), _) => short(holder),
            (None, _) => "nobody".into(),
        };
        let of = match (g.of, g.object) {
            (GrowthOf::References, Some(id)) => format!("references to {id}"),
            _ => format!("{} {}", g.kind, g.name),
        };
        format!("{holder}: {of} {} → {}", g.before, g.after)
    };
    report.growth.iter().map(words).collect()
}

fn ids(objects: &[Object]) -> Vec<String> {
    let ids = objects.iter().filter_map(|o| o.facts.object_id());
    ids.map(|id| id.to_string()).collect()
}

#[test]
fn a_leak_of_maps_grows_as_one_group() {
    let maps = |n: u32| -> Vec<Reading> {
        let one = |id| named(map(id, "hash"), "events").fd(7, &[id]);
        (1..=n).map(one).collect()
    };
    let report = compare(maps(12), maps(1_212));
    assert_eq!(report.appeared.len(), 1_200);
    assert_eq!(grown(&report), ["1×agent[7]: map events 12 → 1212"]);
    assert_eq!(report.growth[0].ids.len(), 16);
    assert_eq!(report.totals.grown, 1);
    assert!(report.changed.is_empty() && report.vanished.is_empty());
    // The other way round nothing grows.
    let report = compare(maps(1_212), maps(12));
    assert_eq!(report.vanished.len(), 1_200);
    assert_eq!(grown(&report), [""; 0]);
}

#[test]
fn new_ids_for_old_are_no_growth() {
    let maps = |ids: std::ops::Range<u32>| -> Vec<Reading> {
        ids.map(|id| named(map(id, "hash"), "events").fd(7, &[id]))
            .collect()
    };
    let report = compare(maps(1..5), maps(11..15));
    assert_eq!((report.appeared.len(), report.vanished.len()), (4, 4));
    assert_eq!(grown(&report), [""; 0]);
}

#[test]
fn a_leak_of_descriptors_grows_on_one_object() {
    let before = vec![map(1, "hash").fd(7, &[3]).fd(8, &[3])];
    let after = vec![map(1, "hash").fd(7, &[3, 4, 5]).fd(8, &[9])];
    let report = compare(before, after);
    assert_eq!(grown(&report), ["1×agent[7]: references to map:1 1 → 3"]);
    let [change] = &report.changed[..] else {
        panic!("{:?}", report.changed);
    };
    assert_eq!(
        (change.before.refcnt, change.object.facts.refcnt),
        (Some(2), Some(4))
    );
    assert_eq!(change.came.len(), 1);
    assert_eq!((change.came[0].by, change.came[0].count), (By::Fd, 2));
    assert_eq!(shorts(&change.came[0].holders), ["7[4,5]"]);
    assert!(change.went.is_empty());
}

#[test]
fn a_service_that_was_started_anew_has_not_grown() {
    let before = vec![named(map(1, "hash"), "x").fd(7, &[3])];
    let after = vec![named(map(2, "hash"), "x").fd(8, &[3])];
    assert_eq!(grown(&compare(before.clone(), after)), [""; 0]);
    let more = vec![
        named(map(2, "hash"), "x").fd(8, &[3]),
        named(map(3, "hash"), "x").fd(9, &[3]),
    ];
    assert_eq!(grown(&compare(before, more)), ["2×agent[8]: map x 1 → 2"]);
}

#[test]
fn pins_are_told_by_what_does_not_vary() {
    let pods = |n: u32| -> Vec<Reading> {
        let pod = |id| named(map(id, "hash"), "ev").pinned(&format!("/b/pods/{id}f/ev"));
        (1..=n).map(pod).collect()
    };
    let report = compare(pods(3), pods(9));
    assert_eq!(grown(&report), ["/b/pods/*/ev: map ev 3 → 9"]);
    assert_eq!(report.growth[0].holders, 9);
    assert_eq!(report.totals.new_orphans, 6);
    assert_eq!(report.orphans.len(), 6);
    // Each pod's map is pinned once more somewhere else: no more objects, but more pins.
    let twice = |more: bool| -> Vec<Reading> {
        let pods = pods(3).into_iter().zip(1..);
        pods.map(|(m, id)| {
            if more {
                m.pinned(&format!("/b/pods/{id}g/ev"))
            } else {
                m
            }
        })
        .collect()
    };
    assert_eq!(compare(twice(false), twice(true)).growth.len(), 3);
}

#[test]
fn a_reused_id_is_another_object() {
    let report = compare(
        vec![named(map(1, "hash"), "x").fd(7, &[3])],
        vec![named(map(1, "hash"), "y").fd(7, &[3])],
    );
    assert_eq!(ids(&report.appeared), ["map:1"]);
    assert_eq!(ids(&report.vanished), ["map:1"]);
    assert!(report.changed.is_empty());
    assert_eq!(grown(&report), ["1×agent[7]: map y 0 → 1"]);
}

#[test]
fn ids_of_another_boot_mean_nothing() {
    let one = || vec![map(1, "hash").pinned("/b/x"), map(2, "hash").fd(7, &[3])];
    let two = vec![
        named(map(9, "hash"), "map1").pinned("/b/x"),
        named(map(4, "hash"), "map2").fd(70, &[3]),
        named(map(5, "hash"), "map2").fd(70, &[4]),
        named(map(6, "hash"), "new").pinned("/b/z"),
    ];
    let report = diff(list("a", one()), list("b", two), &all, &all);
    assert!(!report.same_boot);
    assert!(report.appeared.is_empty() && report.vanished.is_empty() && report.changed.is_empty());
    assert_eq!(
        grown(&report),
        ["1×agent[70]: map map2 1 → 2", "/b/z: map new 0 → 1"]
    );
    assert_eq!(report.totals.new_orphans, 1);
    assert_eq!(report.orphans, [id("map:6")]);
    let unknown = |mut report: ListReport| {
        report.snapshot.boot_id = None;
        report
    };
    let report = diff(
        unknown(list("a", one())),
        unknown(list("a", one())),
        &all,
        &all,
    );
    assert!(!report.same_boot);
    assert_eq!(grown(&report), [""; 0]);
}

#[test]
fn what_becomes_an_orphan_or_unexplained_is_new() {
    let orphan = || map(1, "hash").pinned("/b/x");
    let report = compare(vec![orphan().fd(7, &[3])], vec![orphan()]);
    assert_eq!(report.orphans, [id("map:1")]);
    assert_eq!(report.changed[0].went[0].by, By::Fd);
    assert!(compare(vec![orphan()], vec![orphan()]).orphans.is_empty());

    let odd = |n| map(1, "hash").fd(7, &[3]).counts(n);
    let settled = |mut report: ListReport| {
        report.objects[0].settled = true;
        report
    };
    let compare = |a, b| {
        diff(
            settled(list("a", vec![odd(a)])),
            settled(list("a", vec![odd(b)])),
            &all,
            &all,
        )
    };
    assert_eq!(compare(1, 3).totals.new_unexplained, 2);
    assert_eq!(compare(3, 3).totals.new_unexplained, 0);
    assert_eq!(compare(3, 1).totals.new_unexplained, 0);
    let report = diff(list("a", vec![odd(1)]), list("a", vec![odd(3)]), &all, &all);
    assert_eq!(report.totals.new_unexplained, 0, "it still moves");
}

#[test]
fn what_is_asked_for_in_one_report_counts_in_both() {
    let orphan = || map(1, "hash").pinned("/b/x");
    let orphans = |o: &Object| o.state == model::State::OrphanPin;
    let report = diff(
        list("a", vec![orphan().fd(7, &[3]), map(2, "hash").fd(7, &[4])]),
        list("a", vec![orphan(), map(2, "hash").fd(7, &[5, 6])]),
        &orphans,
        &orphans,
    );
    assert!(report.appeared.is_empty(), "it was there before");
    assert_eq!(report.changed.len(), 1);
    assert_eq!(report.orphans, [id("map:1")]);
}

#[test]
fn our_own_and_the_kernels_do_not_grow() {
    let mut own = map(1, "hash").fd(7, &[3]);
    own.facts.own = true;
    let freed = map(3, "hash").counts(0);
    let report = compare(vec![], vec![own, btf(2, true), freed]);
    assert_eq!(report.appeared.len(), 3);
    assert_eq!(grown(&report), [""; 0]);
}

#[test]
fn threads_and_shared_files_count_once() {
    let shared = |n: u64| {
        map(1, "hash").held(
            By::Fd,
            n,
            vec![process(7, &[3]), process(8, &[3]), tid(7, 70)],
        )
    };
    let report = compare(vec![shared(1)], vec![shared(2)]);
    let mut grown = grown(&report);
    grown.sort();
    assert_eq!(
        grown,
        [
            "1×agent[7]: references to map:1 1 → 2",
            "1×agent[7]: references to map:1 1 → 2",
            "1×agent[8]: references to map:1 1 → 2"
        ]
    );
}

fn tid(pid: u32, tid: u32) -> Holder {
    Holder::Process(Box::new(Process {
        pid,
        tid: Some(tid),
        comm: "agent".into(),
        ..Process::default()
    }))
}

proptest! {
    #[test]
    fn a_report_does_not_differ_from_itself(readings in any_pass()) {
        let report = compare(readings.clone(), readings);
        prop_assert!(report.appeared.is_empty() && report.vanished.is_empty());
        prop_assert!(report.changed.is_empty() && report.growth.is_empty());
        prop_assert_eq!(report.totals.new_orphans + report.totals.new_unexplained, 0);
    }

    #[test]
    fn everything_is_counted_once(before in any_pass(), after in any_pass(), boot in "[ab]") {
        let (a, b) = (list("a", before), list(&boot, after));
        let (old, new) = (a.objects.len() as u64, b.objects.len() as u64);
        let report = diff(a, b, &all, &all);
        let totals = &report.totals;
        prop_assert_eq!((totals.objects_before, totals.objects_after), (old, new));
        if report.same_boot {
            let kept = old - totals.vanished;
            prop_assert_eq!(kept + totals.appeared, new);
            prop_assert!(totals.changed <= kept);
        }
        for growth in &report.growth {
            prop_assert!(growth.after > growth.before);
        }
    }
}
