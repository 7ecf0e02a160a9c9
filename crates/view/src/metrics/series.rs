//! Whose handles have labels of their own.
//!
//! There may be as many holders as processes on the host. Labels of their own have those that were told
//! of, the worst first, up to [`TOLD`], and the [`LARGEST`] of the others by handles; what is left is
//! summed by kind and way, as holder `other`. So the sums are right, and their parts are few.

use super::{Labels, Samples, Value, label};
use crate::words;
use model::{
    By, Holder, Kind, LeakEvent, Metrics, ObjectGroup, Process, Scope, SeriesSample, Trend,
};
use std::collections::{BTreeMap, HashSet};

/// Series that were told of.
pub const TOLD: usize = 100;
/// Series that were not.
pub const LARGEST: usize = 20;

/// Handles and descriptors.
#[derive(Debug, Clone, Copy, Default)]
struct Open {
    handles: u64,
    fds: u64,
}

/// The series of a page, by what their labels say: two that say the same are one.
pub struct Shown {
    open: BTreeMap<Labels, Open>,
    growth: BTreeMap<Labels, f64>,
}

/// What makes a series the one that an event told of.
type Key<'a> = (&'a Holder, bool, By, Kind, &'a str, &'a str);

fn key<'a>(holder: &'a Holder, many: bool, by: By, objects: &'a ObjectGroup) -> Key<'a> {
    let (name, type_name) = (objects.name.as_str(), objects.type_name.as_str());
    (holder, many, by, objects.kind, name, type_name)
}

impl Shown {
    pub fn choose(metrics: &Metrics<'_>) -> Self {
        let told = &metrics.told[..metrics.told.len().min(TOLD)];
        let told: HashSet<Key<'_>> = told
            .iter()
            .map(|t| key(&t.holder, t.holders > 1, t.by, &t.objects))
            .collect();
        let (mut named, mut others): (Vec<&SeriesSample>, Vec<_>) = metrics
            .series
            .iter()
            .copied()
            .filter(|s| is_open_file(s))
            .partition(|s| told.contains(&key(&s.holder, false, s.by, &s.objects)));
        if others.len() > LARGEST {
            let order = |s: &&SeriesSample| (std::cmp::Reverse(s.value()), s.series);
            others.select_nth_unstable_by_key(LARGEST, order);
        }
        let rest = others.split_off(others.len().min(LARGEST));
        named.append(&mut others);

        let mut open: BTreeMap<Labels, Open> = BTreeMap::new();
        let mut add = |labels, series: &SeriesSample| {
            let sum = open.entry(labels).or_default();
            sum.handles = sum.handles.saturating_add(series.handles);
            sum.fds = sum.fds.saturating_add(series.fds);
        };
        for series in named {
            add(
                labels(&series.holder, 1, None, series.by, &series.objects),
                series,
            );
        }
        for series in rest {
            add(other(series.by, series.objects.kind), series);
        }
        Self {
            open,
            growth: growth(&metrics.told),
        }
    }

    pub fn handles(&self) -> Samples {
        let each = self.open.iter();
        each.map(|(labels, open)| (labels.clone(), Value::Count(open.handles)))
            .collect()
    }

    pub fn descriptors(&self) -> Samples {
        // A mapping or a file in flight has none.
        let each = self.open.iter().filter(|(_, open)| open.fds > 0);
        each.map(|(labels, open)| (labels.clone(), Value::Count(open.fds)))
            .collect()
    }

    pub fn growth(&self) -> Samples {
        let each = self.growth.iter();
        each.map(|(labels, sum)| (labels.clone(), Value::Real(*sum)))
            .collect()
    }
}

/// Not a pin, or a reference of another object's. All processes of a program together have no handle
/// that one of them has not.
fn is_open_file(series: &SeriesSample) -> bool {
    let file = matches!(
        series.by,
        By::Fd | By::Mmap | By::InFlight | By::IoUring | By::Iterator
    );
    // What was told of is remembered when it is gone.
    file && series.scope != Scope::Program && series.value() > 0
}

fn growth(told: &[LeakEvent]) -> BTreeMap<Labels, f64> {
    let mut growth: BTreeMap<Labels, f64> = BTreeMap::new();
    let there = told.iter().filter(|told| told.state != Trend::Over);
    for (at, told) in there.enumerate() {
        let mut labels = if at < TOLD {
            let pattern = told.pattern.as_deref();
            labels(&told.holder, told.holders, pattern, told.by, &told.objects)
        } else {
            other(told.by, told.objects.kind)
        };
        labels.push(("leak", told.leak.as_str().to_owned()));
        *growth.entry(labels).or_default() += told.per_second;
    }
    growth
}

fn other(by: By, kind: Kind) -> Labels {
    vec![
        ("holder_type", "other".to_owned()),
        ("holder", "other".to_owned()),
        ("by", words::by(by).to_owned()),
        ("kind", kind.as_str().to_owned()),
    ]
}

fn labels(
    holder: &Holder,
    holders: u64,
    pattern: Option<&str>,
    by: By,
    objects: &ObjectGroup,
) -> Labels {
    let many = holders > 1;
    let mut labels = vec![
        ("holder_type", sort(holder, many).to_owned()),
        ("holder", label(&name(holder, many, pattern))),
    ];
    if let Holder::Process(process) = holder {
        of_process(process, many, &mut labels);
    }
    labels.extend([
        ("by", words::by(by).to_owned()),
        ("kind", objects.kind.as_str().to_owned()),
        ("name", label(&objects.name)),
        ("type", label(&objects.type_name)),
    ]);
    labels
}

/// Of many processes of a program only one is described.
fn of_process(process: &Process, many: bool, labels: &mut Labels) {
    if many {
        return;
    }
    labels.push(("pid", process.pid.to_string()));
    if let Some(unit) = &process.unit {
        labels.push(("unit", label(unit)));
    }
    if let Some(container) = &process.container {
        let names = [
            ("namespace", &container.namespace),
            ("pod", &container.pod),
            ("container", &container.name),
        ];
        let known = names
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_ref()?)));
        labels.extend(known.map(|(name, value)| (name, label(value))));
    }
}

fn sort(holder: &Holder, many: bool) -> &'static str {
    match holder {
        Holder::Process(_) if many => "program",
        Holder::Process(_) => "process",
        Holder::Pin(_) => "pin",
        Holder::Map(_) => "map",
        Holder::Prog(_) => "prog",
        Holder::Link(_) => "link",
        Holder::Btf(_) => "btf",
        Holder::Attachment(_) => "attachment",
        Holder::Socket(_) => "socket",
        Holder::IoUring(_) => "io_uring",
        Holder::Module { .. } => "module",
        Holder::Kernel { .. } => "kernel",
    }
}

fn name(holder: &Holder, many: bool, pattern: Option<&str>) -> String {
    match holder {
        Holder::Process(process) => {
            let comm = pattern.filter(|_| many).unwrap_or(&process.comm);
            words::comm(comm).into_owned()
        }
        Holder::Pin(pin) => pattern.unwrap_or(&pin.path).to_owned(),
        other => match other.object() {
            Some((kind, object)) => words::object(kind, object),
            None => words::kernel_holder(other),
        },
    }
}
