//! Who holds whom, by index instead of by name.

use crate::identity::{EndKind, Key, Place, ends_of};
use model::{By, Facts, Holder, ObjectId, ObjectRef};
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

/// Everything that one end holds of one object, directly or through one and the same
/// socket, io_uring or perf event.
#[derive(Debug)]
pub(crate) struct Grip {
    pub end: usize,
    pub object: usize,
    /// The holder that the end, a process, has open.
    pub via: Option<Place>,
    /// One of them is a mapping without a descriptor.
    pub mapped: bool,
    /// Its descriptors (on the object, or on what it holds it through), ascending, in
    /// [`Graph::fds`].
    fds: Range<usize>,
    /// The references, in [`Graph::grip_refs`].
    refs: Range<usize>,
}

/// An end, and one place in the facts that describes it.
#[derive(Debug)]
pub(crate) struct End {
    pub kind: EndKind,
    place: Place,
}

/// The references of all objects. Everything of one object lies together:
/// `ref_start` and `grip_start` have one entry per object and one more.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    index: FxHashMap<ObjectId, usize>,
    ref_start: Vec<usize>,
    pub refs: Vec<Ref>,
    pub holds: Vec<To>,
    /// In the order in which they are listed: processes by pid, pins by path, lost objects,
    /// what is in the kernel.
    pub ends: Vec<End>,
    grip_start: Vec<usize>,
    pub grips: Vec<Grip>,
    fds: Vec<u32>,
    grip_refs: Vec<usize>,
    /// Per object, the references in which it is a holder.
    held_start: Vec<usize>,
    held: Vec<usize>,
}

/// One way in which an end has a share in a reference, of the facts of one object.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    end: usize,
    /// Which of the object's holders that are open in processes, by number.
    via: Option<usize>,
    reference: usize,
    holder: usize,
    opener: Option<usize>,
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
            let key = |e: &End| e.place.key(|object| list[object]);
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
                    if self.resolve(h).is_some() {
                        continue;
                    }
                    for (key, opener) in ends_of(h) {
                        seen.entry(key).or_insert(Place {
                            object,
                            reference,
                            holder,
                            opener,
                        });
                    }
                }
            }
        }
        let mut ends: Vec<_> = seen.into_iter().collect();
        ends.sort_unstable();
        let end = |(key, place): (Key<'_>, Place)| End {
            kind: key.kind(),
            place,
        };
        self.ends = ends.into_iter().map(end).collect();
    }

    fn resolve(&self, holder: &Holder) -> Option<usize> {
        resolve(&self.index, holder)
    }

    fn add_object(&mut self, at: usize, facts: &Facts, end_of: &HashMap<Key<'_>, usize>) {
        self.ref_start.push(self.refs.len());
        self.grip_start.push(self.grips.len());
        let mut parts = Vec::new();
        // Holders that are open in processes; more alike than one may be described.
        let mut vias = HashMap::new();
        let mut distinct = FxHashSet::default();
        for (r, reference) in facts.references.iter().enumerate() {
            let first = self.holds.len();
            distinct.clear();
            for (h, holder) in reference.holders.iter().enumerate() {
                let many = reference.holders.len() > 1 || holder.open_by().len() > 1;
                let mut hold = |to| {
                    if !many || distinct.insert(to) {
                        self.holds.push(to);
                    }
                };
                if let Some(object) = resolve(&self.index, holder) {
                    hold(To::Object(object));
                    continue;
                }
                for (key, opener) in ends_of(holder) {
                    let Some(&end) = end_of.get(&key) else {
                        continue;
                    };
                    hold(To::End(end));
                    let via = opener.map(|_| {
                        let next = vias.len();
                        *vias.entry(Key::of(holder)).or_insert(next)
                    });
                    parts.push(Part {
                        end,
                        via,
                        reference: r,
                        holder: h,
                        opener,
                    });
                }
            }
            self.refs.push(Ref {
                object: at,
                by: reference.by,
                count: reference.count,
                holds: first..self.holds.len(),
            });
        }
        parts.sort_unstable();
        for grip in parts.chunk_by(|a, b| (a.end, a.via) == (b.end, b.via)) {
            self.add_grip(at, facts, grip);
        }
    }

    fn add_grip(&mut self, object: usize, facts: &Facts, parts: &[Part]) {
        let (first_fd, first_ref) = (self.fds.len(), self.grip_refs.len());
        let mut mapped = false;
        let mut fds = Vec::new();
        for same_ref in parts.chunk_by(|a, b| a.reference == b.reference) {
            let reference = &facts.references[same_ref[0].reference];
            mapped |= reference.by == By::Mmap;
            self.grip_refs
                .push(self.ref_start[object] + same_ref[0].reference);
            for part in same_ref {
                let holder = &reference.holders[part.holder];
                match (holder, part.opener) {
                    (holder, Some(opener)) => {
                        fds.extend_from_slice(&holder.open_by()[opener].fds);
                    }
                    (Holder::Process(process), None) => fds.extend_from_slice(&process.fds),
                    _ => {}
                }
            }
        }
        fds.sort_unstable();
        fds.dedup();
        self.fds.append(&mut fds);
        let Part {
            reference, holder, ..
        } = parts[0];
        let via = Place {
            object,
            reference,
            holder,
            opener: None,
        };
        self.grips.push(Grip {
            end: parts[0].end,
            object,
            via: parts[0].via.map(|_| via),
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

    /// The grips of one end on one object lie together: all of them, from the first on.
    pub fn same_end(&self, first: usize) -> impl Iterator<Item = usize> + '_ {
        let found = &self.grips[first];
        let all = first..self.grip_start[found.object + 1];
        all.take_while(|&grip| self.grips[grip].end == found.end)
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
        self.ends[end].place.end(facts, fds)
    }
}

fn resolve(index: &FxHashMap<ObjectId, usize>, holder: &Holder) -> Option<usize> {
    let (kind, object) = holder.object()?;
    let id = object.id?;
    index.get(&ObjectId { kind, id }).copied()
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
