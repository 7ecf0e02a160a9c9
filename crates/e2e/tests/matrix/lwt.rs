//! Routes whose light-weight tunnel is a BPF program. Their target is free text after `route:`.

use crate::attached::{attached, check_open_then_closed, one, open_then_closed};
use e2e::bpf::{Object, ProgSpec, prog_type};
use e2e::net::{self, Hook, LOOPBACK, route};
use e2e::scene::{Cannot, OrImpossible, Outcome};
use e2e::sys::Result;
use e2e::{Who, by, fd, here, insn, scene};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Whose program a route runs can be told only while there is one of the type.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
const FAR: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

fn load(name: &str, hook: Hook) -> Result<Object> {
    let prog_type = match hook {
        Hook::In => prog_type::LWT_IN,
        Hook::Out => prog_type::LWT_OUT,
        Hook::Xmit => prog_type::LWT_XMIT,
    };
    ProgSpec::new(prog_type, name, insn::returns(0)).load()
}

/// Enters a network namespace with a device that routes can lead through.
fn prepare() -> Result<()> {
    net::private()?;
    net::up(LOOPBACK)
}

fn add(to: IpAddr, programs: &[(Hook, &Object)]) -> Outcome {
    route(to, LOOPBACK, programs).or_impossible(&[Cannot {
        errno: libc::EOPNOTSUPP,
        since: None,
        why: "no tunnels of this type: CONFIG_LWTUNNEL_BPF is not set",
    }])
}

fn at(attach_type: &'static str) -> Who {
    Who::attachment_at("route:", attach_type)
}

/// One route with one program.
fn check_route(test: &'static str, to: IpAddr, hook: Hook, attach_type: &'static str) {
    let _alone = alone();
    let Some(mut s) = scene(test, |stage| {
        prepare()?;
        let prog = load("e2e_lwt", hook)?;
        add(to, &[(hook, &prog)])?;
        open_then_closed(stage, prog)
    }) else {
        return;
    };
    let route = at(attach_type);
    check_open_then_closed(&mut s, [one(&route)], [route]);
}

#[test]
fn xmit() {
    check_route(here!(), HERE, Hook::Xmit, "lwt_xmit");
}

/// Over IPv6, whose routes the kernel keeps in other structs.
#[test]
fn of_ipv6() {
    check_route(here!(), FAR, Hook::Out, "lwt_out");
}

/// All three on one route, and one of them on two more.
#[test]
fn several() {
    let _alone = alone();
    let Some(s) = scene(here!(), |stage| {
        prepare()?;
        let incoming = load("e2e_lwt_in", Hook::In)?;
        let outgoing = load("e2e_lwt_out", Hook::Out)?;
        let xmit = load("e2e_lwt_xmit", Hook::Xmit)?;
        let all = [
            (Hook::In, &incoming),
            (Hook::Out, &outgoing),
            (Hook::Xmit, &xmit),
        ];
        add(HERE, &all)?;
        add(THERE, &all[..1])?;
        add(FAR, &all[..1])?;
        stage.ready(scene::ids([
            ("in", &incoming),
            ("out", &outgoing),
            ("xmit", &xmit),
        ]))
    }) else {
        return;
    };
    let routes = |n: usize, kind| vec![by("attachment", 1, [at(kind)]); n];
    let expect = |name: &str, routes: Vec<_>| {
        let references = [vec![fd(&s, name)], routes].concat();
        attached(s.id(name), references)
    };
    s.check_and_why(&[
        expect("in", routes(3, "lwt_in")),
        expect("out", routes(1, "lwt_out")),
        expect("xmit", routes(1, "lwt_xmit")),
    ]);
}
