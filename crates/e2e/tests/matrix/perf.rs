//! Programs on perf events without a link (`PERF_EVENT_IOC_SET_BPF`).

use e2e::bpf::Kind;
use e2e::bpf::{self, MapSpec, Object, ProgSpec, prog_type};
use e2e::process::map_memory;
use e2e::scene::{Child, Inherit};
use e2e::sys::{Result, dup};
use e2e::{Expect, Scene, Stop, Truth, Who, by, fd, here, insn, perf, scene};
use serde_json::json;
use std::os::fd::OwnedFd;

/// As links on such events have it.
pub const DUMMY: &str = "perf_event:type 1 config 9";
const TRACEPOINT: &str = "sched/sched_kthread_stop";

pub fn program(name: &str) -> Result<Object> {
    ProgSpec::new(prog_type::PERF_EVENT, name, insn::returns(0)).load()
}

/// An event that never fires, with the program on it.
pub fn dummy(prog: &Object) -> Result<OwnedFd> {
    let event = perf::event(perf::SOFTWARE, perf::DUMMY)?;
    perf::attach(&event, prog).map(|()| event)
}

fn tracepoint(prog: &Object) -> Result<OwnedFd> {
    let event = perf::event(perf::TRACEPOINT, perf::tracepoint_number(TRACEPOINT)?)?;
    perf::attach(&event, prog).map(|()| event)
}

fn event_array(name: &str) -> Result<Object> {
    const PERF_EVENT_ARRAY: u32 = 4;
    MapSpec::new(PERF_EVENT_ARRAY, name).create()
}

#[test]
fn software_event() {
    let Some(mut s) = scene(here!(), |stage| {
        let prog = program("e2e_ioctl")?;
        let event = dummy(&prog)?;
        stage.ready(scene::ids([("prog", &prog)]))?;
        drop(event);
        stage.ready(scene::ids([("prog", &prog)]))
    }) else {
        return;
    };
    let event = by("attachment", 1, [Who::perf_event(DUMMY, [s.pid])]);
    s.check_and_why(&[Expect::prog(s.id("prog"), [fd(&s, "prog"), event])]);
    s.advance();
    s.check_and_why(&[Expect::prog(s.id("prog"), [fd(&s, "prog")])]);
}

/// The program's own descriptor is closed: the process has it by the event's.
#[test]
fn tracepoint_event() {
    let Some(s) = scene(here!(), |stage| {
        e2e::files::private_mounts()?;
        let insns = insn::returns(0);
        let prog = ProgSpec::new(prog_type::TRACEPOINT, "e2e_ioctl_tp", insns).load()?;
        let event = tracepoint(&prog)?;
        stage.ready(scene::closed([("prog", prog)]))?;
        drop(event);
        Ok(())
    }) else {
        return;
    };
    let target = format!("tracepoint:{TRACEPOINT}");
    let event = by("attachment", 1, [Who::perf_event(target, [s.pid])]);
    s.check_and_why(&[Expect::prog(s.id("prog"), [event]).kept_by([Who::process(s.pid, [])])]);
}

/// dup(2) and fork(2) share the event.
#[test]
fn two_processes_with_one_event() {
    let Some(s) = scene(here!(), |stage| {
        let prog = program("e2e_event_shared")?;
        let event = dummy(&prog)?;
        let twin = dup(&event)?;
        let id = prog.id;
        drop(prog);
        let heir = Child::start(Inherit::All, |stage| stage.ready(json!({})))?;
        stage.ready(json!({"prog": id, "heir": heir.pid}))?;
        drop((event, twin));
        Ok(())
    }) else {
        return;
    };
    let both = [s.pid, s.id("heir")];
    let event = by("attachment", 1, [Who::perf_event(DUMMY, both)]);
    let ends = both.map(|pid| Who::process(pid, Vec::new()));
    s.check_and_why(&[Expect::prog(s.id("prog"), [event]).kept_by(ends)]);
}

/// One program on three events of one kind: three references.
#[test]
fn three_events() {
    let Some(s) = scene(here!(), |stage| {
        let prog = program("e2e_events")?;
        let events = [dummy(&prog)?, dummy(&prog)?, dummy(&prog)?];
        stage.ready(scene::ids([("prog", &prog)]))?;
        drop(events);
        Ok(())
    }) else {
        return;
    };
    let events = by("attachment", 3, [Who::perf_event(DUMMY, [s.pid])]);
    s.check_and_why(&[Expect::prog(s.id("prog"), [fd(&s, "prog"), events])]);
}

/// How many events the kernel's own count says hold the program, besides its descriptor.
fn events(s: &Scene) -> u64 {
    let refcnt = Truth::get().read().refcnt(Kind::Prog, s.id("prog"));
    refcnt.expect("it is there") - 1
}

/// Each child that inherits an event gets one of its own, which holds the program
/// too and which no file leads to (`perf_event_alloc`).
///
/// Parent and child may swap their events when the processor switches from one to
/// the other (`perf_event_context_sched_out`): then what goes with the child is
/// another's, and its own stays until the parent's is closed. How many are left is
/// therefore read from the kernel's counter.
#[test]
fn inherited_by_children() {
    let Some(mut s) = scene(here!(), |stage| {
        let prog = program("e2e_inherited")?;
        let event = perf::inherited_event(perf::SOFTWARE, perf::DUMMY)?;
        perf::attach(&event, &prog)?;
        let child = || Child::start(Inherit::Nothing, |stage| stage.ready(json!({})));
        let children = [child()?, child()?];
        let report = scene::ids([("prog", &prog)]);
        stage.ready(report.clone())?;
        drop(children);
        stage.ready(report.clone())?;
        drop(event);
        stage.ready(report)
    }) else {
        return;
    };
    let expected = |s: &Scene, events| {
        let event = by("attachment", events, [Who::perf_event(DUMMY, [s.pid])]);
        [Expect::prog(s.id("prog"), [fd(s, "prog"), event])]
    };
    s.check_and_why(&expected(&s, 3));
    s.advance();
    let left = events(&s);
    assert!((1..=3).contains(&left), "{left} events are left");
    s.check_and_why(&expected(&s, left));
    s.advance();
    s.check_and_why(&[Expect::prog(s.id("prog"), [fd(&s, "prog")])]);
}

/// More than one look counts.
#[test]
fn inherited_by_a_hundred_threads() {
    let Some(s) = scene(here!(), |stage| {
        let prog = program("e2e_hundred")?;
        let event = perf::inherited_event(perf::SOFTWARE, perf::DUMMY)?;
        perf::attach(&event, &prog)?;
        perf::threads(100)?;
        stage.ready(scene::ids([("prog", &prog)]))
    }) else {
        return;
    };
    let events = by("attachment", 101, [Who::perf_event(DUMMY, [s.pid])]);
    s.check_and_why(&[Expect::prog(s.id("prog"), [fd(&s, "prog"), events])]);
}

/// The same on a tracepoint, whose program runs for all processes anyway: whether
/// the child's event holds it depends on the kernel, and is read from its counter.
#[test]
fn tracepoint_inherited_by_a_child() {
    let Some(s) = scene(here!(), |stage| {
        e2e::files::private_mounts()?;
        let insns = insn::returns(0);
        let prog = ProgSpec::new(prog_type::TRACEPOINT, "e2e_inherit_tp", insns).load()?;
        let number = perf::tracepoint_number(TRACEPOINT)?;
        let event = perf::inherited_event(perf::TRACEPOINT, number)?;
        perf::attach(&event, &prog)?;
        let child = Child::start(Inherit::Nothing, |stage| stage.ready(json!({})))?;
        stage.ready(scene::ids([("prog", &prog)]))?;
        drop(child);
        Ok(())
    }) else {
        return;
    };
    let events = events(&s);
    assert!((1..=2).contains(&events), "{events} events");
    let target = format!("tracepoint:{TRACEPOINT}");
    let event = by("attachment", events, [Who::perf_event(target, [s.pid])]);
    s.check_and_why(&[Expect::prog(s.id("prog"), [fd(&s, "prog"), event])]);
}

/// A perf event array keeps the event by its file, in however many slots.
#[test]
fn only_in_a_map() {
    let Some(mut s) = scene(here!(), |stage| {
        let prog = program("e2e_in_array")?;
        let event = dummy(&prog)?;
        let array = event_array("e2e_events")?;
        bpf::put(&array, 1, &event)?;
        bpf::put(&array, 5, &event)?;
        let objects = [("prog", &prog), ("array", &array)];
        stage.ready(scene::ids(objects))?;
        drop(event);
        stage.ready(scene::ids(objects))?;
        bpf::take_out(&array, 1)?;
        bpf::take_out(&array, 5)?;
        stage.ready(scene::ids(objects))
    }) else {
        return;
    };
    let (prog, array) = (s.id("prog"), s.id("array"));
    let map_fd = fd(&s, "array");
    let map = || Expect::map(array, [map_fd.clone()]);
    let open = Who::perf_event(DUMMY, [s.pid]);
    let stages = [
        Some(by("attachment", 1, [open, Who::map(array)])),
        Some(by("attachment", 1, [Who::map(array)])),
        None,
    ];
    for (i, event) in stages.into_iter().enumerate() {
        if i > 0 {
            s.advance();
        }
        let references = event.into_iter().chain([fd(&s, "prog")]);
        s.check_and_why(&[Expect::prog(prog, references), map()]);
    }
}

/// The program's only way out of the kernel is a map that a process has open.
#[test]
fn kept_by_the_owner_of_the_map() {
    let Some(s) = scene(here!(), |stage| {
        let prog = program("e2e_kept")?;
        let array = event_array("e2e_keeps")?;
        bpf::put(&array, 0, &dummy(&prog)?)?;
        let id = prog.id;
        drop(prog);
        stage.ready(json!({"prog": id, "array": array.id}))
    }) else {
        return;
    };
    let event = by("attachment", 1, [Who::map(s.id("array"))]);
    s.check_and_why(&[Expect::prog(s.id("prog"), [event]).kept_by([Who::process(s.pid, [])])]);
}

/// The event's descriptor is closed; its ring buffer is still mapped, and that keeps it.
#[test]
fn only_mapped() {
    let Some(s) = scene(here!(), |stage| {
        let prog = program("e2e_event_map")?;
        let event = dummy(&prog)?;
        // A head and one page of data.
        // SAFETY: sysconf with a constant.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        let page = usize::try_from(page).map_err(|e| Stop::Failed(e.to_string()))?;
        map_memory(&event, 2 * page)?;
        drop(event);
        stage.ready(scene::ids([("prog", &prog)]))
    }) else {
        return;
    };
    let event = by("attachment", 1, [Who::perf_event(DUMMY, [s.pid])]);
    s.check_and_why(&[Expect::prog(s.id("prog"), [fd(&s, "prog"), event])]);
}

/// Sent over a socket and closed: the socket has the event.
#[test]
fn event_in_flight() {
    let Some(s) = scene(here!(), |stage| {
        let (sender, receiver) = e2e::unix::pair(libc::SOCK_STREAM)?;
        let prog = program("e2e_event_sent")?;
        let event = dummy(&prog)?;
        e2e::unix::send(&sender, &[&event])?;
        drop(event);
        stage.ready(scene::ids([("prog", &prog)]))?;
        drop(receiver);
        Ok(())
    }) else {
        return;
    };
    let event = by("attachment", 1, [Who::perf_event(DUMMY, [s.pid])]);
    s.check_and_why(&[Expect::prog(s.id("prog"), [fd(&s, "prog"), event])]);
}
