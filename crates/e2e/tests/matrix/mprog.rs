//! tcx and netkit: lists of programs at a device (`bpf_mprog`), without links.

use crate::attached::{at, attached, check_open_then_closed, one, open_then_closed, too_old};
use e2e::bpf::{self, LinkDetail, Object, ProgSpec, attach_type, prog_type};
use e2e::net::{self, LOOPBACK};
use e2e::scene::{Cannot, OrImpossible, Outcome};
use e2e::{Expect, Who, by, fd, here, insn, scene};

fn load(name: &str, kind: u32) -> Outcome<Object> {
    const NEXT: i32 = -1;
    ProgSpec::new(prog_type::SCHED_CLS, name, insn::returns(NEXT))
        .attach(kind)
        .load()
        .or_impossible(&no_tcx())
}

fn attach(prog: &Object, device: u32, kind: u32) -> Outcome {
    bpf::attach(prog, device, kind, 0).or_impossible(&no_tcx())
}

/// Before 6.6: either the load or the attachment says so.
fn no_tcx() -> [Cannot; 2] {
    too_old((6, 6), "no tcx before Linux 6.6")
}

/// One program at the loopback device.
fn check_tcx(test: &'static str, kind: u32, attach_type: &'static str) {
    let Some(mut s) = scene(test, |stage| {
        net::private()?;
        let prog = load("e2e_tcx", kind)?;
        attach(&prog, LOOPBACK, kind)?;
        open_then_closed(stage, prog)
    }) else {
        return;
    };
    let lo = at(&s, "lo", attach_type);
    check_open_then_closed(&mut s, [one(&lo)], [lo]);
}

#[test]
fn tcx_ingress() {
    check_tcx(here!(), attach_type::TCX_INGRESS, "tcx_ingress");
}

#[test]
fn tcx_egress() {
    check_tcx(here!(), attach_type::TCX_EGRESS, "tcx_egress");
}

/// Three programs in one list, the middle one by a link; and one of them at
/// another device too.
#[test]
fn tcx_list() {
    let Some(s) = scene(here!(), |stage| {
        net::private()?;
        let kind = attach_type::TCX_INGRESS;
        let first = load("e2e_tcx_first", kind)?;
        let middle = load("e2e_tcx_middle", kind)?;
        let last = load("e2e_tcx_last", kind)?;
        attach(&first, LOOPBACK, kind)?;
        let link = bpf::link(&middle, LOOPBACK, kind, 0, LinkDetail::default())?;
        attach(&last, LOOPBACK, kind)?;
        attach(&last, net::veth("e2e0", "e2e1")?, kind)?;
        let mut report = scene::ids([
            ("first", &first),
            ("middle", &middle),
            ("last", &last),
            ("link", &link),
        ]);
        report["netns"] = net::number()?.into();
        stage.ready(report)
    }) else {
        return;
    };
    let lo = one(&at(&s, "lo", "tcx_ingress"));
    let veth = one(&at(&s, "e2e0", "tcx_ingress"));
    let link = by("link", 1, [Who::link(s.id("link"))]);
    s.check_and_why(&[
        attached(s.id("first"), [fd(&s, "first"), lo.clone()]),
        attached(s.id("middle"), [fd(&s, "middle"), link]),
        attached(s.id("last"), [fd(&s, "last"), lo, veth]),
        Expect::link(s.id("link"), [fd(&s, "link")]),
    ]);
}

/// The primary's own, and the peer's, which is attached through the primary.
#[test]
fn netkit() {
    let Some(s) = scene(here!(), |stage| {
        net::private()?;
        let device = net::netkit()?;
        let (primary, peer) = (attach_type::NETKIT_PRIMARY, attach_type::NETKIT_PEER);
        let of_primary = load("e2e_nk_primary", primary)?;
        let of_peer = load("e2e_nk_peer", peer)?;
        attach(&of_primary, device, primary)?;
        attach(&of_peer, device, peer)?;
        let mut report = scene::ids([("primary", &of_primary), ("peer", &of_peer)]);
        report["netns"] = net::number()?.into();
        stage.ready(report)
    }) else {
        return;
    };
    let primary = at(&s, "e2enk", "netkit_primary");
    // The kernel names it.
    let peer = Who::attachment_at("dev:", "netkit_peer");
    s.check_and_why(&[
        attached(s.id("primary"), [fd(&s, "primary"), one(&primary)]),
        attached(s.id("peer"), [fd(&s, "peer"), one(&peer)]),
    ]);
}
