//! Every type of program for cgroups, at every attach type of it.

use crate::attached::{attached, one};
use crate::cgroups::{at, fd_of, load};
use e2e::bpf::{self, attach_type, prog_type};
use e2e::files::{Cgroup, private_mounts};
use e2e::{Who, by, here, kernel, scene};
use serde_json::json;

/// Attach types in the kernel's words, and the first kernel that has them.
type Kinds = [(&'static str, u32, (u32, u32))];

const OLD: (u32, u32) = (5, 10);

/// One program for each of the kinds, all at one cgroup.
fn check_kinds(name: &'static str, prog_type: u32, kinds: &'static Kinds) {
    let kinds = || {
        kinds
            .iter()
            .filter(|(_, _, since)| kernel::version() >= *since)
    };
    let Some(s) = scene(name, |stage| {
        private_mounts()?;
        let cgroup = Cgroup::new()?;
        let mut progs = Vec::new();
        for (_, kind, _) in kinds() {
            let prog = load(prog_type, *kind, "e2e_cgroup")?;
            bpf::attach(&prog, fd_of(&cgroup), *kind, 0)?;
            progs.push(prog);
        }
        let ids: Vec<_> = progs.iter().map(|p| [p.id, p.fd()]).collect();
        stage.ready(json!({"cgroup": cgroup.name, "progs": ids}))
    }) else {
        return;
    };
    let expected = kinds().enumerate().map(|(i, (words, ..))| {
        let number = |n: usize| s.report["progs"][i][n].as_u64().expect("a number") as u32;
        let me = Who::process(s.pid, [number(1)]);
        let at = at(s.text("cgroup"), words);
        attached(number(0), [by("fd", 1, [me]), one(&at)])
    });
    s.check_and_why(&expected.collect::<Vec<_>>());
}

#[test]
fn skb() {
    check_kinds(
        here!(),
        prog_type::CGROUP_SKB,
        &[
            ("cgroup_inet_ingress", attach_type::CGROUP_INET_INGRESS, OLD),
            ("cgroup_inet_egress", attach_type::CGROUP_INET_EGRESS, OLD),
        ],
    );
}

#[test]
fn sock() {
    use attach_type as a;
    check_kinds(
        here!(),
        prog_type::CGROUP_SOCK,
        &[
            ("cgroup_inet_sock_create", a::CGROUP_INET_SOCK_CREATE, OLD),
            ("cgroup_inet_sock_release", a::CGROUP_INET_SOCK_RELEASE, OLD),
            ("cgroup_inet4_post_bind", a::CGROUP_INET4_POST_BIND, OLD),
            ("cgroup_inet6_post_bind", a::CGROUP_INET6_POST_BIND, OLD),
        ],
    );
}

#[test]
fn sock_addr() {
    use attach_type as a;
    check_kinds(
        here!(),
        prog_type::CGROUP_SOCK_ADDR,
        &[
            ("cgroup_inet4_bind", a::CGROUP_INET4_BIND, OLD),
            ("cgroup_inet6_bind", a::CGROUP_INET6_BIND, OLD),
            ("cgroup_inet4_connect", a::CGROUP_INET4_CONNECT, OLD),
            ("cgroup_inet6_connect", a::CGROUP_INET6_CONNECT, OLD),
            ("cgroup_udp4_sendmsg", a::CGROUP_UDP4_SENDMSG, OLD),
            ("cgroup_udp6_sendmsg", a::CGROUP_UDP6_SENDMSG, OLD),
            ("cgroup_udp4_recvmsg", a::CGROUP_UDP4_RECVMSG, OLD),
            ("cgroup_udp6_recvmsg", a::CGROUP_UDP6_RECVMSG, OLD),
            ("cgroup_inet4_getpeername", a::CGROUP_INET4_GETPEERNAME, OLD),
            ("cgroup_inet6_getpeername", a::CGROUP_INET6_GETPEERNAME, OLD),
            ("cgroup_inet4_getsockname", a::CGROUP_INET4_GETSOCKNAME, OLD),
            ("cgroup_inet6_getsockname", a::CGROUP_INET6_GETSOCKNAME, OLD),
            ("cgroup_unix_connect", a::CGROUP_UNIX_CONNECT, (6, 7)),
        ],
    );
}

#[test]
fn sock_ops() {
    check_kinds(
        here!(),
        prog_type::SOCK_OPS,
        &[("cgroup_sock_ops", attach_type::CGROUP_SOCK_OPS, OLD)],
    );
}

#[test]
fn sockopt() {
    check_kinds(
        here!(),
        prog_type::CGROUP_SOCKOPT,
        &[
            ("cgroup_getsockopt", attach_type::CGROUP_GETSOCKOPT, OLD),
            ("cgroup_setsockopt", attach_type::CGROUP_SETSOCKOPT, OLD),
        ],
    );
}

#[test]
fn device() {
    check_kinds(
        here!(),
        prog_type::CGROUP_DEVICE,
        &[("cgroup_device", attach_type::CGROUP_DEVICE, OLD)],
    );
}

#[test]
fn sysctl() {
    check_kinds(
        here!(),
        prog_type::CGROUP_SYSCTL,
        &[("cgroup_sysctl", attach_type::CGROUP_SYSCTL, OLD)],
    );
}
