//! Everything outside descriptor tables at once: on one map, and on programs of
//! the three types that it takes.

use e2e::bpf::{self, F_MMAPABLE, MapSpec, ProgSpec, map_type, prog_type};
use e2e::files::private_bpffs;
use e2e::process::map_memory;
use e2e::scene::{Child, Inherit};
use e2e::sockmap::{self, Slot};
use e2e::uring::{EMPTY, Ring};
use e2e::{Expect, Who, by, here, insn, perf, scene, sockets, unix};
use serde_json::json;
use std::os::fd::AsRawFd;

/// One map: in tables, in flight, in rings, mapped and pinned; one file in all of
/// table, queue and ring.
#[test]
fn on_one_map() {
    let Some(s) = scene(here!(), |stage| {
        let bpffs = private_bpffs()?;
        sockets::private_loopback()?;
        let map = MapSpec::new(map_type::ARRAY, "e2e_everything")
            .flags(F_MMAPABLE)
            .create()?;
        let (to_stream, stream) = unix::pair(libc::SOCK_STREAM)?;
        let (to_nested, nested) = unix::pair(libc::SOCK_DGRAM)?;
        let listener = unix::Listener::new(libc::SOCK_STREAM)?;
        let client = listener.connect()?;
        let ring = Ring::new()?;
        // The first file is everywhere.
        unix::send(&to_stream, &[&map])?;
        let (fixed, again) = (map.reopen()?, map.reopen()?);
        ring.fix(&[EMPTY, map.as_raw_fd(), fixed.as_raw_fd(), again.as_raw_fd()])?;
        drop((fixed, again));
        unix::send(
            &to_stream,
            &[&map.reopen()?, &map.reopen()?, &map.reopen()?],
        )?;
        unix::send(&client, &[&map.reopen()?])?;
        unix::send(&to_nested, &[&map.reopen()?])?;
        let inode = unix::inode(&nested)?;
        unix::send(&to_stream, &[&nested])?;
        drop(nested);
        map_memory(&map.reopen()?, 4096)?;
        map.pin(&bpffs.join("everything"))?;
        let user = bpf::filter_using("e2e_everything", &[&map])?;
        let heir = Child::start(Inherit::Nothing, |stage| {
            let own = bpf::by_id(bpf::Kind::Map, map.id)?;
            stage.ready(json!({"own": own.fd()}))
        })?;
        stage.ready(json!({
            "map": map.id, "map_fd": map.fd(), "ring": ring.as_raw_fd(), "user": user.id,
            "stream": unix::inode(&stream)?, "nested": inode,
            "listener": unix::inode(&listener.fd)?,
            "heir": heir.pid, "own": heir.id("own"),
        }))
    }) else {
        return;
    };
    let socket = |name: &str| Who::socket(s.number(name), [s.pid]);
    let ring = || Who::io_uring(s.pid, s.id("ring"));
    let me = Who::process(s.pid, [s.id("map_fd")]);
    let heir = Who::process(s.id("heir"), [s.id("own")]);
    let map = Expect::map(
        s.id("map"),
        [
            by("fd", 1, [me, socket("stream"), ring()]),
            by("fd", 1, [heir]),
            by("in-flight", 3, [socket("stream")]),
            by("in-flight", 1, [socket("listener")]),
            by("in-flight", 1, [socket("nested")]),
            by("io-uring", 2, [ring()]),
            // A fork copies the mapping.
            by(
                "mmap",
                1,
                [Who::process(s.pid, []), Who::process(s.id("heir"), [])],
            ),
            by("pin", 1, [Who::pin(s.pid, &["/sys/fs/bpf/everything"])]),
            by("prog", 1, [Who::prog(s.id("user"))]),
        ],
    );
    assert_eq!(map.refcnt(), 12, "by construction");
    s.check_and_why(&[map]);
}

/// A socket filter, a program on perf events and one on sockets of a map, each by
/// descriptor, in flight, in a ring, and attached in every way there is for it.
#[test]
fn on_programs() {
    let Some(s) = scene(here!(), |stage| {
        sockets::private_loopback()?;
        let (sender, receiver) = unix::pair(libc::SOCK_STREAM)?;
        let ring = Ring::new()?;

        let insns = insn::returns(sockets::KEEP);
        let filter = ProgSpec::new(prog_type::SOCKET_FILTER, "e2e_all_filter", insns).load()?;
        let (udp, _) = sockets::sharing_port(0)?;
        sockets::attach_filter(&udp, &filter)?;
        sockets::attach_reuseport(&udp, &filter)?;
        let packet = sockets::packet()?;
        sockets::join_fanout(&packet, 9)?;
        sockets::attach_fanout(&packet, &filter)?;

        let insns = insn::returns(0);
        let sampler = ProgSpec::new(prog_type::PERF_EVENT, "e2e_all_perf", insns).load()?;
        let event = perf::event(perf::SOFTWARE, perf::DUMMY)?;
        perf::attach(&event, &sampler)?;
        let array = MapSpec::new(4, "e2e_all_events").create()?;
        bpf::put(&array, 0, &event)?;
        let hidden = perf::event(perf::SOFTWARE, perf::DUMMY)?;
        perf::attach(&hidden, &sampler)?;
        bpf::put(&array, 1, &hidden)?;
        drop(hidden);

        let verdict = sockmap::program(Slot::StreamVerdict, "e2e_all_verdict")?;
        let members = sockmap::sockmap("e2e_all_members")?;
        sockmap::attach(&members, Slot::StreamVerdict, &verdict)?;
        let (client, server) = sockets::connection(&sockets::listener()?)?;
        sockmap::put(&members, 0, &client)?;
        // A socket can be a member and have a filter.
        sockets::attach_filter(&client, &filter)?;

        let progs = [&filter, &sampler, &verdict];
        let files = [filter.reopen()?, sampler.reopen()?, verdict.reopen()?];
        unix::send(&sender, &[&files[0], &files[1], &files[2]])?;
        drop(files);
        let files = [filter.reopen()?, sampler.reopen()?, verdict.reopen()?];
        ring.fix(&files.each_ref().map(AsRawFd::as_raw_fd))?;
        drop(files);
        stage.ready(json!({
            "progs": progs.map(|p| p.id), "fds": progs.map(bpf::Object::fd),
            "array": array.id, "members": members.id, "ring": ring.as_raw_fd(),
            "receiver": unix::inode(&receiver)?, "udp": unix::inode(&udp)?,
            "packet": unix::inode(&packet)?, "client": unix::inode(&client)?,
        }))?;
        drop((server, event));
        Ok(())
    }) else {
        return;
    };
    let socket = |name: &str| Who::socket(s.number(name), [s.pid]);
    let (progs, fds) = (s.ids("progs"), s.ids("fds"));
    let everywhere = |i: usize| {
        [
            by("fd", 1, [Who::process(s.pid, [fds[i]])]),
            by("in-flight", 1, [socket("receiver")]),
            by("io-uring", 1, [Who::io_uring(s.pid, s.id("ring"))]),
        ]
    };
    let array = Who::map(s.id("array"));
    let event = Who::perf_event("perf_event:type 1 config 9", [s.pid]);
    let on_filter = [
        by("socket", 2, [socket("udp")]),
        by("socket", 1, [socket("packet")]),
        by("socket", 1, [socket("client")]),
    ];
    let on_sampler = [
        by("attachment", 1, [event, array.clone()]),
        by("attachment", 1, [array]),
    ];
    let on_verdict = [
        by("map-entry", 1, [Who::map(s.id("members"))]),
        by("socket", 1, [socket("client")]),
    ];
    let expected = |i: usize, more: &[e2e::expect::Reference]| {
        Expect::prog(progs[i], everywhere(i).into_iter().chain(more.to_vec()))
    };
    for expected in [
        expected(0, &on_filter),
        expected(1, &on_sampler),
        expected(2, &on_verdict),
    ] {
        s.check_and_why(&[expected]);
    }
}
