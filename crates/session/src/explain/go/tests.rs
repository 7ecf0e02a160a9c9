//! What looks say of owners and queues: looks are made up, as a process is not to be had in each of these states.

use super::owners::{Owners, ownership};
use super::{queues, whole};
use explain::evidence::{Doing, Ownership, QueueKind, State as Progress, Taken};
use goheap::{Call, Frame, Look, Queued, Runner, State, Unread, UnreadSpan};

const STUCK: u64 = 7;
const FREE: u64 = 8;
const BLOCK: u64 = 0xc000;

fn frame(function: &str) -> Frame {
    Frame {
        function: function.into(),
        file: String::new(),
        line: 0,
        inlined: false,
    }
}

/// A goroutine that runs cleanups of a block.
fn runner(id: u64, block: u64, function: &str) -> Runner {
    Runner {
        id,
        cleanups: true,
        state: State::Waiting {
            reason: 0,
            since: None,
        },
        runs_cleanups: true,
        left_queue: true,
        block: Some(block),
        stack: [function, "runtime.runCleanups"].map(frame).into(),
    }
}

/// A cleanup that cilium/ebpf registers, in a block.
fn entry(fd: u64, block: u64, taken_by: Option<u64>) -> Queued {
    Queued {
        call: Call::Cleanup {
            function: "github.com/cilium/ebpf/internal/sys.newFD.func1".into(),
            argument: Some(fd),
        },
        running: false,
        block,
        taken_by,
        held: false,
    }
}

/// One cleanup that does not return, with two behind it, and one that returns, with one behind.
fn two() -> Look {
    let mut look = Look {
        cleanups_run: Some(10),
        ..Look::default()
    };
    look.runners.push(runner(STUCK, BLOCK, "main.hang"));
    look.runners.push(runner(FREE, BLOCK + 512, "main.slow"));
    let entries = [(3, 0, STUCK), (4, 0, STUCK), (5, 512, FREE)];
    let entries = entries.map(|(fd, block, by)| entry(fd, BLOCK + block, Some(by)));
    look.queue.extend(entries);
    look
}

fn nobody(look: &Look) -> Ownership {
    let looks = [(); 3].map(|()| Owners::of(look, None, &[], &|_| vec![]));
    ownership(&looks, 99)
}

#[test]
fn nobody_owns_a_descriptor_only_if_nothing_was_passed_over() {
    assert_eq!(nobody(&Look::default()), Ownership::None(Ok(())));
    let span = UnreadSpan {
        start: 0,
        why: Unread::Unmapped,
    };
    let passed = |what: &str| {
        let mut look = Look::default();
        match what {
            "spans" => look.unread.push(span.clone()),
            "arenas" => look.unread_arenas = 1,
            "goroutines" => look.unread_goroutines = 1,
            "cleanups are queued" => look.cleanups_unread = true,
            _ => look.queue_moved = 1,
        }
        look
    };
    for what in [
        "spans",
        "arenas",
        "goroutines",
        "cleanups are queued",
        "entries",
    ] {
        let look = passed(what);
        let Ownership::None(Err(why)) = nobody(&look) else {
            panic!("{what}");
        };
        assert!(why.contains(what), "{what}: {why}");
    }
}

#[test]
fn nobody_owns_a_descriptor_of_a_paused_process_as_far_as_is_known() {
    let of = |paused: [bool; 3]| {
        let why = |paused: bool| paused.then(|| "a signal has stopped it".into());
        let look = Look::default();
        let looks = paused.map(|paused| Owners::of(&look, why(paused), &[], &|_| vec![]));
        ownership(&looks, 99)
    };
    assert_eq!(of([true, false, false]), Ownership::None(Ok(())));
    for paused in [[true, true, false], [false, true, true], [true; 3]] {
        let Ownership::None(Err(why)) = of(paused) else {
            panic!("{paused:?}");
        };
        assert!(why.contains("stopped"), "{why}");
    }
}

/// What keeps a descriptor may stand where nothing was read: then no other owner lets it go.
#[test]
fn a_second_owner_may_be_in_what_was_not_read() {
    let mut look = two();
    let owned = |look: &Look| ownership(&[Owners::of(look, None, &[], &|_| vec![])], 4);
    assert!(matches!(owned(&look), Ownership::Owned(_)));
    look.unread.push(UnreadSpan {
        start: 0,
        why: Unread::Limit,
    });
    let Ownership::Unread(why) = owned(&look) else {
        panic!("it may be kept");
    };
    assert!(
        why.contains("1 spans") && why.contains("more than one look reads"),
        "{why}"
    );
    // One that is still reached keeps it, whoever else there is.
    look.queue.clear();
    look.specials.push(goheap::Special {
        object: 0xc000_2000,
        slot: 0xc000_2000,
        size: 16,
        tiny: false,
        mark: goheap::Mark::Survived,
        cycle: 2,
        kind: goheap::Kind::Cleanup {
            function: "github.com/cilium/ebpf/internal/sys.newFD.func1".into(),
            argument: Some(4),
            id: 1,
        },
        bytes: None,
    });
    assert!(matches!(owned(&look), Ownership::Owned(_)));
}

/// Go 1.25 has it in its queue until it returns.
#[test]
fn a_cleanup_that_has_left_its_queue_may_close_any_descriptor() {
    let mut look = two();
    let Ownership::None(Err(why)) = nobody(&look) else {
        panic!("it may");
    };
    assert!(why.contains("main.hang runs"), "{why}");
    for runner in &mut look.runners {
        runner.left_queue = false;
    }
    assert_eq!(whole::running_cleanup(&look), None);
}

#[test]
fn what_has_left_its_queue_is_counted_with_it() {
    let length = |look: &Look| {
        let queues = queues::of(None, look, &|_| None);
        let of = queues.iter().find(|queue| queue.kind == QueueKind::Cleanup);
        of.expect("a queue of cleanups").length
    };
    let mut look = two();
    assert_eq!(length(&look), 3 + 2);
    look.runners[0].left_queue = false;
    assert_eq!(length(&look), 3 + 1);
}

#[test]
fn who_has_taken_an_entry() {
    let mut look = two();
    let taken = |look: &Look, entry: &Queued| match queues::state(entry, look) {
        Progress::Queued { taken } => taken,
        other => panic!("{other:?}"),
    };
    assert_eq!(taken(&look, &look.queue[0]), Taken::By(STUCK));
    let free = entry(6, BLOCK + 1024, None);
    assert_eq!(taken(&look, &free), Taken::Nobody);
    // A goroutine whose block was not read may have any of them, but for those that no goroutine may have.
    look.runners[0].block = None;
    assert_eq!(taken(&look, &free), Taken::Unknown);
    let held = Queued { held: true, ..free };
    assert_eq!(taken(&look, &held), Taken::Nobody);
    // Of Go 1.25, the one that runs.
    let mut runs = look.queue[2].clone();
    runs.running = true;
    assert_eq!(
        queues::state(&runs, &look),
        Progress::Running { goroutine: FREE }
    );
}

/// Nothing tells that an entry is nobody's, or that all who may run it do.
#[test]
fn a_goroutine_that_was_not_read_may_have_taken_an_entry() {
    let mut look = two();
    let finalizer = Queued {
        call: Call::Finalizer {
            object: 0xc000_1000,
            pointer: std::sync::Arc::new(goheap::TypeName {
                addr: 0,
                name: "*main.agent".into(),
                package: None,
                integers: vec![],
                has_more: false,
            }),
            function: "main.end".into(),
            bytes: None,
        },
        ..entry(6, BLOCK + 1024, None)
    };
    let of = |look: &Look, entry: &Queued| {
        let taken = match queues::state(entry, look) {
            Progress::Queued { taken } => taken,
            other => panic!("{other:?}"),
        };
        let queues = queues::of(None, look, &|_| None);
        (taken, [0, 1].map(|i: usize| queues[i].unread_runners))
    };
    let cleanup = entry(6, BLOCK + 1024, None);
    assert_eq!(of(&look, &cleanup), (Taken::Nobody, [0, 0]));
    // Whoever set a finalizer has made the goroutine that runs it.
    look.queue.push(finalizer.clone());
    assert_eq!(of(&look, &finalizer), (Taken::Nobody, [1, 0]));
    look.unread_goroutines = 2;
    for entry in [&cleanup, &finalizer] {
        assert_eq!(of(&look, entry), (Taken::Unknown, [2, 2]));
    }
}

/// It may go on as soon as there is a processor.
#[test]
fn a_goroutine_that_could_go_on_does_not_stand() {
    let stands = |state| {
        let mut look = two();
        look.runners[0].state = state;
        let queues = queues::of(Some((1.5, &look)), &look, &|_| None);
        queues[1].runners[0].stands
    };
    let since = None;
    assert!(stands(State::Waiting { reason: 0, since }));
    assert!(stands(State::Syscall { since }));
    assert!(!stands(State::Runnable));
}

#[test]
fn a_goroutine_stands_where_it_stood_though_its_queue_moves() {
    let first = two();
    let mut last = two();
    // The other has run another of its block, and finished others.
    last.queue.pop();
    last.cleanups_run = Some(70);
    let stand = |first: &Look, last: &Look| {
        let queues = queues::of(Some((1.5, first)), last, &|_| None);
        let queue = &queues[1];
        assert!(queue.second.is_some_and(|second| second.moved));
        let of = |id| queue.runners.iter().find(|runner| runner.goroutine == id);
        [STUCK, FREE].map(|id| of(id).is_some_and(|runner| runner.stands))
    };
    assert_eq!(stand(&first, &last), [true, false]);
    // It has run one of those behind it.
    last.queue.remove(0);
    assert_eq!(stand(&first, &last), [false, false]);
    // It has another block.
    let mut other = two();
    other.cleanups_run = Some(70);
    other.runners[0].block = Some(BLOCK + 4096);
    assert_eq!(stand(&first, &other), [false, true]);
}

#[test]
fn what_a_runner_does() {
    let mut look = two();
    let doing = |look: &Look| {
        queues::of(None, look, &|_| Some("chan receive".into()))[1].runners[0]
            .doing
            .clone()
    };
    let waits = |doing: Doing| match doing {
        Doing::Running { waits, .. } => waits.map(|waits| waits.to_string()),
        other => panic!("{other:?}"),
    };
    assert_eq!(waits(doing(&look)).as_deref(), Some("chan receive"));
    look.runners[0].state = State::Runnable;
    assert_eq!(waits(doing(&look)).as_deref(), Some("a processor"));
    look.runners[0].state = State::Syscall { since: None };
    assert_eq!(
        waits(doing(&look)).as_deref(),
        Some("a call of the system, or C")
    );
    // It is between two blocks.
    look.runners[0].runs_cleanups = false;
    assert_eq!(doing(&look), Doing::Idle);
}
