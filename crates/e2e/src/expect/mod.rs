//! What must be found, and how that differs from what was.

mod about;
mod check;
mod holder;
mod show;

pub use holder::{Target, Tid, Who};

use crate::bpf::Kind;
use crate::lastref;
use crate::scene::Child;
use crate::truth::Counts;
use about::about_process;
use holder::is_end;
use serde_json::Value;
use show::{Found, FoundHolder, lines};

/// References that must be found: how they are held, how many, and by whom.
#[derive(Debug, Clone)]
#[must_use]
pub struct Reference {
    by: &'static str,
    count: u64,
    holders: Vec<Who>,
}

/// `count` references of one kind with exactly these holders.
pub fn by(by: &'static str, count: u64, holders: impl IntoIterator<Item = Who>) -> Reference {
    Reference {
        by,
        count,
        holders: holders.into_iter().collect(),
    }
}

/// The descriptor that the scene's process has on what its report calls `name`
/// (see [`crate::scene::ids`]).
pub fn fd(s: &Child, name: &str) -> Reference {
    let number = s.id(&format!("{name}_fd"));
    by("fd", 1, [Who::process(s.pid, [number])])
}

impl Reference {
    fn is(&self, found: &Value) -> bool {
        let Some(holders) = found["holders"].as_array() else {
            return false;
        };
        found["by"] == self.by
            && found["count"] == self.count
            && same(&self.holders, holders, Who::is)
    }
}

/// Each expected thing is found exactly once, and nothing else.
fn same<T>(expected: &[T], found: &[Value], is: impl Fn(&T, &Value) -> bool) -> bool {
    let mut taken = vec![false; found.len()];
    expected.len() == found.len()
        && expected.iter().all(|e| {
            let at = (0..found.len()).find(|&i| !taken[i] && is(e, &found[i]));
            at.inspect(|&i| taken[i] = true).is_some()
        })
}

/// What must be found of one object.
#[derive(Debug, Clone)]
#[must_use]
pub struct Expect {
    kind: Kind,
    id: u32,
    references: Vec<Reference>,
    unexplained: u64,
    states: Vec<&'static str>,
    kept_by: Option<Vec<Who>>,
    fields: Vec<(&'static str, Value)>,
    texts: Vec<(&'static str, String)>,
}

impl Expect {
    /// An object, and all its references.
    pub fn new(kind: Kind, id: u32, references: impl IntoIterator<Item = Reference>) -> Self {
        Self {
            kind,
            id,
            references: references.into_iter().collect(),
            unexplained: 0,
            states: vec!["in-use"],
            kept_by: None,
            fields: Vec::new(),
            texts: Vec::new(),
        }
    }

    /// A map, and all its references.
    pub fn map(id: u32, references: impl IntoIterator<Item = Reference>) -> Self {
        Self::new(Kind::Map, id, references)
    }

    /// A program, and all its references.
    pub fn prog(id: u32, references: impl IntoIterator<Item = Reference>) -> Self {
        Self::new(Kind::Prog, id, references)
    }

    /// A link, and all its references.
    pub fn link(id: u32, references: impl IntoIterator<Item = Reference>) -> Self {
        Self::new(Kind::Link, id, references)
    }

    /// A BTF, and all its references.
    pub fn btf(id: u32, references: impl IntoIterator<Item = Reference>) -> Self {
        Self::new(Kind::Btf, id, references)
    }

    /// One of these states, instead of `in-use`.
    pub fn state(mut self, states: &[&'static str]) -> Self {
        self.states = states.to_vec();
        self
    }

    /// References whose holders are of a kind that lastref does not know yet.
    pub fn unexplained(mut self, count: u64) -> Self {
        self.unexplained = count;
        self
    }

    /// The ends of all chains.
    pub fn kept_by(mut self, ends: impl IntoIterator<Item = Who>) -> Self {
        self.kept_by = Some(ends.into_iter().collect());
        self
    }

    /// A field with exactly this value; the last word on a field holds.
    pub fn field(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.fields.retain(|(other, _)| *other != name);
        self.fields.push((name, value.into()));
        self
    }

    /// A text field that contains this.
    pub fn text(mut self, name: &'static str, part: impl Into<String>) -> Self {
        self.texts.push((name, part.into()));
        self
    }

    /// The reference count that follows from the construction.
    pub fn refcnt(&self) -> u64 {
        self.explained() + self.unexplained
    }

    fn explained(&self) -> u64 {
        self.references.iter().map(|r| r.count).sum()
    }

    /// The part of a map's count that user space holds.
    fn usercnt(&self) -> u64 {
        let user = [
            "fd",
            "mmap",
            "pin",
            "iterator",
            "link",
            "in-flight",
            "io-uring",
        ];
        let references = self.references.iter().filter(|r| user.contains(&r.by));
        references.map(|r| r.count).sum()
    }

    /// What the kernel's counters say against the construction.
    pub fn against_truth(&self, truth: &Counts) -> Vec<String> {
        let mut wrong = Vec::new();
        let refcnt = truth.refcnt(self.kind, self.id);
        if refcnt != Some(self.refcnt()) {
            wrong.push(format!(
                "{}: refcnt by construction {}, in the kernel {refcnt:?}",
                self.name(),
                self.refcnt()
            ));
        }
        if let (Kind::Map, Some((_, usercnt))) = (self.kind, truth.maps.get(&self.id))
            && *usercnt != self.usercnt()
        {
            wrong.push(format!(
                "{}: usercnt by construction {}, in the kernel {usercnt}",
                self.name(),
                self.usercnt()
            ));
        }
        wrong
    }

    /// What the report says against the construction; empty if they agree.
    pub fn against_report(&self, report: &Value) -> Vec<String> {
        match lastref::find(report, self.kind, self.id) {
            Some(object) => self.against_object(object),
            None => vec![format!("{} is not in the report", self.name())],
        }
    }

    /// Whether the report says of it that it did not settle.
    pub fn is_unsettled_in(&self, report: &Value) -> bool {
        lastref::find(report, self.kind, self.id).is_some_and(|o| o["settled"] == false)
    }

    /// The same for one object.
    pub fn against_object(&self, object: &Value) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut must_be = |name: &str, value: Value| {
            if object[name] != value {
                wrong.push(format!(
                    "{}: {name} is {}, should be {value}",
                    self.name(),
                    object[name]
                ));
            }
        };
        must_be("refcnt", self.refcnt().into());
        must_be("explained", self.explained().into());
        must_be("unexplained", self.unexplained.into());
        must_be("settled", true.into());
        must_be("own", false.into());
        if self.kind == Kind::Map {
            must_be("usercnt", self.usercnt().into());
        }
        for (name, value) in &self.fields {
            must_be(name, value.clone());
        }
        for (name, part) in &self.texts {
            if !object[name].as_str().is_some_and(|t| t.contains(part)) {
                wrong.push(format!(
                    "{}: {name} is {}, should contain {part:?}",
                    self.name(),
                    object[name]
                ));
            }
        }
        if !self.states.iter().any(|s| object["state"] == *s) {
            wrong.push(format!(
                "{}: state is {}, should be {:?}",
                self.name(),
                object["state"],
                self.states
            ));
        }
        self.compare_references(object, &mut wrong);
        wrong
    }

    fn compare_references(&self, object: &Value, wrong: &mut Vec<String>) {
        let none = Vec::new();
        let found = object["references"].as_array().unwrap_or(&none);
        if !same(&self.references, found, Reference::is) {
            wrong.push(format!(
                "{}: references should be\n{}\n  but are\n{}",
                self.name(),
                lines(self.references.iter()),
                lines(found.iter().map(Found))
            ));
        }
        for holder in found
            .iter()
            .filter_map(|r| r["holders"].as_array())
            .flatten()
        {
            if holder["type"] == "process" {
                wrong.extend(about_process(holder));
            }
            let open_by = holder["open_by"].as_array().into_iter().flatten();
            wrong.extend(open_by.flat_map(about_process));
        }
        let Some(expected) = &self.kept_by else {
            return;
        };
        let kept_by = object["kept_by"].as_array().unwrap_or(&none);
        if !same(expected, kept_by, is_end) {
            wrong.push(format!(
                "{}: kept by should be\n{}\n  but is\n{}",
                self.name(),
                lines(expected.iter()),
                lines(kept_by.iter().map(FoundHolder))
            ));
        }
    }

    fn name(&self) -> String {
        lastref::name(self.kind, self.id)
    }

    /// A descriptor on it that the scene holds.
    fn descriptor(&self) -> Option<(u32, u32)> {
        let mut holders = self.references.iter().flat_map(|r| &r.holders);
        holders.find_map(|holder| match holder {
            Who::Process { pid, fds, .. } => fds.first().map(|fd| (*pid, *fd)),
            _ => None,
        })
    }
}
