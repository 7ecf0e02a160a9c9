//! What a sweep could not see, as far as it is about one process.

use crate::Sweep;
use model::{CannotSee, Kind, Object, ObjectId, PidNamespace};
use rustc_hash::FxHashSet;

/// What a sweep could not look at, if it may change what is said of a process that holds these: it may hold more, somebody
/// out of sight may share its files, or the account of something that it holds stays open. What is out of sight elsewhere on
/// the host is no matter of this process.
pub fn concerning(sweep: &Sweep, held: &FxHashSet<ObjectId>) -> Vec<CannotSee> {
    let snapshot = &sweep.snapshot;
    let shared_unseen = snapshot.pid_namespace == PidNamespace::Child && !held.is_empty();
    if sweep.handles_unseen || shared_unseen || any_open(sweep.ledger.objects(), held) {
        snapshot.cannot_see.clone()
    } else {
        vec![]
    }
}

/// Of something that is held there is no account, or one with a number that was not to be had.
fn any_open(objects: &[Object], held: &FxHashSet<ObjectId>) -> bool {
    let ours = |object: &&Object| {
        object
            .facts
            .object_id()
            .is_some_and(|id| held.contains(&id))
    };
    let mut counted = 0;
    for object in objects.iter().filter(ours) {
        counted += 1;
        if is_open(object) {
            return true;
        }
    }
    counted < held.len()
}

fn is_open(object: &Object) -> bool {
    let facts = &object.facts;
    let uncounted = object.unexplained.is_none() && !facts.is_kernel_btf();
    uncounted || (facts.kind == Kind::Map && facts.memory_bytes.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Detail, Facts, MapFacts, State};

    fn object(id: u32, unexplained: Option<i64>, memory_bytes: Option<u64>) -> Object {
        Object {
            facts: Facts {
                kind: Kind::Map,
                id: Some(id),
                name: "conns".into(),
                type_name: "hash".into(),
                refcnt: Some(2),
                usercnt: Some(1),
                references: vec![],
                own: false,
                memory_bytes,
                memory_source: None,
                entries: None,
                max_entries: None,
                charged_to: None,
                unreadable: vec![],
                detail: Detail::Map(MapFacts::default()),
            },
            explained: 1,
            unexplained,
            settled: true,
            state: State::InUse,
            kept_by: vec![],
        }
    }

    fn held(ids: &[u32]) -> FxHashSet<ObjectId> {
        let kind = Kind::Map;
        ids.iter().map(|&id| ObjectId { kind, id }).collect()
    }

    #[test]
    fn only_accounts_of_what_is_held_count() {
        let objects = [
            object(1, Some(0), Some(8)),
            // One that is known to be unexplained hides nothing: all was looked at.
            object(2, Some(1), Some(8)),
            object(3, None, Some(8)),
            object(4, Some(0), None),
        ];
        for (ids, open) in [
            (&[][..], false),
            (&[1], false),
            (&[1, 2], false),
            (&[1, 3], true),
            (&[4], true),
            // That has no account at all.
            (&[1, 5], true),
        ] {
            assert_eq!(any_open(&objects, &held(ids)), open, "{ids:?}");
        }
    }
}
