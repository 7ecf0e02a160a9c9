//! Links: what holds them, and what they hold. Raw tracepoints, cgroups, iterators.

use crate::attached::link_and_prog;
use crate::cgroups;
use e2e::bpf::{self, LinkDetail, Object, ProgSpec, attach_type, prog_type};
use e2e::files::{Cgroup, private_bpffs, private_mounts};
use e2e::insn;
use e2e::{Expect, Who, by, fd, here, scene, sys};
use serde_json::json;
use std::os::fd::AsRawFd;
use std::time::Duration;

/// A tracepoint that hardly ever fires: a kernel thread is stopped.
const QUIET_TRACEPOINT: &str = "sched_kthread_stop";

fn raw_tracepoint_link(name: &str) -> sys::Result<(Object, Object)> {
    let prog = ProgSpec::new(prog_type::RAW_TRACEPOINT, name, insn::returns(0)).load()?;
    let link = bpf::raw_tracepoint(&prog, Some(QUIET_TRACEPOINT))?;
    Ok((prog, link))
}

/// A map, a program that uses it, and the program's link.
fn chain(name: &str) -> sys::Result<[(&'static str, Object); 3]> {
    let map = bpf::hash(name)?;
    let insns = insn::uses(&map, 0);
    let prog = ProgSpec::new(prog_type::RAW_TRACEPOINT, name, insns).load()?;
    let link = bpf::raw_tracepoint(&prog, Some(QUIET_TRACEPOINT))?;
    Ok([("map", map), ("prog", prog), ("link", link)])
}

/// A program for one direction of a cgroup's traffic.
fn cgroup_prog(name: &str, kind: u32) -> sys::Result<Object> {
    cgroups::load(prog_type::CGROUP_SKB, kind, name)
}

fn cgroup_link(cgroup: &Cgroup, prog: &Object, kind: u32) -> sys::Result<Object> {
    bpf::link(prog, cgroups::fd_of(cgroup), kind, 0, LinkDetail::default())
}

fn ids(prog: &Object, link: &Object) -> serde_json::Value {
    scene::ids([("prog", prog), ("link", link)])
}

#[test]
fn of_a_raw_tracepoint() {
    let Some(s) = scene(here!(), |stage| {
        let (prog, link) = raw_tracepoint_link("e2e_raw_tp")?;
        stage.ready(ids(&prog, &link))
    }) else {
        return;
    };
    let [link, prog] = link_and_prog(&s, 1);
    s.check_and_why(&[link.text("target", QUIET_TRACEPOINT), prog]);
}

/// The program's descriptor is closed, as most loaders do: map ← program ← link ← process.
#[test]
fn that_alone_keeps_its_program() {
    let Some(s) = scene(here!(), |stage| {
        let [map, prog, (_, link)] = chain("e2e_link_chain")?;
        let mut report = scene::closed([map, prog]);
        report["link"] = link.id.into();
        report["link_fd"] = link.fd().into();
        stage.ready(report)
    }) else {
        return;
    };
    let me = Who::process(s.pid, [s.id("link_fd")]);
    let (prog, link) = (s.id("prog"), s.id("link"));
    s.check_and_why(&[
        Expect::map(s.id("map"), [by("prog", 1, [Who::prog(prog)])]).kept_by([me.clone()]),
        Expect::prog(prog, [by("link", 1, [Who::link(link)])])
            .kept_by([me.clone()])
            .field("attached", true),
        Expect::link(link, [by("fd", 1, [me])]),
    ]);
}

/// A second file on the link, and a duplicate.
#[test]
fn with_several_descriptors() {
    let Some(s) = scene(here!(), |stage| {
        let (prog, link) = raw_tracepoint_link("e2e_link_fds")?;
        let again = link.reopen()?;
        let twin = again.dup()?;
        stage.ready(json!({
            "prog": prog.id, "link": link.id, "fds": [link.fd(), again.fd(), twin.as_raw_fd()],
        }))
    }) else {
        return;
    };
    let me = Who::process(s.pid, s.ids("fds"));
    s.check_and_why(&[Expect::link(s.id("link"), [by("fd", 2, [me])])]);
}

/// Pinned, every descriptor closed: in use, because something runs. In the end
/// it is the pin that keeps all three.
#[test]
fn pinned() {
    let Some(s) = scene(here!(), |stage| {
        let bpffs = private_bpffs()?;
        let objects = chain("e2e_pinned")?;
        let [_, _, (_, link)] = &objects;
        link.pin(&bpffs.join("e2e_link"))?;
        stage.ready(scene::closed(objects))
    }) else {
        return;
    };
    let pin = Who::pin(s.pid, &["/sys/fs/bpf/e2e_link"]);
    let (prog, link) = (s.id("prog"), s.id("link"));
    s.check_and_why(&[
        Expect::link(link, [by("pin", 1, [pin.clone()])])
            .field("prog_id", prog)
            .field("detached", false),
        Expect::prog(prog, [by("link", 1, [Who::link(link)])])
            .kept_by([pin.clone()])
            .field("attached", true),
        Expect::map(s.id("map"), [by("prog", 1, [Who::prog(prog)])]).kept_by([pin]),
    ]);
}

/// The descriptor's owner is another process than the program's.
#[test]
fn held_by_another_process() {
    use e2e::scene::{Child, Inherit};
    let Some(s) = scene(here!(), |stage| {
        let (prog, link) = raw_tracepoint_link("e2e_link_other")?;
        let id = link.id;
        let other = Child::start(Inherit::Nothing, move |stage| {
            let link = bpf::by_id(bpf::Kind::Link, id)?;
            stage.ready(json!({"fd": link.fd()}))
        })?;
        drop(link);
        stage.ready(json!({
            "prog": prog.id, "prog_fd": prog.fd(), "link": id,
            "other": other.pid, "other_fd": other.id("fd"),
        }))
    }) else {
        return;
    };
    let me = Who::process(s.pid, [s.id("prog_fd")]);
    let other = Who::process(s.id("other"), [s.id("other_fd")]);
    let link = s.id("link");
    s.check_and_why(&[
        Expect::prog(
            s.id("prog"),
            [by("fd", 1, [me.clone()]), by("link", 1, [Who::link(link)])],
        )
        .kept_by([me, other.clone()]),
        Expect::link(link, [by("fd", 1, [other])]),
    ]);
}

#[test]
fn of_a_cgroup() {
    let Some(mut s) = scene(here!(), |stage| {
        private_mounts()?;
        let cgroup = Cgroup::new()?;
        let kind = attach_type::CGROUP_INET_INGRESS;
        let prog = cgroup_prog("e2e_cgroup", kind)?;
        let link = cgroup_link(&cgroup, &prog, kind)?;
        let mut report = ids(&prog, &link);
        report["cgroup"] = cgroup.name.clone().into();
        stage.ready(report)?;
        // The cgroup goes, the link stays: detached.
        drop(cgroup);
        while bpf::cgroup_of_link(&link)? != 0 {
            // The kernel's worker detaches it (cgroup_bpf_release).
            std::thread::sleep(Duration::from_millis(5));
        }
        stage.ready(json!({}))
    }) else {
        return;
    };
    let [link, prog] = link_and_prog(&s, 1);
    let cgroup = s.text("cgroup").to_owned();
    s.check_and_why(&[
        link.clone().text("target", cgroup).field("detached", false),
        prog.clone(),
    ]);
    s.advance();
    s.check_and_why(&[link.field("detached", true), prog.field("attached", false)]);
}

/// `BPF_LINK_UPDATE`: the link lets its old program go, and holds the new one.
#[test]
fn whose_program_was_replaced() {
    let Some(s) = scene(here!(), |stage| {
        private_mounts()?;
        let cgroup = Cgroup::new()?;
        let kind = attach_type::CGROUP_INET_EGRESS;
        let (old, new) = (cgroup_prog("e2e_old", kind)?, cgroup_prog("e2e_new", kind)?);
        let link = cgroup_link(&cgroup, &old, kind)?;
        bpf::replace_prog(&link, &new)?;
        stage.ready(scene::ids([("old", &old), ("new", &new), ("link", &link)]))
    }) else {
        return;
    };
    let link = s.id("link");
    s.check_and_why(&[
        Expect::prog(
            s.id("new"),
            [fd(&s, "new"), by("link", 1, [Who::link(link)])],
        )
        .field("attached", true),
        Expect::prog(s.id("old"), [fd(&s, "old")]).field("attached", false),
        Expect::link(link, [fd(&s, "link")]).field("prog_id", s.id("new")),
    ]);
}

/// `BPF_LINK_DETACH`: it still holds its program, but does nothing.
#[test]
fn detached_by_force() {
    let Some(s) = scene(here!(), |stage| {
        private_mounts()?;
        let cgroup = Cgroup::new()?;
        let kind = attach_type::CGROUP_INET_INGRESS;
        let prog = cgroup_prog("e2e_detach", kind)?;
        let link = cgroup_link(&cgroup, &prog, kind)?;
        bpf::detach(&link)?;
        stage.ready(ids(&prog, &link))
    }) else {
        return;
    };
    let [link, prog] = link_and_prog(&s, 1);
    s.check_and_why(&[link.field("detached", true), prog.field("attached", false)]);
}

#[test]
fn of_an_iterator() {
    let Some(s) = scene(here!(), |stage| {
        let prog = bpf::iterator("e2e_iter", "bpf_map")?;
        let link = bpf::iterator_link(&prog, None)?;
        stage.ready(ids(&prog, &link))
    }) else {
        return;
    };
    let [link, prog] = link_and_prog(&s, 1);
    s.check_and_why(&[link.text("target", "bpf_map"), prog]);
}

/// An iterator over the elements of one map: its link holds the map.
#[test]
fn of_an_iterator_on_a_map() {
    let Some(s) = scene(here!(), |stage| {
        let map = bpf::hash("e2e_iter_map")?;
        let prog = bpf::iterator("e2e_iter_elem", "bpf_map_elem")?;
        let link = bpf::iterator_link(&prog, Some(&map))?;
        let id = map.id;
        drop(map);
        let mut report = ids(&prog, &link);
        report["map"] = id.into();
        stage.ready(report)
    }) else {
        return;
    };
    let [link, prog] = link_and_prog(&s, 1);
    let holder = Who::link(s.id("link"));
    s.check_and_why(&[
        Expect::map(s.id("map"), [by("link", 1, [holder])]).kept_by([Who::process(s.pid, [])]),
        link,
        prog,
    ]);
}

/// An open iterator file holds its program; its link may be gone.
#[test]
fn whose_iterator_file_is_open() {
    let Some(mut s) = scene(here!(), |stage| {
        let prog = bpf::iterator("e2e_iter_open", "bpf_map")?;
        let link = bpf::iterator_link(&prog, None)?;
        let file = bpf::open_iterator(&link)?;
        let mut report = ids(&prog, &link);
        report["file"] = file.as_raw_fd().into();
        stage.ready(report)?;
        drop((prog, link));
        stage.ready(json!({}))
    }) else {
        return;
    };
    let me = Who::process(s.pid, [s.id("file")]);
    let (prog, link) = (s.id("prog"), s.id("link"));
    let file = by("iterator", 1, [me.clone()]);
    s.check_and_why(&[
        Expect::prog(
            prog,
            [
                fd(&s, "prog"),
                by("link", 1, [Who::link(link)]),
                file.clone(),
            ],
        ),
        Expect::link(link, [fd(&s, "link")]),
    ]);
    s.advance();
    s.check_and_why(&[Expect::prog(prog, [file]).kept_by([me])]);
}

/// The file of an iterator over one map holds that map too.
#[test]
fn whose_iterator_file_on_a_map_is_open() {
    let Some(s) = scene(here!(), |stage| {
        let map = bpf::hash("e2e_iter_file")?;
        let prog = bpf::iterator("e2e_iter_felem", "bpf_map_elem")?;
        let link = bpf::iterator_link(&prog, Some(&map))?;
        let file = bpf::open_iterator(&link)?;
        let report = json!({"map": map.id, "prog": prog.id, "file": file.as_raw_fd()});
        drop((map, prog, link));
        stage.ready(report)?;
        drop(file);
        Ok(())
    }) else {
        return;
    };
    let me = Who::process(s.pid, [s.id("file")]);
    let file = by("iterator", 1, [me.clone()]);
    s.check_and_why(&[
        Expect::map(s.id("map"), [file.clone()]).kept_by([me]),
        Expect::prog(s.id("prog"), [file]),
    ]);
}

/// An iterator whose link is pinned, and the pin opened: open(2) makes a file too.
#[test]
fn whose_pinned_iterator_is_open() {
    let Some(s) = scene(here!(), |stage| {
        let pin = private_bpffs()?.join("e2e_iter");
        let prog = bpf::iterator("e2e_iter_pin", "bpf_map")?;
        let link = bpf::iterator_link(&prog, None)?;
        link.pin(&pin)?;
        let file = std::fs::File::open(&pin).map_err(sys::io("open a pinned iterator"))?;
        let report = json!({"prog": prog.id, "link": link.id, "file": file.as_raw_fd()});
        drop((prog, link));
        stage.ready(report)?;
        drop(file);
        Ok(())
    }) else {
        return;
    };
    let me = Who::process(s.pid, [s.id("file")]);
    let pin = Who::pin(s.pid, &["/sys/fs/bpf/e2e_iter"]);
    let link = s.id("link");
    s.check_and_why(&[
        Expect::prog(
            s.id("prog"),
            [by("link", 1, [Who::link(link)]), by("iterator", 1, [me])],
        ),
        Expect::link(link, [by("pin", 1, [pin])]),
    ]);
}
