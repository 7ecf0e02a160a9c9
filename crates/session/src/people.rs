//! Processes as holders: each is described once, and anew when it is no longer what it was.

#[cfg(test)]
mod tests;
mod unseen;

use crate::privilege::{lives, may_look_at_all};
use crate::unique::unique;
use kernel::holders::files::{Table, Who};
use model::{Holder, Kind, Process, decode};
use process::{FdObject, FdStores, Keeper, Proc};
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is known of processes from one sweep to the next.
#[derive(Debug, Default)]
pub struct Remembered(FxHashMap<u32, Known>);

/// A process that has been described.
#[derive(Debug)]
struct Known {
    /// As the walk over descriptors saw it before; `None` if it did not.
    who: Option<Who>,
    process: Process,
    /// It lives, but `/proc` does not show it to us (`hidepid`).
    invisible: bool,
    /// When it is described anew, whatever it looks like; `None`: in the next sweep.
    until: Option<Instant>,
    /// It was met in this sweep.
    met: bool,
}

/// What no walk sees comes so late: that an executable was renamed or removed, a cgroup of version 1
/// renamed, and what may be read was restricted or no longer is.
const REMEMBERED: Duration = Duration::from_secs(30);
/// And up to so many seconds more, so that not all are described in one sweep.
const SPREAD: u32 = 30;

/// Whether other sweeps may take its word. A process that changed while it was described, or of which
/// not all could be read, is described again.
fn is_whole(who: Option<Who>, process: &Process) -> bool {
    let same_name = who.is_some_and(|who| *process.comm == *decode(who.comm()));
    let exe = process.exe.is_some() || !may_look_at_all();
    same_name && exe && process.start_ticks.is_some() && process.cgroup.is_some()
}

/// The processes of a sweep, described.
pub struct People<'a> {
    proc: &'a Proc,
    known: FxHashMap<u32, Known>,
    /// Those that have descriptors, as the last walk saw them.
    seen: FxHashMap<u32, Who>,
    /// `/proc` could not be read at all.
    no_proc: bool,
    /// What systemd keeps for its units; asked for only where it holds something.
    stores: Option<Result<Arc<FdStores>, process::Error>>,
    /// Kinds of objects that it may keep for one of several.
    among: BTreeSet<Kind>,
}

impl<'a> People<'a> {
    /// `remembered`: of the sweep before.
    pub fn new(proc: &'a Proc, remembered: Remembered) -> Self {
        Self {
            proc,
            known: remembered.0,
            seen: FxHashMap::default(),
            no_proc: false,
            stores: None,
            among: BTreeSet::new(),
        }
    }

    /// For the next sweep: those that this one has met.
    pub fn remember(mut self) -> Remembered {
        self.known
            .retain(|_, known| known.met && known.until.is_some());
        for known in self.known.values_mut() {
            known.met = false;
        }
        Remembered(self.known)
    }

    /// A process with the descriptors it has on one object. One that is gone
    /// meanwhile has a pid only: the account that it stands in will not settle.
    pub fn holder(&mut self, pid: u32, tid: Option<u32>, mut fds: Vec<u32>) -> Holder {
        unique(&mut fds);
        if !self.known.contains_key(&pid) {
            let described = self.proc.describe(pid);
            self.note(pid, described);
        }
        let known = self.known.get(&pid).map(|known| known.process.clone());
        let mut process = Process {
            tid,
            fds,
            ..known.unwrap_or_default()
        };
        if pid == 1 && &*process.comm == "systemd" {
            self.name_keeper(&mut process);
        }
        Holder::Process(Box::new(process))
    }

    /// Describes those that are new among the processes that a walk has found, or not what they were:
    /// some 25 µs each, nearly all of it in the kernel, so in several threads where they are many.
    pub fn meet(&mut self, found: &FxHashMap<u32, Who>) {
        /// Fewer are not worth a thread.
        const EACH: usize = 128;
        const THREADS: usize = 8;
        self.seen.clone_from(found);
        self.forget();
        let strange = found.keys().filter(|pid| !self.known.contains_key(pid));
        let strange: Vec<u32> = strange.copied().collect();
        let threads = (strange.len() / EACH).min(THREADS);
        // That reads files itself.
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if threads < 2 {
            1
        } else {
            threads.min(processors())
        };
        if threads < 2 {
            // One at a time, when they are asked for.
            return;
        }
        let proc = self.proc;
        let described: Vec<_> = std::thread::scope(|scope| {
            let describe = |part: &'_ [u32]| {
                let part = part.iter();
                part.map(|&pid| (pid, proc.describe(pid)))
                    .collect::<Vec<_>>()
            };
            let parts = strange.chunks(strange.len().div_ceil(threads));
            // Where no thread can be made, they are described one at a time.
            let started: Vec<_> = parts
                .filter_map(|part| {
                    let builder = std::thread::Builder::new().name("describe".into());
                    builder.spawn_scoped(scope, move || describe(part)).ok()
                })
                .collect();
            let joined = started.into_iter().filter_map(|thread| thread.join().ok());
            joined.flatten().collect()
        });
        for (pid, process) in described {
            self.note(pid, process);
        }
    }

    /// Forgets processes that are not what they were. One that no walk over descriptors shows any
    /// more may be another by now; one that this sweep has met is told of as it was then.
    fn forget(&mut self) {
        let (seen, now) = (&self.seen, Instant::now());
        self.known.retain(|pid, known| {
            let same = match seen.get(pid) {
                Some(who) => known.who == Some(*who),
                None => known.met,
            };
            let keep = same && (known.met || known.until.is_some_and(|until| now < until));
            known.met |= keep;
            keep
        });
    }

    fn note(&mut self, pid: u32, described: Result<Process, process::Error>) {
        let mut invisible = false;
        match &described {
            Err(process::Error::NotMounted { .. }) => self.no_proc = true,
            Err(error) => invisible = error.is_gone() && lives(pid),
            Ok(_) => {}
        }
        let process = described.unwrap_or_else(|_| Process {
            pid,
            ..Process::default()
        });
        let who = self.seen.get(&pid).copied();
        let spread = Duration::from_secs(u64::from(pid % SPREAD));
        let known = Known {
            until: is_whole(who, &process).then(|| Instant::now() + REMEMBERED + spread),
            who,
            process,
            invisible,
            met: true,
        };
        self.known.insert(pid, known);
    }

    /// How many of those that were met are like that.
    fn count(&self, is: impl Fn(&Known) -> bool) -> usize {
        let met = self.known.values().filter(|known| known.met);
        met.filter(|known| is(known)).count()
    }

    /// Names the unit for which systemd keeps descriptors on an object.
    fn name_keeper(&mut self, systemd: &mut Process) {
        let Some(&fd) = systemd.fds.first() else {
            return;
        };
        let kind = match self.kind(fd) {
            Ok(Some(kind)) => kind,
            Ok(None) => return,
            Err(error) => {
                if !error.is_gone() {
                    self.stores.get_or_insert(Err(error));
                }
                return;
            }
        };
        let stores = self.stores.get_or_insert_with(|| self.proc.fd_stores());
        match stores.as_ref().map(|stores| stores.keeper(kind)) {
            Ok(Keeper::Unit(unit)) => systemd.unit = Some(unit.into()),
            Ok(Keeper::Among(_)) => drop(self.among.insert(kind)),
            Ok(Keeper::Itself) | Err(_) => {}
        }
    }

    /// What a descriptor of pid 1 is on.
    fn kind(&self, fd: u32) -> Result<Option<Kind>, process::Error> {
        Ok(match self.proc.fdinfo(1, fd)?.object {
            FdObject::Map(_) => Some(Kind::Map),
            FdObject::Prog(_) => Some(Kind::Prog),
            FdObject::Link(_) => Some(Kind::Link),
            FdObject::Btf(_) => Some(Kind::Btf),
            FdObject::Other(_) => None,
        })
    }

    /// The processes that have a descriptor table, with these descriptors on one object.
    pub fn of_table(&mut self, table: &Table, fds: &[u32]) -> Vec<Holder> {
        let also = table.also.iter().map(|&pid| (pid, None));
        let all = also.chain([(table.pid, table.tid)]);
        all.map(|(pid, tid)| self.holder(pid, tid, fds.to_vec()))
            .collect()
    }
}
