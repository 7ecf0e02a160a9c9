//! Which object of one report is which of the other.

use super::{Likeness, Reports, likeness};
use model::Object;
use std::collections::HashMap;

/// An object in one or both of the reports, as indexes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair {
    pub before: Option<usize>,
    pub after: Option<usize>,
}

/// Objects that are the same, by kind, id, name, type and tag. Without an id, the first
/// that is alike is the same as the first, and so on. Across boots, none is.
pub(super) fn pair(reports: &Reports<'_>) -> Vec<Pair> {
    type Key<'a> = (Option<u32>, Likeness<'a>);
    let key = |object| -> Key<'_> {
        let object: &Object = object;
        (object.facts.id, likeness(object))
    };
    let mut waiting: HashMap<Key<'_>, Vec<usize>> = HashMap::new();
    let mut of_after = vec![None; reports.after.len()];
    if reports.same_boot {
        // From behind, so that the first is popped first.
        for (at, object) in reports.after.iter().enumerate().rev() {
            waiting.entry(key(object)).or_default().push(at);
        }
    }
    let mut pairs = Vec::with_capacity(reports.before.len().max(reports.after.len()));
    for (at, object) in reports.before.iter().enumerate() {
        let after = waiting.get_mut(&key(object)).and_then(Vec::pop);
        if let Some(after) = after {
            of_after[after] = Some(at);
        }
        let before = Some(at);
        pairs.push(Pair { before, after });
    }
    let only_after = of_after.iter().enumerate().filter(|(_, of)| of.is_none());
    pairs.extend(only_after.map(|(at, _)| Pair {
        before: None,
        after: Some(at),
    }));
    pairs
}
