//! A watch around one command: what its processes had open when they ended, and what outlives it.

use super::{Keep, Watch, WatchOptions};
use crate::{Error, Sweeper};
use kernel::trace::{Ended, Tree};
use model::{
    Holder, LeftBehind, ObjectGroup, ObjectId, OpenAtExit, Process, State, SweepSample, WatchEvent,
    WatchStart, decode,
};
use rustc_hash::FxHashSet;
use std::collections::BTreeMap;
use std::os::fd::RawFd;
use std::process::{Child, Command};

/// Ids that an event lists.
const IDS: usize = 16;

/// A command and all that it starts, followed from the first instruction.
pub struct Followed {
    /// The sweeps meanwhile.
    pub watch: Watch,
    tree: Tree,
    child: Child,
    before: FxHashSet<ObjectId>,
}

/// Why a command is not followed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The walks or hooks were refused.
    #[error(transparent)]
    Session(#[from] Error),
    /// The command cannot be started.
    #[error("{program} cannot be started: {error}")]
    Command {
        /// What was to be started.
        program: String,
        /// Why not.
        error: std::io::Error,
    },
}

impl Followed {
    /// Looks at what is there, and starts the command.
    pub fn start(
        mut sweeper: Sweeper,
        options: WatchOptions,
        keep: Keep,
        command: &mut Command,
    ) -> Result<(Self, WatchStart, SweepSample), StartError> {
        let mut tree = Tree::follow(sweeper.walks_mut()).map_err(Error::from)?;
        let (watch, start, sample) = Watch::begin(sweeper, options, keep)?;
        let before = watch.first.clone();
        tree.arm(true);
        let spawned = command.spawn();
        tree.arm(false);
        let child = spawned.map_err(|error| StartError::Command {
            program: command.get_program().to_string_lossy().into_owned(),
            error,
        })?;
        let start = WatchStart {
            cost: format!(
                "{}; forks and exits of all processes are hooked, which no system call waits for \
                 but these",
                start.cost
            ),
            source: "sweep, sched_process_fork, sched_process_exit".into(),
            ..start
        };
        let followed = Self {
            watch,
            tree,
            child,
            before,
        };
        Ok((followed, start, sample))
    }

    /// The command.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Becomes readable when a process of the tree has ended.
    pub fn readiness(&self) -> RawFd {
        self.tree.readiness()
    }

    /// What processes that have ended meanwhile had open and never released.
    pub fn at_exit(&mut self) -> Result<Vec<OpenAtExit>, Error> {
        let t = self.watch.elapsed();
        let ended = self.tree.ended().map_err(|source| {
            Error::from(kernel::Error::Walk {
                walk: "processes that end",
                source,
            })
        })?;
        Ok(ended
            .iter()
            .flat_map(|ended| of_process(ended, t))
            .collect())
    }

    /// Events of the hooks that were lost.
    pub fn lost(&mut self) -> u64 {
        self.tree.lost()
    }

    /// After its end: a last sweep, and the objects that were not there before and that no process
    /// holds.
    pub fn left_behind(&mut self) -> Result<(SweepSample, Vec<WatchEvent>), Error> {
        let t = self.watch.elapsed();
        let sweep = self.watch.sweeper.sweep()?;
        let (sample, changed) = self.watch.compare(&sweep);
        let left = sweep.ledger.objects().iter().filter(|object| {
            let new = object.facts.object_id();
            let new = new.is_some_and(|id| !self.before.contains(&id));
            let held = object.kept_by.iter().any(is_process);
            let there = object.state != State::Unreferenced;
            new && there && !held && !object.facts.own && !object.facts.is_kernel_btf()
        });
        let events = left.map(|object| {
            WatchEvent::LeftBehind(Box::new(LeftBehind {
                t,
                holder: object.kept_by.first().cloned(),
                object: object.clone(),
            }))
        });
        let leaks = changed.into_iter();
        let leaks = leaks.map(|leak| WatchEvent::Leak(Box::new(leak)));
        Ok((sample, leaks.chain(events).collect()))
    }
}

fn is_process(holder: &Holder) -> bool {
    matches!(holder, Holder::Process(_)) || !holder.open_by().is_empty()
}

/// Objects that are alike are told of together.
fn of_process(ended: &Ended, t: f64) -> Vec<OpenAtExit> {
    let mut groups: BTreeMap<_, OpenAtExit> = BTreeMap::new();
    let process = Process {
        pid: ended.pid,
        // As in /proc/PID/stat: a hundredth of a second.
        start_ticks: Some(ended.start / 10_000_000),
        comm: decode(&ended.comm).into(),
        ..Process::default()
    };
    for open in &ended.open {
        let name = decode(&open.name);
        let key = (open.kind, open.type_name.clone(), name.clone());
        let group = groups.entry(key).or_insert_with(|| OpenAtExit {
            t,
            holder: Holder::Process(Box::new(process.clone())),
            objects: ObjectGroup {
                kind: open.kind,
                name,
                type_name: open.type_name.clone(),
                count: 0,
                ids: vec![],
            },
            count: 0,
            fds: vec![],
            site: None,
        });
        group.count += 1;
        group.fds.extend(&open.fds);
        if !group.objects.ids.contains(&open.id) {
            group.objects.ids.push(open.id);
        }
    }
    let mut groups: Vec<OpenAtExit> = groups.into_values().collect();
    for group in &mut groups {
        let ids = &mut group.objects.ids;
        group.objects.count = ids.len() as u64;
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.truncate(IDS);
        group.fds.sort_unstable();
    }
    groups
}
