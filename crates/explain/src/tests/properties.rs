//! Whatever the evidence: no panic, nothing lost, and never more than it establishes.

use super::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn why() -> impl Strategy<Value = Why> {
    prop_oneof![Just("it moved".into()), ".{0,8}".prop_map(Into::into)]
}

fn reading<T: std::fmt::Debug>(of: impl Strategy<Value = T>) -> impl Strategy<Value = Reading<T>> {
    prop_oneof![3 => of.prop_map(Ok), 1 => why().prop_map(Err)]
}

fn name() -> impl Strategy<Value = std::sync::Arc<str>> {
    prop_oneof![
        Just("*sys.FD".into()),
        Just("*os.file".into()),
        Just("*libbpfgo.BPFMapLow".into()),
        ".{0,6}".prop_map(Into::into)
    ]
}

fn package() -> impl Strategy<Value = std::sync::Arc<str>> {
    prop_oneof![
        Just(SYS.into()),
        Just("os".into()),
        Just("github.com/aquasecurity/libbpfgo".into()),
        ".{0,6}".prop_map(Into::into)
    ]
}

fn mark() -> impl Strategy<Value = Mark> {
    prop_oneof![
        3 => Just(Mark::Survived),
        1 => Just(Mark::New),
        3 => Just(Mark::DeadUnswept),
        1 => Just(Mark::Free),
        2 => Just(Mark::Gone),
        1 => why().prop_map(Mark::Unread),
    ]
}

fn state() -> impl Strategy<Value = State> {
    prop_oneof![
        Just(State::Pending),
        taken().prop_map(|taken| State::Queued { taken }),
        (4u64..7).prop_map(|goroutine| State::Running { goroutine }),
    ]
}

fn taken() -> impl Strategy<Value = Taken> {
    prop_oneof![
        Just(Taken::Nobody),
        (4u64..7).prop_map(Taken::By),
        Just(Taken::Unknown),
    ]
}

fn queue_kind() -> impl Strategy<Value = QueueKind> {
    prop_oneof![Just(QueueKind::Finalizer), Just(QueueKind::Cleanup)]
}

fn an_owner() -> impl Strategy<Value = Owner> {
    let function = prop_oneof![
        Just("main.f".into()),
        Just("a/b.(*T).f".into()),
        ".{0,12}".prop_map(std::sync::Arc::<str>::from)
    ];
    let release =
        (queue_kind(), option::of(function), state()).prop_map(|(kind, function, state)| {
            RegisteredRelease {
                kind,
                function,
                state,
            }
        });
    (
        option::of(name()),
        option::of(package()),
        option::of(any::<u64>()),
        prop_oneof![3 => Just(Some(7)), 1 => option::of(any::<i64>())],
        option::weighted(0.9, release),
        mark(),
        any::<bool>(),
    )
        .prop_map(
            |(type_name, package, address, number, release, mark, tiny)| Owner {
                type_name,
                package,
                address,
                number,
                release,
                mark,
                tiny,
            },
        )
}

fn ownership() -> impl Strategy<Value = Ownership> {
    prop_oneof![
        1 => Just(Ownership::NotGo),
        1 => why().prop_map(Ownership::Unread),
        1 => reading(Just(())).prop_map(Ownership::None),
        6 => vec(an_owner(), 0..3).prop_map(Ownership::Owned),
    ]
}

fn a_handle() -> impl Strategy<Value = Handle> {
    let kind = prop_oneof![
        Just(Kind::Map),
        Just(Kind::Prog),
        Just(Kind::Link),
        Just(Kind::Btf)
    ];
    let origin = prop_oneof![
        Just(Origin::Unknown),
        Just(Origin::Inherited),
        Just(Origin::Received)
    ];
    let fd = prop_oneof![4 => Just(7u32), 1 => any::<u32>()];
    let descriptor = (fd, ownership()).prop_map(|(fd, ownership)| Descriptor { fd, ownership });
    (
        kind,
        option::of(0u32..4),
        ".{0,4}",
        vec(descriptor, 0..3),
        any::<bool>(),
        origin,
    )
        .prop_map(|(kind, id, name, descriptors, mapped, origin)| Handle {
            kind,
            id,
            name: name.as_str().into(),
            type_name: "hash".into(),
            descriptors,
            mapped,
            origin,
            shared_with: None,
            site: None,
        })
}

fn seconds() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(1.0), Just(2.0), any::<f64>()]
}

fn a_queue() -> impl Strategy<Value = Queue> {
    let doing = prop_oneof![
        Just(Doing::Idle),
        Just(running("main.f")),
        why().prop_map(Doing::Unread),
        seconds().prop_map(|s| Doing::Running {
            function: None,
            stack: vec![],
            waits: None,
            waits_seconds: Some(s)
        }),
    ];
    let runner = (4u64..7, doing, any::<bool>()).prop_map(|(goroutine, doing, stands)| Runner {
        goroutine,
        doing,
        stands,
    });
    let second =
        (seconds(), any::<bool>()).prop_map(|(seconds, moved)| SecondLook { seconds, moved });
    (
        queue_kind(),
        prop_oneof![0u64..3, any::<u64>()],
        vec(runner, 0..3),
        prop_oneof![3 => Just(0usize), 1 => 1usize..3],
        option::of(second),
    )
        .prop_map(|(kind, length, runners, unread_runners, second)| Queue {
            kind,
            length,
            runners,
            unread_runners,
            second,
        })
}

fn a_gc() -> impl Strategy<Value = Gc> {
    let cycles = prop_oneof![0u64..2, any::<u64>()];
    (
        cycles,
        option::of(seconds()),
        any::<bool>(),
        option::of(any::<u64>()),
        option::of(seconds()),
        any::<bool>(),
    )
        .prop_map(
            |(cycles, last_seconds_ago, gogc_off, memory_limit, forced_in_seconds, marking)| Gc {
                cycles,
                last_seconds_ago,
                gogc_off,
                memory_limit,
                forced_in_seconds,
                marking,
            },
        )
}

fn a_runtime() -> impl Strategy<Value = Runtime> {
    prop_oneof![
        6 => (reading(a_gc()), reading(vec(a_queue(), 0..3)), option::weighted(0.1, why()))
            .prop_map(|(gc, queues, paused)| Runtime::Go(Box::new(Go { version: "go1.26.8".into(), gc, queues, paused }))),
        1 => why().prop_map(|why| Runtime::GoUnread { version: None, why, needs: "".into() }),
        1 => Just(Runtime::NotGo(Language::Rust)),
        1 => why().prop_map(|why| Runtime::Unread { why, needs: "CAP_SYS_PTRACE".into() }),
    ]
}

fn some_evidence() -> impl Strategy<Value = Evidence<'static>> {
    (a_runtime(), vec(a_handle(), 0..12)).prop_map(|(runtime, handles)| {
        let mut evidence = go();
        evidence.process.runtime = runtime;
        evidence.process.libraries.push(library(
            LibraryKind::Libbpfgo,
            "github.com/aquasecurity/libbpfgo",
            "v0.5.1-libbpf-1.2",
        ));
        evidence.handles = handles;
        evidence
    })
}

/// Written anew, and not as the crate does it: what each dangerous verdict must have.
fn has_all_of_it(evidence: &Evidence<'_>, verdict: Verdict, owner: &Owner) -> bool {
    let Runtime::Go(go) = &evidence.process.runtime else {
        return false;
    };
    let Some(release) = &owner.release else {
        return false;
    };
    match verdict {
        Verdict::SweepPending => {
            let completed = matches!(&go.gc, Ok(gc) if gc.cycles > 0 && !gc.marking);
            completed
                && owner.mark == Mark::DeadUnswept
                && release.state == State::Pending
                && matches!(owner.number, None | Some(0..))
        }
        Verdict::ReleaseQueued | Verdict::ReleaseBlocked => {
            let queues = go.queues.as_deref().unwrap_or_default();
            let of = |kind| queues.iter().find(|q| q.kind == kind);
            let Some(queue) = of(release.kind).or_else(|| of(QueueKind::Finalizer)) else {
                return false;
            };
            let stands = |r: &Runner| {
                let runs = matches!(
                    &r.doing,
                    Doing::Running {
                        function: Some(_),
                        ..
                    }
                );
                r.stands && runs
            };
            let apart = queue.second.is_some_and(|s| s.seconds >= 1.0);
            let still = queue.second.is_some_and(|s| !s.moved);
            let (by, known) = match release.state {
                State::Pending => return false,
                State::Running { goroutine }
                | State::Queued {
                    taken: Taken::By(goroutine),
                } => (Some(goroutine), true),
                State::Queued { taken } => (None, taken == Taken::Nobody),
            };
            let blocked = match by {
                Some(id) => queue.runners.iter().any(|r| r.goroutine == id && stands(r)),
                None => still && queue.unread_runners == 0 && queue.runners.iter().all(stands),
            };
            // What was not read may be what it waits for.
            let dark = by.is_none()
                && (queue.unread_runners > 0 || !known && queue.runners.iter().any(|r| r.stands));
            queue.length > 0
                && match verdict {
                    Verdict::ReleaseBlocked => apart && blocked && go.paused.is_none(),
                    _ => !(apart && dark) || go.paused.is_some(),
                }
        }
        _ => true,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_nothing_panics(evidence in some_evidence()) {
        let report = crate::report(&evidence);
        let handles: u64 = report.groups.iter().map(|g| g.count).sum();
        prop_assert_eq!(handles, evidence.handles.len() as u64);
        for group in &report.groups {
            prop_assert!(!group.evidence.is_empty(), "{} says nothing", group.verdict);
            prop_assert!(!group.fix.is_empty());
            prop_assert!(group.objects.ids.len() <= 16);
        }
        let counts: Vec<u64> = report.groups.iter().map(|g| g.count).collect();
        prop_assert!(counts.is_sorted_by(|a, b| a >= b));
    }

    #[test]
    fn no_dangerous_verdict_without_exact_evidence(evidence in some_evidence()) {
        for handle in &evidence.handles {
            let judged = crate::judge::judge(&evidence, handle);
            let dangerous = [Verdict::SweepPending, Verdict::ReleaseQueued, Verdict::ReleaseBlocked];
            if dangerous.contains(&judged.verdict) {
                let owner = judged.owner.expect("it is about an owner");
                prop_assert!(has_all_of_it(&evidence, judged.verdict, owner), "{:?} {owner:?}", judged.verdict);
                // And no other owner of any of its descriptors keeps it.
                for descriptor in &handle.descriptors {
                    let Ownership::Owned(owners) = &descriptor.ownership else {
                        return Err(TestCaseError::fail("a descriptor without an owner is not released"));
                    };
                    for owner in owners {
                        let reached = owner.mark == Mark::Survived
                            && owner.release.as_ref().is_some_and(|r| r.state == State::Pending)
                            && owner.number == Some(i64::from(descriptor.fd));
                        let cycles = match &evidence.process.runtime {
                            Runtime::Go(go) => go.gc.as_ref().map_or(0, |gc| gc.cycles),
                            _ => 0,
                        };
                        prop_assert!(!(reached && cycles > 0));
                    }
                }
            }
        }
    }
}
