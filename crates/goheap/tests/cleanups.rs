//! A cleanup that does not return, where several goroutines run them: what waits behind it, and what does not.

mod common;

use common::{Build, RELEASES, Running, build};
use goheap::{Call, Look, State};

/// Words of the program's answer: what finalizers and cleanups have done.
fn closed(running: &mut Running) -> usize {
    let line = running.tell("gc 0");
    let word = line.split_ascii_whitespace().nth(2);
    word.expect("a word").parse().expect("a number")
}

/// Calls of this function in the queue.
fn of<'l>(look: &'l Look, name: &str) -> Vec<&'l goheap::Queued> {
    let is = |call: &Call| matches!(call, Call::Cleanup { function, .. } if &**function == name);
    look.queue
        .iter()
        .filter(|queued| is(&queued.call))
        .collect()
}

fn blocked(release: Option<&str>, how: Build) {
    let minor = release.map_or(26, |r| {
        r.split('.')
            .nth(1)
            .expect("a minor")
            .parse()
            .expect("a number")
    });
    let built = build("owners", release, how, "amd64");
    // A quarter of them run cleanups.
    let mut running = Running::start(&built, &[("GOMAXPROCS", "8")]);
    running.tell("handles 5");
    running.tell("gc");
    running.tell("block-among 14");
    running.tell("gc 2");
    let memory = running.memory();
    let before = {
        let mut heap = running.attach(&memory).expect("a heap");
        heap.look().expect("a look")
    };
    for command in ["drop-handles 30", "gc 2", "handles 1", "gc"] {
        running.tell(command);
    }
    let closed = closed(&mut running);
    let mut heap = running.attach(&memory).expect("a heap");
    let look = heap.look().expect("a look");
    let what = format!("{release:?} {how:?}: {:?}", look.runners);

    let runners = look.runners.iter().filter(|runner| runner.cleanups);
    let busy: Vec<_> = runners.filter(|runner| runner.runs_cleanups).collect();
    let [stuck] = busy[..] else { panic!("{what}") };
    assert!(matches!(stuck.state, State::Waiting { .. }), "{what}");
    assert!(
        stuck.stack.iter().any(|f| f.function == "main.hang"),
        "{what}"
    );
    assert!(stuck.block.is_some(), "{what}");
    assert_eq!(stuck.left_queue, minor >= 26, "{what}");

    // What has not been closed waits behind it, and nothing else: nobody else has stopped.
    let waiting = of(&look, "main.closeRaw");
    assert!(!waiting.is_empty(), "{what}: nothing is behind it");
    assert_eq!(waiting.len() + closed, 14 + 30, "{what}: {closed} closed");
    for queued in waiting {
        assert_eq!(
            (queued.taken_by, queued.running),
            (Some(stuck.id), false),
            "{what}"
        );
        assert_eq!(Some(queued.block), stuck.block, "{what}");
    }
    // Go 1.25 leaves it in the queue.
    let hangs = of(&look, "main.hang");
    assert_eq!(hangs.len(), usize::from(minor == 25), "{what}");
    assert!(
        hangs
            .iter()
            .all(|hangs| hangs.running && hangs.taken_by == Some(stuck.id)),
        "{what}"
    );

    // Nothing of that has changed since.
    let then = before.runners.iter().find(|runner| runner.id == stuck.id);
    assert_eq!(
        then.map(|then| (then.block, &then.stack)),
        Some((stuck.block, &stuck.stack))
    );
}

#[test]
fn what_waits_behind_a_cleanup() {
    blocked(None, Build::Stripped);
}

#[test]
#[ignore = "fetches the toolchains of all releases"]
fn what_waits_behind_a_cleanup_in_every_release() {
    for release in RELEASES.iter().skip(7) {
        for how in Build::ALL {
            eprintln!("{release} {how:?}");
            blocked(Some(release), how);
        }
    }
}
