//! The account as a tree: every reference, and whose it is.

use crate::screen::{Paint, Screen, Span, plain, safe};
use crate::text::width;
use crate::{units, words};
use model::{By, Holder, Kind, Pin, Process, Reference, WhyReport};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// References of one kind that have a line each before the rest is summed up.
const LINES: usize = 20;
/// More processes than this that are alike share a line.
const CROWD: u64 = 8;
/// Holders of one shared reference that have a line each.
const SHARERS: usize = 8;
/// Other names of a pin that are told.
const NAMES: usize = 4;

/// One branch of the tree.
struct Branch {
    /// How many units, as text.
    count: String,
    by: &'static str,
    says: Vec<Span>,
    /// Who shares it, where several do.
    twigs: Vec<Vec<Span>>,
}

pub(super) fn write<W: Write>(screen: &mut Screen<'_, W>, report: &WhyReport) -> io::Result<()> {
    screen.heading("held by")?;
    let branches = branches(report, screen.width());
    if branches.is_empty() {
        return screen.line(&[plain("  nothing that was found")]);
    }
    let count_width = branches.iter().map(|b| width(&b.count)).max().unwrap_or(0);
    let by_width = branches.iter().map(|b| b.by.len()).max().unwrap_or(0);
    let indent = 3 + count_width + 2 + by_width + 2;
    for (at, branch) in branches.iter().enumerate() {
        let last = at + 1 == branches.len();
        let (fork, trunk) = if last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        let pad = " ".repeat(count_width - width(&branch.count));
        let rest = format!("{trunk}{}", " ".repeat(indent - 3));
        let first = [
            (fork.to_owned(), Paint::Dim),
            (format!("{pad}{}", branch.count), Paint::Bold),
            plain(format!("  {:<by_width$}  ", branch.by)),
        ];
        screen.phrases(&first, &rest, "  ", &branch.says)?;
        for (at, twig) in branch.twigs.iter().enumerate() {
            let last = at + 1 == branch.twigs.len();
            let (fork, trunk) = if last {
                ("└─ ", "   ")
            } else {
                ("├─ ", "│  ")
            };
            let first = [(format!("{rest}{fork}"), Paint::Dim)];
            screen.phrases(&first, &format!("{rest}{trunk}"), "  ", twig)?;
        }
    }
    Ok(())
}

fn branches(report: &WhyReport, columns: usize) -> Vec<Branch> {
    let object = &report.object;
    let mut kinds: Vec<(By, Vec<&Reference>)> = vec![];
    for reference in &object.facts.references {
        match kinds.iter_mut().find(|(by, _)| *by == reference.by) {
            Some((_, references)) => references.push(reference),
            None => kinds.push((reference.by, vec![reference])),
        }
    }
    let sum = |references: &[&Reference]| {
        references
            .iter()
            .fold(0_u64, |sum, r| sum.saturating_add(r.count))
    };
    kinds.sort_by_key(|(by, references)| (Reverse(sum(references)), *by));
    let mut branches = vec![];
    for (by, references) in kinds {
        let (crowds, mut references) = crowds(references);
        let mut lines: Vec<(u64, Branch)> = crowds
            .iter()
            .map(|crowd| (sum(crowd), crowd_branch(by, crowd, sum(crowd), columns)))
            .collect();
        references.sort_by(|a, b| {
            b.count
                .cmp(&a.count)
                .then_with(|| a.holders.cmp(&b.holders))
        });
        // A line that only says "1 more" would not be shorter.
        let shown = if references.len() > LINES + 1 {
            LINES
        } else {
            references.len()
        };
        let each = references[..shown].iter();
        lines.extend(each.map(|r| (r.count, branch(r, columns))));
        lines.sort_by_key(|(count, _)| Reverse(*count));
        branches.extend(lines.into_iter().map(|(_, branch)| branch));
        let rest = &references[shown..];
        if !rest.is_empty() {
            branches.push(Branch {
                count: "…".into(),
                by: words::by(by),
                says: vec![plain(and_more(by, holders(rest), sum(rest)))],
                twigs: vec![],
            });
        }
    }
    branches.extend(remainder(report));
    branches
}

/// `and 4,980 more processes with 9,960 references`
fn and_more(by: By, holders: u64, references: u64) -> String {
    let (one, many) = words::holder_nouns(by);
    format!(
        "and {} more {} with {}",
        units::count(holders),
        if holders == 1 { one } else { many },
        units::counted(references, "reference", "references")
    )
}

/// Where processes belong together: name, unit, container, cgroup.
type Crowd<'a> = (&'a str, Option<&'a str>, Option<&'a str>, Option<&'a str>);

fn crowd_of(process: &Process) -> Crowd<'_> {
    (
        &process.comm,
        process.unit.as_deref(),
        process.container.as_ref().map(|c| &*c.id),
        process.cgroup.as_deref(),
    )
}

/// Takes out the references of processes that are many and alike.
fn crowds(references: Vec<&Reference>) -> (Vec<Vec<&Reference>>, Vec<&Reference>) {
    let mut alike: BTreeMap<Crowd<'_>, Vec<&Reference>> = BTreeMap::new();
    let mut others = vec![];
    for reference in references {
        match &reference.holders[..] {
            [Holder::Process(process)] => {
                alike.entry(crowd_of(process)).or_default().push(reference);
            }
            _ => others.push(reference),
        }
    }
    let mut crowds = vec![];
    for (_, references) in alike {
        if holders(&references) > CROWD {
            crowds.push(references);
        } else {
            others.extend(references);
        }
    }
    (crowds, others)
}

/// One line for many processes that are alike.
fn crowd_branch(by: By, references: &[&Reference], count: u64, columns: usize) -> Branch {
    let processes: Vec<&Process> = references
        .iter()
        .flat_map(|r| &r.holders)
        .filter_map(|holder| match holder {
            Holder::Process(process) => Some(&**process),
            _ => None,
        })
        .collect();
    let pids: Vec<u32> = processes.iter().map(|p| p.pid).collect();
    let mut says = vec![];
    if let Some(first) = processes.first() {
        let name = safe(&first.comm).into_owned();
        let number = units::count(holders(references));
        says.push((format!("{number} processes {name}"), Paint::Bold));
        says.push(plain(words::ranges("pid", &pids, columns / 3)));
        let fds: usize = processes.iter().map(|p| p.fds.len()).sum();
        if fds > 0 {
            says.push(plain(units::counted(fds as u64, "fd", "fds")));
        }
        says.extend(place_phrases(first));
    }
    Branch {
        count: units::count(count),
        by: words::by(by),
        says,
        twigs: vec![],
    }
}

/// How many different holders these references have.
fn holders(references: &[&Reference]) -> u64 {
    let mut all: Vec<_> = references
        .iter()
        .flat_map(|r| &r.holders)
        .map(|holder| match holder {
            Holder::Process(p) => (Some((p.pid, p.tid)), None),
            other => (None, Some(other)),
        })
        .collect();
    all.sort_unstable();
    all.dedup();
    all.len() as u64
}

/// What no holder explains.
fn remainder(report: &WhyReport) -> Option<Branch> {
    let object = &report.object;
    let (count, says) = if !object.settled {
        let passes = units::counted(u64::from(report.snapshot.passes), "pass", "passes");
        ("~".into(), format!("the count still moved after {passes}"))
    } else if object.facts.refcnt.is_none() {
        ("?".into(), "the count could not be read".into())
    } else {
        match object.unexplained {
            Some(0) => return None,
            Some(n) => (units::signed(n), "unexplained: no holder found".into()),
            None => ("?".into(), "holders may stand out of sight".into()),
        }
    };
    Some(Branch {
        count,
        by: "?",
        says: vec![(says, Paint::Red)],
        twigs: vec![],
    })
}

fn branch(reference: &Reference, columns: usize) -> Branch {
    let mut twigs = vec![];
    let says = match &reference.holders[..] {
        [] => vec![plain("nobody in sight")],
        [holder] => holder_phrases(holder, columns),
        several => {
            for holder in several.iter().take(SHARERS) {
                twigs.push(holder_phrases(holder, columns));
            }
            if several.len() > SHARERS {
                let more = units::count((several.len() - SHARERS) as u64);
                twigs.push(vec![plain(format!("… and {more} more"))]);
            }
            let sharers = several.len() as u64;
            vec![plain(match reference.by {
                By::Fd | By::Mmap | By::Iterator => format!(
                    "{}, shared by {}:",
                    units::counted(reference.count, "open file", "open files"),
                    units::counted(sharers, "process", "processes")
                ),
                _ => format!("shared by {}:", units::count(sharers)),
            })]
        }
    };
    Branch {
        count: units::count(reference.count),
        by: words::by(reference.by),
        says,
        twigs,
    }
}

fn holder_phrases(holder: &Holder, columns: usize) -> Vec<Span> {
    match holder {
        Holder::Process(process) => process_phrases(process, columns),
        Holder::Pin(pin) => pin_phrases(pin),
        Holder::Map(o) => vec![plain(words::object(Kind::Map, o))],
        Holder::Prog(o) => vec![plain(words::object(Kind::Prog, o))],
        Holder::Link(o) => vec![plain(words::object(Kind::Link, o))],
        Holder::Btf(o) => vec![plain(words::object(Kind::Btf, o))],
    }
}

/// Who it is, its descriptors, and where it belongs.
fn process_phrases(process: &Process, columns: usize) -> Vec<Span> {
    let mut phrases = vec![(words::process_long(process), Paint::Bold)];
    if !process.fds.is_empty() {
        phrases.push(plain(words::ranges("fd", &process.fds, columns / 3)));
    }
    phrases.extend(place_phrases(process));
    if let Some(inside) = process.ns_pid.filter(|&pid| pid != process.pid) {
        phrases.push(plain(format!("pid {inside} in its namespace")));
    }
    if let Some(exe) = process.exe.as_ref().filter(|exe| tells_more(exe, process)) {
        phrases.push((format!("exe {}", safe(exe)), Paint::Dim));
    }
    phrases
}

/// Where a process belongs: unit, container and pod, or else its cgroup.
fn place_phrases(process: &Process) -> Vec<Span> {
    let mut phrases = vec![];
    if let Some(unit) = &process.unit {
        phrases.push(plain(format!("unit {}", safe(unit))));
    }
    if let Some(container) = &process.container {
        let runtime = container.runtime.as_deref().unwrap_or("container");
        let id: String = container.id.chars().take(12).collect();
        phrases.push(plain(format!("{} {}", safe(runtime), safe(&id))));
        let pod = match (&container.namespace, &container.pod, &container.pod_uid) {
            (Some(namespace), Some(pod), _) => Some(format!("{namespace}/{pod}")),
            (None, Some(pod), _) => Some(pod.clone()),
            (_, None, Some(uid)) => Some(uid.clone()),
            (_, None, None) => None,
        };
        if let Some(pod) = pod {
            phrases.push(plain(format!("pod {}", safe(&pod))));
        }
        if let Some(name) = &container.name {
            phrases.push(plain(format!("container {}", safe(name))));
        }
    }
    if let (Some(cgroup), None, None) = (&process.cgroup, &process.unit, &process.container) {
        phrases.push(plain(format!("cgroup {}", safe(cgroup))));
    }
    phrases
}

/// comm is the start of the executable's name unless the process changed it.
fn tells_more(exe: &str, process: &Process) -> bool {
    let name = exe.rsplit('/').next().unwrap_or(exe);
    process.comm.is_empty()
        || !(name == &*process.comm || process.comm.len() == 15 && name.starts_with(&*process.comm))
}

fn pin_phrases(pin: &Pin) -> Vec<Span> {
    let mut phrases = vec![plain(safe(&pin.path))];
    if pin.unlinked {
        phrases.push(("unlinked, kept by an open file".into(), Paint::Yellow));
    }
    if let Some(pid) = pin.enter_pid {
        phrases.push(plain(format!("in the mount namespace of pid {pid}")));
    } else if pin.mount_namespace.is_none() {
        phrases.push(plain("mounted nowhere in sight"));
    }
    for name in pin.also.iter().take(NAMES) {
        phrases.push(plain(format!("also {}", safe(name))));
    }
    if pin.also.len() > NAMES {
        let more = units::count((pin.also.len() - NAMES) as u64);
        phrases.push(plain(format!("and {more} more names")));
    }
    phrases
}
