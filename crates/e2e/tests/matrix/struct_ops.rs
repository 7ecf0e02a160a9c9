//! `struct_ops`: a TCP congestion control, who registered it and who uses it.

use e2e::bpf::Kind;
use e2e::sockets::use_congestion_control;
use e2e::struct_ops::{self, CongestionControl};
use e2e::{Expect, Scene, Who, bpf, by, fd, here, kernel, lastref, net, scene, sockets, unix};
use serde_json::{Value, json};

fn report(control: &CongestionControl) -> Value {
    let mut report = scene::ids([("map", &control.map)]);
    report["progs"] = control.progs.iter().map(|p| p.id).collect();
    report["prog_fds"] = control.progs.iter().map(bpf::Object::fd).collect();
    report
}

/// Each member's program, by its descriptor and by the map; attached while that is in use.
fn members(s: &Scene, attached: bool) -> Vec<Expect> {
    let fds = s.ids("prog_fds").into_iter();
    let members = s.ids("progs").into_iter().zip(fds);
    members
        .map(|(prog, fd)| {
            Expect::prog(
                prog,
                [
                    by("fd", 1, [Who::process(s.pid, [fd])]),
                    by("struct-ops", 1, [Who::map(s.id("map"))]),
                ],
            )
            .field("attached", attached)
        })
        .collect()
}

/// Registered by `BPF_MAP_UPDATE_ELEM`, without a link: the kernel itself holds the map.
#[test]
fn registered_without_a_link() {
    let Some(mut s) = scene(here!(), |stage| {
        let control = struct_ops::load("e2e_cc_plain", 0)?;
        stage.ready(report(&control))?;
        struct_ops::unregister(&control)?;
        stage.ready(report(&control))
    }) else {
        return;
    };
    let map = s.id("map");
    let registered = by("struct-ops", 1, [Who::kernel()]);
    s.check_and_why(&[Expect::map(map, [fd(&s, "map"), registered])]);
    s.check_and_why(&members(&s, true));
    s.advance();
    s.check_and_why(&[Expect::map(map, [fd(&s, "map")])]);
    s.check_and_why(&members(&s, false));
}

/// Registered by a link, which holds the map and has no program. The map holds the
/// programs through links without an id.
#[test]
fn registered_by_a_link() {
    let Some(s) = scene(here!(), |stage| {
        let control = struct_ops::load("e2e_cc_linked", bpf::F_LINK)?;
        let link = struct_ops::link(&control)?;
        let mut report = report(&control);
        report["link"] = link.id.into();
        report["link_fd"] = link.fd().into();
        stage.ready(report)
    }) else {
        return;
    };
    let link = s.id("link");
    let registered = by("struct-ops", 1, [Who::link(link)]);
    s.check_and_why(&[
        Expect::map(s.id("map"), [fd(&s, "map"), registered]),
        Expect::link(link, [fd(&s, "link")]).field("prog_id", Value::Null),
    ]);
    s.check_and_why(&members(&s, true));
}

/// Each TCP socket that uses it holds the map (`bpf_struct_ops_get`), connected or
/// not; what is accepted takes it over. They keep it when it is registered no more.
///
/// Before 6.1 users are counted in the map's value, and the map is held once for
/// the registration and all of them.
#[test]
fn used_by_sockets() {
    let Some(mut s) = scene(here!(), |stage| {
        let control = struct_ops::load("e2e_cc_used", 0)?;
        sockets::private_loopback()?;
        let name = struct_ops::name("e2e_cc_used");
        let idle = unix::socket(libc::AF_INET, libc::SOCK_STREAM, 0)?;
        use_congestion_control(&idle, name)?;
        let listener = sockets::listener()?;
        use_congestion_control(&listener, name)?;
        let (client, server) = sockets::connection(&listener)?;
        let mut report = report(&control);
        report["sockets"] = json!([
            unix::inode(&idle)?,
            unix::inode(&listener)?,
            unix::inode(&server)?,
        ]);
        stage.ready(report.clone())?;
        struct_ops::unregister(&control)?;
        stage.ready(report.clone())?;
        drop(idle);
        stage.ready(report)?;
        drop(client);
        Ok(())
    }) else {
        return;
    };
    let held_once = kernel::version() < (6, 1);
    let expected = |s: &Scene, registered: bool, closed: usize| {
        let sockets = s
            .numbers("sockets")
            .into_iter()
            .skip(closed)
            .map(|i| by("struct-ops", 1, [Who::socket(i, [s.pid])]));
        let mut references = vec![fd(s, "map")];
        if registered || held_once {
            references.push(by("struct-ops", 1, [Who::kernel()]));
        }
        if !held_once {
            references.extend(sockets);
        }
        [Expect::map(s.id("map"), references)]
    };
    s.check_and_why(&expected(&s, true, 0));
    s.advance();
    s.check_and_why(&expected(&s, false, 0));
    s.advance();
    s.check_and_why(&expected(&s, false, 1));
    s.check_and_why(&members(&s, true));
}

/// The default of a network namespace, which holds the map (`tcp_set_default_congestion_control`),
/// and so does a socket that begins with it.
#[test]
fn default_of_a_network_namespace() {
    let Some(mut s) = scene(here!(), |stage| {
        let control = struct_ops::load("e2e_cc_default", 0)?;
        sockets::private_loopback()?;
        sockets::set_default_congestion_control("e2e_cc_default")?;
        let socket = unix::socket(libc::AF_INET, libc::SOCK_STREAM, 0)?;
        let mut report = report(&control);
        report["socket"] = unix::inode(&socket)?.into();
        report["netns"] = net::number()?.into();
        stage.ready(report.clone())?;
        struct_ops::unregister(&control)?;
        drop(socket);
        stage.ready(report.clone())?;
        sockets::set_default_congestion_control("reno")?;
        stage.ready(report)
    }) else {
        return;
    };
    // See `used_by_sockets`.
    let held_once = kernel::version() < (6, 1);
    let target = format!("netns:{}", s.number("netns"));
    let holder = Who::attachment(target, "tcp_congestion_control");
    let default = by("struct-ops", 1, [holder]);
    let socket = by("struct-ops", 1, [Who::socket(s.number("socket"), [s.pid])]);
    let kernel = || by("struct-ops", 1, [Who::kernel()]);
    let stages = if held_once {
        [vec![kernel()], vec![kernel()], vec![]]
    } else {
        [
            vec![kernel(), default.clone(), socket],
            vec![default],
            vec![],
        ]
    };
    if !held_once {
        let why = lastref::why(Kind::Map, s.id("map"));
        let commands = why["to_release"].as_array().expect("steps");
        let there = format!(
            "nsenter -t {} -n sysctl net.ipv4.tcp_congestion_control=reno",
            s.pid
        );
        assert!(
            commands.iter().any(|step| step["do"] == there),
            "{commands:?}"
        );
    }
    for (i, references) in stages.into_iter().enumerate() {
        if i > 0 {
            s.advance();
        }
        let references = references.into_iter().chain([fd(&s, "map")]);
        s.check_and_why(&[Expect::map(s.id("map"), references)]);
    }
}
