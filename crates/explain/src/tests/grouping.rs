//! Which handles are one group, and what is counted.

use super::*;
use model::{Leak, ProgramGrowth, Release, ReleaseState, Site};
use std::sync::Arc;

/// A handle on another map, with another descriptor.
fn nth(number: u32, name: &str, owner: Owner) -> Handle {
    let owner = Owner {
        number: Some(i64::from(number)),
        ..owner
    };
    let mut handle = owned(owner);
    handle.id = Some(100 + number);
    handle.name = name.into();
    handle.descriptors[0].fd = number;
    handle
}

#[test]
fn names_that_differ_in_digits_are_one_group() {
    let mut evidence = go();
    evidence.handles = (0..20)
        .map(|n| nth(n, &format!("flow_{n}"), owner()))
        .collect();
    evidence.handles.push(nth(50, "other", owner()));
    let groups = explain(&evidence);
    let counts: Vec<(&str, u64, u64)> = groups
        .iter()
        .map(|g| (g.objects.name.as_str(), g.count, g.objects.count))
        .collect();
    assert_eq!(counts, [("flow_*", 20, 20), ("other", 1, 1)]);
    assert_eq!(groups[0].fds, (0..20).collect::<Vec<u32>>());
    let ids: Vec<u32> = (104..120).rev().collect();
    assert_eq!(groups[0].objects.ids, ids, "the newest 16, descending");
    let owner = groups[0].owner.as_ref().expect("an owner");
    assert_eq!(owner.type_name.as_deref(), Some("*sys.FD"));
    assert_eq!(
        (owner.release, owner.release_state),
        (Release::Finalizer, Some(ReleaseState::Pending))
    );
    assert_eq!(groups[0].leak, Leak::Unknown);
}

#[test]
fn a_dup_adds_a_descriptor_and_no_handle() {
    let mut handle = owned(owner());
    let mut copy = handle.descriptors[0].clone();
    copy.fd = 9;
    if let Ownership::Owned(owners) = &mut copy.ownership {
        owners[0].number = Some(9);
    }
    handle.descriptors.push(copy);
    let group = one(go(), handle);
    assert_eq!((group.count, group.fds), (1, vec![7, 9]));
}

#[test]
fn handles_on_one_map_are_one_object() {
    let mut evidence = go();
    evidence.handles = (0..5)
        .map(|n| Handle {
            id: Some(17),
            ..nth(n, "conn_events", owner())
        })
        .collect();
    let groups = explain(&evidence);
    assert_eq!((groups[0].count, groups[0].objects.count), (5, 1));
    assert_eq!(groups[0].objects.ids, [17]);
}

#[test]
fn other_verdicts_origins_owners_and_sites_are_other_groups() {
    let base = nth(7, "conn_events", owner());
    let site = |line| {
        Some(Arc::new(Site {
            complete: true,
            frames: vec![Frame {
                function: "main.open".into(),
                file: Some("main.go".into()),
                line: Some(line),
                inlined: false,
            }],
        }))
    };
    let file = Owner {
        type_name: Some("*os.file".into()),
        package: Some("os".into()),
        ..owner()
    };
    let mut evidence = go();
    evidence.handles = vec![
        base.clone(),
        nth(
            7,
            "conn_events",
            Owner {
                mark: Mark::New,
                ..owner()
            },
        ),
        Handle {
            origin: Origin::Inherited,
            ..base.clone()
        },
        nth(7, "conn_events", file),
        Handle {
            site: site(1),
            ..base.clone()
        },
        Handle {
            site: site(2),
            ..base.clone()
        },
        Handle {
            site: site(2),
            ..base.clone()
        },
        Handle {
            type_name: "array".into(),
            ..base.clone()
        },
        Handle {
            kind: Kind::Prog,
            ..base
        },
    ];
    let groups = explain(&evidence);
    assert_eq!(groups.len(), 8);
    assert_eq!(groups[0].count, 2);
    assert_eq!(
        groups[0].acquired.as_ref().and_then(|s| s.frames[0].line),
        Some(2)
    );
}

#[test]
fn reasons_with_other_words_are_one_group() {
    let mut evidence = go();
    evidence.handles = (0..50)
        .map(|n| {
            nth(
                n,
                "m",
                Owner {
                    mark: Mark::Unread(format!("span {n} moved").into()),
                    ..owner()
                },
            )
        })
        .collect();
    let groups = explain(&evidence);
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0].verdict, Verdict::Unknown);
}

#[test]
fn most_of_a_group_says_how_far_the_release_is() {
    let mut evidence = go();
    of_go(&mut evidence).queues = Ok(vec![stuck()]);
    evidence.handles = vec![
        nth(1, "m", with_state(State::Running { goroutine: 5 })),
        nth(2, "m", with_state(QUEUED)),
        nth(3, "m", with_state(QUEUED)),
    ];
    let groups = explain(&evidence);
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0].verdict, Verdict::ReleaseBlocked);
    let owner = groups[0].owner.as_ref().expect("an owner");
    assert_eq!(owner.release_state, Some(ReleaseState::Queued));
}

/// Of maps of that name, so many a second in a look of two seconds.
fn growth(name: &str, leak: Leak, mapped: bool, per_second: f64) -> Growth {
    Growth {
        kind: Kind::Map,
        name: name.into(),
        type_name: "hash".into(),
        mapped,
        leak,
        per_second,
        more: 11,
        program: None,
        exhausts: vec![],
        source: GrowthSource::Looks {
            looks: 3,
            seconds: 2.0,
        },
    }
}

/// What grows between two collections may be what the next one releases.
#[test]
fn only_what_outlived_a_collection_is_suspected() {
    let new = Owner {
        mark: Mark::New,
        ..owner()
    };
    let leaks = |retained: u32, new_ones: u32, source| {
        let mut evidence = go();
        evidence.growth = vec![Growth {
            source,
            ..growth("m", Leak::Suspected, false, 5.0)
        }];
        let held = (0..retained).map(|n| nth(n, "m", owner()));
        let made = (retained..retained + new_ones).map(|n| nth(n, "m", new.clone()));
        evidence.handles = held.chain(made).collect();
        let groups = explain(&evidence);
        let of = |verdict| {
            let group = groups.iter().find(|group| group.verdict == verdict);
            group.map(|group| group.leak)
        };
        (of(Verdict::Retained), of(Verdict::NotJudged))
    };
    let looks = GrowthSource::Looks {
        looks: 9,
        seconds: 2.0,
    };
    let (suspected, unknown) = (Some(Leak::Suspected), Some(Leak::Unknown));
    assert_eq!(leaks(100, 10, looks), (suspected, unknown));
    assert_eq!(leaks(1, 10, looks), (unknown, unknown));
    assert_eq!(leaks(0, 10, looks), (None, unknown));
    let recording = GrowthSource::Recording { seconds: 600.0 };
    assert_eq!(leaks(9, 10, recording), (suspected, suspected));
    // What was there before, and is called the same, is not what grew.
    assert_eq!(leaks(1, 10, recording), (unknown, suspected));
    assert_eq!(leaks(10, 2, recording), (suspected, unknown));
}

/// Of an inherited handle among those that a program makes itself nothing is known.
#[test]
fn a_few_of_what_grows_are_not_it() {
    for source in [
        GrowthSource::Looks {
            looks: 9,
            seconds: 2.0,
        },
        GrowthSource::Recording { seconds: 600.0 },
    ] {
        let mut evidence = c();
        evidence.growth = vec![Growth {
            source,
            ..growth("m", Leak::Suspected, false, 5.0)
        }];
        let no_owner = |n| Handle {
            descriptors: vec![Descriptor {
                fd: n,
                ownership: Ownership::NotGo,
            }],
            ..nth(n, "m", owner())
        };
        let inherited = Handle {
            origin: Origin::Inherited,
            ..no_owner(99)
        };
        evidence.handles = (0..10).map(no_owner).chain([inherited]).collect();
        let groups = explain(&evidence);
        let found: Vec<_> = groups.iter().map(|g| (g.origin, g.leak)).collect();
        let expected = [
            (Origin::Unknown, Leak::Suspected),
            (Origin::Inherited, Leak::Unknown),
        ];
        assert_eq!(found, expected, "{source:?}");
        let says = &groups[1].evidence.last().expect("a line").says;
        assert!(says.contains("these are few of them"), "{says}");
        // Many descriptors of one handle are as many as grew.
        evidence.handles = vec![Handle {
            descriptors: (0..11)
                .map(|fd| Descriptor {
                    fd,
                    ownership: Ownership::NotGo,
                })
                .collect(),
            ..no_owner(0)
        }];
        assert_eq!(explain(&evidence)[0].leak, Leak::Suspected, "{source:?}");
    }
}

/// What each of many processes holds is no leak of one of them.
#[test]
fn growth_of_its_program_is_said_as_that() {
    let mut evidence = c();
    let program = ProgramGrowth {
        leak: Leak::Yes,
        per_second: 2.0,
        processes: 40,
    };
    evidence.growth = vec![Growth {
        program: Some(program),
        ..growth("m", Leak::No, false, 0.0)
    }];
    evidence.handles = vec![Handle {
        descriptors: vec![Descriptor {
            fd: 7,
            ownership: Ownership::NotGo,
        }],
        ..nth(7, "m", owner())
    }];
    let group = &explain(&evidence)[0];
    assert_eq!((group.leak, group.program), (Leak::No, Some(program)));
    let says = &group.evidence.last().expect("a line").says;
    let expected = "does not grow in 3 looks over 2.0 s; its program does, which has ever more processes that hold some: leak, +2.0/s, 40 processes";
    assert_eq!(says, expected);
}

/// Nothing will release what no collection judges.
#[test]
fn growth_without_a_collector_is_suspected_at_once() {
    let leaks = |memory_limit| {
        let mut evidence = go();
        of_go(&mut evidence).gc = Ok(Gc {
            cycles: 0,
            last_seconds_ago: None,
            gogc_off: true,
            memory_limit,
            forced_in_seconds: None,
            marking: false,
        });
        evidence.growth = vec![growth("m", Leak::Suspected, false, 5.0)];
        let new = Owner {
            mark: Mark::New,
            ..owner()
        };
        evidence.handles = (0..10).map(|n| nth(n, "m", new.clone())).collect();
        explain(&evidence)[0].leak
    };
    assert_eq!(leaks(None), Leak::Suspected);
    assert_eq!(leaks(Some(1 << 30)), Leak::Unknown);
}

#[test]
fn growth_is_found_by_folded_name() {
    let growth = |name, leak, mapped| growth(name, leak, mapped, 0.2);
    // As many as tell of a leak.
    let several = || (7..11).map(|n| nth(n, "flow_12", owner())).collect();
    for (name, expected) in [
        ("flow_*", Leak::Suspected),
        ("flow_1", Leak::Suspected),
        ("flow", Leak::Unknown),
    ] {
        let mut evidence = go();
        evidence.growth = vec![
            growth("flow_9", Leak::Yes, true),
            growth(name, Leak::Suspected, false),
        ];
        evidence.handles = several();
        assert_eq!(explain(&evidence)[0].leak, expected, "{name}");
    }
    // Two that are one once they are folded: the worse is told.
    let mut evidence = go();
    evidence.growth = vec![
        growth("flow_1", Leak::Yes, false),
        growth("flow_2", Leak::No, false),
    ];
    evidence.handles = several();
    assert_eq!(explain(&evidence)[0].leak, Leak::Yes);
}

#[test]
fn no_handles_no_groups() {
    assert_eq!(explain(&go()), []);
    assert_eq!(explain(&c()), []);
}

#[test]
fn ten_thousand_handles_take_no_time() {
    let mut evidence = go();
    evidence.handles = (0..10_000)
        .map(|n| nth(n, &format!("m{n}"), owner()))
        .collect();
    let begun = std::time::Instant::now();
    let groups = explain(&evidence);
    let took = begun.elapsed();
    assert_eq!(groups[0].count, 10_000);
    assert!(took.as_millis() < 250, "{took:?}");
}
