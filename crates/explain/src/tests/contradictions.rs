//! What cannot both be right is `unknown`, and both are said.

use super::*;

fn contradicts(evidence: Evidence<'_>, owner: Owner, words: [&str; 2]) {
    let group = one(evidence, owned(owner));
    assert_eq!(group.verdict, Verdict::Unknown, "{words:?}");
    for word in words {
        assert!(says(&group).contains(word), "{word}: {}", says(&group));
    }
}

fn queue_of(length: u64) -> Evidence<'static> {
    let mut evidence = go();
    of_go(&mut evidence).queues = Ok(vec![Queue { length, ..stuck() }]);
    evidence
}

fn cleanup(state: State, mark: Mark) -> Owner {
    let mut owner = Owner {
        mark,
        ..with_state(state)
    };
    owner.release.as_mut().expect("it has one").kind = QueueKind::Cleanup;
    owner
}

#[test]
fn a_release_that_is_registered_where_nothing_is() {
    for mark in [Mark::Free, Mark::Gone] {
        contradicts(go(), Owner { mark, ..owner() }, ["still registered", "its"]);
    }
    let none = Owner {
        mark: Mark::Free,
        release: None,
        ..owner()
    };
    contradicts(go(), none, ["an owner was found", "no object stands"]);
}

#[test]
fn another_number_in_the_owner() {
    contradicts(
        go(),
        Owner {
            number: Some(-1),
            ..owner()
        },
        ["is closed", "descriptor 7 is open"],
    );
    contradicts(
        go(),
        Owner {
            number: Some(8),
            ..owner()
        },
        ["descriptor 8", "descriptor 7"],
    );
    let dead = Owner {
        number: Some(-1),
        mark: Mark::DeadUnswept,
        ..owner()
    };
    contradicts(go(), dead, ["is closed", "descriptor 7 is open"]);
    // While its finalizer runs, it may have taken the number out.
    let runs = Owner {
        number: Some(-1),
        ..with_state(State::Running { goroutine: 5 })
    };
    assert_eq!(verdict(queue_of(1), owned(runs)), Verdict::ReleaseBlocked);
    // Looked at once.
    let once = Owner {
        number: None,
        ..owner()
    };
    assert_eq!(verdict(go(), owned(once)), Verdict::Retained);
}

#[test]
fn a_judgement_before_the_first() {
    for mark in [Mark::Survived, Mark::DeadUnswept] {
        let mut evidence = go();
        of_go(&mut evidence).gc = Ok(Gc {
            cycles: 0,
            last_seconds_ago: None,
            ..gc()
        });
        contradicts(
            evidence,
            Owner { mark, ..owner() },
            ["has judged it", "none has completed"],
        );
    }
}

#[test]
fn an_unswept_span_in_a_mark_phase() {
    let mut evidence = go();
    of_go(&mut evidence).gc = Ok(Gc {
        marking: true,
        ..gc()
    });
    contradicts(
        evidence,
        Owner {
            mark: Mark::DeadUnswept,
            ..owner()
        },
        ["not swept", "mark phase"],
    );
}

#[test]
fn an_entry_of_an_empty_queue() {
    contradicts(
        queue_of(0),
        with_state(QUEUED),
        ["found in a queue", "is empty"],
    );
}

#[test]
fn a_queued_finalizer_of_what_is_not_there() {
    for mark in [Mark::Free, Mark::Gone, Mark::New, Mark::DeadUnswept] {
        let owner = Owner {
            mark,
            ..with_state(QUEUED)
        };
        contradicts(queue_of(3), owner, ["finalizer is queued", "and"]);
    }
}

#[test]
fn a_queued_cleanup_of_what_is_still_there() {
    for mark in [Mark::Survived, Mark::New, Mark::DeadUnswept] {
        contradicts(
            queue_of(3),
            cleanup(QUEUED, mark),
            ["cleanup is queued", "still there"],
        );
    }
    let gone = cleanup(QUEUED, Mark::Gone);
    assert_eq!(verdict(queue_of(3), owned(gone)), Verdict::ReleaseBlocked);
}

#[test]
fn a_release_that_nobody_runs() {
    let runs = with_state(State::Running { goroutine: 9 });
    contradicts(
        queue_of(3),
        runs.clone(),
        ["finalizer runs", "goroutine 9 runs none"],
    );
    let mut evidence = queue_of(3);
    of_go(&mut evidence).queues.as_mut().expect("queues")[0].runners[0] = Runner {
        goroutine: 9,
        doing: Doing::Idle,
        stands: false,
    };
    contradicts(evidence, runs, ["finalizer runs", "goroutine 9 runs none"]);
}

#[test]
fn readings_that_do_not_agree_on_the_process() {
    assert_eq!(verdict(c(), owned(owner())), Verdict::Unknown);
    assert_eq!(
        verdict(c(), handle(Ownership::None(Ok(())))),
        Verdict::Unknown
    );
    assert_eq!(verdict(go(), handle(Ownership::NotGo)), Verdict::Unknown);
}

#[test]
fn a_type_that_registers_one_and_has_none() {
    let given_away = Owner {
        release: None,
        ..owner()
    };
    let group = one(go(), owned(given_away));
    assert_eq!(group.verdict, Verdict::Unknown);
    assert!(says(&group).contains("registers one"), "{}", says(&group));
}
