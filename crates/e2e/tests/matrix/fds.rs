//! Open files on an object, in the descriptor tables of processes.

use e2e::bpf::{self, Kind};
use e2e::process::{exec_sleep, keep_over_exec, receive_fd, send_fd, take_fd};
use e2e::scene::{Child, Inherit};
use e2e::{Expect, Scene, Who, by, here, scene, sys};
use serde_json::json;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

#[test]
fn one_descriptor() {
    let Some(s) = scene(here!(), |stage| {
        let map = bpf::hash("e2e_fd")?;
        stage.ready(scene::ids([("map", &map)]))
    }) else {
        return;
    };
    let me = Who::process(s.pid, [s.id("map_fd")]);
    let report = s.check_and_why(&[Expect::map(s.id("map"), [by("fd", 1, [me.clone()])])
        .kept_by([me])
        .field("name", "e2e_fd")
        .field("type", "hash")
        .field("max_entries", 8)]);
    assert_eq!(report["schema"], "lastref.why/0");
}

/// The same for the other kinds of object, each with one descriptor.
#[test]
fn one_descriptor_on_a_program() {
    let Some(s) = scene(here!(), |stage| {
        let prog = bpf::filter("e2e_fd_prog")?;
        stage.ready(scene::ids([("prog", &prog)]))
    }) else {
        return;
    };
    let me = Who::process(s.pid, [s.id("prog_fd")]);
    s.check_and_why(&[Expect::prog(s.id("prog"), [by("fd", 1, [me])])
        .field("name", "e2e_fd_prog")
        .field("attached", false)
        .field("maps", json!([]))]);
}

/// dup(2) makes another descriptor on the same file: no further reference.
#[test]
fn dup() {
    let Some(s) = scene(here!(), |stage| {
        let map = bpf::hash("e2e_dup")?;
        let twin = map.dup()?;
        stage.ready(json!({"map": map.id, "fds": [map.fd(), twin.as_raw_fd()]}))
    }) else {
        return;
    };
    let me = Who::process(s.pid, s.ids("fds"));
    s.check_and_why(&[Expect::map(s.id("map"), [by("fd", 1, [me])])]);
}

/// `BPF_MAP_GET_FD_BY_ID` opens another file: a further reference.
#[test]
fn second_get_fd_by_id() {
    let Some(s) = scene(here!(), |stage| {
        let map = bpf::hash("e2e_by_id")?;
        let again = map.reopen()?;
        stage.ready(json!({"map": map.id, "fds": [map.fd(), again.fd()]}))
    }) else {
        return;
    };
    let me = Who::process(s.pid, s.ids("fds"));
    s.check_and_why(&[Expect::map(s.id("map"), [by("fd", 2, [me])])]);
}

/// A hundred files, one of them duplicated: counts go by file, not by descriptor.
#[test]
fn a_hundred_files() {
    let Some(s) = scene(here!(), |stage| {
        let map = bpf::hash("e2e_hundred")?;
        let more: Vec<_> = (1..100).map(|_| map.reopen()).collect::<Result<_, _>>()?;
        let twin = more[50].dup()?;
        let mut fds = vec![map.fd(), twin.as_raw_fd() as u32];
        fds.extend(more.iter().map(bpf::Object::fd));
        stage.ready(json!({"map": map.id, "fds": fds}))
    }) else {
        return;
    };
    let me = Who::process(s.pid, s.ids("fds"));
    s.check_and_why(&[Expect::map(s.id("map"), [by("fd", 100, [me])])]);
}

/// fork(2) copies the table: the same file in two processes.
#[test]
fn inherited_by_fork() {
    let Some(s) = scene(here!(), |stage| {
        let map = bpf::hash("e2e_fork")?;
        let fd = map.fd();
        let heir = Child::start(Inherit::All, |stage| stage.ready(json!({})))?;
        stage.ready(json!({"map": map.id, "map_fd": fd, "heir": heir.pid}))
    }) else {
        return;
    };
    let fd = s.id("map_fd");
    let both = [Who::process(s.pid, [fd]), Who::process(s.id("heir"), [fd])];
    s.check_and_why(&[Expect::map(s.id("map"), [by("fd", 1, both.clone())]).kept_by(both)]);
}

/// One file shared by parent and child, and one that the child opened itself:
/// two references with different sets of holders.
#[test]
fn shared_and_own_files_are_told_apart() {
    let Some(s) = scene(here!(), |stage| {
        let map = bpf::hash("e2e_share_own")?;
        let heir = Child::start(Inherit::All, |stage| {
            let own = map.reopen()?;
            stage.ready(json!({"own": own.fd()}))
        })?;
        let own = heir.id("own");
        stage.ready(json!({"map": map.id, "map_fd": map.fd(), "heir": heir.pid, "own": own}))
    }) else {
        return;
    };
    let (fd, heir) = (s.id("map_fd"), s.id("heir"));
    s.check_and_why(&[Expect::map(
        s.id("map"),
        [
            by(
                "fd",
                1,
                [Who::process(s.pid, [fd]), Who::process(heir, [fd])],
            ),
            by("fd", 1, [Who::process(heir, [s.id("own")])]),
        ],
    )]);
}

/// A descriptor without close-on-exec survives into another program.
#[test]
fn inherited_through_exec() {
    let Some(s) = scene(here!(), |stage| {
        let map = bpf::hash("e2e_exec")?;
        let mut heir = Child::start(Inherit::All, |stage| {
            keep_over_exec(&map)?;
            stage.ready(json!({}))?;
            exec_sleep()
        })?;
        heir.become_another_program()?;
        stage.ready(json!({"map": map.id, "map_fd": map.fd(), "heir": heir.pid}))
    }) else {
        return;
    };
    let fd = s.id("map_fd");
    let both = [Who::process(s.pid, [fd]), Who::process(s.id("heir"), [fd])];
    s.check_and_why(&[Expect::map(s.id("map"), [by("fd", 1, both)])]);
}

/// Makes a map, and passes its descriptor over a socket to a child process.
fn pass_over_a_socket(name: &'static str, sender_keeps: bool) -> Option<Scene> {
    scene(name, move |stage| {
        let (ours, theirs) = UnixStream::pair().map_err(sys::io("socketpair"))?;
        let mut receiver = Child::start(Inherit::All, move |stage| {
            stage.ready(json!({}))?;
            let received = receive_fd(&theirs)?;
            stage.ready(json!({"fd": received.as_raw_fd()}))
        })?;
        let map = bpf::hash("e2e_rights")?;
        send_fd(&ours, &map)?;
        receiver.advance()?;
        let report = json!({
            "map": map.id,
            "map_fd": map.fd(),
            "receiver": receiver.pid,
            "received": receiver.id("fd"),
        });
        let kept = sender_keeps.then_some(map);
        stage.ready(report)?;
        drop(kept);
        Ok(())
    })
}

/// `SCM_RIGHTS`: the same file in a process that did not open it.
#[test]
fn received_over_a_socket() {
    let Some(s) = pass_over_a_socket(here!(), true) else {
        return;
    };
    let both = [
        Who::process(s.pid, [s.id("map_fd")]),
        Who::process(s.id("receiver"), [s.id("received")]),
    ];
    s.check_and_why(&[Expect::map(s.id("map"), [by("fd", 1, both)])]);
}

/// The sender has closed it: the receiver alone keeps the object.
#[test]
fn received_over_a_socket_and_closed_by_the_sender() {
    let Some(s) = pass_over_a_socket(here!(), false) else {
        return;
    };
    let receiver = Who::process(s.id("receiver"), [s.id("received")]);
    s.check_and_why(&[
        Expect::map(s.id("map"), [by("fd", 1, [receiver.clone()])]).kept_by([receiver])
    ]);
}

/// `pidfd_getfd` takes the same file out of another process.
#[test]
fn taken_with_pidfd_getfd() {
    let Some(s) = scene(here!(), |stage| {
        let map = bpf::hash("e2e_pidfd")?;
        let (victim, fd) = (std::process::id(), map.fd());
        let taker = Child::start(Inherit::Nothing, move |stage| {
            let taken = take_fd(victim, fd)?;
            stage.ready(json!({"fd": taken.as_raw_fd()}))
        })?;
        stage.ready(json!({
            "map": map.id, "map_fd": fd, "taker": taker.pid, "taken": taker.id("fd"),
        }))
    }) else {
        return;
    };
    let both = [
        Who::process(s.pid, [s.id("map_fd")]),
        Who::process(s.id("taker"), [s.id("taken")]),
    ];
    s.check_and_why(&[Expect::map(s.id("map"), [by("fd", 1, both)])]);
}

/// The last descriptor goes: so does the object, and the report knows it not.
#[test]
fn a_closed_object_is_gone() {
    let Some(mut s) = scene(here!(), |stage| {
        let map = bpf::hash("e2e_closed")?;
        stage.ready(scene::ids([("map", &map)]))?;
        drop(map);
        stage.ready(json!({}))
    }) else {
        return;
    };
    let id = s.id("map");
    assert!(e2e::lastref::find(&e2e::lastref::ls(), Kind::Map, id).is_some());
    s.advance();
    // The memory is freed later, the id at once (bpf_map_free_id).
    assert!(e2e::lastref::find(&e2e::lastref::ls(), Kind::Map, id).is_none());
}
