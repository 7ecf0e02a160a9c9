//! Network namespaces: what is attached to one, and those that no process is in.

use crate::attached::{at, attached, by_xdp, check_open_then_closed, one, open_then_closed};
use e2e::bpf::{self, Object, ProgSpec, attach_type, prog_type};
use e2e::files::{bind, mount, private_mounts};
use e2e::net::{self, XdpMode, set_xdp};
use e2e::sys::{Result, io};
use e2e::{Expect, Who, fd, here, insn, scene};
use std::path::Path;

pub fn dissector(name: &str) -> Result<Object> {
    ProgSpec::new(prog_type::FLOW_DISSECTOR, name, insn::returns(0))
        .attach(attach_type::FLOW_DISSECTOR)
        .load()
}

/// `BPF_PROG_ATTACH` takes the namespace of whoever calls.
#[test]
fn flow_dissector() {
    let Some(mut s) = scene(here!(), |stage| {
        net::private()?;
        let prog = dissector("e2e_dissector")?;
        bpf::attach(&prog, 0, attach_type::FLOW_DISSECTOR, 0)?;
        open_then_closed(stage, prog)
    }) else {
        return;
    };
    let netns = Who::attachment(format!("netns:{}", s.number("netns")), "flow_dissector");
    check_open_then_closed(&mut s, [one(&netns)], [netns]);
}

/// There is room for one: the next takes its place.
#[test]
fn flow_dissector_that_was_replaced() {
    let Some(s) = scene(here!(), |stage| {
        net::private()?;
        let (old, new) = (dissector("e2e_dissect_old")?, dissector("e2e_dissect_new")?);
        bpf::attach(&old, 0, attach_type::FLOW_DISSECTOR, 0)?;
        bpf::attach(&new, 0, attach_type::FLOW_DISSECTOR, 0)?;
        let mut report = scene::ids([("old", &old), ("new", &new)]);
        report["netns"] = net::number()?.into();
        stage.ready(report)
    }) else {
        return;
    };
    let netns = Who::attachment(format!("netns:{}", s.number("netns")), "flow_dissector");
    s.check_and_why(&[
        attached(s.id("new"), [fd(&s, "new"), one(&netns)]),
        Expect::prog(s.id("old"), [fd(&s, "old")]).field("attached", false),
    ]);
}

fn xdp(name: &str) -> Result<Object> {
    const PASS: i32 = 2;
    let prog = ProgSpec::new(prog_type::XDP, name, insn::returns(PASS)).load()?;
    set_xdp(net::LOOPBACK, &prog, XdpMode::Generic)?;
    Ok(prog)
}

/// Only an open file keeps the namespace.
#[test]
fn that_only_a_descriptor_keeps() {
    let Some(s) = scene(here!(), |stage| {
        let netns = net::private()?;
        let prog = xdp("e2e_netns_fd")?;
        let mut report = scene::ids([("prog", &prog)]);
        report["netns"] = net::number()?.into();
        drop(prog);
        net::private()?;
        stage.ready(report)?;
        drop(netns);
        Ok(())
    }) else {
        return;
    };
    check_without_process(&s);
}

/// Only a bind mount keeps it, as `ip netns` has it.
#[test]
fn that_only_a_mount_keeps() {
    let Some(s) = scene(here!(), |stage| {
        private_mounts()?;
        let folder = Path::new("/mnt");
        mount("tmpfs", folder)?;
        let file = folder.join("netns");
        std::fs::write(&file, "").map_err(io("create a file"))?;
        drop(net::private()?);
        let prog = xdp("e2e_netns_bind")?;
        let mut report = scene::ids([("prog", &prog)]);
        report["netns"] = net::number()?.into();
        drop(prog);
        bind(Path::new(net::CURRENT), &file)?;
        drop(net::private()?);
        stage.ready(report)
    }) else {
        return;
    };
    check_without_process(&s);
}

fn check_without_process(s: &e2e::Scene) {
    let netns = s.number("netns");
    for entry in std::fs::read_dir("/proc")
        .expect("/proc is mounted")
        .flatten()
    {
        let its = std::fs::read_link(entry.path().join("ns/net"));
        let inside = its.is_ok_and(|its| its.as_os_str() == format!("net:[{netns}]").as_str());
        assert!(!inside, "{} is in that namespace", entry.path().display());
    }
    let lo = at(s, "lo", "xdp");
    let prog = attached(s.id("prog"), by_xdp(&lo));
    s.check_and_why(&[prog.state(&["held-by-kernel"]).kept_by([lo])]);
}
