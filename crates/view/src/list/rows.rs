//! Objects as lines: one each, or one for all that are alike.

use super::order::{Rank, Sort};
use super::{Grouping, ListOptions};
use crate::words::has_account;
use model::{Detail, Holder, Kind, Object, State, fold_paths};
use std::cmp::Reverse;
use std::collections::HashMap;

/// More objects than this are grouped unless the user wants each.
const ONE_BY_ONE: usize = 60;

/// A sum over several objects.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sum<T> {
    /// Of what was read; `None` if nothing was.
    pub known: Option<T>,
    /// One of the numbers could not be read.
    pub missing: bool,
}

impl<T> Sum<T> {
    const NONE: Self = Self {
        known: None,
        missing: false,
    };

    fn add(&mut self, number: Option<T>, plus: impl Fn(T, T) -> T) {
        self.known = match (self.known.take(), number) {
            (Some(a), Some(b)) => Some(plus(a, b)),
            (sum, None) => {
                self.missing = true;
                sum
            }
            (None, number) => number,
        };
    }
}

/// One line of the list: an object, or several that are alike.
pub(super) struct Row<'a> {
    /// Never empty; by id.
    pub objects: Vec<&'a Object>,
    /// Reference counts.
    pub refs: Sum<u64>,
    /// Remainders of the settled accounts.
    pub unexplained: Sum<i64>,
    /// The account of one of them still moved.
    pub unsettled: bool,
    /// Kernel memory in bytes.
    pub memory: Sum<u64>,
}

impl<'a> Row<'a> {
    fn of(objects: Vec<&'a Object>) -> Self {
        let mut row = Self {
            objects: vec![],
            refs: Sum::NONE,
            unexplained: Sum::NONE,
            unsettled: false,
            memory: Sum::NONE,
        };
        for object in &objects {
            let facts = &object.facts;
            row.memory.add(facts.memory_bytes, u64::saturating_add);
            if !has_account(object) {
                continue;
            }
            row.refs.add(facts.refcnt, u64::saturating_add);
            if object.settled {
                row.unexplained.add(object.unexplained, i64::saturating_add);
            } else {
                row.unsettled = true;
            }
        }
        row.objects = objects;
        row
    }

    pub fn first(&self) -> &'a Object {
        self.objects[0]
    }

    pub fn state(&self) -> State {
        self.first().state
    }

    pub fn kind(&self) -> Kind {
        self.first().facts.kind
    }

    fn rank(&self) -> Rank<'a> {
        Rank {
            refs: self.refs.known,
            unexplained: self.unexplained.known,
            memory: self.memory.known,
            ..Rank::of(self.first())
        }
    }
}

/// The lines for these objects, and whether alike ones were put together.
pub(super) fn rows<'a>(objects: &[&'a Object], options: ListOptions) -> (Vec<Row<'a>>, bool) {
    let grouped = match options.grouped {
        Grouping::Always => true,
        Grouping::Never => false,
        Grouping::Auto => objects.len() > ONE_BY_ONE,
    };
    let groups = if grouped {
        group(objects)
    } else {
        objects.iter().map(|object| vec![*object]).collect()
    };
    let mut rows: Vec<Row<'a>> = groups
        .into_iter()
        .map(|mut objects| {
            objects.sort_by(|a, b| Rank::of(a).compare(&Rank::of(b), Sort::Id));
            Row::of(objects)
        })
        .collect();
    match options.sort {
        Some(sort) => rows.sort_by(|a, b| a.rank().compare(&b.rank(), sort)),
        // What there is most of is what the question is about.
        None if grouped => rows.sort_by(|a, b| {
            let most = |row: &Row<'_>| Reverse((row.memory.known, row.objects.len()));
            most(a)
                .cmp(&most(b))
                .then_with(|| a.rank().compare(&b.rank(), Sort::Id))
        }),
        None => rows.sort_by(|a, b| a.rank().compare(&b.rank(), Sort::Id)),
    }
    (rows, grouped)
}

/// What alike objects have in common, but for the pins.
#[derive(PartialEq, Eq, Hash)]
struct Likeness<'a> {
    kind: Kind,
    type_name: &'a str,
    name: &'a str,
    state: State,
    detached: bool,
    /// pid, thread with a table of its own, comm.
    processes: Vec<(u32, Option<u32>, &'a str)>,
    /// Ends that are neither process nor pin.
    others: Vec<(Kind, Option<u32>)>,
}

impl<'a> Likeness<'a> {
    fn of(object: &'a Object) -> Self {
        let facts = &object.facts;
        let mut processes = vec![];
        let mut others = vec![];
        for end in &object.kept_by {
            match end {
                Holder::Process(p) => processes.push((p.pid, p.tid, &*p.comm)),
                Holder::Pin(_) => {}
                _ => others.extend(end.object().map(|(kind, object)| (kind, object.id))),
            }
        }
        processes.sort_unstable();
        processes.dedup();
        others.sort_unstable();
        others.dedup();
        let detached = matches!(&facts.detail, Detail::Link(link) if link.detached);
        Self {
            kind: facts.kind,
            type_name: &facts.type_name,
            // Every module's BTF has another name, and nobody asks for one of them.
            name: if has_account(object) { &facts.name } else { "" },
            state: object.state,
            detached,
            processes,
            others,
        }
    }
}

fn group<'a>(objects: &[&'a Object]) -> Vec<Vec<&'a Object>> {
    let mut alike: HashMap<Likeness<'a>, usize> = HashMap::new();
    let mut groups: Vec<Vec<&'a Object>> = vec![];
    for object in objects {
        let at = *alike.entry(Likeness::of(object)).or_insert(groups.len());
        if at == groups.len() {
            groups.push(vec![]);
        }
        groups[at].push(object);
    }
    groups.into_iter().flat_map(by_pins).collect()
}

/// Splits alike objects by the pins that keep them, folded.
fn by_pins(objects: Vec<&Object>) -> Vec<Vec<&Object>> {
    let mut paths = vec![];
    let mut owner = vec![];
    for (at, object) in objects.iter().enumerate() {
        for end in &object.kept_by {
            if let Holder::Pin(pin) = end {
                paths.push(&*pin.path);
                owner.push(at);
            }
        }
    }
    if paths.is_empty() {
        return vec![objects];
    }
    let mut pins: Vec<Vec<String>> = vec![vec![]; objects.len()];
    for (pattern, at) in fold_paths(&paths).into_iter().zip(owner) {
        pins[at].push(pattern);
    }
    let mut alike: HashMap<Vec<String>, usize> = HashMap::new();
    let mut groups: Vec<Vec<&Object>> = vec![];
    for (object, mut patterns) in objects.into_iter().zip(pins) {
        patterns.sort_unstable();
        patterns.dedup();
        let at = *alike.entry(patterns).or_insert(groups.len());
        if at == groups.len() {
            groups.push(vec![]);
        }
        groups[at].push(object);
    }
    groups
}
