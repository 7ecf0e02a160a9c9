//! Programs on sockets: filters, and what divides a group's packets.

use e2e::bpf::{self, Object, ProgSpec, prog_type};
use e2e::scene::{Child, Inherit};
use e2e::sockets::{self, KEEP};
use e2e::sys::{Result, dup};
use e2e::uring::{self, Ring};
use e2e::{Expect, Scene, Who, by, fd, here, insn, net, scene, unix};
use serde_json::json;
use std::os::fd::{AsRawFd, OwnedFd};

/// A filter that lets everything through.
fn filter(name: &str) -> Result<Object> {
    ProgSpec::new(prog_type::SOCKET_FILTER, name, insn::returns(KEEP)).load()
}

/// The program by descriptor, and whatever else.
fn check(s: &Scene, references: impl IntoIterator<Item = e2e::expect::Reference>) {
    let references = references.into_iter().chain([fd(s, "prog")]);
    s.check_and_why(&[Expect::prog(s.id("prog"), references)]);
}

fn socket(s: &Scene, name: &str) -> Who {
    Who::socket(s.number(name), [s.pid])
}

/// A filter on one socket, and its removal.
fn on_one(name: &'static str, make: impl FnOnce() -> Result<OwnedFd>) {
    let Some(mut s) = scene(name, |stage| {
        let socket = make()?;
        let prog = filter("e2e_filter")?;
        sockets::attach_filter(&socket, &prog)?;
        let mut report = scene::ids([("prog", &prog)]);
        report["inode"] = unix::inode(&socket)?.into();
        stage.ready(report.clone())?;
        sockets::detach_filter(&socket)?;
        stage.ready(report)
    }) else {
        return;
    };
    check(&s, [by("socket", 1, [socket(&s, "inode")])]);
    s.advance();
    check(&s, []);
}

#[test]
fn filter_on_udp() {
    on_one(here!(), || unix::socket(libc::AF_INET, libc::SOCK_DGRAM, 0));
}

/// In a network namespace that lastref is not in.
#[test]
fn filter_on_udp_over_ipv6_elsewhere() {
    on_one(here!(), || {
        net::private()?;
        unix::socket(libc::AF_INET6, libc::SOCK_DGRAM, 0)
    });
}

/// Neither bound nor connected: it is in no table of the protocol's.
#[test]
fn filter_on_idle_tcp() {
    on_one(here!(), || {
        unix::socket(libc::AF_INET, libc::SOCK_STREAM, 0)
    });
}

#[test]
fn filter_on_unix_datagram() {
    on_one(here!(), || unix::socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0));
}

#[test]
fn filter_on_unix_stream() {
    on_one(here!(), || {
        unix::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0)
    });
}

#[test]
fn filter_on_packet_socket() {
    on_one(here!(), || {
        net::private()?;
        sockets::packet()
    });
}

#[test]
fn filter_on_raw_socket() {
    on_one(here!(), || {
        let raw = libc::SOCK_RAW;
        unix::socket(libc::AF_INET, raw, libc::IPPROTO_ICMP)
    });
}

#[test]
fn filter_on_netlink_socket() {
    on_one(here!(), || {
        let raw = libc::SOCK_RAW;
        unix::socket(libc::AF_NETLINK, raw, libc::NETLINK_ROUTE)
    });
}

/// What a listening socket accepts shares its filter: one reference, and three sockets.
/// It outlives the one that it was set on.
#[test]
fn filter_on_accepted_sockets() {
    let Some(mut s) = scene(here!(), |stage| {
        sockets::private_loopback()?;
        let listener = sockets::listener()?;
        let prog = filter("e2e_accepts")?;
        sockets::attach_filter(&listener, &prog)?;
        let one = sockets::connection(&listener)?;
        let two = sockets::connection(&listener)?;
        let mut report = scene::ids([("prog", &prog)]);
        report["listener"] = unix::inode(&listener)?.into();
        report["one"] = unix::inode(&one.1)?.into();
        report["two"] = unix::inode(&two.1)?.into();
        stage.ready(report.clone())?;
        drop(listener);
        stage.ready(report)
    }) else {
        return;
    };
    let accepted = |s: &Scene| [socket(s, "one"), socket(s, "two")];
    let all = accepted(&s).into_iter().chain([socket(&s, "listener")]);
    check(&s, [by("socket", 1, all)]);
    s.advance();
    check(&s, [by("socket", 1, accepted(&s))]);
}

/// A connection that waits to be accepted has the filter as well, and no inode.
#[test]
fn filter_on_a_waiting_connection() {
    let Some(s) = scene(here!(), |stage| {
        sockets::private_loopback()?;
        let listener = sockets::listener()?;
        let prog = filter("e2e_waits")?;
        sockets::attach_filter(&listener, &prog)?;
        let address = listener.local_addr().map_err(e2e::sys::io("getsockname"))?;
        let client = std::net::TcpStream::connect(address).map_err(e2e::sys::io("connect"))?;
        let mut report = scene::ids([("prog", &prog)]);
        report["listener"] = unix::inode(&listener)?.into();
        stage.ready(report)?;
        drop(client);
        Ok(())
    }) else {
        return;
    };
    // The listener stands for what waits in its queue.
    check(&s, [by("socket", 1, [socket(&s, "listener")])]);
}

/// dup(2) and fork(2) share the socket.
#[test]
fn two_processes_with_one_socket() {
    let Some(s) = scene(here!(), |stage| {
        let socket = unix::socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
        let twin = dup(&socket)?;
        let prog = filter("e2e_shared")?;
        sockets::attach_filter(&socket, &prog)?;
        let id = prog.id;
        drop(prog);
        let heir = Child::start(Inherit::All, |stage| stage.ready(json!({})))?;
        let inode = unix::inode(&socket)?;
        stage.ready(json!({"prog": id, "inode": inode, "heir": heir.pid}))?;
        drop(twin);
        Ok(())
    }) else {
        return;
    };
    let both = [s.pid, s.id("heir")];
    let socket = Who::socket(s.number("inode"), both);
    let ends = both.map(|pid| Who::process(pid, Vec::new()));
    s.check_and_why(&[Expect::prog(s.id("prog"), [by("socket", 1, [socket])]).kept_by(ends)]);
}

/// One program on many sockets: one reference for each.
#[test]
fn two_hundred_sockets() {
    let Some(s) = scene(here!(), |stage| {
        let prog = filter("e2e_many")?;
        let mut sockets = Vec::new();
        for i in 0..200 {
            let family = [libc::AF_INET, libc::AF_INET6, libc::AF_UNIX][i % 3];
            let socket = unix::socket(family, libc::SOCK_DGRAM, 0)?;
            sockets::attach_filter(&socket, &prog)?;
            sockets.push(socket);
        }
        let inodes: Vec<u64> = sockets.iter().map(unix::inode).collect::<Result<_>>()?;
        let mut report = scene::ids([("prog", &prog)]);
        report["inodes"] = inodes.into();
        stage.ready(report)
    }) else {
        return;
    };
    let inodes = s.numbers("inodes").into_iter();
    check(
        &s,
        inodes.map(|i| by("socket", 1, [Who::socket(i, [s.pid])])),
    );
}

/// A socket that is in flight, and one that only a ring has.
#[test]
fn filter_on_sockets_outside_any_table() {
    let Some(s) = scene(here!(), |stage| {
        let (sender, receiver) = unix::pair(libc::SOCK_STREAM)?;
        let prog = filter("e2e_outside")?;
        let udp = || {
            let udp = unix::socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
            sockets::attach_filter(&udp, &prog)?;
            Ok::<_, e2e::sys::Error>(udp)
        };
        let (sent, fixed) = (udp()?, udp()?);
        let mut report = scene::ids([("prog", &prog)]);
        report["sent"] = unix::inode(&sent)?.into();
        report["fixed"] = unix::inode(&fixed)?.into();
        unix::send(&sender, &[&sent])?;
        let ring = Ring::new()?;
        ring.fix(&[uring::EMPTY, fixed.as_raw_fd()])?;
        drop((sent, fixed));
        stage.ready(report)?;
        drop(receiver);
        Ok(())
    }) else {
        return;
    };
    check(
        &s,
        ["sent", "fixed"].map(|name| by("socket", 1, [socket(&s, name)])),
    );
}

/// A classic filter is a program without an id: nothing to count, and no confusion.
#[test]
fn classic_filters_beside_it() {
    let Some(s) = scene(here!(), |stage| {
        sockets::private_loopback()?;
        let prog = filter("e2e_beside")?;
        let sockets = [0, 1, 2].map(|_| unix::socket(libc::AF_INET, libc::SOCK_DGRAM, 0));
        let [classic, both, none] = sockets;
        let (classic, both, none) = (classic?, both?, none?);
        sockets::attach_classic_filter(&classic)?;
        // The later one replaces the earlier.
        sockets::attach_classic_filter(&both)?;
        sockets::attach_filter(&both, &prog)?;
        let (group, _) = sockets::sharing_port(0)?;
        sockets::attach_classic_reuseport(&group)?;
        let mut report = scene::ids([("prog", &prog)]);
        report["inode"] = unix::inode(&both)?.into();
        stage.ready(report)?;
        drop((classic, none, group));
        Ok(())
    }) else {
        return;
    };
    check(&s, [by("socket", 1, [socket(&s, "inode")])]);
}

/// The sockets of a port share one program, whichever it was set by; two processes
/// have them. It stays until the last of them is closed.
#[test]
fn sockets_of_one_port() {
    let Some(mut s) = scene(here!(), |stage| {
        sockets::private_loopback()?;
        let (first, port) = sockets::sharing_port(0)?;
        let (second, _) = sockets::sharing_port(port)?;
        let prog = filter("e2e_reuseport")?;
        sockets::attach_reuseport(&second, &prog)?;
        let heir = Child::start(Inherit::Nothing, |stage| {
            let (third, _) = sockets::sharing_port(port)?;
            stage.ready(json!({"inode": unix::inode(&third)?}))
        })?;
        let mut report = scene::ids([("prog", &prog)]);
        report["first"] = unix::inode(&first)?.into();
        report["second"] = unix::inode(&second)?.into();
        report["heir"] = heir.pid.into();
        report["third"] = heir.number("inode").into();
        stage.ready(report.clone())?;
        drop((first, second));
        stage.ready(report)
    }) else {
        return;
    };
    let third = || Who::socket(s.number("third"), [s.id("heir")]);
    let own = ["first", "second"].map(|name| socket(&s, name));
    let all = own.into_iter().chain([third()]);
    check(&s, [by("socket", 1, all)]);
    let third = third();
    s.advance();
    check(&s, [by("socket", 1, [third])]);
}

/// The same for TCP, with the type of program that is made for it.
#[test]
fn listening_sockets_of_one_port() {
    let Some(s) = scene(here!(), |stage| {
        const SK_REUSEPORT: u32 = 21;
        const SK_PASS: i32 = 1;
        sockets::private_loopback()?;
        let (first, port) = sockets::listening_on_shared_port(0)?;
        let (second, _) = sockets::listening_on_shared_port(port)?;
        let insns = insn::returns(SK_PASS);
        let prog = ProgSpec::new(SK_REUSEPORT, "e2e_reuseport_t", insns).load()?;
        sockets::attach_reuseport(&first, &prog)?;
        let mut report = scene::ids([("prog", &prog)]);
        report["first"] = unix::inode(&first)?.into();
        report["second"] = unix::inode(&second)?.into();
        stage.ready(report)
    }) else {
        return;
    };
    let all = ["first", "second"].map(|name| socket(&s, name));
    check(&s, [by("socket", 1, all)]);
}

/// The packet sockets of a fanout group share one program.
#[test]
fn packet_fanout() {
    let Some(mut s) = scene(here!(), |stage| {
        net::private()?;
        let sockets = [sockets::packet()?, sockets::packet()?];
        for socket in &sockets {
            sockets::join_fanout(socket, 7)?;
        }
        let prog = filter("e2e_fanout")?;
        sockets::attach_fanout(&sockets[0], &prog)?;
        let mut report = scene::ids([("prog", &prog)]);
        report["first"] = unix::inode(&sockets[0])?.into();
        report["second"] = unix::inode(&sockets[1])?.into();
        stage.ready(report.clone())?;
        let [first, second] = sockets;
        drop(first);
        stage.ready(report)?;
        drop(second);
        Ok(())
    }) else {
        return;
    };
    let both = ["first", "second"].map(|name| socket(&s, name));
    check(&s, [by("socket", 1, both)]);
    s.advance();
    check(&s, [by("socket", 1, [socket(&s, "second")])]);
}

/// Filter, group and fanout are different references, by one socket or another.
#[test]
fn in_every_way() {
    let Some(s) = scene(here!(), |stage| {
        sockets::private_loopback()?;
        let map = bpf::hash("e2e_behind")?;
        let prog = bpf::filter_using("e2e_every_way", &[&map])?;
        let (udp, _) = sockets::sharing_port(0)?;
        sockets::attach_filter(&udp, &prog)?;
        sockets::attach_reuseport(&udp, &prog)?;
        let packet = sockets::packet()?;
        sockets::join_fanout(&packet, 8)?;
        sockets::attach_fanout(&packet, &prog)?;
        sockets::attach_filter(&packet, &prog)?;
        let report = json!({
            "prog": prog.id, "map": map.id,
            "udp": unix::inode(&udp)?, "packet": unix::inode(&packet)?,
        });
        drop((prog, map));
        stage.ready(report)
    }) else {
        return;
    };
    let twice = |name| by("socket", 2, [socket(&s, name)]);
    let me = [Who::process(s.pid, [])];
    s.check_and_why(&[
        Expect::prog(s.id("prog"), [twice("udp"), twice("packet")]).kept_by(me.clone()),
        Expect::map(s.id("map"), [by("prog", 1, [Who::prog(s.id("prog"))])]),
    ]);
    s.check_and_why(&[
        Expect::map(s.id("map"), [by("prog", 1, [Who::prog(s.id("prog"))])]).kept_by(me),
    ]);
}
