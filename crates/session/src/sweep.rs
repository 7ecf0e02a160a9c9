//! A sweep: as many passes as the accounts need, at most three.

use crate::details::{self, Counts};
use crate::join::{self, Pass};
use crate::people::People;
use crate::{Error, paths};
use kernel::holders::files::Files;
use kernel::holders::mappings::MappedFile;
use kernel::holders::pins::Pins;
use kernel::holders::slots::Slots;
use kernel::{Addr, KernelBtf, Objects, Walk, Walks};
use ledger::{Ledger, Reading, Sight};
use model::{CannotSee, Kind, ObjectId, PidNamespace, Pin, Snapshot};
use process::Proc;
use rustc_hash::{FxHashMap, FxHashSet};
use std::time::{Duration, Instant};

const PASSES: u32 = 3;

/// Runs sweeps. The walks are loaded once.
#[derive(Debug)]
pub struct Sweeper {
    walks: Walks,
    proc: Proc,
}

/// The result of a sweep.
#[derive(Debug)]
pub struct Sweep {
    /// What the sweep says of itself.
    pub snapshot: Snapshot,
    /// The accounts.
    pub ledger: Ledger,
    /// Pinned objects by device and inode number.
    pub(crate) pinned: FxHashMap<((u32, u32), u64), ObjectId>,
    /// Why the walk over pins could not be made in full.
    pub(crate) pins_unseen: Option<String>,
}

impl Sweeper {
    /// Loads the walks. Needs `CAP_BPF` and `CAP_PERFMON`, and a kernel with BTF
    /// and BPF iterators.
    pub fn new() -> Result<Self, Error> {
        Ok(Self {
            walks: Walks::load()?,
            proc: Proc::new(),
        })
    }

    /// Where processes are read.
    pub fn proc(&self) -> &Proc {
        &self.proc
    }

    /// Counts everything once, or until the accounts settle.
    pub fn sweep(&mut self) -> Result<Sweep, Error> {
        let begun = Instant::now();
        let time = format!("{:.3}", jiff::Timestamp::now());
        let proc = self.proc.clone();
        let mut people = People::new(&proc);
        let mut staged = Staged::default();
        let mut other_btf = None;

        let mut objects = self.walks.objects()?;
        let mut before = Counts::new(&objects);
        let mut previous: Option<Ledger> = None;
        let mut passes = 0;
        let (ledger, after, mut cannot_see) = loop {
            passes += 1;
            let mut view = self.view();
            let files = self.walks.files()?;
            staged.failed.clear();
            let all = staged.wanted;
            staged.run(all, &mut self.walks, &objects, &proc, passes, &mut view);
            let (ledger, after) = loop {
                let after = self.walks.objects()?;
                let pass = self.pass(&before, &after, &files, &staged);
                let mut readings = pass.readings(&mut people);
                self.other_btf(&mut other_btf, &mut readings, &mut view);
                self.memory(&mut readings);
                let ledger = Ledger::close(readings, &view.sight, previous.as_ref());
                // What is left of an account says which of the costly walks are wanted.
                let new = staged.want(&ledger);
                if !new.any() {
                    break (ledger, after);
                }
                staged.run(new, &mut self.walks, &after, &proc, passes, &mut view);
            };
            let mut others = ledger.objects().iter().filter(|o| !o.facts.own);
            let moving = staged.is_cut() || others.any(|o| !o.settled);
            if !moving || passes == PASSES {
                break (ledger, after, view.cannot_see);
            }
            before = if ledger.has_remainder() {
                // What was just freed keeps its references until then.
                kernel::sys::wait_for_grace_period();
                self.watch()?
            } else {
                Counts::new(&after)
            };
            previous = Some(ledger);
            objects = after;
        };

        people.cannot_see(&mut cannot_see);
        let pinned = staged.pins.as_ref().map(|p| join::pinned(p, &after));
        let mut staged_walks = staged.names();
        if other_btf.is_some_and(|btfs| !btfs.is_empty()) {
            staged_walks.push("BTF by id".into());
        }
        let snapshot = Snapshot {
            time,
            boot_id: proc.boot_id().ok(),
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
            cannot_see: unique(cannot_see),
        };
        Ok(Sweep {
            snapshot,
            ledger,
            pinned: pinned.unwrap_or_default(),
            pins_unseen: staged.failed.remove(&Walk::Pins),
        })
    }

    /// Counts, looked at a few times: of an account that is to be called unexplained
    /// it must be sure that it stands still.
    fn watch(&mut self) -> Result<Counts, Error> {
        const LOOKS: u32 = 8;
        const PAUSE: Duration = Duration::from_micros(700);
        /// A look at 10,000 maps takes some 10 ms.
        const AT_MOST: Duration = Duration::from_millis(50);
        let begun = Instant::now();
        let mut counts = Counts::new(&self.walks.objects()?);
        for _ in 0..LOOKS {
            if begun.elapsed() > AT_MOST {
                break;
            }
            std::thread::sleep(PAUSE);
            counts.observe(&self.walks.objects()?);
        }
        Ok(counts)
    }

    /// How far we can look, before a pass.
    fn view(&self) -> View {
        let mut view = View::default();
        if !self.walks.has_links() {
            let why = "this kernel has no iterator over links";
            view.hide(why);
            view.cannot_see.push(CannotSee {
                what: "links, and what they hold".into(),
                why: why.into(),
                needs: "kernel ≥ 5.19".into(),
            });
        }
        if self.walks.pid_namespace_level() > 0 {
            let why = "lastref runs in a child pid namespace";
            view.hide(why);
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
            own: self.walks.own(),
            own_pid: std::process::id(),
            prog_walker: self.walks.program_id(Walk::Progs),
        }
    }

    /// BTF that no iterated object leads to: it is opened, asked and closed, once
    /// in a sweep.
    fn other_btf(
        &self,
        found: &mut Option<Vec<KernelBtf>>,
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
        let found = found.get_or_insert_with(|| {
            kernel::kernel_btfs(|id| known.contains(&id)).unwrap_or_else(|error| {
                view.cannot_see.push(CannotSee {
                    what: "BTF of vmlinux and modules".into(),
                    why: format!("BTF by id: {error}"),
                    needs: "CAP_SYS_ADMIN".into(),
                });
                Vec::new()
            })
        });
        let new = found.iter().filter(|btf| !known.contains(&btf.id));
        readings.extend(new.map(|btf| Reading {
            facts: details::of_other_btf(btf),
            steady: true,
        }));
    }

    /// Memory of maps whose formula is not known, from a holder's fdinfo.
    fn memory(&self, readings: &mut [Reading]) {
        /// Each costs 5 µs; what is beyond stays null, with the reason.
        const MAX: usize = 1000;
        let unknown = readings
            .iter_mut()
            .filter(|r| r.facts.kind == Kind::Map && r.facts.memory_bytes.is_none());
        for reading in unknown.take(MAX) {
            let found = descriptor_of(&reading.facts)
                .and_then(|(pid, fd)| self.proc.fdinfo(pid, fd).ok())
                .filter(|info| matches!(info.object, process::FdObject::Map(id) if Some(id) == reading.facts.id))
                .and_then(|info| info.memlock);
            if let Some(bytes) = found {
                details::set_memory(&mut reading.facts, bytes);
            }
        }
    }
}

/// A process and its descriptor on the object.
fn descriptor_of(facts: &model::Facts) -> Option<(u32, u32)> {
    let mut holders = facts.references.iter().flat_map(|r| &r.holders);
    holders.find_map(|holder| match holder {
        model::Holder::Process(p) => Some((p.tid.unwrap_or(p.pid), *p.fds.first()?)),
        _ => None,
    })
}

/// What one pass could not look at.
#[derive(Default)]
struct View {
    sight: Sight,
    cannot_see: Vec<CannotSee>,
}

impl View {
    /// Holders may stand where we cannot look; the first reason is told.
    fn hide(&mut self, why: impl Into<String>) {
        let _ = self.sight.holders_out_of_sight.get_or_insert(why.into());
    }
}

/// The walks that run only where a remainder asks for them.
#[derive(Default)]
struct Staged {
    wanted: ledger::Walks,
    pins: Option<Pins>,
    pin_names: Vec<Pin>,
    slots: Option<Slots>,
    mappings: Option<FxHashMap<Addr, MappedFile>>,
    /// Walks that could not be made in this pass, and why.
    failed: FxHashMap<Walk, String>,
}

impl Staged {
    /// Notes which walks the ledger asks for, and answers those that are new.
    fn want(&mut self, ledger: &Ledger) -> ledger::Walks {
        let new = ledger.walks_wanted(self.wanted);
        self.wanted.pins |= new.pins;
        self.wanted.slots |= new.slots;
        self.wanted.mappings |= new.mappings;
        new
    }

    /// A list changed during a walk, which may have missed something.
    fn is_cut(&self) -> bool {
        self.pins.as_ref().is_some_and(|p| p.cut) || self.slots.as_ref().is_some_and(|s| s.cut)
    }

    /// Runs some of the walks. One that this kernel does not take, or that is cut
    /// once more in the last pass, leaves the accounts open, and is said.
    fn run(
        &mut self,
        which: ledger::Walks,
        walks: &mut Walks,
        objects: &Objects,
        proc: &Proc,
        pass: u32,
        view: &mut View,
    ) {
        if which.pins {
            self.pins = self.keep(Walk::Pins, walks.pins(), view);
            if let Some(pins) = &self.pins {
                self.pin_names = paths::name_all(pins, proc, &mut view.cannot_see);
            }
        }
        if which.slots {
            self.slots = self.keep(Walk::Slots, walks.slots(objects.maps.iter()), view);
        }
        if which.mappings {
            self.mappings = self.keep(Walk::Mappings, walks.mappings(), view);
        }
        if pass == PASSES && (which.pins || which.slots) && self.is_cut() {
            let why = "what it walks changed or was too long, three times in a row";
            let pins = self.pins.as_ref().is_some_and(|p| p.cut);
            let walk = if pins { Walk::Pins } else { Walk::Slots };
            self.fail(walk, why.into(), view);
        }
    }

    fn keep<T>(
        &mut self,
        walk: Walk,
        found: Result<T, kernel::Error>,
        view: &mut View,
    ) -> Option<T> {
        found
            .inspect_err(|error| {
                let cause = std::error::Error::source(error);
                let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
                self.fail(walk, format!("{error}{cause}"), view);
            })
            .ok()
    }

    /// What this walk would find is out of sight in this pass.
    fn fail(&mut self, walk: Walk, why: String, view: &mut View) {
        view.hide(format!(
            "the walk over {} was not made in full",
            walk.name()
        ));
        view.cannot_see.push(CannotSee {
            what: format!("all {}", walk.name()),
            why: why.clone(),
            needs: "another look".into(),
        });
        self.failed.insert(walk, why);
    }

    fn names(&self) -> Vec<String> {
        let ran = [
            (self.wanted.pins, Walk::Pins),
            (self.wanted.slots, Walk::Slots),
            (self.wanted.mappings, Walk::Mappings),
        ];
        let ran = ran.into_iter().filter(|&(ran, _)| ran);
        ran.map(|(_, walk)| walk.name().to_owned()).collect()
    }
}

fn unique(mut list: Vec<CannotSee>) -> Vec<CannotSee> {
    list.sort();
    list.dedup();
    list
}
