//! How handles came: by who else has the same files.

use crate::handles::Handle;
use model::Origin;
use process::Proc;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Ancestors that are followed at most; more is no tree of processes.
const GENERATIONS: usize = 1024;

/// Who is whose parent, and what processes are called, as far as asked for.
#[derive(Debug)]
pub struct Kin<'a> {
    proc: &'a Proc,
    pid: u32,
    parents: FxHashMap<u32, Option<u32>>,
    /// How a file came that these others share, and by whom: many handles have the same.
    known: FxHashMap<Vec<u32>, Came>,
}

/// How a handle came, and the process that tells: `tetragon (311)`.
pub type Came = (Origin, Option<Arc<str>>);

impl<'a> Kin<'a> {
    /// Of the handles of this process.
    pub fn new(proc: &'a Proc, pid: u32) -> Self {
        Self {
            proc,
            pid,
            parents: FxHashMap::default(),
            known: FxHashMap::default(),
        }
    }

    /// How a handle came. A child that shares it has inherited it from here, which says nothing of how it came
    /// here; it is named if nobody else shares it.
    pub fn came(&mut self, handle: &Handle) -> Came {
        if handle.others.is_empty() {
            return (Origin::Unknown, None);
        }
        if let Some(known) = self.known.get(&handle.others) {
            return known.clone();
        }
        let pid = self.pid;
        let ancestors = self.ancestors(pid);
        let mut others = handle.others.iter().copied();
        let came = if let Some(ancestor) = others.clone().find(|other| ancestors.contains(other)) {
            (Origin::Inherited, self.named(ancestor))
        } else {
            let strange = others.find(|&other| !self.ancestors(other).contains(&pid));
            match strange {
                Some(stranger) => (Origin::Received, self.named(stranger)),
                None => (
                    Origin::Unknown,
                    handle.others.first().and_then(|&child| self.named(child)),
                ),
            }
        };
        self.known.insert(handle.others.clone(), came.clone());
        came
    }

    fn named(&self, pid: u32) -> Option<Arc<str>> {
        let comm = self.proc.describe(pid).ok()?.comm;
        Some(format!("{} ({pid})", model::escape_controls(&comm)).into())
    }

    fn ancestors(&mut self, pid: u32) -> Vec<u32> {
        let mut found = Vec::new();
        let mut at = pid;
        while found.len() < GENERATIONS
            && let Some(parent) = self.parent(at)
        {
            found.push(parent);
            at = parent;
        }
        found
    }

    fn parent(&mut self, pid: u32) -> Option<u32> {
        let proc = self.proc;
        let parent = || proc.parent(pid).ok().filter(|&parent| parent > 0);
        *self.parents.entry(pid).or_insert_with(parent)
    }
}
