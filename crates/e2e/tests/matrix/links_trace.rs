//! Links on what is traced, and programs that aim at other programs.

use crate::attached::link_and_prog;
use e2e::bpf::{self, LinkDetail, Object, ProgSpec, attach_type, prog_type};
use e2e::scene::{Cannot, OrImpossible, Outcome};
use e2e::{Expect, Scene, Who, btf, by, fd, here, insn, perf, scene, sys};
use std::os::fd::{AsRawFd, OwnedFd};

/// Link and program, both by descriptor. The link holds its program `times`.
fn check(s: &Scene, times: u64) {
    let [link, prog] = link_and_prog(s, times);
    s.check_and_why(&[prog, link]);
}

/// What a kernel answers that is too old for this kind of link.
fn too_old(since: (u32, u32), why: &'static str) -> Cannot {
    Cannot {
        errno: libc::EINVAL,
        since: Some(since),
        why,
    }
}

fn on_perf_event(stage: &mut e2e::Stage, program: (u32, &str), event: (u32, u64)) -> Outcome {
    on_event(stage, program, perf::event(event.0, event.1)?, 0)
}

/// A link on an event, which so many threads then inherit.
fn on_event(
    stage: &mut e2e::Stage,
    program: (u32, &str),
    event: OwnedFd,
    threads: usize,
) -> Outcome {
    let prog = ProgSpec::new(program.0, program.1, insn::returns(0)).load()?;
    let target = event.as_raw_fd() as u32;
    let link = bpf::link(
        &prog,
        target,
        attach_type::PERF_EVENT,
        0,
        LinkDetail::default(),
    )
    .or_impossible(&[too_old(
        (5, 15),
        "no links on perf events before Linux 5.15",
    )])?;
    perf::threads(threads)?;
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

/// And so do the events that threads inherited of it, more than one look counts.
#[test]
fn perf_event_inherited_by_a_hundred_threads() {
    let Some(s) = scene(here!(), |stage| {
        let program = (prog_type::PERF_EVENT, "e2e_perf_100");
        let event = perf::inherited_event(perf::SOFTWARE, perf::DUMMY)?;
        on_event(stage, program, event, 100)
    }) else {
        return;
    };
    check(&s, 102);
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

/// A link of this attach type on all the probes that its detail tells of.
fn on_probes(
    stage: &mut e2e::Stage,
    name: &str,
    (kind, detail): (u32, LinkDetail),
    cases: &[Cannot],
) -> Outcome {
    let prog = ProgSpec::new(prog_type::KPROBE, name, insn::returns(0))
        .attach(kind)
        .load()?;
    let link = bpf::link(&prog, 0, kind, 0, detail).or_impossible(cases)?;
    stage.ready(scene::ids([("prog", &prog), ("link", &link)]))
}

#[test]
fn kprobe_multi() {
    let Some(s) = scene(here!(), |stage| {
        let kind = attach_type::TRACE_KPROBE_MULTI;
        // Hardly ever called: see the tracepoint above.
        let name = c"kthread_stop";
        let names = [name.as_ptr()];
        // `struct { __u32 flags, cnt; __u64 syms, addrs, cookies; } kprobe_multi`
        let mut detail = LinkDetail::default();
        detail.0[0] = 1 << 32;
        detail.0[1] = names.as_ptr() as u64;
        let too_old = too_old((5, 18), "no kprobe_multi links before Linux 5.18");
        let [a, b] = no_probes("CONFIG_FPROBE is not set");
        on_probes(stage, "e2e_kprobes", (kind, detail), &[too_old, a, b])
    }) else {
        return;
    };
    check(&s, 1);
}

#[test]
fn uprobe_multi() {
    let Some(s) = scene(here!(), |stage| {
        let kind = attach_type::TRACE_UPROBE_MULTI;
        let path = c"/proc/self/exe";
        let offsets = [perf::probe_target_offset()?];
        // `struct { __u64 path, offsets, ref_ctr_offsets, cookies; __u32 cnt, flags, pid; } uprobe_multi`
        let mut detail = LinkDetail::default();
        detail.0[0] = path.as_ptr() as u64;
        detail.0[1] = offsets.as_ptr() as u64;
        detail.0[4] = 1;
        detail.0[5] = u64::from(std::process::id());
        let too_old = too_old((6, 6), "no uprobe_multi links before Linux 6.6");
        let [a, b] = no_probes("CONFIG_UPROBES is not set");
        on_probes(stage, "e2e_uprobes", (kind, detail), &[too_old, a, b])
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
    let (target, prog) = (s.id("target"), s.id("prog"));
    s.check_and_why(&[
        Expect::prog(
            target,
            [fd(&s, "target"), by("target", 1, [Who::prog(prog)])],
        ),
        Expect::prog(prog, [fd(&s, "prog")]),
    ]);
    s.advance();
    let link = s.id("link");
    s.check_and_why(&[
        Expect::prog(
            target,
            [fd(&s, "target"), by("target", 1, [Who::link(link)])],
        ),
        Expect::prog(prog, [fd(&s, "prog"), by("link", 1, [Who::link(link)])])
            .field("attached", true),
        Expect::link(link, [fd(&s, "link")]).field("prog_id", prog),
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
