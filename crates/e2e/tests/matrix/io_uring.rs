//! Files in the table of an `io_uring`.

use e2e::bpf::{self, MapSpec, Object, ProgSpec, map_type, prog_type};
use e2e::process::map_memory;
use e2e::scene::{Cannot, Child, Inherit, OrImpossible, Stop};
use e2e::sys::Result;
use e2e::uring::{self, EMPTY, Ring};
use e2e::{Expect, Scene, Who, btf, by, here, insn, scene, unix};
use serde_json::json;
use std::os::fd::{AsRawFd, RawFd};

fn ring(s: &Scene) -> Who {
    Who::io_uring(s.pid, s.id("ring"))
}

/// Map, program, link and BTF, fixed and closed.
#[test]
fn fixed_and_closed() {
    let Some(mut s) = scene(here!(), |stage| {
        let btf = bpf::load_btf(&btf::blob())?;
        let map = MapSpec::new(map_type::HASH, "e2e_fixed")
            .btf(&btf)
            .create()?;
        let insns = insn::returns(0);
        let prog = ProgSpec::new(prog_type::RAW_TRACEPOINT, "e2e_fixed", insns).load()?;
        let link = bpf::raw_tracepoint(&prog, Some("sched_kthread_stop"))?;
        let ring = Ring::new()?;
        let four = [&map, &prog, &link, &btf];
        ring.fix(&four.map(AsRawFd::as_raw_fd))?;
        let ids = four.map(|o| o.id);
        // What the ring lets go stays here.
        let kept = map.reopen()?;
        drop((map, prog, link, btf));
        let report =
            |ring: &Ring| json!({"four": ids, "ring": ring.as_raw_fd(), "kept": kept.fd()});
        stage.ready(report(&ring))?;
        ring.let_go()?;
        stage.ready(report(&ring))
    }) else {
        return;
    };
    let [map, prog, link, btf]: [u32; 4] = s.ids("four").try_into().expect("four ids");
    let file = || by("io-uring", 1, [ring(&s)]);
    let kept = || by("fd", 1, [Who::process(s.pid, [s.id("kept")])]);
    let me = || [Who::process(s.pid, [])];
    let all = [
        Expect::map(map, [file(), kept()]).kept_by(me()),
        Expect::prog(prog, [file(), by("link", 1, [Who::link(link)])]).field("attached", true),
        Expect::link(link, [file()]).kept_by(me()),
        Expect::btf(btf, [file(), by("btf-user", 1, [Who::map(map)])]),
    ];
    for expected in all {
        s.check_and_why(&[expected]);
    }
    let expected = Expect::map(map, [kept()]);
    s.advance();
    s.check_and_why(&[expected]);
}

/// A table with gaps, which is changed: the same file in two slots is one reference.
#[test]
fn gaps_and_replaced_files() {
    let Some(mut s) = scene(here!(), |stage| {
        let (map, other) = (bpf::hash("e2e_slots")?, bpf::hash("e2e_slots_2")?);
        let more = map.reopen()?;
        let ring = Ring::new()?;
        let slots = [
            EMPTY,
            map.as_raw_fd(),
            EMPTY,
            map.as_raw_fd(),
            more.as_raw_fd(),
        ];
        ring.fix(&slots)?;
        let ids = [map.id, other.id];
        let report = json!({"maps": ids, "ring": ring.as_raw_fd(), "other": other.fd()});
        drop((map, more));
        stage.ready(report.clone())?;
        // One of the two slots is left, and the gap before it filled.
        ring.replace(2, &[other.as_raw_fd(), EMPTY])?;
        ring.replace(4, &[EMPTY])?;
        stage.ready(report)
    }) else {
        return;
    };
    let [map, other]: [u32; 2] = s.ids("maps").try_into().expect("two ids");
    let me = Who::process(s.pid, [s.id("other")]);
    s.check_and_why(&[
        Expect::map(map, [by("io-uring", 2, [ring(&s)])]),
        Expect::map(other, [by("fd", 1, [me.clone()])]),
    ]);
    s.advance();
    s.check_and_why(&[
        Expect::map(map, [by("io-uring", 1, [ring(&s)])]),
        Expect::map(other, [by("fd", 1, [me, ring(&s)])]),
    ]);
}

/// Two thousand slots, with maps at both ends, and where older kernels' chunks of
/// 512 meet; other files between them.
#[test]
fn a_large_table() {
    const SLOTS: usize = 2000;
    let Some(s) = scene(here!(), |stage| {
        uring::allow_descriptors(4096)?;
        let places = [0, 511, 512, SLOTS - 1];
        let maps: Vec<Object> = (0..places.len())
            .map(|i| bpf::hash(&format!("e2e_large_{i}")))
            .collect::<Result<_>>()?;
        let null = uring::dev_null()?;
        let mut slots: Vec<RawFd> = (0..SLOTS)
            .map(|i| if i % 3 == 0 { EMPTY } else { null.as_raw_fd() })
            .collect();
        for (place, map) in places.iter().zip(&maps) {
            slots[*place] = map.as_raw_fd();
        }
        let ring = Ring::new()?;
        ring.fix(&slots)?;
        let ids: Vec<_> = maps.iter().map(|m| m.id).collect();
        drop(maps);
        stage.ready(json!({"maps": ids, "ring": ring.as_raw_fd()}))
    }) else {
        return;
    };
    let expected = s.ids("maps").into_iter();
    let expected = expected.map(|map| Expect::map(map, [by("io-uring", 1, [ring(&s)])]));
    s.check_and_why(&expected.collect::<Vec<_>>());
}

/// In a descriptor table too, and in two rings: one file.
#[test]
fn also_in_a_table_and_in_another_ring() {
    let Some(s) = scene(here!(), |stage| {
        let map = bpf::hash("e2e_both")?;
        let two = bpf::hash("e2e_two_rings")?;
        let rings = [Ring::new()?, Ring::new()?];
        rings[0].fix(&[map.as_raw_fd(), two.as_raw_fd()])?;
        rings[1].fix(&[two.as_raw_fd()])?;
        let two_id = two.id;
        drop(two);
        let fds = rings.each_ref().map(AsRawFd::as_raw_fd);
        stage.ready(json!({"map": map.id, "map_fd": map.fd(), "two": two_id, "rings": fds}))
    }) else {
        return;
    };
    let rings = s.ids("rings");
    let ring = |i: usize| Who::io_uring(s.pid, rings[i]);
    let me = Who::process(s.pid, [s.id("map_fd")]);
    s.check_and_why(&[
        Expect::map(s.id("map"), [by("fd", 1, [me.clone(), ring(0)])]).kept_by([me]),
        Expect::map(s.id("two"), [by("io-uring", 1, [ring(0), ring(1)])]),
    ]);
}

/// dup(2) and fork(2) share the ring.
#[test]
fn two_processes_with_one_ring() {
    let Some(mut s) = scene(here!(), |stage| {
        let map = bpf::hash("e2e_shared_ring")?;
        let ring = Ring::new()?;
        let twin = ring.dup()?;
        ring.fix(&[map.as_raw_fd()])?;
        let id = map.id;
        drop(map);
        let heir = Child::start(Inherit::All, |stage| stage.ready(json!({})))?;
        let report = json!({"map": id, "ring": ring.as_raw_fd(), "heir": heir.pid});
        stage.ready(report.clone())?;
        // Now the heir alone has it.
        drop((ring, twin));
        stage.ready(report)
    }) else {
        return;
    };
    let (fd, heir, map) = (s.id("ring"), s.id("heir"), s.id("map"));
    let first = s.pid.min(heir);
    let shared = Who::IoUring {
        pid: Some(first),
        fd: Some(fd),
        pids: vec![first, s.pid.max(heir)],
    };
    let ends = [s.pid, heir].map(|pid| Who::process(pid, Vec::new()));
    s.check_and_why(&[Expect::map(map, [by("io-uring", 1, [shared])]).kept_by(ends)]);
    s.advance();
    s.check_and_why(&[
        Expect::map(map, [by("io-uring", 1, [Who::io_uring(heir, fd)])])
            .kept_by([Who::process(heir, [])]),
    ]);
}

/// A ring alone has the map, and the scene's process the ring, which it cannot name
/// by a descriptor.
fn check_ring_without_descriptor(s: &Scene, map: u32) {
    let ring = Who::IoUring {
        pid: Some(s.pid),
        fd: None,
        pids: vec![s.pid],
    };
    s.check_and_why(&[
        Expect::map(map, [by("io-uring", 1, [ring])]).kept_by([Who::process(s.pid, [])])
    ]);
}

/// The ring's descriptor is closed; its queues are still mapped, and that keeps it.
#[test]
fn only_mapped() {
    let Some(s) = scene(here!(), |stage| {
        let map = bpf::hash("e2e_mapped_ring")?;
        let ring = Ring::new()?;
        ring.fix(&[map.as_raw_fd()])?;
        map_memory(&ring, 4096)?;
        drop(ring);
        stage.ready(scene::closed([("map", map)]))
    }) else {
        return;
    };
    check_ring_without_descriptor(&s, s.id("map"));
}

/// Neither a descriptor nor a mapping: two threads have registered a ring each.
#[test]
fn only_registered() {
    let Some(s) = scene(here!(), |stage| {
        let with_map = |name| {
            let map = bpf::hash(name)?;
            let ring = Ring::new()?;
            ring.fix(&[map.as_raw_fd()])?;
            ring.register_for_thread()?;
            Ok::<_, Stop>(map.id)
        };
        let own = with_map("e2e_registered")?;
        let (send, receive) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let _ = send.send(with_map("e2e_registered2"));
            loop {
                std::thread::park();
            }
        });
        let other = receive.recv().map_err(|e| Stop::Failed(e.to_string()))??;
        stage.ready(json!({"maps": [own, other]}))
    }) else {
        return;
    };
    for map in s.ids("maps") {
        check_ring_without_descriptor(&s, map);
    }
}

/// The last descriptor of a ring goes, and so do its files.
#[test]
fn a_closed_ring_lets_go() {
    let Some(mut s) = scene(here!(), |stage| {
        let map = bpf::hash("e2e_closed_ring")?;
        let ring = Ring::new()?;
        ring.fix(&[map.reopen()?.as_raw_fd(), map.as_raw_fd()])?;
        let report = json!({"map": map.id, "map_fd": map.fd(), "ring": ring.as_raw_fd()});
        stage.ready(report.clone())?;
        drop(ring);
        stage.ready(report)
    }) else {
        return;
    };
    let me = Who::process(s.pid, [s.id("map_fd")]);
    let map = s.id("map");
    s.check_and_why(&[Expect::map(
        map,
        [
            by("fd", 1, [me.clone(), ring(&s)]),
            by("io-uring", 1, [ring(&s)]),
        ],
    )]);
    s.advance();
    s.check_and_why(&[Expect::map(map, [by("fd", 1, [me])])]);
}

/// A ring that is in flight itself. Kernels refuse that since 6.8, and older ones
/// since the change was taken into them.
#[test]
fn a_ring_in_flight() {
    let Some(s) = scene(here!(), |stage| {
        let (sender, receiver) = unix::pair(libc::SOCK_STREAM)?;
        let map = bpf::hash("e2e_ring_in_flight")?;
        let ring = Ring::new()?;
        ring.fix(&[map.as_raw_fd()])?;
        unix::send(&sender, &[&ring]).or_impossible(&[Cannot {
            errno: libc::EINVAL,
            since: None,
            why: "an io_uring cannot be sent over a socket (__scm_send)",
        }])?;
        let id = map.id;
        drop((ring, map));
        stage.ready(json!({"map": id, "inode": unix::inode(&receiver)?}))
    }) else {
        return;
    };
    check_ring_without_descriptor(&s, s.id("map"));
}

/// A socket that only a ring has, with a map in its queue: whoever has the ring has both.
#[test]
fn a_fixed_socket_with_a_map_in_its_queue() {
    let Some(s) = scene(here!(), |stage| {
        let (sender, receiver) = unix::pair(libc::SOCK_STREAM)?;
        let map = bpf::hash("e2e_fixed_socket")?;
        unix::send(&sender, &[&map])?;
        let ring = Ring::new()?;
        ring.fix(&[receiver.as_raw_fd()])?;
        let (id, inode) = (map.id, unix::inode(&receiver)?);
        drop((map, receiver));
        stage.ready(json!({"map": id, "inode": inode}))
    }) else {
        return;
    };
    let socket = Who::socket(s.number("inode"), [s.pid]);
    s.check_and_why(&[
        Expect::map(s.id("map"), [by("in-flight", 1, [socket])]).kept_by([Who::process(s.pid, [])])
    ]);
}
