//! Live programs whose truth is known.

mod common;

use common::{Build, RELEASES, Running, build};
use goheap::{Call, Kind, Look, Mark, Special, State};

const KEPT: std::ops::Range<u64> = 1000..100_000;
const DROPPED: std::ops::Range<u64> = 500_000..600_000;

/// Reads the number of each object.
fn look(heap: &mut goheap::Heap<'_>) -> Look {
    let wanted = |name: &goheap::TypeName| {
        if name.name.starts_with("*main.") {
            8
        } else {
            0
        }
    };
    let look = heap.look_with(&wanted).expect("a look");
    assert_eq!(look.unread, [], "all spans are read");
    look
}

fn raw(bytes: Option<&[u8]>) -> u64 {
    bytes.map_or(u64::MAX, |bytes| {
        u64::from_le_bytes(bytes.try_into().expect("a word"))
    })
}

/// Owners by their numbers.
fn owners(look: &Look, numbers: std::ops::Range<u64>) -> Vec<&Special> {
    look.specials
        .iter()
        .filter(|special| match &special.kind {
            Kind::Finalizer { pointer, .. } => pointer.name == "*main.Owner",
            _ => false,
        })
        .filter(|special| numbers.contains(&raw(special.bytes.as_deref())))
        .collect()
}

fn all_marked(specials: &[&Special], mark: &Mark, count: usize) {
    assert_eq!(specials.len(), count);
    for special in specials {
        assert_eq!(special.mark, *mark, "{special:?}");
    }
}

fn minor(release: Option<&str>) -> u32 {
    release.map_or(26, |r| {
        r.split('.')
            .nth(1)
            .expect("a minor")
            .parse()
            .expect("a number")
    })
}

fn truth(release: Option<&str>, how: Build) {
    let built = build("owners", release, how, "amd64");
    let mut running = Running::start(&built, &[]);
    let memory = running.memory();
    running.tell("keep 100");
    running.tell("tiny 10");
    // The process goes on while its memory is held.
    let mut ask = |commands: &[&str]| {
        for command in commands {
            running.tell(command);
        }
        let mut heap = running
            .attach(&memory)
            .unwrap_or_else(|error| panic!("{release:?} {how:?}: {error}"));
        look(&mut heap)
    };

    let seen = ask(&[]);
    assert_eq!(seen.collector.cycles, 0);
    assert_eq!(seen.collector.last, None);
    assert_eq!(seen.collector.percent, Some(100));
    all_marked(&owners(&seen, KEPT), &Mark::New, 100);
    let first = owners(&seen, KEPT)[0];
    assert!(!first.tiny);
    assert_eq!(first.size, 16);
    let Kind::Finalizer { function, pointer } = &first.kind else {
        panic!("{first:?}");
    };
    assert_eq!(&**function, "main.(*Owner).release");
    assert_eq!(pointer.package.as_deref(), Some("main"));
    let tiny = |special: &&Special| matches!(&special.kind, Kind::Finalizer { pointer, .. } if pointer.name == "*main.Tiny");
    assert_eq!(
        seen.specials.iter().filter(tiny).filter(|s| s.tiny).count(),
        10
    );

    let seen = ask(&["gc"]);
    assert_eq!(seen.collector.cycles, 1);
    assert!(seen.collector.last.is_some() && seen.collector.forced.is_some());
    all_marked(&owners(&seen, KEPT), &Mark::Survived, 100);

    let seen = ask(&["drop 50"]);
    all_marked(&owners(&seen, KEPT), &Mark::Survived, 100);
    all_marked(&owners(&seen, DROPPED), &Mark::New, 50);

    let seen = ask(&["gc 2"]);
    all_marked(&owners(&seen, KEPT), &Mark::Survived, 100);
    all_marked(&owners(&seen, DROPPED), &Mark::New, 0);
    assert_eq!(seen.queue, []);

    // A finalizer that blocks, and what is behind it.
    let seen = ask(&["block", "gc", "drop 30", "gc"]);
    let runner = seen
        .runners
        .iter()
        .find(|r| !r.cleanups)
        .expect("the goroutine of finalizers");
    assert!(matches!(runner.state, State::Waiting { .. }), "{runner:?}");
    let names: Vec<&str> = runner
        .stack
        .iter()
        .map(|frame| frame.function.as_str())
        .collect();
    let at = names
        .iter()
        .position(|name| *name == "main.(*Blocker).release");
    let above = names.iter().position(|name| {
        name.starts_with("runtime.runfinq") || name.starts_with("runtime.runFinalizers")
    });
    assert!(at.is_some() && at < above, "{names:?}");
    let of = |queued: &&goheap::Queued, wanted: &str| matches!(&queued.call, Call::Finalizer { pointer, .. } if pointer.name == wanted);
    let queued: Vec<_> = seen.queue.iter().filter(|q| of(q, "*main.Owner")).collect();
    assert_eq!(queued.len(), 30);
    for queued in queued {
        let Call::Finalizer {
            bytes, function, ..
        } = &queued.call
        else {
            unreachable!()
        };
        assert!(DROPPED.contains(&raw(bytes.as_deref())));
        assert_eq!(&**function, "main.(*Owner).release");
        assert!(!queued.running);
    }
    let blocker: Vec<_> = seen
        .queue
        .iter()
        .filter(|q| of(q, "*main.Blocker"))
        .collect();
    assert!(blocker.len() == 1 && blocker[0].running, "{blocker:?}");

    // Nobody collects.
    let seen = ask(&["off", "forget", "goroutines 10000"]);
    assert_eq!(
        (seen.collector.percent, seen.collector.forced),
        (None, None)
    );
    all_marked(&owners(&seen, KEPT), &Mark::Survived, 100);
    assert_eq!(seen.unread_goroutines, 0);

    if minor(release) >= 24 {
        cleanups(release, how, &built);
    }
}

fn cleanups(release: Option<&str>, how: Build, built: &common::Built) {
    let mut running = Running::start(built, &[]);
    let memory = running.memory();
    let mut ask = |commands: &[&str]| {
        for command in commands {
            running.tell(command);
        }
        look(
            &mut running
                .attach(&memory)
                .unwrap_or_else(|error| panic!("{release:?} {how:?}: {error}")),
        )
    };
    let of = |look: &Look, from: u64| -> Vec<(u64, Mark)> {
        let argument = |special: &Special| match &special.kind {
            Kind::Cleanup {
                function,
                argument: Some(argument),
                ..
            } if &**function == "main.closeRaw" => Some(*argument),
            _ => None,
        };
        let found = look
            .specials
            .iter()
            .filter_map(|s| Some((argument(s)?, s.mark.clone())));
        let mut found: Vec<_> = found
            .filter(|(a, _)| (from..from + 1000).contains(a))
            .collect();
        found.sort_by_key(|(argument, _)| *argument);
        found
    };
    let expected = |from: u64, count: u64, mark: &Mark| -> Vec<(u64, Mark)> {
        (from..from + count)
            .map(|argument| (argument, mark.clone()))
            .collect()
    };
    let seen = ask(&["handles 40"]);
    assert_eq!(
        of(&seen, 5000),
        expected(5000, 40, &Mark::New),
        "{release:?} {how:?}"
    );
    let seen = ask(&["gc"]);
    assert_eq!(of(&seen, 5000), expected(5000, 40, &Mark::Survived));
    let seen = ask(&["block-cleanup", "gc 2", "drop-handles 25", "gc 2"]);
    assert_eq!(of(&seen, 5000), expected(5000, 40, &Mark::Survived));
    assert_eq!(of(&seen, 600_000), []);
    let mut queued: Vec<u64> = seen
        .queue
        .iter()
        .filter_map(|queued| match &queued.call {
            Call::Cleanup { function, argument } if &**function == "main.closeRaw" => *argument,
            _ => None,
        })
        .collect();
    queued.sort_unstable();
    assert_eq!(
        queued,
        (600_000..600_025).collect::<Vec<_>>(),
        "{:?}",
        seen.runners
    );
    let blocked = seen.runners.iter().any(|runner| {
        matches!(runner.state, State::Waiting { .. })
            && runner.stack.iter().any(|f| f.function == "main.hang")
    });
    assert!(blocked, "{:?}", seen.runners);
}

#[test]
fn the_truth_is_told() {
    truth(None, Build::Normal);
}

#[test]
fn the_truth_is_told_without_symbols() {
    truth(None, Build::Stripped);
}

#[test]
fn the_truth_is_told_of_a_pie() {
    truth(None, Build::Pie);
}

#[test]
fn the_truth_is_told_of_a_program_with_c() {
    truth(None, Build::Cgo);
}

#[test]
fn the_truth_is_told_of_a_program_for_debuggers() {
    truth(None, Build::Debug);
}

#[test]
#[ignore = "fetches the toolchains of all releases"]
fn the_truth_is_told_of_every_release() {
    for release in RELEASES {
        for how in Build::ALL {
            eprintln!("{release} {how:?}");
            truth(Some(release), how);
        }
    }
}
