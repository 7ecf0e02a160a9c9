//! Files that are in flight: sent over a Unix socket (`SCM_RIGHTS`), and not received yet.

use e2e::bpf::{self, Kind, MapSpec, Object, ProgSpec, map_type, prog_type};
use e2e::scene::{Child, Inherit, Outcome};
use e2e::sys::Result;
use e2e::{Expect, Scene, Stage, Who, btf, by, here, insn, net, scene, unix};
use serde_json::json;
use std::os::fd::{AsRawFd, RawFd};

/// A typed map, a program, its link, and the BTF.
fn four_kinds() -> Result<[Object; 4]> {
    let btf = bpf::load_btf(&btf::blob())?;
    let map = MapSpec::new(map_type::HASH, "e2e_flying")
        .btf(&btf)
        .create()?;
    let prog = ProgSpec::new(prog_type::RAW_TRACEPOINT, "e2e_flying", insn::returns(0)).load()?;
    let link = bpf::raw_tracepoint(&prog, Some("sched_kthread_stop"))?;
    Ok([map, prog, link, btf])
}

/// Each of the four is held by one file, and that by `carrier` alone.
fn check_four_kinds(s: &Scene, reference: &'static str, carrier: &Who, kept_by: &Who) {
    let [map, prog, link, btf]: [u32; 4] = s.ids("four").try_into().expect("four ids");
    let file = || by(reference, 1, [carrier.clone()]);
    let all = [
        Expect::map(map, [file()]).kept_by([kept_by.clone()]),
        Expect::prog(prog, [file(), by("link", 1, [Who::link(link)])]).field("attached", true),
        Expect::link(link, [file()]).kept_by([kept_by.clone()]),
        Expect::btf(btf, [file(), by("btf-user", 1, [Who::map(map)])]),
    ];
    for expected in all {
        s.check_and_why(&[expected]);
    }
}

fn ids_of(objects: &[Object; 4]) -> Vec<u32> {
    objects.iter().map(|o| o.id).collect()
}

/// Map, program, link and BTF in one message over a pair of sockets.
fn one_message(stage: &mut Stage, kind: i32) -> Outcome {
    let (sender, receiver) = unix::pair(kind)?;
    let four = four_kinds()?;
    let [map, prog, link, btf] = &four;
    unix::send(&sender, &[map, prog, link, btf])?;
    let ids = ids_of(&four);
    drop(four);
    stage.ready(json!({"four": ids, "inode": unix::inode(&receiver)?}))
}

fn check_one_message(scene: Option<Scene>) {
    let Some(s) = scene else {
        return;
    };
    let receiver = Who::socket(s.number("inode"), [s.pid]);
    check_four_kinds(&s, "in-flight", &receiver, &Who::process(s.pid, []));
}

#[test]
fn in_a_stream() {
    check_one_message(scene(here!(), |stage| {
        one_message(stage, libc::SOCK_STREAM)
    }));
}

#[test]
fn in_a_datagram() {
    check_one_message(scene(here!(), |stage| one_message(stage, libc::SOCK_DGRAM)));
}

#[test]
fn in_a_packet_of_a_sequence() {
    check_one_message(scene(here!(), |stage| {
        one_message(stage, libc::SOCK_SEQPACKET)
    }));
}

/// As many as one message carries.
#[test]
fn a_full_message() {
    let Some(s) = scene(here!(), |stage| {
        let (sender, receiver) = unix::pair(libc::SOCK_STREAM)?;
        let (map, other) = (bpf::hash("e2e_full")?, bpf::hash("e2e_full_other")?);
        let files: Vec<_> = (2..unix::MOST)
            .map(|_| map.reopen())
            .collect::<Result<_>>()?;
        let mut fds: Vec<RawFd> = files.iter().map(AsRawFd::as_raw_fd).collect();
        // The same file twice is one reference.
        fds.extend([other.as_raw_fd(), other.as_raw_fd()]);
        unix::send_raw(&sender, &fds)?;
        let report = json!({
            "map": map.id, "other": other.id, "inode": unix::inode(&receiver)?,
        });
        drop((files, map, other));
        stage.ready(report)
    }) else {
        return;
    };
    let receiver = || Who::socket(s.number("inode"), [s.pid]);
    s.check_and_why(&[
        Expect::map(s.id("map"), [by("in-flight", 251, [receiver()])]),
        Expect::map(s.id("other"), [by("in-flight", 1, [receiver()])]),
    ]);
}

/// In both directions, two in each message.
#[test]
fn several_messages() {
    let Some(s) = scene(here!(), |stage| {
        let (one, other) = unix::pair(libc::SOCK_STREAM)?;
        let map = bpf::hash("e2e_messages")?;
        for sender in [&one, &one, &one, &other] {
            unix::send(sender, &[&map.reopen()?, &map.reopen()?])?;
        }
        let id = map.id;
        drop(map);
        stage.ready(json!({
            "map": id, "one": unix::inode(&one)?, "other": unix::inode(&other)?,
        }))
    }) else {
        return;
    };
    let sent_to = |socket: &str| Who::socket(s.number(socket), [s.pid]);
    s.check_and_why(&[Expect::map(
        s.id("map"),
        [
            by("in-flight", 6, [sent_to("other")]),
            by("in-flight", 2, [sent_to("one")]),
        ],
    )]);
}

/// A long queue, with two maps in turn.
#[test]
fn three_hundred_messages() {
    let Some(s) = scene(here!(), |stage| {
        let (sender, receiver) = unix::pair(libc::SOCK_STREAM)?;
        unix::enlarge(&sender)?;
        let maps = [bpf::hash("e2e_queue_1")?, bpf::hash("e2e_queue_2")?];
        for i in 0..300 {
            unix::send(&sender, &[&maps[i % 2].reopen()?])?;
        }
        let ids = maps.each_ref().map(|m| m.id);
        drop(maps);
        stage.ready(json!({"maps": ids, "inode": unix::inode(&receiver)?}))
    }) else {
        return;
    };
    let expected = s.ids("maps").into_iter().map(|map| {
        let receiver = Who::socket(s.number("inode"), [s.pid]);
        Expect::map(map, [by("in-flight", 150, [receiver])])
    });
    s.check_and_why(&expected.collect::<Vec<_>>());
}

/// Sent, and kept by the sender: one file, and who has it are both.
#[test]
fn also_in_a_table() {
    let Some(mut s) = scene(here!(), |stage| {
        let (sender, receiver) = unix::pair(libc::SOCK_STREAM)?;
        let four = four_kinds()?;
        let [map, prog, link, btf] = &four;
        unix::send(&sender, &[map, prog, link, btf])?;
        let inode = unix::inode(&receiver)?;
        stage.ready(json!({"map": map.id, "map_fd": map.fd(), "inode": inode}))?;
        // Looked at, it is in both places as well.
        let ids = ids_of(&four);
        drop(four);
        let peeked = unix::receive(&receiver, libc::MSG_PEEK)?;
        stage.ready(json!({"map": ids[0], "map_fd": peeked[0].as_raw_fd(), "inode": inode}))?;
        // Received, it is in the table alone.
        drop(peeked);
        let taken = unix::receive(&receiver, 0)?;
        stage.ready(json!({"map": ids[0], "map_fd": taken[0].as_raw_fd()}))
    }) else {
        return;
    };
    for _ in 0..2 {
        let both = [
            Who::process(s.pid, [s.id("map_fd")]),
            Who::socket(s.number("inode"), [s.pid]),
        ];
        s.check_and_why(&[
            Expect::map(s.id("map"), [by("fd", 1, both)]).kept_by([Who::process(s.pid, [])])
        ]);
        s.advance();
    }
    let me = Who::process(s.pid, [s.id("map_fd")]);
    s.check_and_why(&[Expect::map(s.id("map"), [by("fd", 1, [me])])]);
}

/// On a connection that nobody has accepted yet: the queue is that of a socket
/// without an inode, which waits in the queue of the one that listens.
fn not_accepted(stage: &mut Stage, kind: i32) -> Outcome {
    net::private()?;
    let listener = unix::Listener::new(kind)?;
    let (idle, client) = (listener.connect()?, listener.connect()?);
    let four = four_kinds()?;
    let [map, prog, link, btf] = &four;
    unix::send(&client, &[map, prog, link, btf])?;
    let ids = ids_of(&four);
    drop(four);
    stage.ready(json!({"four": ids, "inode": unix::inode(&listener.fd)?}))?;
    let accepted = [unix::accept(&listener.fd)?, unix::accept(&listener.fd)?];
    drop(idle);
    stage.ready(json!({"four": ids, "inode": unix::inode(&accepted[1])?}))
}

fn check_not_accepted(scene: Option<Scene>) {
    let Some(mut s) = scene else {
        return;
    };
    let process = Who::process(s.pid, []);
    let listener = Who::socket(s.number("inode"), [s.pid]);
    check_four_kinds(&s, "in-flight", &listener, &process);
    s.advance();
    let accepted = Who::socket(s.number("inode"), [s.pid]);
    check_four_kinds(&s, "in-flight", &accepted, &process);
}

#[test]
fn before_a_stream_is_accepted() {
    check_not_accepted(scene(here!(), |stage| {
        not_accepted(stage, libc::SOCK_STREAM)
    }));
}

#[test]
fn before_a_sequence_of_packets_is_accepted() {
    check_not_accepted(scene(here!(), |stage| {
        not_accepted(stage, libc::SOCK_SEQPACKET)
    }));
}

/// In the queue of a socket that is itself in flight, and that twice, in another
/// network namespace: whoever has the outermost socket has them all.
#[test]
fn a_socket_in_a_socket_in_a_socket() {
    let Some(s) = scene(here!(), |stage| {
        net::private()?;
        let (to_inner, inner) = unix::pair(libc::SOCK_STREAM)?;
        let (to_middle, middle) = unix::pair(libc::SOCK_DGRAM)?;
        let (to_outer, outer) = unix::pair(libc::SOCK_SEQPACKET)?;
        let four = four_kinds()?;
        let [map, prog, link, btf] = &four;
        unix::send(&to_inner, &[map, prog, link, btf])?;
        unix::send(&to_middle, &[&inner])?;
        unix::send(&to_outer, &[&middle])?;
        let ids = ids_of(&four);
        let inode = unix::inode(&inner)?;
        drop((four, inner, middle, to_inner, to_middle));
        stage.ready(json!({"four": ids, "inode": inode}))?;
        drop((to_outer, outer));
        Ok(())
    }) else {
        return;
    };
    let inner = Who::socket(s.number("inode"), [s.pid]);
    check_four_kinds(&s, "in-flight", &inner, &Who::process(s.pid, []));
}

/// The receiver is another process. When it dies, its queue goes with it.
#[test]
fn the_receiver_dies() {
    let Some(mut s) = scene(here!(), |stage| {
        let (sender, receiver) = unix::pair(libc::SOCK_STREAM)?;
        let map = bpf::hash("e2e_mortal")?;
        let inode = unix::inode(&receiver)?;
        let mut heir = Child::start(Inherit::All, |stage| {
            // Neither the map nor the sender's end.
            // SAFETY: these descriptors are this process's copies, which it does not use.
            unsafe {
                libc::close(sender.as_raw_fd());
                libc::close(map.as_raw_fd());
            }
            stage.ready(json!({}))
        })?;
        drop(receiver);
        unix::send(&sender, &[&map.reopen()?])?;
        stage.ready(json!({
            "map": map.id, "map_fd": map.fd(), "inode": inode, "heir": heir.pid,
        }))?;
        heir.end();
        stage.ready(json!({"map": map.id, "map_fd": map.fd()}))
    }) else {
        return;
    };
    let me = |s: &Scene| by("fd", 1, [Who::process(s.pid, [s.id("map_fd")])]);
    let heir = s.id("heir");
    let receiver = Who::socket(s.number("inode"), [heir]);
    s.check_and_why(&[
        Expect::map(s.id("map"), [me(&s), by("in-flight", 1, [receiver])])
            .kept_by([Who::process(s.pid, []), Who::process(heir, [])]),
    ]);
    s.advance();
    s.check_and_why(&[Expect::map(s.id("map"), [me(&s)])]);
}

/// Both processes have the receiving socket.
#[test]
fn two_receivers() {
    let Some(s) = scene(here!(), |stage| {
        let (sender, receiver) = unix::pair(libc::SOCK_STREAM)?;
        let map = bpf::hash("e2e_receivers")?;
        let id = map.id;
        unix::send(&sender, &[&map])?;
        drop(map);
        let heir = Child::start(Inherit::All, |stage| stage.ready(json!({})))?;
        let inode = unix::inode(&receiver)?;
        stage.ready(json!({"map": id, "inode": inode, "heir": heir.pid}))
    }) else {
        return;
    };
    let both = [s.pid, s.id("heir")];
    let receiver = Who::socket(s.number("inode"), both);
    s.check_and_why(&[
        Expect::map(s.id("map"), [by("in-flight", 1, [receiver])]).kept_by(both.map(|pid| {
            let no_fds: [u32; 0] = [];
            Who::process(pid, no_fds)
        })),
    ]);
}

/// An open iterator file holds its program and its map as ever; a socket has it.
#[test]
fn an_open_iterator() {
    let Some(s) = scene(here!(), |stage| {
        let (sender, receiver) = unix::pair(libc::SOCK_STREAM)?;
        let map = bpf::hash("e2e_walked")?;
        let prog = bpf::iterator("e2e_walker", "bpf_map_elem")?;
        let link = bpf::iterator_link(&prog, Some(&map))?;
        let file = bpf::open_iterator(&link)?;
        drop(link);
        unix::send(&sender, &[&file])?;
        drop(file);
        let mut report = scene::ids([("map", &map), ("prog", &prog)]);
        report["inode"] = unix::inode(&receiver)?.into();
        stage.ready(report)
    }) else {
        return;
    };
    let receiver = Who::socket(s.number("inode"), [s.pid]);
    let expect = |kind, name: &str| {
        let fd = s.id(&format!("{name}_fd"));
        Expect::new(
            kind,
            s.id(name),
            [
                by("fd", 1, [Who::process(s.pid, [fd])]),
                by("iterator", 1, [receiver.clone()]),
            ],
        )
    };
    s.check_and_why(&[expect(Kind::Map, "map")]);
    s.check_and_why(&[expect(Kind::Prog, "prog")]);
}
