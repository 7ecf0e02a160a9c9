//! The ways to name an object on the command line.

use crate::sweep::Sweep;
use model::{Holder, Kind, ObjectId};
use process::{FdObject, Proc};
use rustix::fs::{AtFlags, CWD, statat};
use std::path::Path;

/// The words name no object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not one of the forms.
    #[error(
        "`{0}` names no object: write map:17, prog:5, link:3 or btf:9, map:NAME, a path in a bpffs, or pid:4242/fd:9"
    )]
    Form(String),
    /// The id is not in use.
    #[error("no {0} on this host; `lastref ls {1}` lists them")]
    NoSuchId(String, &'static str),
    /// No object has that name.
    #[error("no {kind} is called `{name}`; `lastref ls {list} --name '*{name}*'` looks for part of a name", list = list_word(*.kind))]
    NoSuchName {
        /// The kind that was asked for.
        kind: Kind,
        /// The name.
        name: String,
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
    /// The path leads to no pin.
    #[error("{path}: {why}")]
    Path {
        /// The path.
        path: String,
        /// What is there instead.
        why: String,
    },
    /// The pins could not be looked at, so nothing can be said of the path.
    #[error("{path}: whether it is a pin cannot be told: {why}")]
    Unseen {
        /// The path.
        path: String,
        /// Why the walk over pins was not made in full.
        why: String,
    },
    /// The descriptor is on no BPF object.
    #[error("descriptor {fd} of process {pid}: {why}")]
    Descriptor {
        /// The process.
        pid: u32,
        /// The descriptor.
        fd: u32,
        /// What is there instead.
        why: String,
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

/// Finds the object that `words` name: `map:17`, `map:conn_events`, a path in a
/// bpffs, or `pid:4242/fd:9`. A pin is looked up by stat(2), never opened.
pub fn resolve(sweep: &Sweep, proc: &Proc, words: &str) -> Result<ObjectId, NameError> {
    match parse(words)? {
        Form::Id(id) if sweep.ledger.get(id).is_some() => Ok(id),
        Form::Id(id) => Err(NameError::NoSuchId(id.to_string(), list_word(id.kind))),
        Form::Name(kind, name) => by_name(sweep, kind, name),
        Form::Path(path) => by_path(sweep, path),
        Form::Descriptor(pid, fd) => by_descriptor(sweep, proc, pid, fd),
    }
}

/// Whether `words` have one of the forms, without looking at the host.
pub fn check(words: &str) -> Result<(), NameError> {
    parse(words).map(|_| ())
}

/// What somebody wrote.
enum Form<'a> {
    Id(ObjectId),
    Name(Kind, &'a str),
    Path(&'a str),
    Descriptor(u32, u32),
}

fn parse(words: &str) -> Result<Form<'_>, NameError> {
    if let Some((pid, fd)) = descriptor(words) {
        return Ok(Form::Descriptor(pid, fd));
    }
    if words.contains('/') && !words.starts_with("pid:") {
        return Ok(Form::Path(words));
    }
    if let Ok(id) = words.parse::<ObjectId>() {
        return Ok(Form::Id(id));
    }
    let form = || NameError::Form(words.to_owned());
    let (kind, name) = words.split_once(':').ok_or_else(form)?;
    let kind = Kind::ALL.into_iter().find(|k| k.as_str() == kind);
    match kind {
        Some(kind) if !name.is_empty() => Ok(Form::Name(kind, name)),
        _ => Err(form()),
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

fn by_name(sweep: &Sweep, kind: Kind, name: &str) -> Result<ObjectId, NameError> {
    let named = sweep.ledger.objects().iter().filter(|o| {
        let facts = &o.facts;
        facts.kind == kind && facts.name == name && !facts.own
    });
    let ids: Vec<_> = named.filter_map(|o| o.facts.object_id()).collect();
    let name = name.to_owned();
    match ids.as_slice() {
        [] => Err(NameError::NoSuchName { kind, name }),
        [id] => Ok(*id),
        _ => Err(NameError::Ambiguous { kind, name, ids }),
    }
}

fn by_path(sweep: &Sweep, path: &str) -> Result<ObjectId, NameError> {
    let fail = |why: String| NameError::Path {
        path: path.to_owned(),
        why,
    };
    let stat = match statat(CWD, Path::new(path), AtFlags::empty()) {
        Ok(stat) => stat,
        Err(errno) => {
            let error = std::io::Error::from(errno).to_string();
            return Err(fail(elsewhere(sweep, path).unwrap_or(error)));
        }
    };
    let device = (
        rustix::fs::major(stat.st_dev),
        rustix::fs::minor(stat.st_dev),
    );
    match (sweep.pinned.get(&(device, stat.st_ino)), &sweep.pins_unseen) {
        (Some(id), _) => Ok(*id),
        (None, Some(why)) => Err(NameError::Unseen {
            path: path.to_owned(),
            why: why.clone(),
        }),
        (None, None) => Err(fail("no map, program or link is pinned there".into())),
    }
}

/// Where a path that leads nowhere here leads to a pin.
fn elsewhere(sweep: &Sweep, path: &str) -> Option<String> {
    sweep.ledger.objects().iter().find_map(|object| {
        let mut holders = object.facts.references.iter().flat_map(|r| &r.holders);
        let pid = holders.find_map(|holder| match holder {
            Holder::Pin(pin) if pin.path == path || pin.also.iter().any(|p| p == path) => {
                pin.enter_pid
            }
            _ => None,
        })?;
        let id = object.facts.object_id()?;
        Some(format!(
            "it is a pin only in the mount namespace of pid {pid}: write {id} or /proc/{pid}/root{path}"
        ))
    })
}

fn by_descriptor(sweep: &Sweep, proc: &Proc, pid: u32, fd: u32) -> Result<ObjectId, NameError> {
    let holds = |holder: &Holder| {
        matches!(holder, Holder::Process(p)
            if (p.pid == pid && p.tid.is_none() || p.tid == Some(pid)) && p.fds.contains(&fd))
    };
    let found = sweep.ledger.objects().iter().find(|object| {
        let mut holders = object.facts.references.iter().flat_map(|r| &r.holders);
        holders.any(holds)
    });
    if let Some(id) = found.and_then(|o| o.facts.object_id()) {
        return Ok(id);
    }
    let fail = |why| NameError::Descriptor { pid, fd, why };
    Err(match proc.fdinfo(pid, fd) {
        Ok(info) => match info.object {
            FdObject::Other(target) => fail(format!("it is no BPF object, but {target}")),
            _ => fail("it was opened after the count; try again".into()),
        },
        Err(error) => fail(error.to_string()),
    })
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
}
