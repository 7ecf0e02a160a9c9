//! Attachments without a link: cgroups, devices, network namespaces.

use super::{Join, left};
use crate::unique::unique;
use kernel::holders::{Hold, What};
use kernel::{Addr, Prog, names};
use model::{Attachment, By, Holder, shell_quote};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::mem;

/// More programs do not fit into the XDP dispatcher (`BPF_DISPATCHER_MAX`).
const DISPATCHED: usize = 48;
/// `enum bpf_xdp_mode`
const XDP_MODE_HW: u32 = 2;

/// Of what no process has open.
pub(super) fn attachment(
    target: String,
    attach_type: Option<&str>,
    detach: Option<String>,
) -> Holder {
    Holder::Attachment(Box::new(Attachment {
        target,
        attach_type: attach_type.map(str::to_owned),
        detach,
        open_by: Vec::new(),
    }))
}

/// A network namespace whose sockets begin with a congestion control
/// (`tcp_set_default_congestion_control`). `way` as in [`detach_from_net`].
fn congestion_control_of(netns: u32, way: Option<&str>) -> Holder {
    let target = format!("netns:{netns}");
    // Every kernel has this one.
    let detach = way.map(|way| format!("{way}sysctl net.ipv4.tcp_congestion_control=reno"));
    attachment(target, Some("tcp_congestion_control"), detach)
}

impl Join<'_> {
    pub(super) fn attachments(&mut self) {
        let progs: FxHashMap<Addr, &Prog> =
            self.pass.after.progs.iter().map(|p| (p.addr, p)).collect();
        for hold in self.pass.cgroups.iter().flat_map(|c| &c.holds) {
            if let Some(prog) = progs.get(&hold.object) {
                let holder = self.cgroup(hold, prog);
                self.add(hold.object, By::Attachment, hold.count, vec![holder]);
            }
        }
        // Per program: everything that runs it by XDP.
        let mut xdp: BTreeMap<Addr, Vec<Holder>> = BTreeMap::new();
        let struct_ops = self.struct_ops();
        for hold in self.pass.nets.iter().flat_map(|n| &n.holds) {
            if hold.what == What::Congestion
                && let Some(&map) = struct_ops.get(&hold.object)
            {
                let holder = congestion_control_of(hold.netns, self.way(hold.netns));
                self.add(map, By::StructOps, hold.count, vec![holder]);
            }
            let Some(prog) = progs.get(&hold.object) else {
                continue;
            };
            let by_link = hold.link.and_then(|link| self.holder(link));
            let holder = by_link.unwrap_or_else(|| self.on_net(hold, prog));
            // A link accounts for its own reference.
            if hold.link.is_none() {
                self.add(
                    hold.object,
                    By::Attachment,
                    hold.count,
                    vec![holder.clone()],
                );
            }
            if hold.what == What::Xdp {
                // dev_xdp_install() gives one to the driver, or to the generic hook.
                self.add(hold.object, By::Driver, 1, vec![holder.clone()]);
                if hold.place != XDP_MODE_HW {
                    xdp.entry(hold.object).or_default().push(holder);
                }
            }
        }
        let has_dispatcher = self.pass.nets.is_some_and(|n| n.has_dispatcher);
        if !has_dispatcher {
            return;
        }
        xdp.values_mut().for_each(unique);
        if xdp.len() > DISPATCHED {
            self.maybe_dispatched = xdp;
            return;
        }
        for (prog, holders) in xdp {
            // bpf_dispatcher_add_prog(): one, however many devices run it.
            self.add(prog, By::Driver, 1, holders);
        }
    }

    /// What can only be concluded: of more programs than the dispatcher takes, those in it are
    /// those that have one reference left. Comes after everything else was found.
    pub(super) fn full_dispatcher(&mut self) {
        let mut room = DISPATCHED;
        for (prog, holders) in mem::take(&mut self.maybe_dispatched) {
            let facts = self.at(prog).map(|at| &self.readings[at].facts);
            if room > 0 && facts.is_some_and(|facts| left(facts) == 1) {
                room -= 1;
                self.add(prog, By::Driver, 1, holders);
            }
        }
    }

    /// Maps by what they registered.
    pub(super) fn struct_ops(&self) -> FxHashMap<Addr, Addr> {
        let maps = self.pass.after.maps.iter();
        maps.filter_map(|m| Some((m.kdata?, m.addr))).collect()
    }

    fn cgroup(&self, hold: &Hold, prog: &Prog) -> Holder {
        let path = self.pass.cgroups.and_then(|c| c.paths.get(&hold.holder));
        let path = path.map_or("?", String::as_str);
        let attach_type = names::cgroup_attach_type(prog.prog_type, prog.attach_type, hold.place);
        let detach = detach_from_cgroup(self.pass.cgroup_mount, path, attach_type, prog.id);
        attachment(format!("cgroup:{path}"), attach_type, detach)
    }

    /// A device or a network namespace.
    fn on_net(&self, hold: &Hold, prog: &Prog) -> Holder {
        let device = self.pass.nets.and_then(|n| n.devices.get(&hold.holder));
        let target = match device {
            Some(name) => format!("dev:{name}@netns:{}", hold.netns),
            None => format!("netns:{}", hold.netns),
        };
        let attach_type = match hold.what {
            What::Xdp => "xdp",
            What::TcxIngress => "tcx_ingress",
            What::TcxEgress => "tcx_egress",
            What::NetkitPrimary => "netkit_primary",
            What::NetkitPeer => "netkit_peer",
            _ if hold.place == 0 => "flow_dissector",
            _ => "sk_lookup",
        };
        let device = device.map(String::as_str);
        let way = self.way(hold.netns);
        let detach = detach_from_net(hold, attach_type, device, prog.id, way);
        attachment(target, Some(attach_type), detach)
    }

    /// What a command begins with in this network namespace, if a way leads there.
    fn way(&self, netns: u32) -> Option<&str> {
        self.pass.ways.get(&netns.into()).map(String::as_str)
    }
}

/// A path that is not whole, whose first component is `…`, leads nowhere, or elsewhere.
fn detach_from_cgroup(
    mount: Option<&str>,
    path: &str,
    attach_type: Option<&str>,
    prog_id: u32,
) -> Option<String> {
    let mount = mount.filter(|_| path.starts_with('/'))?;
    let place = shell_quote(&format!("{}{path}", mount.trim_end_matches('/')));
    let word = attach_type?;
    Some(format!("bpftool cgroup detach {place} {word} id {prog_id}"))
}

/// `way` is what a command begins with in the hold's network namespace. Elsewhere the same command
/// would detach what is there, so without a way there is none.
fn detach_from_net(
    hold: &Hold,
    attach_type: &str,
    device: Option<&str>,
    prog_id: u32,
    way: Option<&str>,
) -> Option<String> {
    let way = way?;
    let device = device.map(shell_quote);
    let command = match (hold.what, device) {
        (What::Xdp, Some(name)) => {
            let mode = ["xdpgeneric", "xdpdrv", "xdpoffload"].get(hold.place as usize);
            let mode = mode.unwrap_or(&"xdp");
            format!("ip link set dev {name} {mode} off")
        }
        (What::TcxIngress | What::TcxEgress, Some(name)) => {
            format!("bpftool net detach {attach_type} dev {name}")
        }
        (What::Netns, _) => format!("bpftool prog detach id {prog_id} {attach_type}"),
        _ => return None,
    };
    Some(format!("{way}{command}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_of_a_cgroup_whose_path_is_known() {
        let detach = |mount, path| detach_from_cgroup(mount, path, Some("cgroup_device"), 5);
        let command = "bpftool cgroup detach '/sys/fs/cgroup/a b' cgroup_device id 5";
        let mount = Some("/sys/fs/cgroup");
        assert_eq!(detach(mount, "/a b").as_deref(), Some(command));
        assert_eq!(detach(mount, "…/a b"), None);
        assert_eq!(detach(mount, "?"), None);
        assert_eq!(detach(None, "/a b"), None);
    }

    fn hold(what: What) -> Hold {
        Hold {
            what,
            object: Addr(1),
            holder: Addr(2),
            link: None,
            netns: 7,
            place: 1,
            count: 1,
        }
    }

    #[test]
    fn a_command_runs_in_the_namespace_of_what_it_detaches() {
        let cases = [
            (What::Xdp, "xdp", "ip link set dev lo xdpdrv off"),
            (
                What::TcxIngress,
                "tcx_ingress",
                "bpftool net detach tcx_ingress dev lo",
            ),
            (
                What::Netns,
                "flow_dissector",
                "bpftool prog detach id 5 flow_dissector",
            ),
        ];
        for (what, attach_type, command) in cases {
            let detach = |way| detach_from_net(&hold(what), attach_type, Some("lo"), 5, way);
            assert_eq!(detach(Some("")).as_deref(), Some(command));
            let elsewhere = format!("nsenter -t 7 -n {command}");
            assert_eq!(detach(Some("nsenter -t 7 -n ")), Some(elsewhere));
            assert_eq!(detach(None), None);
        }
        let netkit = hold(What::NetkitPrimary);
        let netkit = detach_from_net(&netkit, "netkit_primary", Some("nk"), 5, Some(""));
        assert_eq!(netkit, None, "no program detaches from it");
    }
}
