//! Who keeps an object, without what is different each time.

use super::{Reports, pairs::Pair};
use model::{Holder, Kind, Object, Pin, Process, fold_paths};
use std::collections::{HashMap, HashSet};

/// A holder, as far as it can be found again in another report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Site<'a> {
    /// A process that both reports have: pid, start time, thread with a table of its own.
    Process(u32, Option<u64>, Option<u32>),
    /// Processes that only one of the reports has, by comm and executable: a service that was
    /// started anew, or the workers of the day.
    Program(&'a str, Option<&'a str>),
    /// Pins whose paths fold to the same pattern.
    Pins(usize),
    /// An object that ends a chain.
    Object(Kind, &'a str),
    /// What a program is attached to.
    Attachment(&'a str, Option<&'a str>),
    /// Sockets that nobody has open.
    Sockets(Option<&'a str>),
    IoUrings,
    Module(&'a str),
    Kernel(&'a str),
    Nobody,
}

type ProcessKey = (u32, Option<u64>, Option<u32>);

fn key(process: &Process) -> ProcessKey {
    (process.pid, process.start_ticks, process.tid)
}

/// What tells sites apart: the processes that both reports have, and the patterns of pins.
pub(super) struct Sites<'a> {
    lasting: HashSet<ProcessKey>,
    pattern_of: HashMap<&'a str, usize>,
    patterns: Vec<String>,
}

impl<'a> Sites<'a> {
    pub fn of(reports: &Reports<'a>) -> Self {
        let processes = |objects: &'a [Object]| -> HashSet<ProcessKey> {
            let holders = objects.iter().flat_map(Object::holders_and_ends);
            holders.filter_map(process).map(key).collect()
        };
        let lasting = if reports.same_boot {
            let after = processes(reports.after);
            let mut lasting = processes(reports.before);
            lasting.retain(|process| after.contains(process));
            lasting
        } else {
            HashSet::new()
        };
        let (pattern_of, patterns) = patterns(reports);
        Self {
            lasting,
            pattern_of,
            patterns,
        }
    }

    pub fn site(&self, holder: &'a Holder) -> Site<'a> {
        match holder {
            Holder::Process(p) if self.lasting.contains(&key(p)) => {
                Site::Process(p.pid, p.start_ticks, p.tid)
            }
            Holder::Process(p) => Site::Program(&p.comm, p.exe.as_deref()),
            Holder::Pin(pin) => {
                Site::Pins(self.pattern_of.get(&*pin.path).copied().unwrap_or_default())
            }
            Holder::Map(o) => Site::Object(Kind::Map, &o.name),
            Holder::Prog(o) => Site::Object(Kind::Prog, &o.name),
            Holder::Link(o) => Site::Object(Kind::Link, &o.name),
            Holder::Btf(o) => Site::Object(Kind::Btf, &o.name),
            Holder::Attachment(a) => Site::Attachment(&a.target, a.attach_type.as_deref()),
            Holder::Socket(s) => Site::Sockets(s.family.as_deref()),
            Holder::IoUring(_) => Site::IoUrings,
            Holder::Module { name } => Site::Module(name),
            Holder::Kernel { what } => Site::Kernel(what),
        }
    }

    /// The ends of an object's chains, each site once.
    pub fn keepers(&self, object: &'a Object) -> Vec<(Site<'a>, Option<&'a Holder>)> {
        if object.kept_by.is_empty() {
            return vec![(Site::Nobody, None)];
        }
        let ends = object.kept_by.iter();
        let mut sites: Vec<_> = ends.map(|h| (self.site(h), Some(h))).collect();
        sites.sort_by_key(|(site, _)| *site);
        sites.dedup_by_key(|(site, _)| *site);
        sites
    }

    /// The pattern of a site of pins, where it has a varying part.
    pub fn pattern(&self, site: Site<'_>) -> Option<String> {
        match site {
            Site::Pins(at) => self.patterns.get(at).filter(|p| p.contains('*')).cloned(),
            _ => None,
        }
    }
}

/// Paths of both reports are folded together: one pattern means the same in both.
fn patterns<'a>(reports: &Reports<'a>) -> (HashMap<&'a str, usize>, Vec<String>) {
    let both = reports.before.iter().chain(reports.after);
    let mut paths: Vec<&str> = both
        .flat_map(Object::holders_and_ends)
        .filter_map(pin)
        .map(|p| &*p.path)
        .collect();
    paths.sort_unstable();
    paths.dedup();
    let mut patterns = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    let mut pattern_of = HashMap::new();
    for (path, pattern) in paths.iter().zip(fold_paths(&paths)) {
        let at = *known.entry(pattern).or_insert_with_key(|pattern| {
            patterns.push(pattern.clone());
            patterns.len() - 1
        });
        pattern_of.insert(*path, at);
    }
    (pattern_of, patterns)
}

fn process(holder: &Holder) -> Option<&Process> {
    match holder {
        Holder::Process(process) => Some(process),
        _ => None,
    }
}

fn pin(holder: &Holder) -> Option<&Pin> {
    match holder {
        Holder::Pin(pin) => Some(pin),
        _ => None,
    }
}

/// The objects of a pair that can grow: not lastref's own, not the kernel's BTF, not what is
/// being freed already.
pub(super) fn that_count<'a>(
    reports: &Reports<'a>,
    pair: &Pair,
) -> (Option<&'a Object>, Option<&'a Object>) {
    let counts = |object: &&Object| {
        !object.facts.own
            && !object.facts.is_kernel_btf()
            && object.state != model::State::Unreferenced
    };
    (
        reports.older(pair).filter(counts),
        reports.newer(pair).filter(counts),
    )
}
