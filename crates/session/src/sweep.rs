//! A sweep: as many passes as the accounts need, at most three.

use crate::join::{self, Pass};
use crate::people::People;
use crate::{Error, details, paths};
use kernel::holders::mappings::MappedFile;
use kernel::holders::pins::Pins;
use kernel::holders::slots::Slots;
use kernel::{Addr, Objects, Walk, Walks};
use ledger::{Ledger, Reading, Sight};
use model::{CannotSee, Kind, ObjectId, PidNamespace, Pin, Snapshot};
use process::Proc;
use rustc_hash::{FxHashMap, FxHashSet};
use std::time::Instant;

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
        let time = jiff::Timestamp::now().to_string();
        let mut cannot_see = Vec::new();
        let sight = self.sight(&mut cannot_see);
        let proc = self.proc.clone();
        let mut people = People::new(&proc);
        let mut staged = Staged::default();

        let mut before = self.walks.objects()?;
        let mut previous: Option<Ledger> = None;
        let mut passes = 0;
        let (ledger, after) = loop {
            passes += 1;
            let files = self.walks.files()?;
            staged.again(&mut self.walks, &before, &proc, &mut cannot_see);
            let mut after = self.walks.objects()?;
            let mut ledger = self.close(
                &before,
                &after,
                &files,
                &staged,
                &mut people,
                &sight,
                previous.as_ref(),
                &mut cannot_see,
            );
            // What is left of an account says which of the costly walks are wanted.
            while staged.want(&ledger) {
                staged.again(&mut self.walks, &after, &proc, &mut cannot_see);
                after = self.walks.objects()?;
                ledger = self.close(
                    &before,
                    &after,
                    &files,
                    &staged,
                    &mut people,
                    &sight,
                    previous.as_ref(),
                    &mut cannot_see,
                );
            }
            let moving = ledger.objects().iter().any(|o| !o.settled && !o.facts.own);
            if !moving || passes == PASSES {
                break (ledger, after);
            }
            previous = Some(ledger);
            before = after;
        };

        people.cannot_see(&mut cannot_see);
        let pinned = staged.pins.as_ref().map(|pins| join::pinned(pins, &after));
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
            staged_walks: staged.names(),
            cannot_see: unique(cannot_see),
        };
        Ok(Sweep {
            snapshot,
            ledger,
            pinned: pinned.unwrap_or_default(),
        })
    }

    /// How far we can look.
    fn sight(&self, cannot_see: &mut Vec<CannotSee>) -> Sight {
        if !self.walks.has_links() {
            cannot_see.push(CannotSee {
                what: "links, and what they hold".into(),
                why: "this kernel has no iterator over links".into(),
                needs: "kernel ≥ 5.19".into(),
            });
        }
        if self.walks.pid_namespace_level() > 0 {
            let why = "lastref runs in a child pid namespace";
            cannot_see.push(CannotSee {
                what: "descriptors and mappings of processes outside this pid namespace".into(),
                why: why.into(),
                needs: "hostPID".into(),
            });
            return Sight {
                holders_out_of_sight: Some(why.into()),
            };
        }
        Sight::default()
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "one call site in two places, all of it the state of a sweep"
    )]
    fn close(
        &self,
        before: &Objects,
        after: &Objects,
        files: &kernel::holders::files::Files,
        staged: &Staged,
        people: &mut People<'_>,
        sight: &Sight,
        previous: Option<&Ledger>,
        cannot_see: &mut Vec<CannotSee>,
    ) -> Ledger {
        let pass = Pass {
            before,
            after,
            files,
            pins: staged
                .pins
                .as_ref()
                .map(|pins| (pins, staged.pin_names.as_slice())),
            slots: staged.slots.as_ref(),
            mappings: staged.mappings.as_ref(),
            own: self.walks.own(),
            own_pid: std::process::id(),
            prog_walker: self.walks.program_id(Walk::Progs),
        };
        let mut readings = pass.readings(people);
        self.other_btf(&mut readings, cannot_see);
        self.memory(&mut readings);
        let failed = staged.failed.clone();
        let sight = Sight {
            holders_out_of_sight: sight.holders_out_of_sight.clone().or(failed),
        };
        Ledger::close(readings, &sight, previous)
    }

    /// BTF that no iterated object leads to: it is opened, asked and closed.
    fn other_btf(&self, readings: &mut Vec<Reading>, cannot_see: &mut Vec<CannotSee>) {
        let own = self
            .walks
            .own()
            .iter()
            .filter(|id| id.kind == Kind::Btf)
            .map(|id| id.id);
        let known: FxHashSet<u32> = readings
            .iter()
            .filter(|r| r.facts.kind == Kind::Btf)
            .filter_map(|r| r.facts.id)
            .chain(own)
            .collect();
        match kernel::kernel_btfs(|id| known.contains(&id)) {
            Ok(btfs) => readings.extend(btfs.iter().map(|btf| Reading {
                facts: details::of_other_btf(btf),
                steady: true,
            })),
            Err(error) => cannot_see.push(CannotSee {
                what: "BTF of vmlinux and modules".into(),
                why: format!("BPF_BTF_GET_NEXT_ID: {error}"),
                needs: "CAP_SYS_ADMIN".into(),
            }),
        }
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
    let holders = facts.references.iter().flat_map(|r| &r.holders);
    holders
        .filter_map(|holder| match holder {
            model::Holder::Process(p) => Some((p.tid.unwrap_or(p.pid), *p.fds.first()?)),
            _ => None,
        })
        .next()
}

/// The walks that run only where a remainder asks for them.
#[derive(Default)]
struct Staged {
    wanted: ledger::Walks,
    pins: Option<Pins>,
    pin_names: Vec<Pin>,
    slots: Option<Slots>,
    mappings: Option<FxHashMap<Addr, MappedFile>>,
    /// Why walks could not be made: what they would find is out of sight.
    failed: Option<String>,
}

impl Staged {
    /// Notes which walks the ledger asks for. True if there is a new one.
    fn want(&mut self, ledger: &Ledger) -> bool {
        let new = ledger.walks_wanted(self.wanted);
        self.wanted.pins |= new.pins;
        self.wanted.slots |= new.slots;
        self.wanted.mappings |= new.mappings;
        new.any()
    }

    /// Runs all that were wanted so far, anew. A walk that this kernel does not
    /// take leaves the accounts open, and is said.
    fn again(
        &mut self,
        walks: &mut Walks,
        objects: &Objects,
        proc: &Proc,
        cannot_see: &mut Vec<CannotSee>,
    ) {
        if self.wanted.pins {
            self.pins = self.keep(Walk::Pins, walks.pins(), cannot_see);
            if let Some(pins) = &self.pins {
                self.pin_names = paths::name_all(pins, proc, cannot_see);
            }
        }
        if self.wanted.slots {
            self.slots = self.keep(Walk::Slots, walks.slots(objects.maps.iter()), cannot_see);
        }
        if self.wanted.mappings {
            self.mappings = self.keep(Walk::Mappings, walks.mappings(), cannot_see);
        }
    }

    fn keep<T>(
        &mut self,
        walk: Walk,
        found: Result<T, kernel::Error>,
        cannot_see: &mut Vec<CannotSee>,
    ) -> Option<T> {
        match found {
            Ok(found) => Some(found),
            Err(error) => {
                cannot_see.push(CannotSee {
                    what: walk.name().into(),
                    why: error.to_string(),
                    needs: error.needs().as_str().into(),
                });
                self.failed = Some(format!("the walk over {} failed", walk.name()));
                None
            }
        }
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
