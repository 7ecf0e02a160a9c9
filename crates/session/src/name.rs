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
    if words.contains('/') && !words.starts_with("pid:") {
        return by_path(sweep, words);
    }
    if let Ok(id) = words.parse::<ObjectId>() {
        return match sweep.ledger.get(id) {
            Some(_) => Ok(id),
            None => Err(NameError::NoSuchId(id.to_string(), list_word(id.kind))),
        };
    }
    if let Some((pid, fd)) = descriptor(words) {
        return by_descriptor(sweep, proc, pid, fd);
    }
    let form = || NameError::Form(words.to_owned());
    let (kind, name) = words.split_once(':').ok_or_else(form)?;
    let kind = Kind::ALL.into_iter().find(|k| k.as_str() == kind);
    match kind {
        Some(kind) if !name.is_empty() => by_name(sweep, kind, name),
        _ => Err(form()),
    }
}

/// `pid:4242/fd:9`
fn descriptor(words: &str) -> Option<(u32, u32)> {
    let (pid, fd) = words.strip_prefix("pid:")?.split_once("/fd:")?;
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
    let stat = statat(CWD, Path::new(path), AtFlags::empty())
        .map_err(|errno| fail(std::io::Error::from(errno).to_string()))?;
    let device = (
        rustix::fs::major(stat.st_dev),
        rustix::fs::minor(stat.st_dev),
    );
    sweep
        .pinned
        .get(&(device, stat.st_ino))
        .copied()
        .ok_or_else(|| fail("no map, program or link is pinned there".into()))
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
        for bad in [
            "pid:4242",
            "pid:/fd:1",
            "pid:1/fd:",
            "pid:-1/fd:2",
            "pid:1/fd:99999999999",
        ] {
            assert_eq!(descriptor(bad), None, "{bad}");
        }
    }
}
