//! In which order objects, or lines for several of them, are listed.

use model::{Kind, Object, State};
use std::cmp::{Ordering, Reverse};
use std::fmt;
use std::str::FromStr;

/// What a list is sorted by. Ties go by kind and id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sort {
    /// Kind and id.
    Id,
    /// Name.
    Name,
    /// Type.
    Type,
    /// Reference count, largest first.
    Refs,
    /// Unexplained references, most first.
    Unexplained,
    /// Kernel memory, largest first.
    Memory,
    /// State, what needs a look first: orphan pins, unknown, held by the kernel.
    State,
}

impl Sort {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Id,
        Self::Name,
        Self::Type,
        Self::Refs,
        Self::Unexplained,
        Self::Memory,
        Self::State,
    ];

    /// As an argument.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Name => "name",
            Self::Type => "type",
            Self::Refs => "refs",
            Self::Unexplained => "unexplained",
            Self::Memory => "memory",
            Self::State => "state",
        }
    }
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text was no [`Sort`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseSortError;

impl fmt::Display for ParseSortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Sort::ALL.map(Sort::as_str).join(", ");
        write!(f, "expected one of {names}")
    }
}

impl std::error::Error for ParseSortError {}

impl FromStr for Sort {
    type Err = ParseSortError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|sort| sort.as_str() == text)
            .ok_or(ParseSortError)
    }
}

/// What can be compared of an object, or of several together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rank<'a> {
    pub kind: Kind,
    pub id: Option<u32>,
    pub name: &'a str,
    pub type_name: &'a str,
    pub state: State,
    pub refs: Option<u64>,
    pub unexplained: Option<i64>,
    pub memory: Option<u64>,
}

impl<'a> Rank<'a> {
    pub fn of(object: &'a Object) -> Self {
        let facts = &object.facts;
        Self {
            kind: facts.kind,
            id: facts.id,
            name: &facts.name,
            type_name: &facts.type_name,
            state: object.state,
            refs: facts.refcnt,
            unexplained: object.unexplained.filter(|_| object.settled),
            memory: facts.memory_bytes,
        }
    }

    /// Numbers that are not known come last.
    pub fn compare(&self, other: &Self, by: Sort) -> Ordering {
        let first = match by {
            Sort::Id => Ordering::Equal,
            Sort::Name => self.name.cmp(other.name),
            Sort::Type => self.type_name.cmp(other.type_name),
            Sort::Refs => Reverse(self.refs).cmp(&Reverse(other.refs)),
            Sort::Unexplained => Reverse(self.unexplained).cmp(&Reverse(other.unexplained)),
            Sort::Memory => Reverse(self.memory).cmp(&Reverse(other.memory)),
            Sort::State => concern(self.state).cmp(&concern(other.state)),
        };
        // Objects without an id come after those with one.
        let id = |rank: &Self| (rank.kind, rank.id.is_none(), rank.id);
        first
            .then_with(|| id(self).cmp(&id(other)))
            .then_with(|| self.name.cmp(other.name))
    }
}

fn concern(state: State) -> u8 {
    match state {
        State::OrphanPin => 0,
        State::Unknown => 1,
        State::HeldByKernel => 2,
        State::Unreferenced => 3,
        State::InUse => 4,
    }
}

/// Sorts objects as `ls` lists them.
pub fn sort(objects: &mut [Object], by: Sort) {
    objects.sort_by(|a, b| Rank::of(a).compare(&Rank::of(b), by));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sort_has_a_name_that_reads_back() {
        for sort in Sort::ALL {
            assert_eq!(sort.as_str().parse(), Ok(sort));
        }
        assert_eq!("size".parse::<Sort>(), Err(ParseSortError));
    }
}
