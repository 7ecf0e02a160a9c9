//! Objects in numbers, from sweep to sweep.

use model::{By, Census, Kind, Object, ObjectId, State, Tally};
use rustc_hash::FxHashMap;

/// A remainder is believed in the third sweep that has it.
const BELIEVED: u32 = 3;

/// What was left of accounts in the last sweeps.
///
/// A sweep of a watch is one pass, which settles no account that does not add up; so sweeps do for
/// each other what passes do within one. What is being freed keeps its references for a grace period:
/// a remainder is unexplained only if count and sum were the same in several sweeps.
#[derive(Debug, Clone, Default)]
pub struct Remainders {
    /// Count, sum, and for how many sweeps.
    before: FxHashMap<ObjectId, (u64, u64, u32)>,
}

impl Remainders {
    /// Counts the objects of the next sweep.
    pub fn census(&mut self, objects: &[Object]) -> Census {
        let mut census = Census::default();
        for kind in Kind::ALL {
            for state in State::ALL {
                census.objects.insert((kind, state), Tally::default());
            }
            // Nothing pins BTF.
            if kind != Kind::Btf {
                census.orphan_pins.insert(kind, 0);
            }
        }
        let mut now = FxHashMap::default();
        let mut hidden = [false; Kind::ALL.len()];
        let counts = |o: &&Object| !o.facts.own && !o.facts.is_kernel_btf();
        for object in objects.iter().filter(counts) {
            count(&mut census, object);
            let kind = object.facts.kind;
            let (Some(refcnt), Some(left)) = (object.facts.refcnt, object.unexplained) else {
                hidden[place(kind)] = true;
                continue;
            };
            if left > 0 && self.is_unexplained(object, refcnt, &mut now) {
                let sum = census.unexplained.entry(kind).or_default();
                *sum = sum.saturating_add(left.unsigned_abs());
            }
        }
        for kind in Kind::ALL {
            if !hidden[place(kind)] {
                census.unexplained.entry(kind).or_default();
            }
        }
        self.before = now;
        census
    }

    /// Notes a remainder; true if it is believed.
    fn is_unexplained(
        &self,
        object: &Object,
        refcnt: u64,
        now: &mut FxHashMap<ObjectId, (u64, u64, u32)>,
    ) -> bool {
        let Some(id) = object.facts.object_id() else {
            return object.settled;
        };
        let before = self.before.get(&id);
        let same = before.filter(|(count, sum, _)| (*count, *sum) == (refcnt, object.explained));
        let mut times = same.map_or(0, |(_, _, times)| *times).saturating_add(1);
        if object.settled {
            times = times.max(BELIEVED);
        }
        now.insert(id, (refcnt, object.explained, times));
        times >= BELIEVED
    }
}

fn place(kind: Kind) -> usize {
    Kind::ALL.iter().position(|k| *k == kind).unwrap_or(0)
}

fn count(census: &mut Census, object: &Object) {
    let facts = &object.facts;
    let memory = facts.memory_bytes;
    let tally = census
        .objects
        .entry((facts.kind, object.state))
        .or_default();
    tally.add(memory);
    // References of one kind come in groups with the same holders.
    let mut ways: Vec<By> = Vec::new();
    for reference in facts.references.iter().filter(|r| r.count > 0) {
        let held = census.held.entry((facts.kind, reference.by)).or_default();
        held.references = held.references.saturating_add(reference.count);
        if !ways.contains(&reference.by) {
            ways.push(reference.by);
            held.objects.add(memory);
        }
        if reference.by == By::Pin && object.state == State::OrphanPin {
            let pins = census.orphan_pins.entry(facts.kind).or_default();
            *pins = pins.saturating_add(reference.count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Detail, Facts, MapFacts, Reference};

    fn map(id: u32, refcnt: u64, references: &[(By, u64)]) -> Object {
        let references = references.iter().map(|&(by, count)| Reference {
            by,
            count,
            holders: vec![],
        });
        let references: Vec<Reference> = references.collect();
        let explained = references.iter().map(|r| r.count).sum();
        Object {
            explained,
            unexplained: Some(refcnt as i64 - explained as i64),
            settled: refcnt == explained,
            state: State::InUse,
            kept_by: vec![],
            facts: Facts {
                kind: Kind::Map,
                id: Some(id),
                name: String::new(),
                type_name: "hash".into(),
                refcnt: Some(refcnt),
                usercnt: None,
                references,
                own: false,
                memory_bytes: Some(100),
                memory_source: None,
                entries: None,
                max_entries: None,
                charged_to: None,
                unreadable: vec![],
                detail: Detail::Map(MapFacts::default()),
            },
        }
    }

    #[test]
    fn each_object_is_counted_once_and_under_each_way_it_is_held() {
        let mut both = map(1, 5, &[(By::Fd, 2), (By::Pin, 1), (By::Fd, 2)]);
        both.state = State::OrphanPin;
        let mut dark = map(2, 1, &[(By::Fd, 1)]);
        dark.facts.memory_bytes = None;
        let mut own = map(3, 1, &[(By::Fd, 1)]);
        own.facts.own = true;
        let census = Remainders::default().census(&[both, dark, own]);
        let in_use = census.objects[&(Kind::Map, State::InUse)];
        assert_eq!((in_use.objects, in_use.memory()), (1, None));
        let orphans = census.objects[&(Kind::Map, State::OrphanPin)];
        assert_eq!((orphans.objects, orphans.memory()), (1, Some(100)));
        let none = census.objects[&(Kind::Prog, State::OrphanPin)];
        assert_eq!((none.objects, none.memory()), (0, Some(0)));
        let by_fd = census.held[&(Kind::Map, By::Fd)];
        assert_eq!((by_fd.references, by_fd.objects.objects), (5, 2));
        assert_eq!(by_fd.objects.memory(), Some(100));
        assert_eq!(census.orphan_pins[&Kind::Map], 1);
        assert_eq!(census.orphan_pins[&Kind::Prog], 0);
        assert_eq!(census.unexplained[&Kind::Map], 0);
    }

    #[test]
    fn a_remainder_is_unexplained_in_the_third_sweep_that_has_it() {
        let mut remainders = Remainders::default();
        let left = |refcnt| [map(1, refcnt, &[(By::Fd, 1)])];
        let mut next = |objects: &[Object]| remainders.census(objects).unexplained[&Kind::Map];
        assert_eq!([3, 3, 3, 3].map(|n| next(&left(n))), [0, 0, 2, 2]);
        // Another one begins anew, and one that is gone is forgotten.
        assert_eq!([4, 4].map(|n| next(&left(n))), [0, 0]);
        assert_eq!(next(&[]), 0);
        assert_eq!(next(&left(4)), 0);
        // A sweep of several passes knows at once.
        let mut settled = left(4);
        settled[0].settled = true;
        assert_eq!(next(&settled), 3);
    }

    #[test]
    fn what_may_be_out_of_sight_is_not_called_nothing() {
        let mut hidden = map(1, 3, &[(By::Fd, 1)]);
        hidden.unexplained = None;
        let mut open = map(2, 3, &[(By::Fd, 1)]);
        open.settled = true;
        let mut remainders = Remainders::default();
        let census = remainders.census(&[hidden.clone()]);
        assert_eq!(census.unexplained.get(&Kind::Map), None);
        assert_eq!(census.unexplained.get(&Kind::Prog), Some(&0));
        // What is known to be unexplained, is.
        let census = remainders.census(&[hidden, open]);
        assert_eq!(census.unexplained.get(&Kind::Map), Some(&2));
    }
}
