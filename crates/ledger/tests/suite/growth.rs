//! What grows from sweep to sweep.

use crate::build::*;
use crate::properties::any_pass;
use ledger::{Growth, Reading, Samples};
use model::{By, Holder, Kind, Leak, LeakEvent, Object, Trend};
use proptest::prelude::*;

const WINDOW: f64 = 20.0;

fn objects(readings: Vec<Reading>) -> Vec<Object> {
    close(readings).into_objects()
}

fn all(_: &Object, _: &Holder) -> bool {
    true
}

/// Both halves of a watch.
struct Watch {
    samples: Samples,
    growth: Growth,
}

impl Watch {
    fn new() -> Self {
        Self {
            samples: Samples::default(),
            growth: Growth::new(WINDOW),
        }
    }

    fn observe(
        &mut self,
        t: f64,
        objects: &[Object],
        wanted: ledger::Wanted<'_>,
    ) -> Vec<LeakEvent> {
        self.growth.observe(&self.samples.take(t, objects, wanted))
    }
}

/// One sweep a second, of what `at` says; everything that was told.
fn watch(seconds: u32, at: impl Fn(u32) -> Vec<Reading>) -> Vec<LeakEvent> {
    let mut watch = Watch::new();
    let sweeps = 0..seconds;
    sweeps
        .flat_map(|t| watch.observe(f64::from(t), &objects(at(t)), &all))
        .collect()
}

/// `L1 4 suspected agent[7] fd map events: 5`
fn words(events: &[LeakEvent]) -> Vec<String> {
    let words = |e: &LeakEvent| {
        let holder = match (&e.holder, &e.pattern) {
            (_, Some(pattern)) => pattern.clone(),
            (Holder::Process(p), _) => format!("{}×{}", e.holders, p.pid),
            (holder, _) => short(holder),
        };
        let state = match e.state {
            Trend::Growing => e.leak.as_str(),
            other => other.as_str(),
        };
        let (objects, t) = (&e.objects, e.t);
        format!("{} {t} {state}: {holder} {} {}", e.id, objects.name, e.open)
    };
    events.iter().map(words).collect()
}

fn named(mut reading: Reading, name: &str) -> Reading {
    reading.facts.name = name.into();
    reading
}

#[test]
fn a_leak_that_makes_a_new_map_each_time_is_one_series() {
    let events = watch(40, |t| {
        let one = |id| named(map(id, "hash"), "events").fd(7, &[id]);
        (1..=t + 3).map(one).collect()
    });
    assert_eq!(
        words(&events),
        ["L1 4 suspected: 1×7 events 7", "L1 20 yes: 1×7 events 23"]
    );
    let last = &events[1];
    assert_eq!((last.objects.count, last.objects.ids.len()), (23, 16));
    assert_eq!(last.objects.ids[0], 23);
    assert_eq!((last.acquired, last.released), (Some(20), Some(0)));
    assert!((last.per_second - 1.0).abs() < 1e-9);
    assert_eq!(last.memory_bytes, 23_000);
}

#[test]
fn handles_on_one_map_and_dups_of_one_handle_are_leaks_too() {
    let fds: Vec<u32> = (3..100).collect();
    let events = watch(8, |t| vec![map(1, "hash").fd(7, &fds[..=t as usize])]);
    assert_eq!(words(&events), ["L1 4 suspected: 1×7 map1 5"]);
    let events = watch(8, |t| {
        let dups = vec![process(7, &fds[..=t as usize])];
        vec![map(1, "hash").held(By::Fd, 1, dups)]
    });
    assert_eq!(words(&events), ["L1 4 suspected: 1×7 map1 1"]);
    assert_eq!(events[0].open_fds, 5);
}

#[test]
fn what_is_held_by_what_leaks_is_told_once() {
    // A link each time, with a program of its own, which uses a map of its own.
    let events = watch(10, |t| {
        let each = |n: u32| {
            vec![
                named(link(n), "").fd(7, &[n]),
                named(prog(n), "probe").link(n),
                named(map(n, "array"), "hits").prog(n),
            ]
        };
        (1..=t + 1).flat_map(each).collect()
    });
    assert_eq!(words(&events), ["L1 4 suspected: 1×7  5"]);
    assert_eq!(events[0].objects.kind, Kind::Link);
}

#[test]
fn pins_that_pile_up_without_any_process() {
    let events = watch(6, |t| {
        let one = |n: u32| {
            let path = format!("/sys/fs/bpf/pods/{n:04x}/events");
            named(map(n, "hash"), "pod_events").pinned(&path)
        };
        let other = named(map(9000, "hash"), "pod_events").pinned("/sys/fs/bpf/here/once/events");
        (1..=t + 4).map(one).chain([other]).collect()
    });
    assert_eq!(
        words(&events),
        ["L1 4 suspected: /sys/fs/bpf/pods/*/events pod_events 9"]
    );
}

#[test]
fn attachments_and_slots_that_pile_up() {
    let events = watch(6, |t| {
        let one = |n: u32| {
            let holders = vec![attachment("cgroup:/a")];
            named(prog(n), "devices").held(By::Attachment, 1, holders)
        };
        (1..=t + 1).map(one).collect()
    });
    assert_eq!(words(&events), ["L1 4 suspected: cgroup#/a devices 5"]);
    let events = watch(6, |t| {
        let outer = named(map(500, "hash_of_maps"), "services").fd(7, &[3]);
        let one = |n: u32| named(map(n, "hash"), "endpoints").outer(500);
        (1..=t + 1).map(one).chain([outer]).collect()
    });
    assert_eq!(words(&events), ["L1 4 suspected: map:500 endpoints 5"]);
}

#[test]
fn one_more_process_each_time_with_one_handle() {
    let events = watch(6, |t| {
        let one = |n: u32| named(map(n, "hash"), "quotas").fd(100 + n, &[3]);
        (1..=t + 2).map(one).collect()
    });
    assert_eq!(words(&events), ["L1 4 suspected: 6×101 quotas 6"]);
    // Workers that come and go are as many all the time, with new maps and pids.
    let events = watch(60, |t| {
        let one = |n: u32| named(map(n, "hash"), "scratch").fd(100 + n, &[3]);
        (t..t + 4).map(one).collect()
    });
    assert_eq!(words(&events), [""; 0]);
}

#[test]
fn of_many_processes_nothing_is_told_while_one_of_them_alone_grows() {
    let events = watch(8, |t| {
        let fds: Vec<u32> = (3..=3 + t).collect();
        vec![
            named(map(1, "hash"), "x")
                .fd(7, &fds)
                .fd(8, &[3])
                .fd(9, &[3]),
            // Another program's, with the same objects.
            named(map(2, "hash"), "x").held(By::Fd, 1, vec![named_process(10, "other")]),
        ]
    });
    assert_eq!(words(&events), ["L1 4 suspected: 1×7 x 5"]);
}

fn named_process(pid: u32, comm: &str) -> Holder {
    let Holder::Process(mut process) = process(pid, &[3]) else {
        unreachable!()
    };
    process.comm = comm.into();
    Holder::Process(process)
}

#[test]
fn what_falls_to_nothing_and_grows_again_is_the_same_series() {
    let events = watch(200, |t| match t % 20 {
        0 => vec![],
        n => vec![map(1, "hash").fd(7, &(3..3 + n).collect::<Vec<_>>())],
    });
    assert_eq!(
        words(&events),
        ["L1 4 suspected: 1×7 map1 4", "L1 20 over: 1×7 map1 0"]
    );
}

#[test]
fn dups_are_descriptors_and_no_acquisitions() {
    let events = watch(8, |t| {
        let fds: Vec<u32> = (3..=3 + t).collect();
        vec![map(1, "hash").held(By::Fd, 1, vec![process(7, &fds)])]
    });
    assert_eq!((events[0].acquired, events[0].open_fds), (Some(0), 5));
}

#[test]
fn the_death_of_the_holder_is_the_end() {
    let fds: Vec<u32> = (3..100).collect();
    let events = watch(10, |t| match t {
        0..8 => vec![map(1, "hash").fd(7, &fds[..=t as usize])],
        // Another process has the pid.
        _ => vec![map(1, "hash").held(By::Fd, 3, vec![started(7, 99, &[3, 4, 5])])],
    });
    assert_eq!(
        words(&events),
        ["L1 4 suspected: 1×7 map1 5", "L1 8 over: 1×7 map1 0"]
    );
}

fn started(pid: u32, start: u64, fds: &[u32]) -> Holder {
    let Holder::Process(mut process) = process(pid, fds) else {
        unreachable!()
    };
    process.start_ticks = Some(start);
    Holder::Process(process)
}

#[test]
fn names_with_numbers_are_one_and_nothing_of_ours_is_told() {
    let events = watch(6, |t| {
        let one = |n: u32| named(map(n, "hash"), &format!("flow_{n}")).fd(7, &[n]);
        let ours = |n: u32| {
            let mut map = named(map(1000 + n, "hash"), "ours").fd(8, &[n]);
            map.facts.own = true;
            map
        };
        (1..=t + 1).map(one).chain((1..=t + 1).map(ours)).collect()
    });
    assert_eq!(words(&events), ["L1 4 suspected: 1×7 flow_* 5"]);
}

#[test]
fn ids_tell_how_many_were_made_though_they_are_gone() {
    let mut watch = Watch::new();
    for (t, id) in [(0.0, 10), (1.0, 1010), (2.0, 20), (3.0, 1010), (4.0, 1011)] {
        let mut own = map(id - 1, "array");
        own.facts.own = true;
        let pass = vec![map(id, "hash").fd(7, &[3]), own];
        watch.observe(t, &objects(pass), &all);
    }
    // One of the new ones is ours; below the highest nothing is known.
    assert_eq!(watch.growth.created().map, 1000);
}

#[test]
fn whose_handles_are_not_asked_for_is_not_told() {
    let only = |_: &Object, holder: &Holder| matches!(holder, Holder::Process(p) if p.pid == 8);
    let mut watch = Watch::new();
    let mut told = Vec::new();
    for t in 0..8_u32 {
        let fds: Vec<u32> = (0..=t).collect();
        let pass = vec![map(1, "hash").fd(7, &fds), map(2, "array").fd(8, &fds)];
        told.extend(watch.observe(f64::from(t), &objects(pass), &only));
    }
    assert_eq!(words(&told), ["L1 4 suspected: 1×8 map2 5"]);
    let standing = watch.growth.standing(8.0);
    assert_eq!((standing.len(), standing[0].leak), (1, Leak::Suspected));
    assert_eq!(standing[0].open, 8);
}

proptest! {
    /// Whatever a kernel that others fill shows: no panic, and of what stands still nothing is told.
    #[test]
    fn what_stands_still_is_never_told(pass in any_pass()) {
        let objects = objects(pass);
        let mut watch = Watch::new();
        for t in 0..30 {
            prop_assert!(watch.observe(f64::from(t), &objects, &all).is_empty());
        }
        prop_assert!(!watch.growth.is_moving());
    }
}
