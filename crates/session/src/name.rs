//! The ways to name an object on the command line, on a living host.

use crate::sweep::Sweep;
use ledger::{Name, Place};
use model::ObjectId;
use process::{FdObject, Proc};
use rustix::fs::{AtFlags, CWD, statat};
use std::path::Path;

/// The words name no object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The accounts have none of that name.
    #[error(transparent)]
    Ledger(#[from] ledger::NameError),
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

/// Finds the object that `words` name: `map:17`, `map:conn_events`, a path in a
/// bpffs, or `pid:4242/fd:9`. A pin is looked up by stat(2), never opened.
pub fn resolve(sweep: &Sweep, proc: &Proc, words: &str) -> Result<ObjectId, NameError> {
    match Name::parse(words)? {
        Name::Path(path) => by_path(sweep, path),
        Name::Descriptor(pid, fd) => by_descriptor(sweep, proc, pid, fd),
        name @ (Name::Id(_) | Name::Name(..)) => Ok(sweep.ledger.named(name, &Place::Host)?),
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
    let mut pinned = sweep.ledger.pinned_at(path);
    let (id, pid) = pinned.find_map(|(id, pin)| Some((id, pin.enter_pid?)))?;
    Some(format!(
        "it is a pin only in the mount namespace of pid {pid}: write {id} or /proc/{pid}/root{path}"
    ))
}

fn by_descriptor(sweep: &Sweep, proc: &Proc, pid: u32, fd: u32) -> Result<ObjectId, NameError> {
    if let Some(id) = sweep.ledger.by_descriptor(pid, fd) {
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
