//! What holds what, as bpftool and /proc tell together, and what follows from it.

use crate::kernel::{Object, holders, linked_as, on_cgroup, on_devices, pinned_below};
use crate::proc::{Counted, counted, files_on, mappings, processes_with};
use lab::{Group, Said};
use model::Kind;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Kinds of references that nothing but lastref tells of a single object: they are counted.
const COUNTED: [&str; 3] = ["mmap", "in-flight", "socket"];

pub struct Facts {
    /// Handles that are open, by object.
    pub files: BTreeMap<Object, u64>,
    pins: BTreeSet<Object>,
    /// By the kind of reference: holder and held.
    holders: BTreeMap<&'static str, Vec<(Object, Object)>>,
    /// Programs attached without a link.
    attached: BTreeSet<Object>,
    /// Programs that the XDP dispatcher has.
    dispatched: BTreeSet<Object>,
    mappings: u64,
    pub counted: Counted,
}

impl Facts {
    /// Of a program and all in its namespaces; `cgroup` is the one that it may have made.
    pub fn of(pid: u32, cgroup: Option<&PathBuf>) -> Self {
        let processes = processes_with(pid);
        let [xdp, tc] = on_devices(pid);
        let programs = |ids: BTreeSet<u32>| -> BTreeSet<Object> {
            ids.into_iter().map(|id| Object(Kind::Prog, id)).collect()
        };
        let linked = linked_as("xdp");
        let by_netlink = xdp.iter().copied().filter(|id| !linked.contains(id));
        let in_cgroup = cgroup.map(|path| on_cgroup(path)).unwrap_or_default();
        let attached = by_netlink.chain(tc).chain(in_cgroup).collect();
        Self {
            files: files_on(&processes),
            pins: pinned_below(pid),
            holders: holders(),
            attached: programs(attached),
            dispatched: programs(xdp),
            mappings: mappings(&processes),
            counted: counted(&processes),
        }
    }

    /// Kinds of references that an object is seen to have.
    fn by(&self, object: Object) -> BTreeSet<&'static str> {
        let mut by = BTreeSet::new();
        let mut note = |kind, is| is && by.insert(kind);
        note("fd", self.files.contains_key(&object));
        note("pin", self.pins.contains(&object));
        note("attachment", self.attached.contains(&object));
        note("driver", self.dispatched.contains(&object));
        for (&kind, pairs) in &self.holders {
            note(kind, pairs.iter().any(|(_, held)| *held == object));
        }
        by
    }

    /// Holds what the groups say of what they hold against what is seen. Before a collection, what
    /// was dropped may hold more than that.
    pub fn against(&self, groups: &[Group], said: &Said, exactly: bool) -> Result<(), String> {
        let truths = Truths::new(groups, said);
        for (&object, wanted) in &truths.by {
            let seen = self.by(object);
            let told: BTreeSet<&str> = wanted
                .iter()
                .copied()
                .filter(|by| !COUNTED.contains(by) && !truths.on_perf_event(object, by))
                .collect();
            let less = told.iter().any(|by| !seen.contains(by));
            if less || exactly && seen.iter().any(|by| !told.contains(by)) {
                return Err(format!("{object:?}: seen held by {seen:?}, not {told:?}"));
            }
            let state = self.state(object, &truths);
            let group = truths.groups[&object];
            if state != group.state {
                return Err(format!("{object:?} ({}): it is {state}", group.name));
            }
        }
        let sum = |by: &str| truths.handles(|_, group| group.held_by.iter().any(|b| b == by));
        // A ring buffer is mapped in two parts.
        let rings = truths.handles(|_, group| {
            group.object.type_name == "ringbuf" && group.held_by.iter().any(|by| by == "mmap")
        });
        let events = truths.handles(|object, group| {
            let mut by = group.held_by.iter();
            by.any(|by| truths.on_perf_event(object, by))
        });
        for (what, seen, told) in [
            ("mappings", self.mappings, sum("mmap") + rings),
            ("in flight", self.counted.in_flight, sum("in-flight")),
            ("filtered sockets", self.counted.filters, sum("socket")),
        ] {
            if seen != told {
                return Err(format!("{seen} {what}, not {told}"));
            }
        }
        if events > 0 && events != self.counted.perf_events {
            let seen = self.counted.perf_events;
            return Err(format!("{seen} perf events, not {events}"));
        }
        Ok(())
    }

    /// The first that fits.
    fn state(&self, object: Object, truths: &Truths<'_>) -> &'static str {
        let mut chain = BTreeSet::from([object]);
        let mut next = vec![object];
        while let Some(held) = next.pop() {
            let all = self.holders.values().flatten();
            for (holder, _) in all.filter(|(_, other)| *other == held) {
                if chain.insert(*holder) {
                    next.push(*holder);
                }
            }
        }
        let any = |is: &dyn Fn(&Object) -> bool| chain.iter().any(is);
        let attached = any(&|o| o.0 == Kind::Link || self.attached.contains(o));
        if any(&|o| self.files.contains_key(o) || truths.by_process(*o)) {
            return "in-use";
        }
        match (any(&|o| self.pins.contains(o)), attached) {
            (true, true) => "in-use",
            (true, false) => "orphan-pin",
            (false, true) => "held-by-kernel",
            (false, false) => "held by nothing",
        }
    }
}

/// What the groups say of each object that is held.
struct Truths<'a> {
    by: BTreeMap<Object, BTreeSet<&'a str>>,
    groups: BTreeMap<Object, &'a Group>,
    /// Once for each handle.
    held: Vec<(Object, &'a Group)>,
}

impl<'a> Truths<'a> {
    fn new(groups: &'a [Group], said: &Said) -> Self {
        let mut truths = Self {
            by: BTreeMap::new(),
            groups: BTreeMap::new(),
            held: Vec::new(),
        };
        for group in groups {
            for id in said.book(&group.name).held {
                let object = Object(group.object.kind, id);
                let by = group.held_by.iter().map(String::as_str);
                truths.by.entry(object).or_default().extend(by);
                truths.groups.insert(object, group);
                truths.held.push((object, group));
            }
        }
        truths
    }

    fn handles(&self, is: impl Fn(Object, &Group) -> bool) -> u64 {
        self.held.iter().filter(|(o, g)| is(*o, g)).count() as u64
    }

    /// Attached to a perf event by ioctl: the event does not tell.
    fn on_perf_event(&self, object: Object, by: &str) -> bool {
        let group = self.groups.get(&object);
        by == "attachment" && group.is_some_and(|g| g.object.type_name == "perf_event")
    }

    /// What is counted is all a process's own.
    fn by_process(&self, object: Object) -> bool {
        let mut by = self.by.get(&object).into_iter().flatten();
        by.any(|by| COUNTED.contains(by) || self.on_perf_event(object, by))
    }
}
