//! Each verdict, and that it falls with any fact that it rests on.

use super::*;
use libraries::LibraryKind;

/// A case: evidence that establishes a verdict, and changes that each take one fact away.
struct Case {
    verdict: Verdict,
    evidence: Evidence<'static>,
    handle: Handle,
    without: Vec<(&'static str, Change, Verdict)>,
}

type Change = fn(&mut Evidence<'static>, &mut Handle);

fn owner_of(handle: &mut Handle) -> &mut Owner {
    match &mut handle.descriptors[0].ownership {
        Ownership::Owned(owners) => &mut owners[0],
        other => panic!("{other:?} is no owner"),
    }
}

fn queue<'e>(evidence: &'e mut Evidence<'static>) -> &'e mut Queue {
    &mut of_go(evidence).queues.as_mut().expect("queues")[0]
}

fn no_gc(evidence: &mut Evidence<'static>, _: &mut Handle) {
    of_go(evidence).gc = Err("it moved".into());
}

fn no_runtime(evidence: &mut Evidence<'static>, _: &mut Handle) {
    evidence.process.runtime = Runtime::GoUnread {
        version: Some("go1.17.13".into()),
        why: "go1.17 is older than what is understood".into(),
        needs: "".into(),
    };
}

fn no_mark(_: &mut Evidence<'static>, handle: &mut Handle) {
    owner_of(handle).mark = Mark::Unread("its span moved".into());
}

fn no_queues(evidence: &mut Evidence<'static>, _: &mut Handle) {
    of_go(evidence).queues = Err("they moved".into());
}

fn cases() -> Vec<Case> {
    use Verdict as V;
    let with_mark = |mark| Owner { mark, ..owner() };
    let low = Owner {
        type_name: Some("*libbpfgo.BPFMapLow".into()),
        package: Some("github.com/aquasecurity/libbpfgo".into()),
        release: None,
        ..owner()
    };
    let mut libbpfgo = go();
    libbpfgo.process.libraries = vec![library(
        LibraryKind::Libbpfgo,
        "github.com/aquasecurity/libbpfgo",
        "v0.5.1-libbpf-1.2",
    )];
    let mapped = Handle {
        descriptors: vec![],
        mapped: true,
        ..handle(Ownership::NotGo)
    };
    vec![
        Case {
            verdict: V::Retained,
            evidence: go(),
            handle: owned(owner()),
            without: vec![
                ("collector", no_gc, V::Unknown),
                ("mark", no_mark, V::Unknown),
                ("runtime", no_runtime, V::Unknown),
                ("finalizer", |_, h| owner_of(h).release = None, V::Unknown),
                (
                    "a completed collection",
                    |e, _| of_go(e).gc = Ok(Gc { cycles: 0, ..gc() }),
                    V::Unknown,
                ),
            ],
        },
        Case {
            verdict: V::NotJudged,
            evidence: go(),
            handle: owned(with_mark(Mark::New)),
            without: vec![
                ("mark", no_mark, V::Unknown),
                ("runtime", no_runtime, V::Unknown),
                ("finalizer", |_, h| owner_of(h).release = None, V::Unknown),
            ],
        },
        Case {
            verdict: V::SweepPending,
            evidence: go(),
            handle: owned(with_mark(Mark::DeadUnswept)),
            without: vec![
                ("collector", no_gc, V::Unknown),
                ("mark", no_mark, V::Unknown),
                ("runtime", no_runtime, V::Unknown),
                ("finalizer", |_, h| owner_of(h).release = None, V::Unknown),
                (
                    "a completed collection",
                    |e, _| of_go(e).gc = Ok(Gc { cycles: 0, ..gc() }),
                    V::Unknown,
                ),
                (
                    "no mark phase",
                    |e, _| {
                        of_go(e).gc = Ok(Gc {
                            marking: true,
                            ..gc()
                        });
                    },
                    V::Unknown,
                ),
            ],
        },
        Case {
            verdict: V::ReleaseQueued,
            evidence: with_queue(Queue {
                second: None,
                ..stuck()
            }),
            handle: owned(with_state(QUEUED)),
            without: vec![
                ("queues", no_queues, V::Unknown),
                ("entries", |e, _| queue(e).length = 0, V::Unknown),
                ("the queue", |e, _| of_go(e).queues = Ok(vec![]), V::Unknown),
                ("runtime", no_runtime, V::Unknown),
            ],
        },
        Case {
            verdict: V::ReleaseBlocked,
            evidence: with_queue(stuck()),
            handle: owned(with_state(QUEUED)),
            without: vec![
                ("queues", no_queues, V::Unknown),
                (
                    "a second look",
                    |e, _| queue(e).second = None,
                    V::ReleaseQueued,
                ),
                (
                    "a second apart",
                    |e, _| {
                        queue(e).second = Some(SecondLook {
                            seconds: 0.9,
                            moved: false,
                        });
                    },
                    V::ReleaseQueued,
                ),
                (
                    "a time at all",
                    |e, _| {
                        queue(e).second = Some(SecondLook {
                            seconds: f64::NAN,
                            moved: false,
                        });
                    },
                    V::ReleaseQueued,
                ),
                (
                    "standing still",
                    |e, _| {
                        queue(e).second = Some(SecondLook {
                            seconds: 60.0,
                            moved: true,
                        });
                    },
                    V::ReleaseQueued,
                ),
                (
                    "a function",
                    |e, _| {
                        queue(e).runners[0].doing = Doing::Running {
                            function: None,
                            stack: vec![],
                            waits: None,
                            waits_seconds: None,
                        }
                    },
                    V::ReleaseQueued,
                ),
                (
                    "the same call",
                    |e, _| queue(e).runners[0].stands = false,
                    V::ReleaseQueued,
                ),
                (
                    "a process that runs",
                    |e, _| of_go(e).paused = Some("a signal has stopped it".into()),
                    V::ReleaseQueued,
                ),
                (
                    "a runner that runs",
                    |e, _| queue(e).runners[0].doing = Doing::Idle,
                    V::ReleaseQueued,
                ),
                (
                    "a runner that was read",
                    |e, _| queue(e).runners[0].doing = Doing::Unread("gone".into()),
                    V::ReleaseQueued,
                ),
                (
                    "a runner",
                    |e, _| queue(e).runners.clear(),
                    V::ReleaseQueued,
                ),
                (
                    "all runners",
                    |e, _| {
                        queue(e).runners.push(Runner {
                            goroutine: 6,
                            doing: Doing::Idle,
                            stands: false,
                        });
                    },
                    V::ReleaseQueued,
                ),
                (
                    "the taker",
                    |_, h| {
                        *owner_of(h) = with_state(State::Queued {
                            taken: Taken::By(99),
                        });
                    },
                    V::ReleaseQueued,
                ),
            ],
        },
        Case {
            verdict: V::NoRelease,
            evidence: libbpfgo,
            handle: owned(low),
            without: vec![
                (
                    "its type",
                    |_, h| owner_of(h).type_name = Some("*main.Map".into()),
                    V::Unknown,
                ),
                ("its package", |_, h| owner_of(h).package = None, V::Unknown),
                (
                    "an object",
                    |_, h| owner_of(h).mark = Mark::Free,
                    V::Unknown,
                ),
                ("runtime", no_runtime, V::Unknown),
            ],
        },
        Case {
            verdict: V::NoOwner,
            evidence: go(),
            handle: handle(Ownership::None(Ok(()))),
            without: vec![
                (
                    "a complete reading",
                    |_, h| h.descriptors[0].ownership = Ownership::None(Err("a span moved".into())),
                    V::Unknown,
                ),
                (
                    "a reading",
                    |_, h| h.descriptors[0].ownership = Ownership::Unread("it moved".into()),
                    V::Unknown,
                ),
                (
                    "an owner that was told",
                    |_, h| h.descriptors[0].ownership = Ownership::Owned(vec![]),
                    V::Unknown,
                ),
                ("runtime", no_runtime, V::Unknown),
            ],
        },
        Case {
            verdict: V::Unmanaged,
            evidence: c(),
            handle: handle(Ownership::NotGo),
            without: vec![(
                "what it is",
                |e, _| {
                    e.process.runtime = Runtime::Unread {
                        why: "gone".into(),
                        needs: "".into(),
                    }
                },
                V::Unknown,
            )],
        },
        Case {
            verdict: V::Mapped,
            evidence: c(),
            handle: mapped,
            without: vec![("a mapping", |_, h| h.mapped = false, V::Unknown)],
        },
    ]
}

#[test]
fn each_verdict_is_established() {
    for case in cases() {
        let group = one(case.evidence, case.handle);
        assert_eq!(group.verdict, case.verdict);
        assert!(!group.evidence.is_empty(), "{}: says nothing", case.verdict);
        assert!(!group.fix.is_empty(), "{}: no fix", case.verdict);
    }
}

#[test]
fn no_verdict_without_all_it_rests_on() {
    for case in cases() {
        for (what, change, expected) in &case.without {
            let (mut evidence, mut handle) = (case.evidence.clone(), case.handle.clone());
            change(&mut evidence, &mut handle);
            let found = verdict(evidence, handle);
            assert_eq!(found, *expected, "{} without {what}", case.verdict);
        }
    }
}

#[test]
fn light_verdicts_are_all_tried() {
    use Verdict as V;
    let mut tried: Vec<V> = cases().iter().map(|case| case.verdict).collect();
    tried.push(V::Unknown);
    tried.sort_unstable();
    let of_paths = [
        V::RetainedByGlobal,
        V::RetainedByGoroutine,
        V::RetainedByTinyBlock,
        V::RetainedByFinalizer,
        V::ReleaseCycle,
        V::Dropped,
    ];
    let light: Vec<V> = V::ALL
        .into_iter()
        .filter(|v| !of_paths.contains(v))
        .collect();
    assert_eq!(tried, light);
}
