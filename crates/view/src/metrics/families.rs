//! All that there is on a page, in its order. docs/metrics.md has the same table; a test holds the two
//! together.

use super::series::Shown;
use super::{Labels, Samples, Value, label};
use crate::words;
use model::{Kind, Leak, Metrics, Tally};
use std::collections::BTreeMap;

/// Samples of one name.
#[derive(Clone, Copy)]
pub struct Family {
    /// Without the `_total` of counters.
    pub name: &'static str,
    pub counter: bool,
    /// The end of the name, where that is a unit.
    pub unit: Option<&'static str>,
    pub help: &'static str,
    pub samples: fn(&Metrics<'_>, &Shown) -> Samples,
}

const fn gauge(
    name: &'static str,
    help: &'static str,
    samples: fn(&Metrics<'_>, &Shown) -> Samples,
) -> Family {
    Family {
        name,
        counter: false,
        unit: None,
        help,
        samples,
    }
}

const fn counter(
    name: &'static str,
    help: &'static str,
    samples: fn(&Metrics<'_>, &Shown) -> Samples,
) -> Family {
    Family {
        counter: true,
        ..gauge(name, help, samples)
    }
}

const fn in_unit(unit: &'static str, family: Family) -> Family {
    Family {
        unit: Some(unit),
        ..family
    }
}

pub const FAMILIES: &[Family] = &[
    gauge(
        "lastref_objects",
        "BPF objects, by what keeps them in the end.",
        |m, _| by_state(m, |tally| Some(tally.objects)),
    ),
    in_unit(
        "bytes",
        gauge(
            "lastref_objects_memory_bytes",
            "Kernel memory of these objects, as far as it is known.",
            |m, _| by_state(m, Tally::memory),
        ),
    ),
    gauge(
        "lastref_objects_memory_unknown",
        "Objects whose memory is not known, and is in no sum here.",
        memory_unknown,
    ),
    gauge(
        "lastref_held_objects",
        "Objects with at least one reference of this kind; one that is held in two ways counts in both.",
        |m, _| by_way(m, |held| Some(held.objects.objects)),
    ),
    in_unit(
        "bytes",
        gauge(
            "lastref_held_memory_bytes",
            "Kernel memory of objects with at least one reference of this kind, as far as it is known.",
            |m, _| by_way(m, |held| held.objects.memory()),
        ),
    ),
    gauge(
        "lastref_references",
        "References to BPF objects that were found, by how they are held.",
        |m, _| by_way(m, |held| Some(held.references)),
    ),
    gauge(
        "lastref_unexplained_references",
        "References that stand still and that nothing explains.",
        |m, _| by_kind(&m.census.unexplained),
    ),
    gauge(
        "lastref_orphan_pins",
        "Pins of objects that nothing but pins keeps, and that nothing uses.",
        |m, _| by_kind(&m.census.orphan_pins),
    ),
    gauge(
        "lastref_open_handles",
        "Open files on BPF objects, by who has them open.",
        |_, shown| shown.handles(),
    ),
    gauge(
        "lastref_open_descriptors",
        "Descriptors of these files: a dup is one more, and no further handle.",
        |_, shown| shown.descriptors(),
    ),
    gauge(
        "lastref_growth_per_second",
        "How fast what was told of grows: handles, descriptors, or references of another kind.",
        |_, shown| shown.growth(),
    ),
    gauge(
        "lastref_leaks",
        "Series that leak, or are suspected to.",
        leaks,
    ),
    in_unit(
        "seconds",
        gauge(
            "lastref_exhaustion_seconds",
            "Time until the first holder meets this limit, if it grows on as it does.",
            |m, _| {
                let limits = m.exhaustion.iter();
                let each = limits
                    .map(|(limit, seconds)| (vec![("limit", label(limit))], Value::Real(*seconds)));
                each.collect()
            },
        ),
    ),
    counter(
        "lastref_created_objects",
        "Objects made since the watch began, by anybody: at least.",
        |m, _| {
            let created = [
                (Kind::Map, m.created.map),
                (Kind::Prog, m.created.prog),
                (Kind::Link, m.created.link),
            ];
            let each = created.map(|(kind, n)| (vec![of_kind(kind)], Value::Count(n)));
            each.into()
        },
    ),
    counter("lastref_sweeps", "Sweeps since the watch began.", |m, _| {
        one(Some(Value::Count(m.sweeps)))
    }),
    in_unit(
        "seconds",
        gauge(
            "lastref_sweep_seconds",
            "How long the last sweep took.",
            |m, _| one(Some(Value::Real(m.sweep_seconds))),
        ),
    ),
    in_unit(
        "seconds",
        gauge(
            "lastref_last_sweep_timestamp_seconds",
            "When the last sweep ended, in seconds since 1970.",
            |m, _| one(m.swept_at.map(Value::Real)),
        ),
    ),
    in_unit(
        "seconds",
        counter(
            "lastref_cpu_seconds",
            "Processor time of lastref itself.",
            |m, _| one(Some(Value::Real(m.cpu_seconds))),
        ),
    ),
    in_unit(
        "bytes",
        gauge(
            "lastref_resident_memory_bytes",
            "Memory of lastref itself.",
            |m, _| one(m.resident_bytes.map(Value::Count)),
        ),
    ),
    gauge(
        "lastref_cannot_see",
        "Things that the last sweep could not look at; the watch says which, and what it would take.",
        |m, _| one(Some(Value::Count(m.cannot_see))),
    ),
    gauge(
        "lastref_build_info",
        "Always 1: the version of lastref, and of the kernel that it runs on.",
        |m, _| {
            let labels = vec![("version", label(m.version)), ("kernel", label(m.kernel))];
            vec![(labels, Value::Count(1))]
        },
    ),
];

fn of_kind(kind: Kind) -> (&'static str, String) {
    ("kind", kind.as_str().to_owned())
}

fn one(value: Option<Value>) -> Samples {
    value.map(|value| (vec![], value)).into_iter().collect()
}

fn by_state(metrics: &Metrics<'_>, value: impl Fn(&Tally) -> Option<u64>) -> Samples {
    let each = metrics.census.objects.iter();
    each.filter_map(|((kind, state), tally)| {
        let labels: Labels = vec![of_kind(*kind), ("state", state.as_str().to_owned())];
        Some((labels, Value::Count(value(tally)?)))
    })
    .collect()
}

fn by_way(metrics: &Metrics<'_>, value: impl Fn(&model::Held) -> Option<u64>) -> Samples {
    let each = metrics.census.held.iter();
    each.filter_map(|((kind, by), held)| {
        let labels: Labels = vec![of_kind(*kind), ("by", words::by(*by).to_owned())];
        Some((labels, Value::Count(value(held)?)))
    })
    .collect()
}

fn by_kind(counts: &BTreeMap<Kind, u64>) -> Samples {
    let each = counts.iter();
    each.map(|(kind, n)| (vec![of_kind(*kind)], Value::Count(*n)))
        .collect()
}

fn memory_unknown(metrics: &Metrics<'_>, _: &Shown) -> Samples {
    let mut unknown: BTreeMap<Kind, u64> = BTreeMap::new();
    for ((kind, _), tally) in &metrics.census.objects {
        *unknown.entry(*kind).or_default() += tally.memory_unknown;
    }
    by_kind(&unknown)
}

fn leaks(metrics: &Metrics<'_>, _: &Shown) -> Samples {
    let each = [Leak::Yes, Leak::Suspected].map(|leak| {
        let told = metrics.told.iter().filter(|told| told.leak == leak);
        let labels = vec![("leak", leak.as_str().to_owned())];
        (labels, Value::Count(told.count() as u64))
    });
    each.into()
}
