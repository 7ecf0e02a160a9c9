//! A sweep: as many passes as the accounts need, at most three.

use crate::Error;
use crate::details::{self, Counts};
use crate::elsewhere;
use crate::handles::{self, Handle};
use crate::join::{self, Pass};
use crate::passing::{Bereft, Births, Watched};
use crate::people::{People, Remembered};
use crate::privilege::{READ_SEARCH, SYS_PTRACE, lacking};
use crate::staged::Staged;
use crate::unique::unique;
use kernel::holders::files::Files;
use kernel::{KernelBtf, Objects, Walk, Walks};
use ledger::{Ledger, Reading, Sight};
use model::{CannotSee, Holder, Kind, Object, ObjectId, PidNamespace, Snapshot};
use process::Proc;
use rustc_hash::{FxHashMap, FxHashSet};
use std::io;
use std::time::{Duration, Instant};

/// Runs sweeps. The walks are loaded once.
#[derive(Debug)]
pub struct Sweeper {
    walks: Walks,
    proc: Proc,
    handles_of: Option<u32>,
    boot_id: Option<String>,
    /// Processes that the sweep before has described.
    remembered: Remembered,
}

/// The result of a sweep.
#[derive(Debug)]
pub struct Sweep {
    /// What the sweep says of itself.
    pub snapshot: Snapshot,
    /// The accounts.
    pub ledger: Ledger,
    /// Of the process that [`Sweeper::list_handles`] was told of.
    pub(crate) handles: Vec<Handle>,
    /// Pinned objects by device and inode number.
    pub(crate) pinned: FxHashMap<((u32, u32), u64), ObjectId>,
    /// Why the walk over pins could not be made in full.
    pub(crate) pins_unseen: Option<String>,
    /// Walks that were wanted and did not show all: holders that they find are missing.
    pub(crate) incomplete: FxHashSet<&'static str>,
    /// Handles may be missing, of any process: links may not be listed, or mappings not be walked.
    pub(crate) handles_unseen: bool,
}

impl Sweeper {
    /// Loads the walks. Needs `CAP_BPF` and `CAP_PERFMON`, and a kernel with BTF
    /// and BPF iterators.
    pub fn new() -> Result<Self, Error> {
        let proc = Proc::new();
        Ok(Self {
            walks: Walks::load()?,
            handles_of: None,
            boot_id: proc.boot_id().ok(),
            proc,
            remembered: Remembered::default(),
        })
    }

    /// Where processes are read.
    pub fn proc(&self) -> &Proc {
        &self.proc
    }

    pub(crate) fn walks_mut(&mut self) -> &mut Walks {
        &mut self.walks
    }

    /// From now on each sweep lists the handles of this process, one by one, and is over when the accounts of what it
    /// holds are settled: those of others may move on.
    pub(crate) fn list_handles(&mut self, pid: u32) {
        self.handles_of = Some(pid);
    }

    /// Leaves handles of a process that stand as they stood, or are only mapped. What they are on is told by its address: that
    /// it has not become another's meanwhile, [`Sweeper::gone`] says in the end.
    pub(crate) fn keep_same(&mut self, pid: u32, handles: &mut Vec<Handle>) -> Result<(), Error> {
        let files = self.walks.files()?;
        handles::keep_same(handles, pid, &files);
        Ok(())
    }

    /// Of the objects of handles those that are not where they were any more. The address of one that still is was nobody
    /// else's.
    pub(crate) fn gone<'h>(
        &mut self,
        handles: impl Iterator<Item = &'h Handle> + Clone,
    ) -> Result<FxHashSet<ObjectId>, Error> {
        let mut ids: Vec<ObjectId> = handles.clone().map(|handle| handle.object).collect();
        unique(&mut ids);
        if let Ok(gone) = handles::gone(&ids) {
            return Ok(gone);
        }
        // Without the privilege to ask for one, all are listed.
        let now = details::ids(&self.walks.objects()?);
        let is_it = |handle: &Handle| {
            let at = handle.addr.and_then(|addr| now.get(&addr));
            handle.addr.is_none() || handle.object.kind == Kind::Btf || at == Some(&handle.object)
        };
        Ok(handles.filter(|h| !is_it(h)).map(|h| h.object).collect())
    }

    /// Processor time spent so far on loading the programs of costly walks.
    pub(crate) fn loading(&self) -> Duration {
        self.walks.loading_cpu()
    }

    /// Counts everything once, or until the accounts settle.
    pub fn sweep(&mut self) -> Result<Sweep, Error> {
        self.passes(PASSES)
    }

    /// Counts everything once: for one look of many. Accounts that move meanwhile are not settled.
    pub fn look(&mut self) -> Result<Sweep, Error> {
        self.passes(1)
    }

    fn passes(&mut self, at_most: u32) -> Result<Sweep, Error> {
        let begun = Instant::now();
        let time = format!("{:.3}", jiff::Timestamp::now());
        let proc = self.proc.clone();
        let mut people = People::new(&proc, std::mem::take(&mut self.remembered));
        let mut staged = Staged::default();
        let mut other_btf = None;

        let mut objects = self.walks.objects()?;
        let mut before = Counts::new(&objects);
        let mut previous: Option<Ledger> = None;
        let mut births: Option<Births> = None;
        let mut passes = 0;
        let mut looked_elsewhere = false;
        // Time that further passes have taken.
        let mut further = Duration::ZERO;
        let (ledger, after, files, mut cannot_see) = loop {
            passes += 1;
            let clock = Clock::start(&self.walks);
            let mut view = self.view();
            let files = self.walks.files()?;
            staged.begin_pass();
            let all = staged.wanted;
            staged.run(all, &mut self.walks, &objects, &proc, &mut view);
            let mut bereft = Bereft::default();
            let mut looked: Option<Objects> = None;
            let (mut ledger, after) = loop {
                if let Some(births) = &mut births {
                    births.end(&mut self.walks);
                }
                let after = self.walks.objects()?;
                if let Some(previous) = &mut previous {
                    bereft.compare(looked.as_ref().unwrap_or(&objects), &after);
                    previous.note_moved(bereft.ids(&after));
                    if let Some(births) = &mut births {
                        births.see(&after);
                        previous.note_moved(births.bereft(self.walks.own(), &after));
                    }
                }
                view.see_all_of(&after);
                let pass = self.pass(&before, &after, &files, &staged);
                let mut readings = pass.readings(&mut people);
                self.other_btf(&mut other_btf, &mut readings, &mut view);
                self.memory(&mut readings, &mut view);
                // Unless there will be another pass.
                let moving = if passes == 1 && at_most > 1 {
                    moving(&readings)
                } else {
                    FxHashSet::default()
                };
                let ledger = Ledger::close(readings, &view.sight, previous.as_ref());
                // What is left of an account says which of the costly walks are wanted.
                let mut new = staged.want(&ledger, &moving);
                if !new.any() && !looked_elsewhere && !staged.wanted.files {
                    looked_elsewhere = true;
                    if self.has_files_elsewhere(&files, &after, &ledger)? {
                        new = staged.want_files(&ledger);
                    }
                }
                if !new.any() {
                    break (ledger, after);
                }
                staged.run(new, &mut self.walks, &after, &proc, &mut view);
                looked = Some(after);
            };
            let concerns = |o: &Object| match self.handles_of {
                None => true,
                Some(pid) => o
                    .facts
                    .holders()
                    .any(|h| matches!(h, Holder::Process(p) if p.pid == pid)),
            };
            let mut others = ledger.objects().iter().filter(|o| !o.facts.own);
            let moving = staged.is_cut() || others.any(|o| !o.settled && concerns(o));
            let took = clock.elapsed(&self.walks);
            if passes > 1 {
                further += took;
            }
            let remainder = ledger.has_remainder();
            let again = passes < at_most && may_look_again(passes, remainder, further + took);
            if !moving || !again {
                if staged.is_cut() {
                    staged.say_cut(&mut view);
                    ledger = ledger.out_of_sight(&view.sight);
                }
                break (ledger, after, files, view.cannot_see);
            }
            (before, objects, births) = if remainder {
                let watched = self.watch(after)?;
                ledger.note_moved(watched.moved());
                (watched.counts, watched.last, Some(watched.births))
            } else {
                (Counts::new(&after), after, None)
            };
            previous = Some(ledger);
        };

        people.cannot_see(&mut cannot_see);
        self.remembered = people.remember();
        unique(&mut cannot_see);
        let pinned = staged.pins.as_ref().map(|p| join::pinned(p, &after));
        let mut staged_walks = staged.names();
        if !self.walks.has_links() && self.walks.links_unseen().is_none() {
            staged_walks.push("links by id".into());
        }
        if other_btf.is_some_and(|found| found.is_ok_and(|btfs| !btfs.is_empty())) {
            staged_walks.push("BTF by id".into());
        }
        let incomplete = staged.incomplete();
        let mapped = staged.mappings.as_ref();
        let handles = self.handles_of;
        let handles = handles.map(|pid| handles::of(pid, &files, mapped, &after));
        let snapshot = Snapshot {
            time,
            boot_id: self.boot_id.clone(),
            kernel: rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
            pid_namespace: match self.walks.pid_namespace_level() {
                0 => PidNamespace::Host,
                _ => PidNamespace::Child,
            },
            passes,
            seconds: begun.elapsed().as_secs_f64(),
            staged_walks,
            cannot_see,
        };
        Ok(Sweep {
            snapshot,
            ledger,
            handles_unseen: self.walks.links_unseen().is_some()
                || incomplete.contains(Walk::Mappings.name()),
            incomplete,
            handles: handles.unwrap_or_default(),
            pinned: pinned.unwrap_or_default(),
            pins_unseen: staged.failed.remove(&Walk::Pins),
        })
    }

    /// Waits until what was just freed has let go of what it held, and looks at the counts
    /// meanwhile and a few times after: of an account that is to be called unexplained it
    /// must be sure that it stands still.
    fn watch(&mut self, after: Objects) -> Result<Watched, Error> {
        const LOOKS: u32 = 8;
        const PAUSE: Duration = Duration::from_micros(700);
        /// A look at 10,000 maps takes some 10 ms.
        const AT_MOST: Duration = Duration::from_millis(50);
        let mut watched = Watched::new(after, &mut self.walks);
        // What came before that, and is in no look, is gone before the wait begins.
        watched.look(&mut self.walks)?;
        std::thread::scope(|scope| {
            let waiting = std::thread::Builder::new()
                .name("grace period".into())
                .spawn_scoped(scope, kernel::sys::wait_for_grace_period);
            let Ok(waiting) = waiting else {
                kernel::sys::wait_for_grace_period();
                return Ok(());
            };
            while !waiting.is_finished() {
                let begun = Instant::now();
                watched.look(&mut self.walks)?;
                std::thread::sleep(PAUSE.max(begun.elapsed()));
            }
            Ok::<_, Error>(())
        })?;
        let begun = Instant::now();
        watched.look(&mut self.walks)?;
        watched.counts = Counts::new(&watched.last);
        for _ in 0..LOOKS {
            if begun.elapsed() > AT_MOST {
                break;
            }
            std::thread::sleep(PAUSE);
            watched.look(&mut self.walks)?;
        }
        Ok(watched)
    }

    /// Some file is in a descriptor table and elsewhere, for longer than a call.
    fn has_files_elsewhere(
        &mut self,
        files: &Files,
        objects: &Objects,
        ledger: &Ledger,
    ) -> Result<bool, Error> {
        let suspects = elsewhere::suspects(files, objects, ledger);
        Ok(!suspects.is_empty() && elsewhere::any_remains(&suspects, &self.walks.files()?))
    }

    /// How far we can look, before a pass.
    fn view(&self) -> View {
        let mut view = View::default();
        if let Some(why) = self.walks.links_unseen() {
            view.hide(why);
            view.cannot_see.push(CannotSee {
                what: "links, and what they hold".into(),
                why: why.into(),
                needs: "CAP_SYS_ADMIN, or kernel ≥ 5.19".into(),
            });
        }
        if self.walks.pid_namespace_level() > 0 {
            let why = "lastref runs in a child pid namespace";
            view.hide(why);
            view.sight.processes_out_of_sight = true;
            view.cannot_see.push(CannotSee {
                what: "descriptors and mappings of processes outside this pid namespace".into(),
                why: why.into(),
                needs: "hostPID".into(),
            });
        }
        view
    }

    fn pass<'a>(
        &'a self,
        before: &'a Counts,
        after: &'a Objects,
        files: &'a Files,
        staged: &'a Staged,
    ) -> Pass<'a> {
        let pins = staged.pins.as_ref();
        Pass {
            before,
            after,
            files,
            pins: pins.map(|pins| (pins, staged.pin_names.as_slice())),
            slots: staged.slots.as_ref(),
            mappings: staged.mappings.as_ref(),
            nets: staged.nets.as_ref(),
            ways: &staged.ways,
            cgroups: staged.cgroups.as_ref(),
            tc: staged.tc.as_ref(),
            carriers: staged.carriers.as_ref(),
            cgroup_mount: staged.cgroup_mount.as_deref(),
            own: self.walks.own(),
            own_pid: std::process::id(),
            prog_walker: self.walks.program_id(Walk::Progs),
        }
    }

    /// BTF that no iterated object leads to: it is opened, asked and closed, once
    /// in a sweep.
    fn other_btf(
        &self,
        found: &mut Option<io::Result<Vec<KernelBtf>>>,
        readings: &mut Vec<Reading>,
        view: &mut View,
    ) {
        let own = self.walks.own().iter();
        let own = own.filter(|id| id.kind == Kind::Btf).map(|id| id.id);
        let known: FxHashSet<u32> = readings
            .iter()
            .filter(|r| r.facts.kind == Kind::Btf)
            .filter_map(|r| r.facts.id)
            .chain(own)
            .collect();
        let found = found.get_or_insert_with(|| kernel::kernel_btfs(|id| known.contains(&id)));
        let found = match found {
            Ok(found) => found,
            // Of every pass anew: the last one's list is shown.
            Err(error) => {
                view.cannot_see.push(CannotSee {
                    what: "BTF of vmlinux and modules, and BTF that nothing in sight leads to"
                        .into(),
                    why: format!("BTF by id: {error}"),
                    needs: "CAP_SYS_ADMIN".into(),
                });
                return;
            }
        };
        let new = found.iter().filter(|btf| !known.contains(&btf.id));
        readings.extend(new.map(|btf| Reading {
            facts: details::of_other_btf(btf),
            steady: true,
        }));
    }

    /// Memory of maps whose formula is not known, from a holder's fdinfo.
    fn memory(&self, readings: &mut [Reading], view: &mut View) {
        /// Each costs 5 µs; what is beyond stays null, with the reason.
        const MAX: usize = 1000;
        let unknown = readings
            .iter_mut()
            .filter(|r| r.facts.kind == Kind::Map && r.facts.memory_bytes.is_none());
        for reading in unknown.take(MAX) {
            let info = descriptor_of(&reading.facts).map(|(pid, fd)| self.proc.fdinfo(pid, fd));
            if matches!(&info, Some(Err(_)))
                && let Some(needs) = lacking(&[SYS_PTRACE, READ_SEARCH])
            {
                details::set_memory_hidden(&mut reading.facts);
                view.cannot_see.push(CannotSee {
                    what: format!("memory of maps of type {}", reading.facts.type_name),
                    why: "/proc/PID/fdinfo, which tells it, may not be read".into(),
                    needs,
                });
            }
            let found = info
                .and_then(Result::ok)
                .filter(|info| matches!(info.object, process::FdObject::Map(id) if Some(id) == reading.facts.id))
                .and_then(|info| info.memlock);
            if let Some(bytes) = found {
                details::set_memory(&mut reading.facts, bytes);
            }
        }
    }
}

/// Of one sweep, at most.
const PASSES: u32 = 3;

/// Whether there may be another pass after so many, if further ones (it included) will have taken
/// so long. The programs that they run are loaded by then, which is not counted.
fn may_look_again(passes: u32, remainder: bool, further: Duration) -> bool {
    const FURTHER: Duration = Duration::from_millis(200);
    // One pass settles no remainder: on a host where a pass takes longer, there would be none
    // that is ever called unexplained.
    let second = passes == 1 && remainder;
    passes < PASSES && (second || further <= FURTHER)
}

/// Objects whose count was not the same before and after the walk.
fn moving(readings: &[Reading]) -> FxHashSet<ObjectId> {
    let moving = readings.iter().filter(|reading| !reading.steady);
    moving
        .filter_map(|reading| reading.facts.object_id())
        .collect()
}

/// A process and its descriptor on the object.
fn descriptor_of(facts: &model::Facts) -> Option<(u32, u32)> {
    facts.holders().find_map(|holder| match holder {
        Holder::Process(p) => Some((p.tid.unwrap_or(p.pid), *p.fds.first()?)),
        _ => None,
    })
}

/// Time of a pass, without that for loading programs.
struct Clock {
    begun: Instant,
    loading: Duration,
}

impl Clock {
    fn start(walks: &Walks) -> Self {
        Self {
            begun: Instant::now(),
            loading: walks.loading(),
        }
    }

    fn elapsed(&self, walks: &Walks) -> Duration {
        let loading = walks.loading().saturating_sub(self.loading);
        self.begun.elapsed().saturating_sub(loading)
    }
}

/// What one pass could not look at.
#[derive(Default)]
pub(crate) struct View {
    pub sight: Sight,
    pub cannot_see: Vec<CannotSee>,
}

impl View {
    /// Holders may stand where we cannot look; the first reason is told.
    pub fn hide(&mut self, why: impl Into<String>) {
        let _ = self.sight.holders_out_of_sight.get_or_insert(why.into());
    }

    /// Lists of the objects themselves that were too long to be read in full.
    fn see_all_of(&mut self, objects: &Objects) {
        if objects.links.iter().any(|link| link.uncounted) {
            self.hide_inherited();
        }
        if let Some(prog) = objects.progs.iter().find(|prog| prog.maps_cut) {
            let why = format!("prog:{} uses more maps than can be read", prog.id);
            self.sight.maps_out_of_sight = Some(why.clone());
            self.cannot_see.push(CannotSee {
                what: "all maps that programs use".into(),
                why,
                needs: "programs that use fewer maps".into(),
            });
        }
    }

    /// Children inherited more perf events than could be counted.
    pub fn hide_inherited(&mut self) {
        let hidden = "not all inherited perf events could be counted";
        self.hide_programs(ledger::RUN_BY_EVENTS, hidden.into());
        self.cannot_see.push(CannotSee {
            what: "all inherited perf events".into(),
            why: "their list changed each time it was looked at, or is too long".into(),
            needs: "another look".into(),
        });
    }

    /// What runs programs of these types may stand where we cannot look.
    pub fn hide_programs(&mut self, types: &'static [&'static str], why: String) {
        self.sight.programs_out_of_sight.push((types, why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remainder_is_looked_at_twice_however_long_that_takes() {
        let [soon, late] = [50, 500].map(Duration::from_millis);
        assert!(may_look_again(1, false, soon));
        assert!(may_look_again(2, true, soon));
        assert!(may_look_again(1, true, late));
        assert!(!may_look_again(1, false, late));
        assert!(!may_look_again(2, true, late));
        assert!(!may_look_again(3, true, soon));
    }
}
