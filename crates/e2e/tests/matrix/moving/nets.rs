//! Network namespaces, devices, tc filters and sockets that come and go.

use super::watch::{Churn, processes, watch, watch_with};
use crate::attached::{at, attached, by_xdp, one};
use crate::netns::dissector;
use e2e::bpf::{self, Object, ProgSpec, attach_type, prog_type};
use e2e::net::{self, Chain, LOOPBACK, Place, XdpMode, set_xdp};
use e2e::sockets::{self, KEEP};
use e2e::sockmap::{self, Slot};
use e2e::sys::Result;
use e2e::{Expect, Who, by, fd, here, insn, scene, unix};
use serde_json::json;
use std::time::Duration;

const PASS: i32 = 2;

fn xdp(name: &str) -> Result<Object> {
    ProgSpec::new(prog_type::XDP, name, insn::returns(PASS)).load()
}

/// Each with an XDP program on its loopback device and a flow dissector.
#[test]
fn network_namespaces() {
    let Some(s) = scene(here!(), |stage| {
        let _processes = processes()?;
        net::private()?;
        let (quiet, moving) = (xdp("e2e_mv_quiet")?, xdp("e2e_mv_xdp")?);
        let (still, dissects) = (dissector("e2e_mv_still")?, dissector("e2e_mv_dissect")?);
        set_xdp(LOOPBACK, &quiet, XdpMode::Generic)?;
        bpf::attach(&still, 0, attach_type::FLOW_DISSECTOR, 0)?;
        let mut report = scene::ids([("quiet", &quiet), ("still", &still)]);
        report["netns"] = net::number()?.into();
        report["moving"] = json!([["prog", moving.id], ["prog", dissects.id]]);
        let _churn = Churn::start(move || {
            net::private()?;
            set_xdp(LOOPBACK, &moving, XdpMode::Generic)?;
            bpf::attach(&dissects, 0, attach_type::FLOW_DISSECTOR, 0)?;
            // The kernel takes longer to remove one than to make one.
            std::thread::sleep(Duration::from_millis(4));
            Ok(())
        });
        stage.ready(report)
    }) else {
        return;
    };
    let lo = at(&s, "lo", "xdp");
    let netns = Who::attachment(format!("netns:{}", s.number("netns")), "flow_dissector");
    let quiet = by_xdp(&lo).into_iter().chain([fd(&s, "quiet")]);
    watch(
        &s,
        &[
            attached(s.id("quiet"), quiet),
            attached(s.id("still"), [fd(&s, "still"), one(&netns)]),
        ],
    );
}

/// In the quiet one's namespace; they also move on to another.
#[test]
fn devices() {
    /// The device's own, the driver's and the dispatcher's. A device on its way between two
    /// namespaces, or to its end, is in no list, over a grace period (`unlist_netdevice`,
    /// `synchronize_net`): on a busy host for longer than any sweep.
    const LATE: u64 = 3;
    let Some(s) = scene(here!(), |stage| {
        let _processes = processes()?;
        let other = net::private()?;
        net::private()?;
        let (quiet, moving) = (xdp("e2e_mv_quiet")?, xdp("e2e_mv_xdp")?);
        // Between the others in the list of devices.
        net::veth("first0", "first1")?;
        set_xdp(net::veth("e2e0", "e2e1")?, &quiet, XdpMode::Native)?;
        let mut report = scene::ids([("quiet", &quiet)]);
        report["netns"] = net::number()?.into();
        report["moving"] = json!([["prog", moving.id]]);
        let _churn = Churn::start(move || {
            let device = net::veth("moving0", "moving1")?;
            let peer = net::index("moving1")?;
            set_xdp(device, &moving, XdpMode::Native)?;
            net::move_to(device, &other)?;
            net::remove(peer)
        });
        stage.ready(report)
    }) else {
        return;
    };
    let veth = at(&s, "e2e0", "xdp");
    let quiet = by_xdp(&veth).into_iter().chain([fd(&s, "quiet")]);
    watch_with(&s, &[attached(s.id("quiet"), quiet)], LATE);
}

/// In the quiet one's chain, and of devices that come and go.
#[test]
fn tc_filters() {
    /// A filter that was removed lets go of its program in a worker that takes the rtnl lock
    /// (`cls_bpf_delete_prog_work`): while devices are removed, that may take longer than any
    /// sweep.
    const LATE: u64 = 3;
    let classifier = |name| ProgSpec::new(prog_type::SCHED_CLS, name, insn::returns(0)).load();
    let Some(s) = scene(here!(), |stage| {
        let _processes = processes()?;
        net::private()?;
        let (quiet, moving) = (classifier("e2e_mv_quiet")?, classifier("e2e_mv_tc")?);
        net::clsact(LOOPBACK)?;
        let here = Place::ClsactIngress(LOOPBACK);
        net::filter(here, Chain(5, None), &quiet)?;
        let mut report = scene::ids([("quiet", &quiet)]);
        report["netns"] = net::number()?.into();
        report["moving"] = json!([["prog", moving.id]]);
        let _churn = Churn::start(move || {
            for priority in [1, 9] {
                net::filter(here, Chain(priority, None), &moving)?;
            }
            let device = net::veth("moving0", "moving1")?;
            net::clsact(device)?;
            net::filter(Place::ClsactEgress(device), Chain(1, None), &moving)?;
            for priority in [1, 9] {
                net::remove_filter(here, Chain(priority, None))?;
            }
            net::remove(device)
        });
        stage.ready(report)
    }) else {
        return;
    };
    let lo = at(&s, "lo", "tc_ingress");
    let quiet = attached(s.id("quiet"), [fd(&s, "quiet"), one(&lo)]);
    watch_with(&s, &[quiet], LATE);
}

#[test]
fn sockets_with_filters() {
    let filter = |name| ProgSpec::new(prog_type::SOCKET_FILTER, name, insn::returns(KEEP)).load();
    let Some(s) = scene(here!(), |stage| {
        let _processes = processes()?;
        let (quiet, moving) = (filter("e2e_mv_quiet")?, filter("e2e_mv_filter")?);
        let udp = || unix::socket(libc::AF_INET, libc::SOCK_DGRAM, 0);
        let socket = udp()?;
        sockets::attach_filter(&socket, &quiet)?;
        let mut report = scene::ids([("quiet", &quiet)]);
        report["socket"] = unix::inode(&socket)?.into();
        report["moving"] = json!([["prog", moving.id]]);
        let mut open = std::collections::VecDeque::new();
        let _churn = Churn::start(move || {
            open.push_back(udp()?);
            sockets::attach_filter(open.back().expect("one"), &moving)?;
            if open.len() > 20 {
                open.pop_front();
            }
            Ok(())
        });
        stage.ready(report)
    }) else {
        return;
    };
    let socket = by("socket", 1, [Who::socket(s.number("socket"), [s.pid])]);
    watch(&s, &[attached(s.id("quiet"), [fd(&s, "quiet"), socket])]);
}

/// Sockets join a sockmap and leave it.
#[test]
fn members_of_a_sockmap() {
    let Some(s) = scene(here!(), |stage| {
        let _processes = processes()?;
        sockets::private_loopback()?;
        let listener = sockets::listener()?;
        let map = |name, prog: &Object| {
            let map = sockmap::sockmap(name)?;
            sockmap::attach(&map, Slot::MsgVerdict, prog)?;
            Ok::<_, e2e::sys::Error>(map)
        };
        let (quiet, moving) = (
            sockmap::program(Slot::MsgVerdict, "e2e_mv_quiet")?,
            sockmap::program(Slot::MsgVerdict, "e2e_mv_msg")?,
        );
        let (still, moved) = (map("e2e_mv_still", &quiet)?, map("e2e_mv_moved", &moving)?);
        let (client, server) = sockets::connection(&listener)?;
        sockmap::put(&still, 77, &client)?;
        let others: Vec<_> = (0..8)
            .map(|_| sockets::connection(&listener))
            .collect::<Result<_>>()?;
        let mut report = scene::ids([("quiet", &quiet), ("still", &still)]);
        report["client"] = unix::inode(&client)?.into();
        report["moving"] = json!([["prog", moving.id], ["map", moved.id]]);
        let mut key = 0;
        let _churn = Churn::start(move || {
            for (at, (one, other)) in others.iter().enumerate() {
                sockmap::put(&moved, (key + at as u32) % 256, one)?;
                sockmap::put(&moved, (key + 100 + at as u32) % 256, other)?;
            }
            for at in 0..others.len() as u32 {
                bpf::take_out(&moved, (key + at) % 256)?;
                bpf::take_out(&moved, (key + 100 + at) % 256)?;
            }
            key += 1;
            Ok(())
        });
        stage.ready(report)?;
        drop(server);
        Ok(())
    }) else {
        return;
    };
    let member = by("socket", 1, [Who::socket(s.number("client"), [s.pid])]);
    let slot = by("map-entry", 1, [Who::map(s.id("still"))]);
    watch(
        &s,
        &[
            attached(s.id("quiet"), [fd(&s, "quiet"), slot, member]),
            Expect::map(s.id("still"), [fd(&s, "still")]),
        ],
    );
}
