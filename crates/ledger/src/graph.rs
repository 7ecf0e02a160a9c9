//! Who holds whom, by index instead of by name.

use model::{By, Facts, Holder, Kind, ObjectId, ObjectRef, Pin, Process};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::HashMap;
use std::ops::Range;

/// Where a chain can go from an object: to one of the ends, or on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum To {
    /// Index into [`Graph::ends`].
    End(usize),
    /// Index into the facts.
    Object(usize),
}

/// One [`model::Reference`].
#[derive(Debug)]
pub(crate) struct Ref {
    pub object: usize,
    pub by: By,
    pub count: u64,
    /// Its distinct holders, in [`Graph::holds`].
    pub holds: Range<usize>,
}

/// Everything that one end holds of one object.
#[derive(Debug)]
pub(crate) struct Grip {
    pub end: usize,
    pub object: usize,
    /// Units of the object's count that it has a share in.
    pub units: u64,
    /// One of them is a mapping without a descriptor.
    pub mapped: bool,
    /// Its descriptors, ascending, in [`Graph::fds`].
    fds: Range<usize>,
    /// The references, in [`Graph::grip_refs`].
    refs: Range<usize>,
}

/// Something that is held by nothing we account for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndKind {
    Process,
    Pin,
    /// An object that holds others, but that the readers did not show.
    Lost,
}

/// An end, and one place in the facts that describes it.
#[derive(Debug)]
pub(crate) struct End {
    pub kind: EndKind,
    object: usize,
    reference: usize,
    holder: usize,
}

/// The references of all objects. Everything of one object lies together:
/// `ref_start` and `grip_start` have one entry per object and one more.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    index: FxHashMap<ObjectId, usize>,
    ref_start: Vec<usize>,
    pub refs: Vec<Ref>,
    pub holds: Vec<To>,
    /// In the order in which they are listed: processes by pid, pins by path, lost objects.
    pub ends: Vec<End>,
    grip_start: Vec<usize>,
    pub grips: Vec<Grip>,
    fds: Vec<u32>,
    grip_refs: Vec<usize>,
    /// Per object, the references in which it is a holder.
    held_start: Vec<usize>,
    held: Vec<usize>,
}

/// What makes two holders the same end. Descriptor numbers mean something only
/// in one table, so a thread with its own table is another end than its process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Key<'a> {
    Process(u32, Option<u64>, Option<u32>),
    Pin(&'a Pin),
    Lost(Kind, &'a ObjectRef),
}

impl<'a> Key<'a> {
    fn of(holder: &'a Holder) -> Self {
        match holder {
            Holder::Process(p) => Self::Process(p.pid, p.start_ticks, p.tid),
            Holder::Pin(p) => Self::Pin(p),
            Holder::Map(o) => Self::Lost(Kind::Map, o),
            Holder::Prog(o) => Self::Lost(Kind::Prog, o),
            Holder::Link(o) => Self::Lost(Kind::Link, o),
            Holder::Btf(o) => Self::Lost(Kind::Btf, o),
        }
    }

    fn kind(self) -> EndKind {
        match self {
            Self::Process(..) => EndKind::Process,
            Self::Pin(_) => EndKind::Pin,
            Self::Lost(..) => EndKind::Lost,
        }
    }
}

/// True if a reference of this kind to a map also counts in its `usercnt`
/// (`bpf_map_inc_with_uref`; a map iterator's and a sockmap link's too).
pub(crate) fn is_user(by: By) -> bool {
    match by {
        By::Fd | By::Mmap | By::Pin | By::Iterator | By::Link => true,
        By::Prog | By::OuterMap | By::ProgArray | By::StructOps | By::BtfUser | By::Target => false,
    }
}

impl Graph {
    /// `objects` gives the facts, in the order that all indexes mean.
    pub fn build<'a>(objects: impl Iterator<Item = &'a Facts> + Clone) -> Self {
        let mut graph = Self::default();
        for (at, facts) in objects.clone().enumerate() {
            if let Some(id) = facts.object_id() {
                // An id twice cannot be; should it be, the first has it.
                graph.index.entry(id).or_insert(at);
            }
        }
        graph.find_ends(objects.clone());
        let end_of: HashMap<Key<'_>, usize> = {
            let list: Vec<&Facts> = objects.clone().collect();
            let key = |e: &End| Key::of(&list[e.object].references[e.reference].holders[e.holder]);
            let keys: Vec<_> = graph.ends.iter().map(key).collect();
            keys.into_iter().enumerate().map(|(i, k)| (k, i)).collect()
        };
        for (at, facts) in objects.enumerate() {
            graph.add_object(at, facts, &end_of);
        }
        graph.ref_start.push(graph.refs.len());
        graph.grip_start.push(graph.grips.len());
        graph.turn_around();
        graph
    }

    fn find_ends<'a>(&mut self, objects: impl Iterator<Item = &'a Facts>) {
        // Paths are chosen by others: a keyed hash.
        let mut seen = HashMap::new();
        for (object, facts) in objects.enumerate() {
            for (reference, r) in facts.references.iter().enumerate() {
                for (holder, h) in r.holders.iter().enumerate() {
                    if self.resolve(h).is_none() {
                        let place = (object, reference, holder);
                        seen.entry(Key::of(h)).or_insert(place);
                    }
                }
            }
        }
        let mut ends: Vec<_> = seen.into_iter().collect();
        ends.sort_unstable();
        let end = |(key, (object, reference, holder)): (Key<'_>, _)| End {
            kind: key.kind(),
            object,
            reference,
            holder,
        };
        self.ends = ends.into_iter().map(end).collect();
    }

    fn resolve(&self, holder: &Holder) -> Option<usize> {
        let (kind, object) = holder.object()?;
        self.index_of(ObjectId {
            kind,
            id: object.id?,
        })
    }

    fn add_object(&mut self, at: usize, facts: &Facts, end_of: &HashMap<Key<'_>, usize>) {
        self.ref_start.push(self.refs.len());
        self.grip_start.push(self.grips.len());
        // What ends hold: (end, reference here, holder there).
        let mut grips = Vec::new();
        let mut distinct = FxHashSet::default();
        for (r, reference) in facts.references.iter().enumerate() {
            let first = self.holds.len();
            distinct.clear();
            for (h, holder) in reference.holders.iter().enumerate() {
                let to = match self.resolve(holder) {
                    Some(object) => To::Object(object),
                    None => match end_of.get(&Key::of(holder)) {
                        Some(&end) => To::End(end),
                        None => continue,
                    },
                };
                if let To::End(end) = to {
                    grips.push((end, r, h));
                }
                if reference.holders.len() == 1 || distinct.insert(to) {
                    self.holds.push(to);
                }
            }
            self.refs.push(Ref {
                object: at,
                by: reference.by,
                count: reference.count,
                holds: first..self.holds.len(),
            });
        }
        grips.sort_unstable();
        for same_end in grips.chunk_by(|a, b| a.0 == b.0) {
            self.add_grip(at, facts, same_end);
        }
    }

    fn add_grip(&mut self, object: usize, facts: &Facts, parts: &[(usize, usize, usize)]) {
        let (first_fd, first_ref) = (self.fds.len(), self.grip_refs.len());
        let (mut units, mut mapped) = (0_u64, false);
        let mut fds = Vec::new();
        for same_ref in parts.chunk_by(|a, b| a.1 == b.1) {
            let reference = &facts.references[same_ref[0].1];
            units = units.saturating_add(reference.count);
            mapped |= reference.by == By::Mmap;
            self.grip_refs.push(self.ref_start[object] + same_ref[0].1);
            for &(_, _, holder) in same_ref {
                if let Holder::Process(process) = &reference.holders[holder] {
                    fds.extend_from_slice(&process.fds);
                }
            }
        }
        fds.sort_unstable();
        fds.dedup();
        self.fds.append(&mut fds);
        self.grips.push(Grip {
            end: parts[0].0,
            object,
            units,
            mapped,
            fds: first_fd..self.fds.len(),
            refs: first_ref..self.grip_refs.len(),
        });
    }

    /// Fills `held` from `refs`, by counting.
    fn turn_around(&mut self) {
        let objects = self.ref_start.len() - 1;
        let mut start = vec![0; objects + 1];
        let holder_of = |to: &To| match to {
            To::Object(object) => Some(*object),
            To::End(_) => None,
        };
        for object in self.holds.iter().filter_map(holder_of) {
            start[object + 1] += 1;
        }
        for object in 0..objects {
            start[object + 1] += start[object];
        }
        let mut next = start.clone();
        let mut held = vec![0; start[objects]];
        for (at, reference) in self.refs.iter().enumerate() {
            let holds = &self.holds[reference.holds.clone()];
            for object in holds.iter().filter_map(holder_of) {
                held[next[object]] = at;
                next[object] += 1;
            }
        }
        self.held_start = start;
        self.held = held;
    }

    pub fn len(&self) -> usize {
        self.ref_start.len().saturating_sub(1)
    }

    pub fn index_of(&self, id: ObjectId) -> Option<usize> {
        self.index.get(&id).copied()
    }

    /// The references to an object, as indexes into `refs`.
    pub fn refs_to(&self, object: usize) -> Range<usize> {
        self.ref_start[object]..self.ref_start[object + 1]
    }

    /// The references that an object holds, as indexes into `refs`.
    pub fn refs_by(&self, object: usize) -> &[usize] {
        &self.held[self.held_start[object]..self.held_start[object + 1]]
    }

    /// What ends hold of an object directly, as indexes into `grips`, ends ascending.
    pub fn grips_on(&self, object: usize) -> Range<usize> {
        self.grip_start[object]..self.grip_start[object + 1]
    }

    /// Everything that holds an object: one entry per reference and holder.
    pub fn holds_on(&self, object: usize) -> &[To] {
        let refs = self.refs_to(object);
        if refs.is_empty() {
            return &[];
        }
        &self.holds[self.refs[refs.start].holds.start..self.refs[refs.end - 1].holds.end]
    }

    /// The objects that hold an object; one that holds several references comes several times.
    pub fn holders_of(&self, object: usize) -> impl Iterator<Item = usize> + '_ {
        self.holds_on(object).iter().filter_map(|to| match to {
            To::Object(holder) => Some(*holder),
            To::End(_) => None,
        })
    }

    pub fn fds(&self, grip: usize) -> &[u32] {
        &self.fds[self.grips[grip].fds.clone()]
    }

    pub fn grip_refs(&self, grip: usize) -> &[usize] {
        &self.grip_refs[self.grips[grip].refs.clone()]
    }

    /// An end as a holder; a process with these descriptors.
    pub fn end_holder<'a, F>(&self, end: usize, facts: F, fds: Vec<u32>) -> Holder
    where
        F: Fn(usize) -> &'a Facts,
    {
        let place = &self.ends[end];
        let holder = &facts(place.object).references[place.reference].holders[place.holder];
        match holder {
            Holder::Process(process) => Holder::Process(Box::new(Process {
                fds,
                ..Process::clone(process)
            })),
            other => other.clone(),
        }
    }
}

/// An object as a holder of others.
pub(crate) fn object_holder(facts: &Facts) -> Holder {
    Holder::from_object(
        facts.kind,
        ObjectRef {
            id: facts.id,
            name: facts.name.clone(),
        },
    )
}
