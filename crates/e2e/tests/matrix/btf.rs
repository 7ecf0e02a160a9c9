//! BTF: the types that maps and programs carry.

use e2e::bpf::{self, Kind, MapSpec, map_type, prog_type};
use e2e::btf;
use e2e::insn;
use e2e::{Expect, Truth, Who, by, here, scene};
use serde_json::json;

/// Held by its descriptor alone: no map or program leads to it.
#[test]
fn a_descriptor() {
    let Some(s) = scene(here!(), |stage| {
        let btf = bpf::load_btf(&btf::blob())?;
        stage.ready(json!({"btf": btf.id, "btf_fd": btf.fd()}))
    }) else {
        return;
    };
    let me = Who::process(s.pid, [s.id("btf_fd")]);
    s.check_and_why(&[Expect::btf(s.id("btf"), [by("fd", 1, [me])]).field("type", "user")]);
}

/// Two maps and a program share one BTF whose descriptor is closed.
#[test]
fn maps_and_a_program_that_use_it() {
    let Some(s) = scene(here!(), |stage| {
        let btf = bpf::load_btf(&btf::blob())?;
        let one = MapSpec::new(map_type::HASH, "e2e_typed_1")
            .btf(&btf)
            .create()?;
        let two = MapSpec::new(map_type::ARRAY, "e2e_typed_2")
            .btf(&btf)
            .create()?;
        let prog = bpf::ProgSpec::new(prog_type::SOCKET_FILTER, "e2e_typed", insn::returns(0))
            .btf(&btf)
            .load()?;
        let id = btf.id;
        drop(btf);
        stage.ready(json!({
            "btf": id, "maps": [one.id, two.id], "prog": prog.id,
            "fds": [one.fd(), two.fd(), prog.fd()],
        }))
    }) else {
        return;
    };
    let (maps, fds) = (s.ids("maps"), s.ids("fds"));
    let fd = |i: usize| by("fd", 1, [Who::process(s.pid, [fds[i]])]);
    s.check_and_why(&[
        Expect::btf(
            s.id("btf"),
            [
                by("btf-user", 1, [Who::map(maps[0])]),
                by("btf-user", 1, [Who::map(maps[1])]),
                by("btf-user", 1, [Who::prog(s.id("prog"))]),
            ],
        )
        .kept_by([Who::process(s.pid, [])]),
        Expect::map(maps[0], [fd(0)]),
        Expect::map(maps[1], [fd(1)]),
        Expect::prog(s.id("prog"), [fd(2)]),
    ]);
}

/// A descriptor, a second one by id, and a user.
#[test]
fn descriptors_and_a_map() {
    let Some(s) = scene(here!(), |stage| {
        let btf = bpf::load_btf(&btf::blob())?;
        let again = btf.reopen()?;
        let map = MapSpec::new(map_type::HASH, "e2e_typed")
            .btf(&btf)
            .create()?;
        stage.ready(json!({"btf": btf.id, "fds": [btf.fd(), again.fd()], "map": map.id}))
    }) else {
        return;
    };
    s.check_and_why(&[Expect::btf(
        s.id("btf"),
        [
            by("fd", 2, [Who::process(s.pid, s.ids("fds"))]),
            by("btf-user", 1, [Who::map(s.id("map"))]),
        ],
    )]);
}

/// An outer map keeps the types of its inner maps (`inner_map_meta->btf`), since
/// 6.2; whether this kernel does is read from its counter.
#[test]
fn the_template_of_an_outer_map() {
    let Some(s) = scene(here!(), |stage| {
        let btf = bpf::load_btf(&btf::blob())?;
        let inner = MapSpec::new(map_type::HASH, "e2e_typed_in")
            .btf(&btf)
            .create()?;
        let outer = bpf::outer(map_type::ARRAY_OF_MAPS, "e2e_typed_out", 0, &inner)?;
        let id = btf.id;
        drop(btf);
        stage.ready(json!({"btf": id, "inner": inner.id, "outer": outer.id}))
    }) else {
        return;
    };
    let (inner, outer) = (s.id("inner"), s.id("outer"));
    let mut users = vec![by("btf-user", 1, [Who::map(inner)])];
    match Truth::get().read().refcnt(Kind::Btf, s.id("btf")) {
        Some(1) if e2e::kernel::version() < (6, 2) => {}
        Some(2) => users.push(by("btf-user", 1, [Who::map(outer)])),
        other => panic!("the BTF has {other:?} references"),
    }
    s.check_and_why(&[Expect::btf(s.id("btf"), users)]);
}
