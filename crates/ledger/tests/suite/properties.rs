//! What holds on any graph, however odd.

use crate::build::*;
use ledger::{Ledger, Reading, Sight, Walks};
use model::{By, Facts, Holder, Kind, Object, ObjectId, State};
use proptest::prelude::*;
use std::collections::HashSet;

const BY: [By; 16] = [
    By::Fd,
    By::Mmap,
    By::Pin,
    By::Prog,
    By::OuterMap,
    By::ProgArray,
    By::Link,
    By::BtfUser,
    By::StructOps,
    By::InFlight,
    By::IoUring,
    By::Attachment,
    By::Socket,
    By::MapEntry,
    By::Timer,
    By::Driver,
];

/// None, or some of the processes that also hold objects themselves.
fn any_openers() -> impl Strategy<Value = Vec<(u32, u32)>> {
    prop::collection::vec((0..4u32, 0..6u32), 0..3)
}

fn any_holder() -> impl Strategy<Value = Holder> {
    prop_oneof![
        (0..3u64, any_openers()).prop_map(|(inode, openers)| socket(inode, &openers)),
        any_openers().prop_map(|openers| io_uring(&openers)),
        (0..3u32, any_openers())
            .prop_map(|(n, openers)| perf_event(&format!("perf:{n}"), &openers)),
        (0..3u32).prop_map(|n| attachment(&format!("cgroup:{n}"))),
        Just(module("m")),
        Just(kernel("k")),
        (0..4u32, prop::collection::vec(0..6u32, 0..3)).prop_map(|(pid, fds)| process(pid, &fds)),
        (0..3u32).prop_map(|n| pin(&format!("/{n}"))),
        // Ids up to 9, of which only the first few exist.
        (0..4usize, 0..9u32).prop_map(|(kind, id)| object(Kind::ALL[kind], id)),
    ]
}

fn any_reading() -> impl Strategy<Value = Reading> {
    let references = prop::collection::vec(
        (
            0..BY.len(),
            0..3u64,
            prop::collection::vec(any_holder(), 0..3),
        ),
        0..4,
    );
    let count = prop_oneof![3 => Just(None), 1 => prop::option::of(0..9u64).prop_map(Some)];
    (
        0..8usize,
        0..7u32,
        references,
        count,
        any::<(bool, bool)>(),
        prop::option::of(0..5u64),
    )
        .prop_map(|(kind, id, references, count, (steady, flag), usercnt)| {
            let mut reading = match kind {
                0 => map(id, "prog_array"),
                1 => map(id, "hash_of_maps"),
                2 => prog(id),
                3 => link(id),
                4 => map_with_timers(id, "hash"),
                5 => map(id, "sockhash"),
                6 => prog_of(id, "xdp"),
                _ => btf(id, false),
            };
            for (by, count, holders) in references {
                reading = reading.held(BY[by], count, holders);
            }
            if let Some(count) = count {
                reading.facts.refcnt = count;
            }
            reading.facts.usercnt = usercnt;
            reading.steady = steady;
            if flag {
                reading.attached().detached()
            } else {
                reading
            }
        })
}

pub fn any_pass() -> impl Strategy<Value = Vec<Reading>> {
    prop::collection::vec(any_reading(), 0..16)
}

/// The holders of an object, straight from the facts.
fn holders(facts: &Facts) -> impl Iterator<Item = &Holder> {
    facts.references.iter().flat_map(|r| &r.holders)
}

fn object_of<'a>(ledger: &'a Ledger, holder: &Holder) -> Option<&'a Object> {
    let (kind, object) = holder.object()?;
    ledger.get(ObjectId {
        kind,
        id: object.id?,
    })
}

/// Same process or same name, whatever the descriptors.
fn key(holder: &Holder) -> String {
    let text = short(holder);
    text.split('[').next().unwrap_or_default().to_owned()
}

/// What is at the end of a chain that arrives at this holder.
fn behind(holder: &Holder) -> Vec<String> {
    match holder.open_by() {
        [] => vec![key(holder)],
        openers => openers.iter().map(|p| p.pid.to_string()).collect(),
    }
}

/// Everything at the ends of the chains of an object, by a plain walk.
fn ends(ledger: &Ledger, of: &Object) -> HashSet<String> {
    let mut seen = HashSet::new();
    let mut open = vec![of];
    let mut ends = HashSet::new();
    while let Some(object) = open.pop() {
        for holder in holders(&object.facts) {
            match object_of(ledger, holder) {
                None => ends.extend(behind(holder)),
                Some(next) => {
                    if seen.insert(key(holder)) {
                        open.push(next);
                    }
                    if holders(&next.facts).next().is_none() {
                        ends.insert(key(holder));
                    }
                }
            }
        }
    }
    ends
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn accounts_balance(first in any_pass(), second in any_pass()) {
        let before = close(first);
        let ledger = Ledger::close(second, &Sight::default(), Some(&before));
        for object in ledger.objects() {
            match (object.facts.refcnt, object.unexplained) {
                (Some(refcnt), Some(left)) => {
                    prop_assert_eq!(object.explained as i64 + left, refcnt as i64);
                    prop_assert!(left >= 0 || !object.settled);
                }
                (None, None) => prop_assert!(object.settled),
                other => prop_assert!(false, "{:?}", other),
            }
        }
        for kind in Ledger::totals(ledger.objects()).kinds {
            let left = (kind.unexplained + kind.out_of_sight) as i64 + kind.moving;
            prop_assert_eq!(kind.explained as i64 + left, kind.refcnt as i64);
            prop_assert_eq!(kind.states.iter().sum::<usize>(), kind.objects);
        }
        ledger.walks_wanted(Walks::default());
    }

    #[test]
    fn kept_by_is_what_a_plain_walk_finds(pass in any_pass()) {
        let ledger = close(pass);
        for object in ledger.objects() {
            let expected = ends(&ledger, object);
            let kept_by: Vec<String> = object.kept_by.iter().map(key).collect();
            let distinct: HashSet<String> = kept_by.iter().cloned().collect();
            prop_assert_eq!(distinct.len(), kept_by.len(), "each once");
            let process = object.kept_by.iter().any(|h| matches!(h, Holder::Process(_)));
            prop_assert!(!process || object.state == State::InUse);
            // A cycle that nothing else holds has no end but itself.
            if !expected.is_empty() {
                let beyond = |k: &&String| !expected.contains(*k);
                let cycles = kept_by.iter().filter(beyond).all(|k| k.contains(':'));
                prop_assert!(expected.is_subset(&distinct) && cycles, "{:?} {:?}", expected, kept_by);
            }
        }
    }

    #[test]
    fn chains_are_simple_and_hang_together(pass in any_pass(), limit in 0..40usize) {
        let ledger = close(pass);
        for object in ledger.objects() {
            let Some(of) = object.facts.object_id() else { continue };
            let start = ledger.get(of).expect("it has this id");
            let chains = ledger.chains(of, limit);
            prop_assert!(chains.chains.len() <= limit);
            for chain in &chains.chains {
                let mut below = start;
                let mut seen = HashSet::from([of.to_string()]);
                for (at, holder) in chain.iter().enumerate() {
                    prop_assert!(holders(&below.facts).any(|h| key(h) == key(holder)));
                    prop_assert!(seen.insert(key(holder)), "twice: {:?}", holder);
                    if let Some(next) = object_of(&ledger, holder) {
                        below = next;
                        continue;
                    }
                    // Behind what processes have open comes one of them, and nothing else.
                    let openers = behind(holder);
                    match &chain[at + 1..] {
                        [] => prop_assert!(openers.contains(&key(holder))),
                        [opener] => prop_assert!(openers.contains(&key(opener))),
                        _ => prop_assert!(false, "goes on: {:?}", chain),
                    }
                    break;
                }
            }
            if !chains.cut {
                let last: HashSet<String> = chains.chains.iter().filter_map(|c| c.last()).map(key).collect();
                let ends: HashSet<String> = start.kept_by.iter().map(key).filter(|k| *k != of.to_string()).collect();
                let real = |k: &&String| !k.contains(':');
                prop_assert_eq!(
                    last.iter().filter(real).collect::<HashSet<_>>(),
                    ends.iter().filter(real).collect::<HashSet<_>>()
                );
            }
        }
    }

    /// What the plan says, played through on the facts themselves.
    #[test]
    fn plans_come_true(pass in any_pass()) {
        let ledger = close(pass);
        let mut ids = HashSet::new();
        for object in ledger.objects() {
            let Some(of) = object.facts.object_id().filter(|id| ids.insert(*id)) else { continue };
            let plan = ledger.release_plan(of);
            let freed: Vec<ObjectId> = plan.steps.iter().flat_map(|s| s.frees.clone()).collect();
            let steps: HashSet<String> = plan.steps.iter().map(|s| key(&s.holder)).collect();
            prop_assert_eq!(steps.len(), plan.steps.len(), "one step per holder");
            let goes = freed.contains(&of);
            prop_assert!(goes || !plan.caveats.is_empty(), "not freed, and not said why: {}", of);
            if goes {
                prop_assert!(plan.steps.last().is_some_and(|s| s.frees.contains(&of)));
                prop_assert!(ledger.get(of).is_some_and(|o| o.unexplained == Some(0)));
            }
            for id in freed {
                check_gone(&ledger, &plan, id)?;
            }
        }
    }
}

/// Each: which later object (beyond the last: which process or attachment), how often.
type Holders = Vec<(u32, u64, Sort)>;

#[derive(Debug, Clone, Copy)]
enum Sort {
    Alone,
    Shared,
    Socket,
    Attachment,
}

/// Objects that are held by later ones, pins and processes only, all explained.
fn any_sound_pass() -> impl Strategy<Value = Vec<Reading>> {
    let sort = prop::sample::select(vec![
        Sort::Alone,
        Sort::Shared,
        Sort::Socket,
        Sort::Attachment,
    ]);
    let holders = prop::collection::vec((0..12u32, 1..3u64, sort), 0..4);
    prop::collection::vec((0..3usize, holders), 1..12).prop_map(|objects| {
        let kinds: Vec<usize> = objects.iter().map(|o| o.0).collect();
        let build = |(at, (kind, holders)): (usize, (usize, Holders))| {
            let id = at as u32;
            let mut reading = match kind {
                0 => map(id, "hash_of_maps"),
                1 => prog(id),
                _ => link(id),
            };
            if holders.is_empty() {
                reading = reading.pinned("/p");
            }
            for (n, count, sort) in holders {
                let later = id + 1 + n;
                let first = process(n, &[1]);
                reading = match (kinds.get(later as usize), sort) {
                    (Some(&kind), _) => {
                        reading.held(By::Link, count, vec![object(Kind::ALL[kind], later)])
                    }
                    (None, Sort::Alone) => reading.held(By::Fd, count, vec![first]),
                    (None, Sort::Shared) => {
                        reading.held(By::Fd, count, vec![first, process(n + 1, &[1])])
                    }
                    (None, Sort::Socket) => {
                        let socket = socket(n.into(), &[(n, 2), (n + 1, 2)]);
                        reading.held(By::Socket, count, vec![first, socket])
                    }
                    (None, Sort::Attachment) => {
                        reading.held(By::Attachment, count, vec![attachment(&format!("dev:{n}"))])
                    }
                };
            }
            reading
        };
        objects.into_iter().enumerate().map(build).collect()
    })
}

proptest! {
    #[test]
    fn what_is_all_explained_can_go(pass in any_sound_pass()) {
        let ledger = close(pass);
        prop_assert!(ledger.is_settled());
        for object in ledger.objects() {
            let of = object.facts.object_id().expect("all have ids");
            let plan = ledger.release_plan(of);
            let last = plan.steps.last().expect("a step");
            prop_assert!(last.frees.contains(&of), "{} of {:?}", of, plan);
            let detached = |c: &String| c.starts_with("Dropping link:") || c.starts_with("And ");
            prop_assert!(plan.caveats.iter().all(detached), "{:?}", plan.caveats);
            // Nothing is freed twice, and exactly the ends of the chains have to let go.
            let frees: Vec<_> = plan.steps.iter().flat_map(|s| &s.frees).collect();
            prop_assert_eq!(frees.iter().collect::<HashSet<_>>().len(), frees.len());
            let ends: HashSet<String> = object.kept_by.iter().map(key).collect();
            let steps: HashSet<String> = plan.steps.iter().map(|s| key(&s.holder)).collect();
            prop_assert_eq!(ends, steps);
        }
    }
}

/// Every reference to a freed object is held only by what let go, by what was
/// freed, or by a map that may have been emptied.
fn check_gone(
    ledger: &Ledger,
    plan: &ledger::ReleasePlan,
    id: ObjectId,
) -> Result<(), TestCaseError> {
    let freed: HashSet<String> = plan
        .steps
        .iter()
        .flat_map(|s| &s.frees)
        .map(ToString::to_string)
        .collect();
    let dropped: HashSet<String> = plan.steps.iter().map(|s| key(&s.holder)).collect();
    // Two objects of one id: the plan cannot tell them apart by name.
    if ledger
        .objects()
        .iter()
        .filter(|o| o.facts.object_id() == Some(id))
        .count()
        != 1
    {
        return Ok(());
    }
    let object = ledger.get(id).expect("it was freed");
    prop_assert_eq!(object.unexplained, Some(0));
    for reference in &object.facts.references {
        for holder in reference.holders.iter().filter(|_| reference.count > 0) {
            let gone = behind(holder)
                .iter()
                .all(|key| dropped.contains(key) || freed.contains(key));
            let emptied = [By::ProgArray, By::Timer, By::MapEntry].contains(&reference.by);
            prop_assert!(gone || emptied, "{id} is freed, but {holder:?} has it");
        }
    }
    Ok(())
}
