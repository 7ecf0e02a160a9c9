//! Links on what is traced, and programs that aim at other programs.

use e2e::bpf::{
    self, Kind, LinkDetail, MapSpec, Object, ProgSpec, attach_type, map_type, prog_type,
};
use e2e::scene::{Cannot, OrImpossible, Outcome};
use e2e::{Expect, Scene, Truth, Who, btf, by, here, insn, lastref, perf, scene, sys};
use serde_json::Value;
use std::os::fd::AsRawFd;

/// Link and program, both by descriptor. The link holds its program `times`.
fn check(s: &Scene, times: u64) {
    let fd = |name: &str| by("fd", 1, [Who::process(s.pid, [s.id(name)])]);
    let (link, prog) = (s.id("link"), s.id("prog"));
    let by_link = by("link", times, [Who::link(link)]);
    s.check_and_why(&[
        Expect::prog(prog, [fd("prog_fd"), by_link]).field("attached", true),
        Expect::link(link, [fd("link_fd")]).field("prog_id", prog),
    ]);
}

fn on_perf_event(stage: &mut e2e::Stage, program: (u32, &str), event: (u32, u64)) -> Outcome {
    let prog = ProgSpec::new(program.0, program.1, insn::returns(0)).load()?;
    let event = perf::event(event.0, event.1)?;
    let target = event.as_raw_fd() as u32;
    let link = bpf::link(
        &prog,
        target,
        attach_type::PERF_EVENT,
        0,
        LinkDetail::default(),
    )?;
    // The link keeps the event by its file.
    drop(event);
    stage.ready(scene::ids([("prog", &prog), ("link", &link)]))
}

/// The link holds its program, and so does the event that the link keeps
/// (`bpf_perf_link_attach`, which says that `perf_event_set_bpf_prog` takes none of its own).
#[test]
fn perf_event() {
    let Some(s) = scene(here!(), |stage| {
        let program = (prog_type::PERF_EVENT, "e2e_perf");
        on_perf_event(stage, program, (perf::SOFTWARE, perf::DUMMY))
    }) else {
        return;
    };
    check(&s, 2);
}

#[test]
fn tracepoint() {
    let Some(s) = scene(here!(), |stage| {
        e2e::files::private_mounts()?;
        let number = perf::tracepoint_number("sched/sched_kthread_stop")?;
        let program = (prog_type::TRACEPOINT, "e2e_tracepoint");
        on_perf_event(stage, program, (perf::TRACEPOINT, number))
    }) else {
        return;
    };
    check(&s, 2);
}

/// What a kernel without the probes in question answers.
fn no_probes(why: &'static str) -> [Cannot; 2] {
    [libc::EOPNOTSUPP, sys::ENOTSUPP].map(|errno| Cannot {
        errno,
        since: None,
        why,
    })
}

#[test]
fn kprobe_multi() {
    let Some(s) = scene(here!(), |stage| {
        let kind = attach_type::TRACE_KPROBE_MULTI;
        let prog = ProgSpec::new(prog_type::KPROBE, "e2e_kprobes", insn::returns(0))
            .attach(kind)
            .load()?;
        // Hardly ever called: see the tracepoint above.
        let name = c"kthread_stop";
        let names = [name.as_ptr()];
        // `struct { __u32 flags, cnt; __u64 syms, addrs, cookies; } kprobe_multi`
        let mut detail = LinkDetail::default();
        detail.0[0] = 1 << 32;
        detail.0[1] = names.as_ptr() as u64;
        let link = bpf::link(&prog, 0, kind, 0, detail)
            .or_impossible(&no_probes("CONFIG_FPROBE is not set"))?;
        stage.ready(scene::ids([("prog", &prog), ("link", &link)]))
    }) else {
        return;
    };
    check(&s, 1);
}

#[test]
fn uprobe_multi() {
    let Some(s) = scene(here!(), |stage| {
        let kind = attach_type::TRACE_UPROBE_MULTI;
        let prog = ProgSpec::new(prog_type::KPROBE, "e2e_uprobes", insn::returns(0))
            .attach(kind)
            .load()?;
        let path = c"/proc/self/exe";
        let offsets = [perf::probe_target_offset()?];
        // `struct { __u64 path, offsets, ref_ctr_offsets, cookies; __u32 cnt, flags, pid; } uprobe_multi`
        let mut detail = LinkDetail::default();
        detail.0[0] = path.as_ptr() as u64;
        detail.0[1] = offsets.as_ptr() as u64;
        detail.0[4] = 1;
        detail.0[5] = u64::from(std::process::id());
        let too_old = Cannot {
            errno: libc::EINVAL,
            since: Some((6, 6)),
            why: "no uprobe_multi links before Linux 6.6",
        };
        let [a, b] = no_probes("CONFIG_UPROBES is not set");
        let link = bpf::link(&prog, 0, kind, 0, detail).or_impossible(&[too_old, a, b])?;
        stage.ready(scene::ids([("prog", &prog), ("link", &link)]))
    }) else {
        return;
    };
    check(&s, 1);
}

/// A program whose only function others can aim at.
fn target() -> sys::Result<(Object, Object)> {
    let btf = bpf::load_btf(&btf::blob())?;
    let prog = ProgSpec::new(prog_type::SOCKET_FILTER, "e2e_target", insn::returns(0))
        .btf(&btf)
        .load()?;
    Ok((btf, prog))
}

/// Scenes of a program that aims at another: loaded (it holds its target), then
/// attached (its link holds it).
fn aiming(name: &'static str, kind: u32, attach: u32) -> Option<Scene> {
    scene(name, move |stage| {
        let (btf, target) = target()?;
        let spec = ProgSpec::new(kind, "e2e_aims", insn::returns(0)).attach(attach);
        // An extension must have the same signature as what it replaces.
        let spec = if kind == prog_type::EXT {
            spec.btf(&btf)
        } else {
            spec
        };
        let prog = spec
            .aims_at(btf::MAIN, Some(&target))
            .load()
            .or_impossible(&trampolines())?;
        stage.ready(scene::ids([("prog", &prog), ("target", &target)]))?;
        let link = bpf::raw_tracepoint(&prog, None).or_impossible(&trampolines())?;
        let objects = [("prog", &prog), ("target", &target), ("link", &link)];
        stage.ready(scene::ids(objects))
    })
}

/// What kernels answer that cannot patch a program's entry. EPERM to root with
/// `CAP_SYS_ADMIN` comes from kernels that were hardened against it.
fn trampolines() -> [Cannot; 3] {
    [libc::EPERM, sys::ENOTSUPP, libc::EOPNOTSUPP].map(|errno| Cannot {
        errno,
        since: None,
        why: "this kernel refuses fentry, fexit and freplace programs",
    })
}

fn check_aiming(scene: Option<Scene>) {
    let Some(mut s) = scene else {
        return;
    };
    let fd = |s: &Scene, name: &str| by("fd", 1, [Who::process(s.pid, [s.id(name)])]);
    let (target, prog) = (s.id("target"), s.id("prog"));
    s.check_and_why(&[
        Expect::prog(
            target,
            [fd(&s, "target_fd"), by("target", 1, [Who::prog(prog)])],
        ),
        Expect::prog(prog, [fd(&s, "prog_fd")]),
    ]);
    s.advance();
    let link = s.id("link");
    s.check_and_why(&[
        Expect::prog(
            target,
            [fd(&s, "target_fd"), by("target", 1, [Who::link(link)])],
        ),
        Expect::prog(prog, [fd(&s, "prog_fd"), by("link", 1, [Who::link(link)])])
            .field("attached", true),
        Expect::link(link, [fd(&s, "link_fd")]).field("prog_id", prog),
    ]);
}

#[test]
fn fentry_on_a_program() {
    let kind = attach_type::TRACE_FENTRY;
    check_aiming(aiming(here!(), prog_type::TRACING, kind));
}

#[test]
fn freplace_of_a_program() {
    check_aiming(aiming(here!(), prog_type::EXT, 0));
}

/// Loads what the kernel requires of a congestion control, and registers it by a
/// link: `e2e_cc` in the list of the network namespace, used by nobody.
fn congestion_control(btf: &Object) -> Outcome<(Object, Vec<Object>, Object)> {
    let refused = "this kernel cannot run struct_ops programs";
    let cases = [libc::EPERM, sys::ENOTSUPP, libc::EOPNOTSUPP].map(|errno| Cannot {
        errno,
        since: None,
        why: refused,
    });
    let ops = btf::kernel_struct("tcp_congestion_ops")?;
    let value_type = btf::kernel_struct("bpf_struct_ops_tcp_congestion_ops")?;
    let (_, data) = value_type.member("data")?;
    let (_, name) = ops.member("name")?;
    let mut value = vec![0; value_type.size];
    value[data + name..][..6].copy_from_slice(b"e2e_cc");
    let mut progs = Vec::new();
    for member in ["ssthresh", "undo_cwnd", "cong_avoid"] {
        let (index, offset) = ops.member(member)?;
        let prog = ProgSpec::new(prog_type::STRUCT_OPS, member, insn::returns(2))
            .attach(index as u32)
            .aims_at(ops.id, None)
            .load()
            .or_impossible(&cases)?;
        // In the place of the function's address stands the program's descriptor.
        let fd = u64::from(prog.fd());
        value[data + offset..][..8].copy_from_slice(&fd.to_ne_bytes());
        progs.push(prog);
    }
    let mut spec = MapSpec::new(map_type::STRUCT_OPS, "e2e_cc").flags(bpf::F_LINK);
    spec.value_size = value.len() as u32;
    spec.max_entries = 1;
    spec.btf_fd = btf.fd();
    spec.btf_vmlinux_value_type_id = value_type.id;
    let map = spec.create().or_impossible(&[Cannot {
        errno: libc::EINVAL,
        since: Some((6, 4)),
        why: "no struct_ops links before Linux 6.4",
    }])?;
    bpf::put_bytes(&map, 0, &value)?;
    let kind = attach_type::STRUCT_OPS;
    let link = bpf::link(&map, 0, kind, 0, LinkDetail::default())?;
    Ok((map, progs, link))
}

/// A `struct_ops` link holds its map, and has no program. The map holds its
/// programs through links without an id.
#[test]
fn struct_ops() {
    let Some(s) = scene(here!(), |stage| {
        let btf = bpf::load_btf(&btf::blob())?;
        let (map, progs, link) = congestion_control(&btf)?;
        let mut report = scene::ids([("map", &map), ("link", &link)]);
        report["progs"] = progs.iter().map(|p| p.id).collect();
        stage.ready(report)
    }) else {
        return;
    };
    let fd = |name: &str| by("fd", 1, [Who::process(s.pid, [s.id(name)])]);
    let link = s.id("link");
    s.check_and_why(&[
        Expect::map(
            s.id("map"),
            [fd("map_fd"), by("struct-ops", 1, [Who::link(link)])],
        ),
        Expect::link(link, [fd("link_fd")]).field("prog_id", Value::Null),
    ]);
    // How the map's hold on its programs is named is not laid down; that it is
    // not lost is.
    let ids = s.ids("progs");
    // Another test's iterator holds what it shows: such an account is not settled.
    let settled = |report: &Value| {
        let of = |id: &u32| lastref::find(report, Kind::Prog, *id);
        ids.iter()
            .all(|id| of(id).is_some_and(|prog| prog["settled"] == true))
    };
    let looks = (0..20).map(|_| lastref::ls());
    let report = looks.into_iter().find(settled).expect("a quiet moment");
    let two = |id: &u32| Truth::get().read().refcnt(Kind::Prog, *id) == Some(2);
    for &id in &ids {
        let prog = lastref::find(&report, Kind::Prog, id).expect("it is listed");
        assert!((0..20).any(|_| two(&id)), "the kernel's own count");
        assert_eq!(prog["refcnt"], 2);
        let parts = ["explained", "unexplained"].map(|p| prog[p].as_u64().unwrap_or(0));
        assert_eq!(parts[0] + parts[1], 2, "{prog}");
    }
}
