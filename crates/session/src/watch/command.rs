//! A watch around one command: what its processes had open when they ended, and what outlives it.

mod behind;
mod ending;

use super::{Keep, Watch, WatchOptions};
use crate::{Error, Sweeper};
use ending::Ending;
use kernel::Addr;
use kernel::trace::{Ended, Open, Tree};
use model::{
    By, CannotSee, Holder, LeakEvent, Object, ObjectGroup, ObjectId, OpenAtExit, Process,
    SweepSample, WatchStart, WatchSummary, decode,
};
use rustc_hash::{FxHashMap, FxHashSet};
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::os::fd::RawFd;
use std::process::{Child, Command};
use std::rc::Rc;

/// Ids that an event lists.
const IDS: usize = 16;
/// Files of which it is not known yet whether they live on.
const DOUBTFUL: usize = 100_000;

/// A command and all that it starts, followed from the first instruction.
pub struct Followed {
    watch: Watch,
    tree: Tree,
    child: Child,
    /// The processes that live, as the hooks know them.
    pids: Rc<RefCell<FxHashSet<u32>>>,
    before: Rc<OnceCell<FxHashSet<ObjectId>>>,
    /// Files that were open at an exit, and that something else had too at that moment, with who ended
    /// last.
    doubtful: FxHashMap<(Addr, ObjectId), (Process, Open)>,
    /// Those whose end was told of.
    ending: Ending,
    /// Of which objects it stayed open whether they are left behind.
    undecided: Option<CannotSee>,
    /// Exits of which not all is known.
    cut: u64,
    lost: u64,
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
        command: &mut Command,
    ) -> Result<(Self, WatchStart, SweepSample), StartError> {
        let mut tree = Tree::follow(sweeper.walks_mut()).map_err(Error::from)?;
        let level = sweeper.walks_mut().pid_namespace_level();
        let pids = Rc::new(RefCell::new(FxHashSet::default()));
        let before = Rc::new(OnceCell::new());
        let (of_tree, of_before) = (Rc::clone(&pids), Rc::clone(&before));
        let keep: Keep = Box::new(move |object: &Object, holder: &Holder| {
            match holder {
                // The hooks know pids of the initial namespace only.
                Holder::Process(process) if level == 0 => of_tree.borrow().contains(&process.pid),
                _ => object
                    .facts
                    .object_id()
                    .is_none_or(|id| is_new(&of_before, id)),
            }
        });
        let (mut watch, start, sample) = Watch::begin(sweeper, options, keep)?;
        // Nothing was there before it is known what was.
        before.get_or_init(|| std::mem::take(&mut watch.first));
        tree.arm(true);
        let spawned = command.spawn();
        tree.arm(false);
        let child = spawned.map_err(|error| StartError::Command {
            program: command.get_program().to_string_lossy().into_owned(),
            error,
        })?;
        let start = WatchStart {
            cost: "no hook on any system call but fork and exit".into(),
            source: "sweep, sched_process_fork, sched_process_exit".into(),
            ..start
        };
        let followed = Self {
            watch,
            tree,
            child,
            pids,
            before,
            doubtful: FxHashMap::default(),
            ending: Ending::default(),
            undecided: None,
            cut: 0,
            lost: 0,
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

    /// The sweeps meanwhile.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// How long to wait before the next sweep.
    pub fn pause(&self) -> std::time::Duration {
        self.watch.pause()
    }

    /// Seconds since the watch began.
    pub fn elapsed(&self) -> f64 {
        self.watch.elapsed()
    }

    /// One sweep more: what it found, and what is to be said after it.
    pub fn look(&mut self) -> Result<Option<(SweepSample, Vec<LeakEvent>)>, Error> {
        self.note_pids();
        self.watch.look()
    }

    fn note_pids(&mut self) {
        *self.pids.borrow_mut() = self.tree.pids().into_iter().collect();
    }

    /// What processes that have ended meanwhile had open and never released.
    pub fn at_exit(&mut self) -> Result<Vec<OpenAtExit>, Error> {
        let ended = self.tree.ended().map_err(|source| {
            Error::from(kernel::Error::Walk {
                walk: "processes that end",
                source,
            })
        })?;
        Ok(self.note(ended))
    }

    fn note(&mut self, ended: Vec<Ended>) -> Vec<OpenAtExit> {
        let t = self.watch.elapsed();
        let mut events = Vec::new();
        let mut together: FxHashMap<(Addr, ObjectId), u64> = FxHashMap::default();
        for ended in ended {
            self.cut += u64::from(ended.cut);
            let process = process(&ended);
            self.ending.note(&process, self.watch.sweeper.proc());
            let mut open = Vec::new();
            for file in ended.open {
                let id = ObjectId {
                    kind: file.kind,
                    id: file.id,
                };
                self.doubtful.remove(&(file.file, id));
                // Processes that end together each see what the other has. A child that only forked
                // may see what its parent closes later, as it should.
                let seen = together.entry((file.file, id)).or_insert(0_u64);
                *seen += file.fds.len() as u64;
                let all_seen = file.refs <= *seen && !ended.forked;
                if all_seen || file.refs <= file.fds.len() as u64 {
                    open.push(file);
                } else if self.doubtful.len() < DOUBTFUL {
                    self.doubtful
                        .insert((file.file, id), (process.clone(), file));
                } else {
                    self.lost += 1;
                }
            }
            events.extend(groups(&process, &open, t));
        }
        events
    }

    /// A file that its process may have mapped, too, was open to the last if nothing has one on that
    /// object any more. Others may have been closed by whoever had them, as they should.
    fn settle(&mut self, objects: &[Object], t: f64) -> Vec<OpenAtExit> {
        let lives = |object: &Object| {
            let mut references = object.facts.references.iter();
            references.any(|r| matches!(r.by, By::Fd | By::Mmap | By::InFlight | By::IoUring))
        };
        let there = objects.iter().filter(|object| lives(object));
        let there: FxHashSet<ObjectId> = there.filter_map(|o| o.facts.object_id()).collect();
        let mut ended: BTreeMap<(u32, Option<u64>), (Process, Vec<Open>)> = BTreeMap::new();
        for ((_, id), (process, open)) in self.doubtful.drain() {
            if open.may_be_mapped && !there.contains(&id) {
                let key = (process.pid, process.start_ticks);
                let of_process = ended.entry(key).or_insert((process, Vec::new()));
                of_process.1.push(open);
            }
        }
        let ended = ended.into_values();
        ended
            .flat_map(|(process, open)| groups(&process, &open, t))
            .collect()
    }

    /// The last words.
    pub fn summary(&mut self) -> WatchSummary {
        let mut summary = self.watch.summary();
        summary.lost_events = self.tree.lost() + self.lost;
        summary.cannot_see.extend(self.undecided.take());
        let mut blind = |what: String, why: &str, needs: &str| {
            summary.cannot_see.push(CannotSee {
                what,
                why: why.into(),
                needs: needs.into(),
            });
        };
        let living = self.tree.pids().len();
        if living > 0 {
            blind(
                format!("what {living} processes of the command have open at their end"),
                "they live on, and are not waited for",
                "a command that ends after all that it starts",
            );
        }
        if self.cut > 0 {
            blind(
                format!("all descriptors of {} processes at their end", self.cut),
                "their tables were too long, or not all of them came through",
                "kernel ≥ 5.17, or fewer descriptors",
            );
        }
        summary
    }
}

/// It was not there in the first sweep.
fn is_new(before: &OnceCell<FxHashSet<ObjectId>>, id: ObjectId) -> bool {
    before.get().is_none_or(|before| !before.contains(&id))
}

fn process(ended: &Ended) -> Process {
    Process {
        pid: ended.pid,
        // As in /proc/PID/stat: a hundredth of a second.
        start_ticks: Some(ended.start / 10_000_000),
        comm: decode(&ended.comm).into(),
        ..Process::default()
    }
}

/// Objects that are alike are told of together.
fn groups(process: &Process, open: &[Open], t: f64) -> Vec<OpenAtExit> {
    let mut groups: BTreeMap<_, OpenAtExit> = BTreeMap::new();
    for open in open {
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
