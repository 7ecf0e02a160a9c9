//! Programs attached to maps of sockets, and to the sockets in them.

use e2e::bpf::{self, Object};
use e2e::scene::{Cannot, OrImpossible};
use e2e::sockets;
use e2e::sockmap::{self, Slot};
use e2e::sys::Result;
use e2e::{Expect, Scene, Who, by, expect::Reference, fd, here, scene, unix};
use serde_json::{Value, json};
use std::net::TcpStream;

/// What kernels answer that know no such program on a map.
const NO_SKB_VERDICT: Cannot = Cannot {
    errno: libc::EINVAL,
    since: Some((5, 13)),
    why: "no BPF_SK_SKB_VERDICT before Linux 5.13",
};

/// Ids and descriptors of these objects, and the numbers of these sockets.
fn report<const N: usize>(
    objects: [(&str, &Object); N],
    sockets: &[(&str, &TcpStream)],
) -> Result<Value> {
    let mut report = scene::ids(objects);
    for (name, socket) in sockets {
        report[*name] = unix::inode(*socket)?.into();
    }
    Ok(report)
}

fn member(s: &Scene, name: &str, programs: u64) -> Reference {
    by("socket", programs, [Who::socket(s.number(name), [s.pid])])
}

fn slots(map: u32, count: u64) -> Reference {
    by("map-entry", count, [Who::map(map)])
}

/// Parser and verdict on a map with both ends of a connection. The map holds its
/// programs, and each socket those that the map had when it was put in.
#[test]
fn parser_and_verdict() {
    let Some(mut s) = scene(here!(), |stage| {
        let (client, server) = sockets::private_connection()?;
        let map = sockmap::sockmap("e2e_sockmap")?;
        let parser = sockmap::program(Slot::Parser, "e2e_parser")?;
        let verdict = sockmap::program(Slot::StreamVerdict, "e2e_verdict")?;
        sockmap::attach(&map, Slot::Parser, &parser)?;
        sockmap::attach(&map, Slot::StreamVerdict, &verdict)?;
        sockmap::put(&map, 0, &client)?;
        sockmap::put(&map, 200, &server)?;
        let objects = [("map", &map), ("parser", &parser), ("verdict", &verdict)];
        let report = report(objects, &[("client", &client), ("server", &server)])?;
        stage.ready(report.clone())?;
        drop(client);
        bpf::take_out(&map, 200)?;
        stage.ready(report)
    }) else {
        return;
    };
    let map = s.id("map");
    let expected = |s: &Scene, members: &[&str]| {
        ["parser", "verdict"].map(|name| {
            let references = [fd(s, name), slots(map, 1)];
            let members = members.iter().map(|member_of| member(s, member_of, 1));
            Expect::prog(s.id(name), references.into_iter().chain(members))
        })
    };
    for e in expected(&s, &["client", "server"]) {
        s.check_and_why(&[e]);
    }
    s.check_and_why(&[Expect::map(map, [fd(&s, "map")])]);
    s.advance();
    s.check(&expected(&s, &[]));
}

/// The program's descriptor is closed: the map's owner keeps it.
#[test]
fn msg_verdict_in_a_hash() {
    let Some(s) = scene(here!(), |stage| {
        let (client, _server) = sockets::private_connection()?;
        let map = sockmap::sockhash("e2e_sockhash")?;
        let prog = sockmap::program(Slot::MsgVerdict, "e2e_msg")?;
        sockmap::attach(&map, Slot::MsgVerdict, &prog)?;
        sockmap::put(&map, 4711, &client)?;
        let id = prog.id;
        drop(prog);
        stage.ready(json!({"map": map.id, "prog": id, "client": unix::inode(&client)?}))
    }) else {
        return;
    };
    let references = [slots(s.id("map"), 1), member(&s, "client", 1)];
    s.check_and_why(&[Expect::prog(s.id("prog"), references).kept_by([Who::process(s.pid, [])])]);
}

/// One program for all that a socket receives.
#[test]
fn skb_verdict() {
    let Some(s) = scene(here!(), |stage| {
        let (client, _server) = sockets::private_connection()?;
        let map = sockmap::sockmap("e2e_skb_verdict")?;
        let prog = sockmap::program(Slot::SkbVerdict, "e2e_skb")?;
        sockmap::attach(&map, Slot::SkbVerdict, &prog).or_impossible(&[NO_SKB_VERDICT])?;
        sockmap::put(&map, 0, &client)?;
        let objects = [("map", &map), ("prog", &prog)];
        stage.ready(report(objects, &[("client", &client)])?)
    }) else {
        return;
    };
    let map = s.id("map");
    let references = [fd(&s, "prog"), slots(map, 1), member(&s, "client", 1)];
    s.check_and_why(&[
        Expect::prog(s.id("prog"), references),
        Expect::map(map, [fd(&s, "map")]),
    ]);
}

/// One program as parser and verdict at once, on a map and on its sockets: two
/// references for each.
#[test]
fn twice_in_one_map() {
    let Some(s) = scene(here!(), |stage| {
        let (client, server) = sockets::private_connection()?;
        let map = sockmap::sockmap("e2e_twice")?;
        let prog = both_slots()?;
        sockmap::attach(&map, Slot::Parser, &prog)?;
        sockmap::attach(&map, Slot::StreamVerdict, &prog)?;
        sockmap::put(&map, 0, &client)?;
        sockmap::put(&map, 1, &server)?;
        let objects = [("map", &map), ("prog", &prog)];
        stage.ready(report(
            objects,
            &[("client", &client), ("server", &server)],
        )?)
    }) else {
        return;
    };
    s.check_and_why(&[Expect::prog(
        s.id("prog"),
        [
            fd(&s, "prog"),
            slots(s.id("map"), 2),
            member(&s, "client", 2),
            member(&s, "server", 2),
        ],
    )]);
}

/// A program that says for no slot in particular.
fn both_slots() -> Result<Object> {
    bpf::ProgSpec::new(
        bpf::prog_type::SK_SKB,
        "e2e_any_slot",
        e2e::insn::returns(1),
    )
    .load()
}

/// A socket in two maps that have different programs; a socket that was there
/// before the program; one that was added to a map without programs.
#[test]
fn sockets_in_two_maps() {
    let Some(s) = scene(here!(), |stage| {
        sockets::private_loopback()?;
        let listener = sockets::listener()?;
        let (both, early) = sockets::connection(&listener)?;
        let streams = sockmap::sockmap("e2e_streams")?;
        let messages = sockmap::sockhash("e2e_messages")?;
        let plain = sockmap::sockmap("e2e_plain")?;
        sockmap::put(&streams, 9, &early)?;
        let verdict = sockmap::program(Slot::StreamVerdict, "e2e_late")?;
        let msg = sockmap::program(Slot::MsgVerdict, "e2e_msg")?;
        sockmap::attach(&streams, Slot::StreamVerdict, &verdict)?;
        sockmap::attach(&messages, Slot::MsgVerdict, &msg)?;
        sockmap::put(&streams, 1, &both)?;
        sockmap::put(&messages, 1, &both)?;
        sockmap::put(&plain, 1, &both)?;
        // Twice in one map.
        sockmap::put(&streams, 2, &early)?;
        let objects = [("verdict", &verdict), ("msg", &msg)];
        let mut report = report(objects, &[("both", &both), ("early", &early)])?;
        report["maps"] = json!([streams.id, messages.id]);
        stage.ready(report)
    }) else {
        return;
    };
    let maps = s.ids("maps");
    // What was put in again has got the program then.
    let verdict = [
        fd(&s, "verdict"),
        slots(maps[0], 1),
        member(&s, "both", 1),
        member(&s, "early", 1),
    ];
    let msg = [fd(&s, "msg"), slots(maps[1], 1), member(&s, "both", 1)];
    s.check_and_why(&[
        Expect::prog(s.id("verdict"), verdict),
        Expect::prog(s.id("msg"), msg),
    ]);
}

/// The last user of the map goes while a program keeps it: the map gives up its
/// programs (`sock_map_release_progs`), its sockets do not.
#[test]
fn a_map_without_users() {
    let Some(mut s) = scene(here!(), |stage| {
        let (client, _server) = sockets::private_connection()?;
        let map = sockmap::sockmap("e2e_no_users")?;
        let prog = sockmap::program(Slot::StreamVerdict, "e2e_no_users")?;
        sockmap::attach(&map, Slot::StreamVerdict, &prog)?;
        sockmap::put(&map, 0, &client)?;
        let keeper = bpf::filter("e2e_keeper")?;
        bpf::bind(&keeper, &map)?;
        let objects = [("map", &map), ("prog", &prog), ("keeper", &keeper)];
        let report = report(objects, &[("client", &client)])?;
        stage.ready(report.clone())?;
        drop(map);
        stage.ready(report)
    }) else {
        return;
    };
    let map = s.id("map");
    let keeper = || by("prog", 1, [Who::prog(s.id("keeper"))]);
    let prog = || [fd(&s, "prog"), member(&s, "client", 1)];
    let with_slot = prog().into_iter().chain([slots(map, 1)]);
    s.check_and_why(&[
        Expect::prog(s.id("prog"), with_slot),
        Expect::map(map, [fd(&s, "map"), keeper()]),
    ]);
    let expected = [
        Expect::prog(s.id("prog"), prog()),
        Expect::map(map, [keeper()]),
    ];
    s.advance();
    s.check_and_why(&expected);
}

/// A link on the map holds the program, and so does the map for the link
/// (`sock_map_link_create`): that is not told twice. A socket adds its own.
#[test]
fn by_a_link() {
    let Some(s) = scene(here!(), |stage| {
        let (client, _server) = sockets::private_connection()?;
        let map = sockmap::sockmap("e2e_map_linked")?;
        let prog = sockmap::program(Slot::SkbVerdict, "e2e_linked")?;
        let too_old = [libc::EINVAL, libc::EOPNOTSUPP].map(|errno| Cannot {
            errno,
            since: Some((6, 10)),
            why: "no sockmap links before Linux 6.10",
        });
        let link = sockmap::link(&map, Slot::SkbVerdict, &prog).or_impossible(&too_old)?;
        sockmap::put(&map, 0, &client)?;
        let objects = [("map", &map), ("prog", &prog), ("link", &link)];
        stage.ready(report(objects, &[("client", &client)])?)
    }) else {
        return;
    };
    let link = Who::link(s.id("link"));
    s.check_and_why(&[
        Expect::prog(
            s.id("prog"),
            [
                fd(&s, "prog"),
                by("link", 2, [link.clone()]),
                member(&s, "client", 1),
            ],
        )
        .field("attached", true),
        Expect::map(s.id("map"), [fd(&s, "map"), by("link", 1, [link])]),
        Expect::link(s.id("link"), [fd(&s, "link")]),
    ]);
}

/// A hundred sockets, more than fit into a few pages of anything.
#[test]
fn a_hundred_sockets() {
    let Some(s) = scene(here!(), |stage| {
        sockets::private_loopback()?;
        let listener = sockets::listener()?;
        let map = sockmap::sockhash("e2e_many_members")?;
        let prog = sockmap::program(Slot::StreamVerdict, "e2e_many")?;
        sockmap::attach(&map, Slot::StreamVerdict, &prog)?;
        let (mut pairs, mut inodes) = (Vec::new(), Vec::new());
        for i in 0..50 {
            let pair = sockets::connection(&listener)?;
            sockmap::put(&map, 2 * i, &pair.0)?;
            sockmap::put(&map, 2 * i + 1, &pair.1)?;
            inodes.extend([unix::inode(&pair.0)?, unix::inode(&pair.1)?]);
            pairs.push(pair);
        }
        let mut report = scene::ids([("map", &map), ("prog", &prog)]);
        report["inodes"] = inodes.into();
        stage.ready(report)
    }) else {
        return;
    };
    let inodes = s.numbers("inodes").into_iter();
    let members = inodes.map(|i| by("socket", 1, [Who::socket(i, [s.pid])]));
    let own = [fd(&s, "prog"), slots(s.id("map"), 1)];
    s.check_and_why(&[Expect::prog(s.id("prog"), own.into_iter().chain(members))]);
}
