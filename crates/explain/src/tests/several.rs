//! Queues with several runners, handles with several descriptors, descriptors with several owners.

use super::*;

#[test]
fn its_own_finalizer_that_does_not_return_blocks_it() {
    let own = State::Running { goroutine: 5 };
    assert_eq!(
        verdict(with_queue(stuck()), owned(with_state(own))),
        Verdict::ReleaseBlocked
    );
    let soon = Queue {
        second: None,
        ..stuck()
    };
    assert_eq!(
        verdict(with_queue(soon), owned(with_state(own))),
        Verdict::ReleaseQueued
    );
}

#[test]
fn a_block_that_a_stuck_goroutine_has_taken_is_blocked_though_another_is_idle() {
    let mut two = stuck();
    two.runners.push(Runner {
        goroutine: 6,
        doing: Doing::Idle,
        stands: false,
    });
    let taken = |by| {
        with_state(State::Queued {
            taken: Taken::By(by),
        })
    };
    assert_eq!(
        verdict(with_queue(two.clone()), owned(taken(5))),
        Verdict::ReleaseBlocked
    );
    assert_eq!(
        verdict(with_queue(two), owned(taken(6))),
        Verdict::ReleaseQueued
    );
}

/// The queue moves on beside it.
#[test]
fn one_of_several_that_does_not_return_blocks_what_it_has_taken() {
    let mut two = stuck();
    two.second = Some(SecondLook {
        seconds: 1.5,
        moved: true,
    });
    two.runners.push(Runner {
        goroutine: 6,
        doing: running("main.(*Other).finalize"),
        stands: false,
    });
    let group = |taken| {
        one(
            with_queue(two.clone()),
            owned(with_state(State::Queued { taken })),
        )
    };
    let behind = group(Taken::By(5));
    assert_eq!(behind.verdict, Verdict::ReleaseBlocked);
    assert!(
        behind.fix.contains("Have main.(*Blocker).finalize return"),
        "{}",
        behind.fix
    );
    assert!(
        says(&behind)
            .contains("(no cases), for 40 s at least; it has not returned since the look before"),
        "{}",
        says(&behind)
    );
    for taken in [Taken::By(6), Taken::Nobody] {
        assert_eq!(group(taken).verdict, Verdict::ReleaseQueued, "{taken:?}");
    }
    // It may be behind that one, or not.
    let unknown = group(Taken::Unknown);
    assert_eq!(unknown.verdict, Verdict::Unknown);
    assert!(
        says(&unknown).contains("which entries it has taken"),
        "{}",
        says(&unknown)
    );
    assert!(!unknown.fix.contains("will be released"), "{}", unknown.fix);
    // All of them stand.
    let mut all = two.clone();
    all.runners[1].stands = true;
    all.second = stuck().second;
    let owner = with_state(State::Queued {
        taken: Taken::Unknown,
    });
    assert_eq!(
        verdict(with_queue(all), owned(owner)),
        Verdict::ReleaseBlocked
    );
}

#[test]
fn a_goroutine_that_was_not_read_may_stand_at_a_release() {
    let unread = |queue: Queue, taken| {
        let queue = Queue {
            unread_runners: 1,
            ..queue
        };
        one(
            with_queue(queue),
            owned(with_state(State::Queued { taken })),
        )
    };
    let none = Queue {
        runners: vec![],
        ..stuck()
    };
    for taken in [Taken::Nobody, Taken::Unknown] {
        // Those that were read may all stand: another may not.
        for queue in [none.clone(), stuck()] {
            let group = unread(queue, taken);
            assert_eq!(group.verdict, Verdict::Unknown, "{taken:?}");
            assert!(says(&group).contains("was not read"), "{}", says(&group));
        }
    }
    let behind = unread(stuck(), Taken::By(5));
    assert_eq!(behind.verdict, Verdict::ReleaseBlocked);
    // One look tells of no queue whether it moves.
    let once = Queue {
        second: None,
        ..none
    };
    let queued = unread(once, Taken::Unknown);
    assert_eq!(queued.verdict, Verdict::ReleaseQueued);
}

#[test]
fn a_process_that_is_paused_blames_no_release() {
    let mut evidence = with_queue(stuck());
    of_go(&mut evidence).paused = Some("a signal has stopped it (SIGSTOP)".into());
    let group = one(evidence, owned(with_state(QUEUED)));
    assert_eq!(group.verdict, Verdict::ReleaseQueued);
    assert!(
        says(&group).contains("paused: a signal has stopped it"),
        "{}",
        says(&group)
    );
    assert!(
        group.fix.starts_with("Let the process go on"),
        "{}",
        group.fix
    );
}

#[test]
fn cleanups_wait_behind_finalizers_up_to_go_1_24() {
    let mut owner = with_state(QUEUED);
    owner.mark = Mark::Gone;
    owner.address = None;
    owner.release.as_mut().expect("it has one").kind = QueueKind::Cleanup;
    assert_eq!(
        verdict(with_queue(stuck()), owned(owner.clone())),
        Verdict::ReleaseBlocked
    );
    // With a queue of their own they do not.
    let mut evidence = with_queue(stuck());
    let own = Queue {
        kind: QueueKind::Cleanup,
        length: 1,
        ..idle()
    };
    of_go(&mut evidence)
        .queues
        .as_mut()
        .expect("queues")
        .push(own);
    assert_eq!(verdict(evidence, owned(owner)), Verdict::ReleaseQueued);
}

#[test]
fn a_collection_that_runs_leaves_the_marks_of_the_last() {
    let mut evidence = go();
    of_go(&mut evidence).gc = Ok(Gc {
        marking: true,
        ..gc()
    });
    assert_eq!(verdict(evidence, owned(owner())), Verdict::Retained);
}

#[test]
fn the_descriptor_that_keeps_it_longest_decides() {
    let dead = Owner {
        mark: Mark::DeadUnswept,
        ..owner()
    };
    let unread = Owner {
        mark: Mark::Unread("moved".into()),
        ..owner()
    };
    let of = |owner: Owner| Ownership::Owned(vec![owner]);
    for (a, b, expected) in [
        (of(owner()), of(dead.clone()), Verdict::Retained),
        (of(dead.clone()), of(dead.clone()), Verdict::SweepPending),
        (of(dead.clone()), Ownership::None(Ok(())), Verdict::NoOwner),
        // What is not known may keep it.
        (of(dead.clone()), of(unread.clone()), Verdict::Unknown),
        (of(owner()), of(unread), Verdict::Retained),
        (
            of(dead),
            Ownership::None(Err("moved".into())),
            Verdict::Unknown,
        ),
    ] {
        for two in [[&a, &b], [&b, &a]] {
            let mut handle = handle(two[0].clone());
            handle.descriptors.push(Descriptor {
                fd: 7,
                ownership: two[1].clone(),
            });
            assert_eq!(verdict(go(), handle), expected, "{a:?} {b:?}");
        }
    }
}

#[test]
fn two_owners_of_one_number_are_told() {
    let dead = Owner {
        mark: Mark::DeadUnswept,
        ..owner()
    };
    let group = one(go(), handle(Ownership::Owned(vec![dead, owner()])));
    assert_eq!(group.verdict, Verdict::Retained);
    assert!(
        says(&group).contains("more than one Go object"),
        "{}",
        says(&group)
    );
}
