//! Filters and actions of traffic control, and routes with programs.

use super::attachments::attachment;
use super::{Join, left};
use crate::netns::NetnsTc;
use kernel::Addr;
use kernel::holders::tc::{
    CLSACT_EGRESS, CLSACT_INGRESS, Filter, Hook, INGRESS, MAGIC_BLOCK, Name, Route,
};
use model::{By, Holder, Kind, Reference, shell_quote};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Commands in one holder: filters at the same place are one, but a command must remain
/// one that can be read.
const COMMANDS: usize = 8;
/// Routes that are told of those that may share a reference.
const ROUTES: usize = 16;
/// `RT_TABLE_MAIN`
const MAIN: u32 = 254;

impl Join<'_> {
    /// What the kernel tells with the program's id.
    pub(super) fn tc(&mut self) {
        let Some(all) = self.pass.tc else {
            return;
        };
        let progs = self.pass.after.progs.iter();
        let by_id: FxHashMap<u32, Addr> = progs.map(|prog| (prog.id, prog.addr)).collect();
        for netns in &all.list {
            self.filters(netns, &by_id);
            for action in &netns.tc.actions {
                let Some(&prog) = by_id.get(&action.prog_id) else {
                    continue;
                };
                let target = format!("action:{}@netns:{}", action.index, netns.inode);
                // One that a filter uses goes with that.
                let detach = (action.bound == 0).then(|| {
                    let index = action.index;
                    format!("{}tc actions del action bpf index {index}", netns.enter)
                });
                let holder = attachment(target, Some("act_bpf"), detach);
                self.add(prog, By::Attachment, 1, vec![holder]);
            }
            for route in &netns.tc.routes {
                for hook in &route.hooks {
                    if let Hook::Seg6Local(id) = hook
                        && let Some(&prog) = by_id.get(id)
                    {
                        let holder = on_route(netns, route, "lwt_seg6local");
                        self.add(prog, By::Attachment, 1, vec![holder]);
                    }
                }
            }
        }
    }

    fn filters(&mut self, netns: &NetnsTc, by_id: &FxHashMap<u32, Addr>) {
        let mut found: BTreeMap<(Addr, String, &str), Vec<Option<String>>> = BTreeMap::new();
        for filter in &netns.tc.filters {
            let Some(&prog) = by_id.get(&filter.prog_id) else {
                continue;
            };
            let (place, command) = place_of(netns, filter);
            let target = format!("{place}@netns:{}", netns.inode);
            let commands = found
                .entry((prog, target, attach_type(filter)))
                .or_default();
            commands.push(command);
        }
        for ((prog, target, attach_type), commands) in found {
            for commands in commands.chunks(COMMANDS) {
                let all: Option<Vec<String>> = commands.iter().cloned().collect();
                let detach = all.map(|all| all.join(" && "));
                let holder = attachment(target.clone(), Some(attach_type), detach);
                let count = commands.len() as u64;
                self.add(prog, By::Attachment, count, vec![holder]);
            }
        }
    }

    /// What can only be concluded: of a route's program the kernel tells a name that somebody
    /// chose. If just one program of the type has references left, they are the routes', as far
    /// as they go; if several have some, it could be any. Comes after everything else was found.
    pub(super) fn lwt(&mut self) {
        let hooks = [
            (Hook::In, "lwt_in"),
            (Hook::Out, "lwt_out"),
            (Hook::Xmit, "lwt_xmit"),
        ];
        for (hook, prog_type) in hooks {
            let groups = self.routes_with(hook, prog_type);
            let total: u64 = groups.iter().map(|(count, _)| count).sum();
            let mut candidates = self.readings.iter_mut().filter_map(|reading| {
                let facts = &mut reading.facts;
                let is_one = facts.kind == Kind::Prog && facts.type_name == prog_type;
                let left = if is_one && !facts.own { left(facts) } else { 0 };
                (left > 0).then_some((facts, left))
            });
            let (Some((facts, left)), None) = (candidates.next(), candidates.next()) else {
                continue;
            };
            let mut add = |count, holders| {
                let by = By::Attachment;
                facts.references.push(Reference { by, count, holders });
            };
            if total <= left {
                for (count, holders) in groups {
                    add(count, holders);
                }
            } else {
                let holders = groups.into_iter().flat_map(|(_, holders)| holders);
                let mut holders: Vec<Holder> = holders.take(ROUTES).collect();
                holders.sort();
                add(left, holders);
            }
        }
    }

    /// How often tunnels have this hook, and the routes that share them.
    fn routes_with(&self, hook: Hook, attach_type: &str) -> Vec<(u64, Vec<Holder>)> {
        let mut groups = Vec::new();
        for netns in self.pass.tc.iter().flat_map(|all| &all.list) {
            let mut shared: BTreeMap<&[u8], usize> = BTreeMap::new();
            for route in &netns.tc.routes {
                let count = route.hooks.iter().filter(|&&h| h == hook).count() as u64;
                if count == 0 {
                    continue;
                }
                let next = groups.len();
                let at = match route.shared.as_slice() {
                    [] => next,
                    bytes => *shared.entry(bytes).or_insert(next),
                };
                if at == next {
                    groups.push((count, Vec::new()));
                }
                let holders: &mut Vec<Holder> = &mut groups[at].1;
                if holders.len() < ROUTES {
                    holders.push(on_route(netns, route, attach_type));
                    holders.sort();
                }
            }
        }
        groups
    }
}

fn attach_type(filter: &Filter) -> &'static str {
    match (filter.place.device, filter.place.parent) {
        (MAGIC_BLOCK, _) => "tc",
        (_, CLSACT_INGRESS | INGRESS) => "tc_ingress",
        (_, CLSACT_EGRESS) => "tc_egress",
        _ => "tc",
    }
}

/// Where a filter is, and the command that deletes it.
fn place_of(netns: &NetnsTc, filter: &Filter) -> (String, Option<String>) {
    let parent = filter.place.parent;
    let (place, at) = if filter.place.device == MAGIC_BLOCK {
        (format!("block:{parent}"), format!("block {parent}"))
    } else {
        let Some(name) = netns.tc.devices.get(&filter.place.device) else {
            return ("dev:?".into(), None);
        };
        let side = match (attach_type(filter), parent) {
            ("tc_ingress", _) => " ingress".into(),
            ("tc_egress", _) => " egress".into(),
            // The root, if it has no handle.
            (_, 0) => String::new(),
            _ => format!(" parent {}", handle(parent)),
        };
        let at = format!("dev {}{side}", shell_quote(name));
        (format!("dev:{name}"), at)
    };
    let mut command = format!(
        "{}tc filter del {at} protocol {} pref {}",
        netns.enter,
        protocol(filter.protocol),
        filter.priority
    );
    if filter.chain != 0 {
        let _ = write!(command, " chain {}", filter.chain);
    }
    let _ = write!(command, " handle {:#x} bpf", filter.handle);
    (place, Some(command))
}

/// `1:` or `1:a`
fn handle(handle: u32) -> String {
    match (handle >> 16, handle & 0xffff) {
        (major, 0) => format!("{major:x}:"),
        (major, minor) => format!("{major:x}:{minor:x}"),
    }
}

/// `ETH_P_…` in tc's words; it takes numbers too.
fn protocol(number: u16) -> String {
    match number {
        0x0003 => "all".into(),
        0x0800 => "ip".into(),
        0x0806 => "arp".into(),
        0x8100 => "802.1Q".into(),
        0x86dd => "ipv6".into(),
        number => format!("{number:#06x}"),
    }
}

fn on_route(netns: &NetnsTc, route: &Route, attach_type: &str) -> Holder {
    let (target, command) = match &route.name {
        Name::Nexthop(id) => (format!("nexthop:{id}"), format!("ip nexthop del id {id}")),
        Name::Route {
            to,
            bits,
            table,
            kind,
            metric,
            device,
        } => {
            let ip = if to.is_ipv6() { "ip -6" } else { "ip" };
            let to = match bits {
                0 => "default".into(),
                bits => format!("{to}/{bits}"),
            };
            let mut command = format!("{ip} route del ");
            // `RTN_UNICAST` is the default.
            let kinds = [
                (2, "local "),
                (3, "broadcast "),
                (4, "anycast "),
                (5, "multicast "),
            ];
            let word = kinds.iter().find(|(number, _)| number == kind);
            command.push_str(word.map_or("", |(_, word)| word));
            command.push_str(&to);
            if let Some(name) = device.and_then(|device| netns.tc.devices.get(&device)) {
                let _ = write!(command, " dev {}", shell_quote(name));
            }
            if *table != MAIN {
                let _ = write!(command, " table {table}");
            }
            if let Some(metric) = metric {
                let _ = write!(command, " metric {metric}");
            }
            (format!("route:{to}"), command)
        }
    };
    let target = format!("{target}@netns:{}", netns.inode);
    attachment(
        target,
        Some(attach_type),
        Some(format!("{}{command}", netns.enter)),
    )
}
