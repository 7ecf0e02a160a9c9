//! Whatever the names are: no line is wider than asked for, and no control
//! character comes out.

use crate::{screen, world};
use model::{
    Attachment, Before, By, CannotSee, Change, Container, Detail, DiffReport, DiffTotals, Facts,
    Growth, GrowthOf, Holder, IoUring, Kind, LinkFacts, ListReport, MapFacts, Object, ObjectId,
    ObjectRef, Pin, Process, ProgFacts, Reference, ReleaseStep, Socket, State, WhyReport,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};
use view::{Grouping, ListOptions, Sort, Style};

/// Names as they come: plain, hostile, wide, combining, long.
fn name() -> BoxedStrategy<String> {
    prop_oneof![
        3 => "[a-z_0-9]{0,16}",
        2 => any::<String>(),
        1 => "\\PC{0,80}",
        1 => "[\u{1b}\n\r\t\u{7}\u{202e}\u{200b}\u{9b}a-c]{0,12}",
        1 => "[事件地图ｗ🦀]{0,40}",
        1 => "[e\u{301}\u{20dd}\u{fe0f}☺❤\u{200d}👩]{0,60}",
        1 => "(/[a-z0-9-]{0,30}){0,12}",
        1 => "[a-z]{300,600}",
    ]
    .boxed()
}

fn text() -> BoxedStrategy<String> {
    vec(name(), 0..6).prop_map(|words| words.join(" ")).boxed()
}

fn process() -> BoxedStrategy<Process> {
    (
        (
            any::<u32>(),
            option::of(any::<u32>()),
            option::of(any::<u32>()),
        ),
        (name(), option::of(name()), vec(any::<u32>(), 0..40)),
        (option::of(name()), option::of(name())),
        option::of((
            option::of(name()),
            name(),
            option::of(name()),
            option::of(name()),
            option::of(name()),
            option::of(name()),
        )),
    )
        .prop_map(
            |((pid, ns_pid, tid), (comm, exe, fds), (cgroup, unit), c)| Process {
                pid,
                ns_pid,
                start_ticks: None,
                tid,
                comm: comm.into(),
                exe: exe.map(Into::into),
                fds,
                cgroup: cgroup.map(Into::into),
                unit: unit.map(Into::into),
                container: c.map(|(runtime, id, pod_uid, pod, namespace, name)| {
                    std::sync::Arc::new(Container {
                        runtime,
                        id,
                        pod_uid,
                        pod,
                        namespace,
                        name,
                    })
                }),
            },
        )
        .boxed()
}

fn kind() -> BoxedStrategy<Kind> {
    prop::sample::select(Kind::ALL.to_vec()).boxed()
}

fn holder() -> BoxedStrategy<Holder> {
    let pin = (
        name(),
        option::of(any::<u64>()),
        option::of(any::<u32>()),
        vec(name(), 0..6),
        any::<bool>(),
    )
        .prop_map(|(path, mount_namespace, enter_pid, also, unlinked)| {
            Holder::Pin(Pin {
                path,
                mount_namespace,
                enter_pid,
                also,
                unlinked,
            })
        });
    let object = (kind(), option::of(any::<u32>()), name())
        .prop_map(|(kind, id, name)| Holder::from_object(kind, ObjectRef { id, name }));
    prop_oneof![
        3 => process().prop_map(|p| Holder::Process(Box::new(p))),
        2 => pin,
        2 => object,
        3 => in_the_kernel(),
    ]
    .boxed()
}

fn in_the_kernel() -> BoxedStrategy<Holder> {
    let target = prop_oneof![
        name(),
        name().prop_map(|name| format!("cgroup:/{name}")),
        name().prop_map(|name| format!("dev:{name}@netns:4026531840")),
    ];
    let attach_type = option::of(prop_oneof![name(), Just("perf_event".to_owned())]);
    let attachment = (
        target,
        attach_type,
        option::of(text()),
        vec(process(), 0..3),
    )
        .prop_map(|(target, attach_type, detach, open_by)| {
            Holder::Attachment(Box::new(Attachment {
                target,
                attach_type,
                detach,
                open_by,
            }))
        });
    let socket = (
        option::of(any::<u64>()),
        option::of(any::<u64>()),
        option::of(name()),
        vec(any::<u32>(), 0..12),
        vec(process(), 0..12),
    )
        .prop_map(|(inode, netns, family, processes, open_by)| {
            Holder::Socket(Box::new(Socket {
                inode,
                netns,
                family,
                processes,
                open_by,
            }))
        });
    let ring = (
        option::of(any::<u32>()),
        option::of(any::<u32>()),
        vec(process(), 0..3),
    )
        .prop_map(|(pid, fd, open_by)| Holder::IoUring(Box::new(IoUring { pid, fd, open_by })));
    prop_oneof![
        attachment,
        socket,
        ring,
        name().prop_map(|name| Holder::Module { name }),
        text().prop_map(|what| Holder::Kernel { what }),
    ]
    .boxed()
}

fn reference() -> BoxedStrategy<Reference> {
    let by = prop::sample::select(vec![
        By::Fd,
        By::Mmap,
        By::Pin,
        By::Prog,
        By::OuterMap,
        By::ProgArray,
        By::Link,
        By::Iterator,
        By::StructOps,
        By::BtfUser,
        By::Target,
        By::InFlight,
        By::IoUring,
        By::Attachment,
        By::Socket,
        By::MapEntry,
        By::Timer,
        By::Token,
        By::Module,
        By::Driver,
    ]);
    (by, any::<u64>(), vec(holder(), 0..4))
        .prop_map(|(by, count, holders)| Reference { by, count, holders })
        .boxed()
}

fn detail() -> BoxedStrategy<Detail> {
    prop_oneof![
        (any::<u32>(), any::<bool>()).prop_map(|(map_flags, has_timers)| Detail::Map(MapFacts {
            map_flags,
            has_timers
        })),
        (name(), vec(any::<u32>(), 0..30), any::<bool>()).prop_map(|(tag, maps, attached)| {
            Detail::Prog(ProgFacts {
                tag,
                maps,
                attached,
            })
        }),
        (
            option::of(any::<u32>()),
            option::of(name()),
            option::of(name()),
            any::<bool>()
        )
            .prop_map(
                |(prog_id, target, attach_type, detached)| Detail::Link(LinkFacts {
                    prog_id,
                    target,
                    attach_type,
                    detached,
                })
            ),
        any::<bool>().prop_map(|kernel_btf| Detail::Btf(model::BtfFacts { kernel_btf })),
    ]
    .boxed()
}

fn object() -> BoxedStrategy<Object> {
    (
        (kind(), option::of(any::<u32>()), name(), name(), detail()),
        (
            option::of(any::<u64>()),
            option::of(any::<u64>()),
            vec(reference(), 0..5),
        ),
        (
            option::of(any::<u64>()),
            option::of(any::<u64>()),
            option::of(any::<u32>()),
        ),
        (option::of(name()), vec(text(), 0..3), any::<bool>()),
        (any::<u64>(), option::of(any::<i64>()), any::<bool>()),
        (
            prop::sample::select(State::ALL.to_vec()),
            vec(holder(), 0..4),
        ),
    )
        .prop_map(|(id, count, size, more, sums, end)| Object {
            facts: Facts {
                kind: id.0,
                id: id.1,
                name: id.2,
                type_name: id.3,
                refcnt: count.0,
                usercnt: count.1,
                references: count.2,
                own: more.2,
                memory_bytes: size.0,
                memory_source: None,
                entries: size.1,
                max_entries: size.2,
                charged_to: more.0,
                unreadable: more.1,
                detail: id.4,
            },
            explained: sums.0,
            unexplained: sums.1,
            settled: sums.2,
            state: end.0,
            kept_by: end.1,
        })
        .boxed()
}

fn snapshot() -> BoxedStrategy<model::Snapshot> {
    (
        name(),
        name(),
        any::<f64>(),
        vec(text(), 0..3),
        vec((text(), text(), text()), 0..3),
    )
        .prop_map(
            |(time, kernel, seconds, staged_walks, blind)| model::Snapshot {
                time,
                kernel,
                seconds,
                staged_walks,
                cannot_see: blind
                    .into_iter()
                    .map(|(what, why, needs)| CannotSee { what, why, needs })
                    .collect(),
                ..world::snapshot()
            },
        )
        .boxed()
}

fn why_report() -> BoxedStrategy<WhyReport> {
    let action = prop_oneof![
        text(),
        vec(name(), 1..4).prop_map(|paths| {
            let words: Vec<String> = paths.iter().map(|p| model::shell_quote(p)).collect();
            format!("rm {}", words.join(" "))
        }),
        text().prop_map(|text| format!("rm {text}")),
    ];
    let ids = vec((kind(), any::<u32>()), 0..12);
    let step = (holder(), action, ids, any::<u64>()).prop_map(|(holder, action, ids, bytes)| {
        ReleaseStep {
            holder,
            action,
            frees: ids
                .into_iter()
                .map(|(kind, id)| ObjectId { kind, id })
                .collect(),
            bytes,
        }
    });
    (
        snapshot(),
        object(),
        vec(vec(holder(), 0..5), 0..24),
        any::<bool>(),
        vec(step, 0..4),
        vec(text(), 0..3),
    )
        .prop_map(
            |(snapshot, object, chains, chains_cut, to_release, caveats)| WhyReport {
                schema: WhyReport::SCHEMA.into(),
                snapshot,
                object,
                chains,
                chains_cut,
                to_release,
                caveats,
            },
        )
        .boxed()
}

/// Every line fits, by either way of measuring, and holds nothing that moves a cursor.
fn check(text: &str, width: usize) -> Result<(), TestCaseError> {
    prop_assert!(text.ends_with('\n'));
    for line in text.lines() {
        let columns = line.width();
        let by_char: usize = line.chars().filter_map(UnicodeWidthChar::width).sum();
        prop_assert!(
            columns <= width && by_char <= width,
            "{columns}, {by_char}: {line:?}"
        );
        prop_assert!(line.chars().count() <= 20 * width, "{line:?}");
        prop_assert_eq!(model::escape_controls(line), line);
    }
    Ok(())
}

fn growth() -> BoxedStrategy<Growth> {
    let names = (
        kind(),
        name(),
        name(),
        option::of(name()),
        option::of(name()),
    );
    let references = option::of((any::<u32>(), reference()));
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>());
    (names, option::of(holder()), references, numbers)
        .prop_map(|(names, holder, references, numbers)| Growth {
            of: match references {
                Some(_) => GrowthOf::References,
                None => GrowthOf::Objects,
            },
            kind: names.0,
            name: names.1,
            type_name: names.2,
            tag: names.3,
            object: references.as_ref().map(|(id, _)| ObjectId {
                kind: names.0,
                id: *id,
            }),
            by: references.map(|(_, r)| r.by),
            holder,
            holders: numbers.0,
            pattern: names.4,
            before: numbers.1,
            after: numbers.2,
            ids: vec![],
        })
        .boxed()
}

fn change() -> BoxedStrategy<Change> {
    let references = || vec(reference(), 0..4);
    (object(), object(), references(), references())
        .prop_map(|(object, old, came, went)| Change {
            object,
            before: Before {
                refcnt: old.facts.refcnt,
                usercnt: old.facts.usercnt,
                explained: old.explained,
                unexplained: old.unexplained,
                settled: old.settled,
                state: old.state,
                memory_bytes: old.facts.memory_bytes,
                entries: old.facts.entries,
                attached: Some(old.settled),
                detached: None,
            },
            came,
            went,
        })
        .boxed()
}

fn diff_report() -> BoxedStrategy<DiffReport> {
    let totals = any::<[u64; 12]>().prop_map(|n| DiffTotals {
        objects_before: n[0],
        objects_after: n[1],
        references_before: n[2],
        references_after: n[3],
        memory_bytes_before: n[4],
        memory_bytes_after: n[5],
        appeared: n[6],
        vanished: n[7],
        changed: n[8],
        grown: n[9],
        new_orphans: n[10],
        new_unexplained: n[11],
    });
    let ids = || {
        vec(
            (kind(), any::<u32>()).prop_map(|(kind, id)| ObjectId { kind, id }),
            0..6,
        )
    };
    (
        (snapshot(), snapshot(), any::<bool>()),
        (
            vec(object(), 0..4),
            vec(object(), 0..4),
            vec(change(), 0..6),
        ),
        vec(growth(), 0..6),
        (ids(), ids(), totals),
    )
        .prop_map(
            |(sweeps, objects, growth, (orphans, unexplained, totals))| DiffReport {
                schema: DiffReport::SCHEMA.into(),
                before: sweeps.0,
                after: sweeps.1,
                same_boot: sweeps.2,
                appeared: objects.0,
                vanished: objects.1,
                changed: objects.2,
                growth,
                orphans,
                unexplained,
                totals,
            },
        )
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_list_holds_the_width(
        objects in vec(object(), 0..8),
        snapshot in snapshot(),
        width in Style::NARROWEST..=200,
        grouped in any::<bool>(),
        sort in option::of(prop::sample::select(Sort::ALL.to_vec())),
        show_own in any::<bool>(),
    ) {
        let report = ListReport {
            schema: ListReport::SCHEMA.into(),
            snapshot,
            filters: vec![],
            objects,
        };
        let options = ListOptions {
            grouped: if grouped { Grouping::Always } else { Grouping::Never },
            sort,
            show_own,
            filtered: false,
        };
        check(&screen::list(&report, options, width), width)?;
    }

    #[test]
    fn the_difference_holds_the_width(
        report in diff_report(),
        width in Style::NARROWEST..=200,
        grouped in any::<bool>(),
    ) {
        let options = ListOptions {
            grouped: if grouped { Grouping::Auto } else { Grouping::Never },
            ..ListOptions::default()
        };
        check(&screen::diff(&report, options, width), width)?;
    }

    #[test]
    fn the_account_holds_the_width(report in why_report(), width in Style::NARROWEST..=200) {
        check(&screen::why(&report, width), width)?;
    }

    #[test]
    fn colour_adds_codes_and_nothing_else(report in why_report(), width in Style::NARROWEST..=200) {
        let mut with = vec![];
        view::why(&report, &Style { width, colour: true }, &mut with).expect("written");
        let mut text = String::from_utf8(with).expect("UTF-8");
        for code in ["\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[33m", "\x1b[36m"] {
            text = text.replace(code, "");
        }
        prop_assert_eq!(text, screen::why(&report, width));
    }
}
