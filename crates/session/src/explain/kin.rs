//! How handles came: by who else has the same files.

use crate::handles::Handle;
use model::Origin;
use process::Proc;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Ancestors that are followed at most; more is no tree of processes.
const GENERATIONS: usize = 1024;

/// Who is whose parent, as far as asked for.
#[derive(Debug)]
pub struct Kin<'a> {
    proc: &'a Proc,
    parents: FxHashMap<u32, Option<u32>>,
}

impl<'a> Kin<'a> {
    pub fn new(proc: &'a Proc) -> Self {
        Self {
            proc,
            parents: FxHashMap::default(),
        }
    }

    /// How a handle came to `pid`. A child that shares it has inherited it from here, which says nothing of how
    /// it came here.
    pub fn origin(&mut self, pid: u32, handle: &Handle) -> Origin {
        let ancestors = self.ancestors(pid);
        if handle.others.iter().any(|other| ancestors.contains(other)) {
            return Origin::Inherited;
        }
        let strange = |other: &u32| !self.ancestors(*other).contains(&pid);
        if handle.others.iter().any(strange) {
            return Origin::Received;
        }
        Origin::Unknown
    }

    /// Somebody else who has the same file: `tetragon (311)`.
    pub fn named(&self, handle: &Handle) -> Option<Arc<str>> {
        let other = *handle.others.first()?;
        let comm = self.proc.describe(other).ok()?.comm;
        Some(format!("{} ({other})", model::escape_controls(&comm)).into())
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
