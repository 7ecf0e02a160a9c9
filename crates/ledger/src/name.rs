//! The ways to name an object, as far as accounts alone answer.

use crate::account::Ledger;
use model::{Holder, Kind, ObjectId, Pin};
use std::fmt;

/// What somebody wrote to name an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name<'a> {
    /// `map:17`
    Id(ObjectId),
    /// `map:conn_events`
    Name(Kind, &'a str),
    /// `/sys/fs/bpf/x`
    Path(&'a str),
    /// `pid:4242/fd:9`, or as `/proc` has it.
    Descriptor(u32, u32),
}

/// Where the accounts come from: what a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A sweep of this host.
    Host,
    /// A report.
    Report {
        /// What messages call it.
        name: String,
        /// As `--from` takes it.
        file: String,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("on this host"),
            Self::Report { name, .. } => write!(f, "in {name}"),
        }
    }
}

impl Place {
    /// The option that has `ls` read the same accounts.
    fn option(&self) -> String {
        match self {
            Self::Host => String::new(),
            Self::Report { file, .. } => format!(" --from {}", model::shell_quote(file)),
        }
    }
}

/// The words name no object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not one of the forms.
    #[error(
        "`{0}` names no object: write map:17, prog:5, link:3 or btf:9, map:NAME, a path in a bpffs, or pid:4242/fd:9"
    )]
    Form(String),
    /// The id is not in use.
    #[error("no {id} {place}; `lastref ls {list}{option}` lists them", list = list_word(id.kind), option = place.option())]
    NoSuchId {
        /// The id.
        id: ObjectId,
        /// Where it is not.
        place: Place,
    },
    /// No object has that name.
    #[error("no {kind} {place} is called `{name}`; `lastref ls {list} --name '*{name}*'{option}` looks for part of a name", list = list_word(*.kind), option = place.option())]
    NoSuchName {
        /// The kind that was asked for.
        kind: Kind,
        /// The name.
        name: String,
        /// Where it is not.
        place: Place,
    },
    /// More than one object has that name.
    #[error("{} {} are called `{name}`: take one by its id: {}", ids.len(), list_word(*.kind), sample(ids))]
    Ambiguous {
        /// The kind that was asked for.
        kind: Kind,
        /// The name.
        name: String,
        /// All that have it.
        ids: Vec<ObjectId>,
    },
    /// No object is pinned there.
    #[error("{path}: no map, program or link is pinned there, {place}")]
    NoPin {
        /// The path.
        path: String,
        /// Where it is not.
        place: Place,
    },
    /// Several are, each in another mount namespace.
    #[error(
        "{path}: another object is pinned there in each of several mount namespaces: take one by its id: {}",
        sample(ids)
    )]
    AmbiguousPin {
        /// The path.
        path: String,
        /// All that are.
        ids: Vec<ObjectId>,
    },
    /// The descriptor is on no BPF object.
    #[error("descriptor {fd} of process {pid}: it is on no BPF object {place}")]
    NoDescriptor {
        /// The process.
        pid: u32,
        /// The descriptor.
        fd: u32,
        /// Where it is not.
        place: Place,
    },
}

fn list_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Map => "maps",
        Kind::Prog => "progs",
        Kind::Link => "links",
        Kind::Btf => "btf",
    }
}

fn sample(ids: &[ObjectId]) -> String {
    const SHOWN: usize = 8;
    let mut words: Vec<_> = ids.iter().take(SHOWN).map(ToString::to_string).collect();
    if ids.len() > SHOWN {
        words.push(format!("and {} more", ids.len() - SHOWN));
    }
    words.join(", ")
}

impl<'a> Name<'a> {
    /// Which of the forms it is.
    pub fn parse(words: &'a str) -> Result<Self, NameError> {
        if let Some((pid, fd)) = descriptor(words) {
            return Ok(Self::Descriptor(pid, fd));
        }
        if words.contains('/') && !words.starts_with("pid:") {
            return Ok(Self::Path(words));
        }
        if let Ok(id) = words.parse::<ObjectId>() {
            return Ok(Self::Id(id));
        }
        let form = || NameError::Form(words.to_owned());
        let (kind, name) = words.split_once(':').ok_or_else(form)?;
        let kind = Kind::ALL.into_iter().find(|k| k.as_str() == kind);
        match kind {
            Some(kind) if !name.is_empty() => Ok(Self::Name(kind, name)),
            _ => Err(form()),
        }
    }
}

/// `pid:4242/fd:9`, or as `/proc` has it.
fn descriptor(words: &str) -> Option<(u32, u32)> {
    let (pid, fd) = match words.strip_prefix("pid:") {
        Some(rest) => rest.split_once("/fd:")?,
        None => words.strip_prefix("/proc/")?.split_once("/fd/")?,
    };
    Some((pid.parse().ok()?, fd.parse().ok()?))
}

impl Ledger {
    /// The object of that name, by nothing but the accounts: a path is one that
    /// a pin was seen under.
    pub fn named(&self, name: Name<'_>, place: &Place) -> Result<ObjectId, NameError> {
        let place = || place.clone();
        match name {
            Name::Id(id) => match self.get(id) {
                Some(_) => Ok(id),
                None => Err(NameError::NoSuchId { id, place: place() }),
            },
            Name::Name(kind, name) => self.by_name(kind, name, place),
            Name::Path(path) => self.by_path(path, place),
            Name::Descriptor(pid, fd) => self.by_descriptor(pid, fd).ok_or_else(|| {
                let place = place();
                NameError::NoDescriptor { pid, fd, place }
            }),
        }
    }

    fn by_name(
        &self,
        kind: Kind,
        name: &str,
        place: impl Fn() -> Place,
    ) -> Result<ObjectId, NameError> {
        let named = self.objects.iter().filter(|o| {
            let facts = &o.facts;
            facts.kind == kind && facts.name == name && !facts.own
        });
        let ids: Vec<_> = named.filter_map(|o| o.facts.object_id()).collect();
        let name = name.to_owned();
        match ids.as_slice() {
            [] => {
                let place = place();
                Err(NameError::NoSuchName { kind, name, place })
            }
            [id] => Ok(*id),
            _ => Err(NameError::Ambiguous { kind, name, ids }),
        }
    }

    fn by_path(&self, path: &str, place: impl Fn() -> Place) -> Result<ObjectId, NameError> {
        // In the namespace that lastref ran in, or in that of the process in the path.
        let (own, inside) = match other_root(path) {
            Some((pid, inside)) => (Some(pid), inside),
            None => (None, path),
        };
        let mut pinned: Vec<(ObjectId, &Pin)> = self.pinned_at(inside).collect();
        if pinned.iter().any(|(_, pin)| pin.enter_pid == own) {
            pinned.retain(|(_, pin)| pin.enter_pid == own);
        } else if own.is_some() {
            pinned.clear();
        }
        let mut ids: Vec<ObjectId> = pinned.into_iter().map(|(id, _)| id).collect();
        ids.sort_unstable();
        ids.dedup();
        let path = path.to_owned();
        match ids.as_slice() {
            [] => {
                let place = place();
                Err(NameError::NoPin { path, place })
            }
            [id] => Ok(*id),
            _ => Err(NameError::AmbiguousPin { path, ids }),
        }
    }

    /// The objects that a pin of that path keeps, in any mount namespace.
    pub fn pinned_at<'a>(&'a self, path: &'a str) -> impl Iterator<Item = (ObjectId, &'a Pin)> {
        let is_there = move |pin: &Pin| pin.path == path || pin.also.iter().any(|p| p == path);
        self.objects.iter().flat_map(move |object| {
            let id = object.facts.object_id();
            object
                .facts
                .holders()
                .filter_map(move |holder| match holder {
                    Holder::Pin(pin) if is_there(pin) => Some((id?, pin)),
                    _ => None,
                })
        })
    }

    /// The object that a descriptor is on.
    pub fn by_descriptor(&self, pid: u32, fd: u32) -> Option<ObjectId> {
        let holds = |holder: &Holder| {
            matches!(holder, Holder::Process(p)
                if (p.pid == pid && p.tid.is_none() || p.tid == Some(pid)) && p.fds.contains(&fd))
        };
        let found = self.objects.iter().find(|o| o.facts.holders().any(holds));
        found.and_then(|o| o.facts.object_id())
    }
}

/// A path through `/proc/PID/root`: the process, and the path as it sees it.
fn other_root(path: &str) -> Option<(u32, &str)> {
    let (pid, rest) = path.strip_prefix("/proc/")?.split_once('/')?;
    let inside = rest.strip_prefix("root").filter(|r| r.starts_with('/'))?;
    Some((pid.parse().ok()?, inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_is_named_by_process_and_number() {
        assert_eq!(descriptor("pid:4242/fd:9"), Some((4242, 9)));
        assert_eq!(descriptor("/proc/4242/fd/9"), Some((4242, 9)));
        for bad in [
            "pid:4242",
            "pid:/fd:1",
            "pid:1/fd:",
            "pid:-1/fd:2",
            "/proc/self/fd/1",
            "pid:1/fd:99999999999",
        ] {
            assert_eq!(descriptor(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_path_may_go_through_the_root_of_a_process() {
        let through = |pid: &str| format!("/proc/{pid}/root{}", "/sys/fs/bpf/x");
        assert_eq!(other_root(&through("7")), Some((7, "/sys/fs/bpf/x")));
        assert_eq!(other_root(&through("self")), None);
        assert_eq!(other_root("/sys/fs/bpf/x"), None);
        assert_eq!(other_root("/proc/7/roots/x"), None);
    }
}
