//! Links in the network stack, each in a network namespace of its own.

use crate::attached::too_old;
use e2e::bpf::{self, Kind, LinkDetail, Object, ProgSpec, attach_type, map_type, prog_type};
use e2e::expect::Reference;
use e2e::insn;
use e2e::scene::{OrImpossible, Outcome};
use e2e::{Expect, Scene, Who, by, fd, here, scene};
use e2e::{lastref, net};
use std::os::fd::AsRawFd;

/// A scene with a link and its program, both by descriptor.
fn link_scene(
    name: &'static str,
    make: impl FnOnce() -> Outcome<(Object, Object)>,
) -> Option<Scene> {
    scene(name, |stage| {
        let netns = net::private()?;
        let (prog, link) = make()?;
        stage.ready(scene::ids([("prog", &prog), ("link", &link)]))?;
        drop(netns);
        Ok(())
    })
}

/// Link and program, both by descriptor. The link holds its program `times`.
fn check(s: &Scene, times: u64) {
    check_with(s, &[by("link", times, [Who::link(s.id("link"))])]);
}

/// The same, where the program is held like this besides its descriptor.
fn check_with(s: &Scene, references: &[Reference]) {
    let (link, prog) = (s.id("link"), s.id("prog"));
    let mut references = references.to_vec();
    references.push(fd(s, "prog"));
    s.check_and_why(&[
        Expect::prog(prog, references).field("attached", true),
        Expect::link(link, [fd(s, "link")])
            .field("prog_id", prog)
            .field("detached", false),
    ]);
}

fn load(prog_type: u32, attach: u32, returns: i32, name: &str) -> e2e::sys::Result<Object> {
    ProgSpec::new(prog_type, name, insn::returns(returns))
        .attach(attach)
        .load()
}

/// Generic XDP: besides the link, the device and the XDP dispatcher hold the program.
#[test]
fn xdp() {
    const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
    const XDP_PASS: i32 = 2;
    let Some(s) = link_scene(here!(), || {
        let prog = load(prog_type::XDP, attach_type::XDP, XDP_PASS, "e2e_xdp")?;
        let link = bpf::link(
            &prog,
            net::LOOPBACK,
            attach_type::XDP,
            XDP_FLAGS_SKB_MODE,
            LinkDetail::default(),
        )?;
        Ok((prog, link))
    }) else {
        return;
    };
    let link = Who::link(s.id("link"));
    check_with(
        &s,
        &[by("link", 1, [link.clone()]), by("driver", 2, [link])],
    );
}

/// A link on the scene's network namespace itself.
fn check_on_netns(test: &'static str, prog_type: u32, kind: u32, returns: i32) {
    let Some(s) = scene(test, |stage| {
        let netns = net::private()?;
        let prog = load(prog_type, kind, returns, "e2e_on_netns")?;
        let target = netns.as_raw_fd() as u32;
        let link = bpf::link(&prog, target, kind, 0, LinkDetail::default())?;
        stage.ready(scene::ids([("prog", &prog), ("link", &link)]))
    }) else {
        return;
    };
    check(&s, 1);
}

#[test]
fn sk_lookup() {
    check_on_netns(here!(), prog_type::SK_LOOKUP, attach_type::SK_LOOKUP, 1);
}

#[test]
fn flow_dissector() {
    let kind = attach_type::FLOW_DISSECTOR;
    check_on_netns(here!(), prog_type::FLOW_DISSECTOR, kind, 0);
}

#[test]
fn tcx() {
    const TCX_NEXT: i32 = -1;
    let Some(s) = link_scene(here!(), || {
        let kind = attach_type::TCX_INGRESS;
        // Before 6.6 the program type has no attach types, and the load says so.
        let cases = too_old((6, 6), "no tcx before Linux 6.6");
        let prog = load(prog_type::SCHED_CLS, kind, TCX_NEXT, "e2e_tcx").or_impossible(&cases)?;
        let link = bpf::link(&prog, net::LOOPBACK, kind, 0, LinkDetail::default())
            .or_impossible(&cases)?;
        Ok((prog, link))
    }) else {
        return;
    };
    check(&s, 1);
}

#[test]
fn netkit() {
    let Some(s) = link_scene(here!(), || {
        let device = net::netkit()?;
        let kind = attach_type::NETKIT_PRIMARY;
        let prog = load(prog_type::SCHED_CLS, kind, -1, "e2e_netkit")?;
        let link = bpf::link(&prog, device, kind, 0, LinkDetail::default())?;
        Ok((prog, link))
    }) else {
        return;
    };
    check(&s, 1);
}

/// Detached by force: the link stays, `dead`, and attaches nothing any more.
#[test]
fn netfilter_that_was_detached() {
    let Some(s) = link_scene(here!(), || {
        let (prog, link) = netfilter_link()?;
        bpf::detach(&link)?;
        Ok((prog, link))
    }) else {
        return;
    };
    let report = lastref::ls();
    let link = lastref::find(&report, Kind::Link, s.id("link")).expect("the link is listed");
    assert_eq!(link["detached"], true, "{link}");
    let prog = lastref::find(&report, Kind::Prog, s.id("prog")).expect("the program is listed");
    assert_eq!(prog["attached"], false, "{prog}");
}

#[test]
fn netfilter() {
    let Some(s) = link_scene(here!(), netfilter_link) else {
        return;
    };
    check(&s, 1);
}

fn netfilter_link() -> Outcome<(Object, Object)> {
    const NF_ACCEPT: i32 = 1;
    const NFPROTO_IPV4: u64 = 2;
    const PRIORITY: u64 = 128;
    let cases = too_old((6, 4), "no netfilter programs before Linux 6.4");
    let kind = attach_type::NETFILTER;
    let prog =
        load(prog_type::NETFILTER, kind, NF_ACCEPT, "e2e_netfilter").or_impossible(&cases)?;
    // `struct { __u32 pf, hooknum; __s32 priority; __u32 flags; } netfilter`
    let mut detail = LinkDetail::default();
    detail.0[0] = NFPROTO_IPV4;
    detail.0[1] = PRIORITY;
    let link = bpf::link(&prog, 0, kind, 0, detail)?;
    Ok((prog, link))
}

/// A link on a sockmap holds the map, and its program twice: itself, and from
/// the map, where it stands for as long as the link does (`sock_map_link_create`).
#[test]
fn sockmap() {
    let Some(s) = scene(here!(), |stage| {
        net::private()?;
        let map = bpf::MapSpec::new(map_type::SOCKMAP, "e2e_sockmap").create()?;
        let kind = attach_type::SK_SKB_VERDICT;
        let prog = load(prog_type::SK_SKB, kind, 1, "e2e_sk_skb")?;
        let link = bpf::link(&prog, map.fd(), kind, 0, LinkDetail::default())
            .or_impossible(&too_old((6, 10), "no sockmap links before Linux 6.10"))?;
        stage.ready(scene::ids([
            ("map", &map),
            ("prog", &prog),
            ("link", &link),
        ]))
    }) else {
        return;
    };
    check(&s, 2);
    let link = by("link", 1, [Who::link(s.id("link"))]);
    s.check_and_why(&[Expect::map(s.id("map"), [fd(&s, "map"), link])]);
}
