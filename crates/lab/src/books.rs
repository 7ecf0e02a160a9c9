//! What a scenario says of itself: its own books.

use serde::Deserialize;
use std::collections::BTreeMap;

/// One line of a scenario's program.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Said {
    /// On what occasion.
    pub said: Occasion,
    /// Its books, by group.
    pub groups: BTreeMap<String, Book>,
    /// How it failed, if it did.
    pub error: Option<String>,
}

/// What a line answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Occasion {
    /// It is ready for the first step.
    Ready,
    /// A step is done.
    Step,
    /// Collections are done.
    Gc,
    /// A step failed as it must some day.
    Stuck,
}

/// Ids of objects, once for each handle on them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Book {
    /// Made and not closed.
    pub held: Vec<u32>,
    /// No longer reachable: a collector may close them.
    #[serde(default)]
    pub dropped: Vec<u32>,
}

impl Said {
    /// The book of a group; empty if nothing was noted yet.
    pub fn book(&self, group: &str) -> Book {
        self.groups.get(group).cloned().unwrap_or_default()
    }
}
