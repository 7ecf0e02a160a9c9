//! Sums over many accounts, that add up.

use model::{Kind, Object, State};

/// Sums over the objects of one kind. For what has an account:
/// `refcnt = explained + unexplained + out_of_sight + moving`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindTotals {
    /// Of which kind.
    pub kind: Kind,
    /// How many objects.
    pub objects: usize,
    /// How many of them have an account (a count that was read).
    pub accounts: usize,
    /// Sum of their counts.
    pub refcnt: u64,
    /// Sum of what is explained of them.
    pub explained: u64,
    /// Sum of what is left of settled accounts.
    pub unexplained: u64,
    /// Sum of what is left where holders may be out of sight.
    pub out_of_sight: u64,
    /// Sum of what is left of accounts that are not settled; negative where
    /// more references were found than the count had.
    pub moving: i64,
    /// Accounts that are not settled.
    pub unsettled: usize,
    /// Accounts that are settled with a remainder.
    pub with_unexplained: usize,
    /// Kernel memory, as far as it is known.
    pub memory_bytes: u64,
    /// Objects whose memory is not known.
    pub memory_unknown: usize,
    /// Objects by state, in the order of [`State::ALL`].
    pub states: [usize; State::ALL.len()],
}

impl KindTotals {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            objects: 0,
            accounts: 0,
            refcnt: 0,
            explained: 0,
            unexplained: 0,
            out_of_sight: 0,
            moving: 0,
            unsettled: 0,
            with_unexplained: 0,
            memory_bytes: 0,
            memory_unknown: 0,
            states: [0; State::ALL.len()],
        }
    }

    /// How many objects are in that state.
    pub fn in_state(&self, state: State) -> usize {
        let at = State::ALL.iter().position(|&s| s == state);
        at.map_or(0, |at| self.states[at])
    }

    fn add(&mut self, object: &Object) {
        self.objects += 1;
        if let Some(at) = State::ALL.iter().position(|&s| s == object.state) {
            self.states[at] += 1;
        }
        match object.facts.memory_bytes {
            Some(bytes) => self.memory_bytes = self.memory_bytes.saturating_add(bytes),
            None => self.memory_unknown += 1,
        }
        let Some(refcnt) = object.facts.refcnt else {
            return;
        };
        self.accounts += 1;
        self.refcnt = self.refcnt.saturating_add(refcnt);
        self.explained = self.explained.saturating_add(object.explained);
        if !object.settled {
            self.unsettled += 1;
        }
        match object.unexplained {
            None => {
                let left = refcnt.saturating_sub(object.explained);
                self.out_of_sight = self.out_of_sight.saturating_add(left);
            }
            Some(left) if !object.settled => self.moving = self.moving.saturating_add(left),
            Some(left) => {
                // A settled account is never negative.
                let left = left.unsigned_abs();
                self.unexplained = self.unexplained.saturating_add(left);
                self.with_unexplained += usize::from(left > 0);
            }
        }
    }
}

/// Sums per kind. Lastref's own objects count like any other: leave them out before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// One entry per kind, in the order of [`Kind::ALL`].
    pub kinds: [KindTotals; Kind::ALL.len()],
}

impl Totals {
    /// How many objects of all kinds are in that state.
    pub fn in_state(&self, state: State) -> usize {
        self.kinds.iter().map(|k| k.in_state(state)).sum()
    }

    /// Kernel memory of all kinds, as far as it is known.
    pub fn memory_bytes(&self) -> u64 {
        let bytes = self.kinds.iter().map(|k| k.memory_bytes);
        bytes.fold(0, u64::saturating_add)
    }
}

pub(crate) fn totals<'a>(objects: impl IntoIterator<Item = &'a Object>) -> Totals {
    let mut kinds = Kind::ALL.map(KindTotals::new);
    for object in objects {
        for kind in &mut kinds {
            if kind.kind == object.facts.kind {
                kind.add(object);
            }
        }
    }
    Totals { kinds }
}
