//! What is true of a scenario, in the form that answers about leaks are held against.

use crate::books::Said;
use crate::manifest::{Group, Manifest};
use model::Kind;
use serde_json::Value;
use std::collections::BTreeSet;

/// Groups whose objects look the same from outside: of two groups of maps with one name and type,
/// a command that does not know where they were made can only speak of both.
pub struct Class<'a> {
    /// Each of the same kind, name and type.
    pub groups: Vec<&'a Group>,
    name: glob::Pattern,
}

/// All of a scenario, in the order of its groups.
pub fn classes(manifest: &Manifest) -> Vec<Class<'_>> {
    let mut classes: Vec<Class<'_>> = Vec::new();
    for group in &manifest.groups {
        let same = |class: &&mut Class<'_>| {
            let (a, b) = (&class.groups[0].object, &group.object);
            (a.kind, &a.name, &a.type_name) == (b.kind, &b.name, &b.type_name)
        };
        match classes.iter_mut().find(same) {
            Some(class) => class.groups.push(group),
            None => classes.push(Class {
                groups: vec![group],
                name: glob::Pattern::new(&group.object.name).unwrap_or_default(),
            }),
        }
    }
    classes
}

impl Class<'_> {
    /// True if it is about these: `{"kind":"map","name":"events","type":"hash"}`.
    pub fn is_of(&self, objects: &Value) -> bool {
        let object = &self.groups[0].object;
        let text = |field: &str| objects[field].as_str().unwrap_or_default();
        text("kind") == object.kind.as_str()
            && text("type") == object.type_name
            && self.name.matches(text("name"))
    }

    /// Some of them grow without bound.
    pub fn leaks(&self) -> bool {
        self.groups.iter().any(|group| group.leaks)
    }

    /// Ids of its objects, at any time in these books.
    pub fn ids(&self, books: &[Said]) -> BTreeSet<u64> {
        let all = books
            .iter()
            .flat_map(|said| self.groups.iter().map(|group| said.book(&group.name)));
        all.flat_map(|book| book.held.into_iter().chain(book.dropped))
            .map(u64::from)
            .collect()
    }

    /// It grows because something else does: what it is held by are objects of other groups, which
    /// leak too.
    pub fn follows(&self, manifest: &Manifest) -> bool {
        let by_objects = |group: &&Group| {
            let mut by = group.held_by.iter();
            by.all(|by| by == "link" || by == "prog")
        };
        let mut leaking = self.groups.iter().copied().filter(|group| group.leaks);
        let holds = |group: &Group| {
            let kind = group.object.kind.as_str();
            let mut mine = self.groups.iter();
            group.leaks && mine.any(|mine| mine.held_by.iter().any(|by| by == kind))
        };
        leaking.all(|group| by_objects(&group)) && manifest.groups.iter().any(holds)
    }

    /// For messages: `map conn_events (hash)`.
    pub fn name(&self) -> String {
        let object = &self.groups[0].object;
        let kind: Kind = object.kind;
        match object.name.as_str() {
            "" => format!("{kind} ({})", object.type_name),
            name => format!("{kind} {name} ({})", object.type_name),
        }
    }
}

/// What an answer says of a leak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leak {
    /// `no`
    No,
    /// `unknown`, or something else that is no claim.
    Unknown,
    /// `suspected`
    Suspected,
    /// `yes`
    Yes,
}

impl Leak {
    /// Of the field `leak`.
    pub fn of(value: &Value) -> Self {
        match value["leak"].as_str() {
            Some("yes") => Self::Yes,
            Some("suspected") => Self::Suspected,
            Some("no") => Self::No,
            _ => Self::Unknown,
        }
    }
}

/// What speaks against an answer, collected.
#[derive(Default)]
pub struct Against {
    /// It says what is not true.
    pub wrong: Vec<String>,
    /// It does not say what is true.
    pub unknown: Vec<String>,
}
