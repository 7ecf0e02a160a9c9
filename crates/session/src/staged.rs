//! The walks that run only where a remainder asks for them.

use crate::netns::{self, AllTc, Ways};
use crate::paths;
use crate::privilege::{SYS_ADMIN, lacking};
use crate::sweep::View;
use kernel::holders::carriers::Carriers;
use kernel::holders::cgroups::Cgroups;
use kernel::holders::mappings::Mappings;
use kernel::holders::nets::Nets;
use kernel::holders::pins::Pins;
use kernel::holders::slots::{self, Slots};
use kernel::holders::tc::Wanted;
use kernel::{Needs, Objects, Walk, Walks};
use ledger::Ledger;
use model::{CannotSee, ObjectId, Pin};
use process::Proc;
use rustc_hash::{FxHashMap, FxHashSet};

/// What these walks found in one pass.
#[derive(Default)]
pub struct Staged {
    /// Those that were asked for in this sweep; every further pass makes them again.
    pub wanted: ledger::Walks,
    pub pins: Option<Pins>,
    pub pin_names: Vec<Pin>,
    pub slots: Option<Slots>,
    pub mappings: Option<Mappings>,
    pub nets: Option<Nets>,
    /// Into the namespaces of `nets`.
    pub ways: Ways,
    pub cgroups: Option<Cgroups>,
    pub tc: Option<AllTc>,
    /// Of descriptor tables, mappings and maps' entries together.
    pub carriers: Option<Carriers>,
    pub cgroup_mount: Option<String>,
    /// Walks that could not be made in this pass, and why.
    pub failed: FxHashMap<Walk, String>,
}

impl Staged {
    /// Notes which walks the ledger asks for, and answers those that are new. What moves does
    /// not ask as long as there will be another pass.
    pub fn want(&mut self, ledger: &Ledger, moving: &FxHashSet<ObjectId>) -> ledger::Walks {
        let new = ledger.walks_wanted_but_for(moving, self.wanted);
        self.wanted |= new;
        new
    }

    /// Asks for what has files besides descriptor tables.
    pub fn want_files(&mut self, ledger: &Ledger) -> ledger::Walks {
        let new = ledger.walks_of_files();
        self.wanted |= new;
        new
    }

    /// What the pass before found is of another moment.
    pub fn begin_pass(&mut self) {
        self.failed.clear();
        self.carriers = None;
    }

    /// A list changed during a walk, which may have missed something.
    pub fn is_cut(&self) -> bool {
        self.cut_walks().next().is_some() || self.tc_is_cut()
    }

    /// Walks that were wanted and did not show all.
    pub fn incomplete(&self) -> FxHashSet<&'static str> {
        let failed = self.failed.keys().copied();
        let walks = failed.chain(self.cut_walks()).map(Walk::name);
        walks
            .chain(self.tc_is_cut().then_some("tc filters"))
            .collect()
    }

    fn tc_is_cut(&self) -> bool {
        self.tc.as_ref().is_some_and(AllTc::is_cut)
    }

    fn cut_walks(&self) -> impl Iterator<Item = Walk> + use<> {
        let cut = [
            (self.pins.as_ref().is_some_and(|p| p.cut), Walk::Pins),
            (self.slots.as_ref().is_some_and(|s| s.cut), Walk::Slots),
            (self.nets.as_ref().is_some_and(|n| n.cut), Walk::Nets),
            (self.cgroups.as_ref().is_some_and(|c| c.cut), Walk::Cgroups),
            (
                self.carriers.as_ref().is_some_and(|c| c.cut),
                Walk::Contents,
            ),
        ];
        let cut = cut.into_iter().filter(|(cut, _)| *cut);
        cut.map(|(_, walk)| walk)
    }

    /// Runs some of the walks. One that this kernel does not take leaves the accounts
    /// open, and is said.
    pub fn run(
        &mut self,
        which: ledger::Walks,
        walks: &mut Walks,
        objects: &Objects,
        proc: &Proc,
        view: &mut View,
    ) {
        if !which.any() {
            return;
        }
        if which.pins {
            self.pins = self.keep(Walk::Pins, walks.pins(), view);
            if let Some(pins) = &self.pins {
                self.pin_names = paths::name_all(pins, proc, &mut view.cannot_see);
            }
        }
        if which.slots || which.tables {
            // Of a further stage, all of them: what was found before is of another moment.
            let (objects_too, entries_too) = (self.wanted.slots, self.wanted.tables);
            let maps = objects.maps.iter().filter(|map| {
                objects_too && slots::holds_objects(map) || entries_too && slots::has_entries(map)
            });
            self.slots = self.keep(Walk::Slots, walks.slots(maps), view);
        }
        if which.nets {
            self.nets = self.keep(Walk::Nets, walks.nets(), view);
            let nets = self.nets.as_ref();
            self.ways = nets.map_or_else(Ways::new, |nets| netns::ways(proc, nets));
        }
        if which.cgroups {
            self.cgroups = self.keep(Walk::Cgroups, walks.cgroups(), view);
            self.cgroup_mount = proc.cgroup2_mount();
        }
        if which.mappings {
            self.mappings = self.keep(Walk::Mappings, walks.mappings(), view);
        }
        if which.tc {
            let wanted = Wanted::of(&objects.progs);
            let again = || Some(walks.nets().ok()?.namespaces);
            let found = netns::look(proc, self.nets.as_ref(), again, wanted, view);
            let found =
                found.inspect_err(|error| out_of_sight(TC, &error.to_string(), LATER, view));
            self.tc = found.ok();
        }
        self.carriers(which, walks, view);
    }

    /// No further pass makes up for what a walk may have missed.
    pub fn say_cut(&mut self, view: &mut View) {
        let why = "what it walks changed meanwhile, or was too long";
        if self.tc_is_cut() {
            out_of_sight(TC, why, LATER, view);
        }
        for walk in self.cut_walks() {
            self.fail(walk, why.into(), LATER, view);
        }
    }

    /// Sockets, io_urings and perf events: where a map's entries have some, the
    /// descriptor tables tell who keeps them.
    fn carriers(&mut self, which: ledger::Walks, walks: &mut Walks, view: &mut View) {
        let in_maps = self.slots.as_mut().map(|s| std::mem::take(&mut s.carriers));
        let in_maps = in_maps.filter(|c| !c.places.is_empty());
        if which.files || in_maps.is_some() {
            self.carriers = self.keep(Walk::Carriers, walks.carriers(), view);
            for &what in walks.unknown_carriers() {
                unknown_carrier(what, view);
            }
        }
        let in_mappings = self.mappings.as_mut();
        let in_mappings = in_mappings.map(|m| std::mem::take(&mut m.carriers));
        let in_mappings = in_mappings.filter(|c| !c.places.is_empty());
        for found in in_maps.into_iter().chain(in_mappings) {
            self.carriers.get_or_insert_default().extend(found);
        }
        if let Some(mut carriers) = self.carriers.take() {
            let looked = walks.contents(&mut carriers);
            self.keep(Walk::Contents, looked, view);
            walks.inherited(&mut carriers);
            if carriers.events.values().any(|event| event.uncounted) {
                view.hide_inherited();
            }
            self.carriers = Some(carriers);
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
                let needs = match error.needs() {
                    Needs::Other => LATER,
                    needs => needs.as_str(),
                };
                self.fail(walk, format!("{error}{cause}"), needs, view);
            })
            .ok()
    }

    fn fail(&mut self, walk: Walk, why: String, needs: &str, view: &mut View) {
        if walk == Walk::Carriers {
            view.sight.processes_out_of_sight = true;
        }
        out_of_sight(walk.name(), &why, needs, view);
        self.failed.insert(walk, why);
    }

    /// The walks that were made, in words.
    pub fn names(&self) -> Vec<String> {
        let wanted = self.wanted;
        let ran = [
            (wanted.pins, Walk::Pins.name()),
            (wanted.slots, Walk::Slots.name()),
            (wanted.tables, "map entries"),
            (wanted.nets, Walk::Nets.name()),
            (wanted.cgroups, Walk::Cgroups.name()),
            (wanted.mappings, Walk::Mappings.name()),
            (wanted.tc, "tc filters"),
            (wanted.files, Walk::Carriers.name()),
        ];
        let ran = ran.into_iter().filter(|&(ran, _)| ran);
        ran.map(|(_, name)| name.to_owned()).collect()
    }
}

/// The walk over what network namespaces tell of themselves; none of a program of ours.
const TC: &str = "tc filters and routes";

/// What a walk needs that nothing but the moment was against.
const LATER: &str = "another look";

/// We may not make a file of that kind, so we recognise none of others either.
fn unknown_carrier(what: &str, view: &mut View) {
    let hidden = format!("{what} could not be recognised");
    // Debian's kernels have a level 3, which CAP_PERFMON does not pass.
    let (call, sysctl) = match what {
        "perf events" => {
            view.hide_programs(ledger::RUN_BY_EVENTS, hidden);
            ("perf_event_open", Some("kernel.perf_event_paranoid ≤ 2"))
        }
        "io_urings" => {
            view.hide(hidden);
            ("io_uring_setup", Some("kernel.io_uring_disabled = 0"))
        }
        _ => {
            view.hide(hidden);
            ("socket", None)
        }
    };
    let seccomp = format!("a seccomp filter that allows {call}");
    let needs = match (lacking(&[SYS_ADMIN]), sysctl) {
        (Some(capability), Some(sysctl)) => format!("{capability} or {sysctl}, and {seccomp}"),
        _ => seccomp,
    };
    view.cannot_see.push(CannotSee {
        what: format!("what {what} hold"),
        why: format!("lastref may not make one to recognise them by ({call})"),
        needs,
    });
}

/// What this walk would find is out of sight in this pass.
fn out_of_sight(walk: &str, why: &str, needs: &str, view: &mut View) {
    let hidden = format!("the walk over {walk} was not made in full");
    if walk == TC {
        view.hide_programs(ledger::RUN_BY_TC, hidden);
    } else {
        view.hide(hidden);
    }
    view.cannot_see.push(CannotSee {
        what: format!("all {walk}"),
        why: why.into(),
        needs: needs.into(),
    });
}
