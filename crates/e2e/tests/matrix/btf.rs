//! BTF: the types that maps and programs carry.

use e2e::bpf::{self, Kind, MapSpec, ProgSpec, map_type, prog_type};
use e2e::btf;
use e2e::insn;
use e2e::scene::{Cannot, OrImpossible};
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
        let prog = ProgSpec::new(prog_type::SOCKET_FILTER, "e2e_typed", insn::returns(0))
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

/// Its loader named it (`fd_array_cnt`): a reference of `used_btfs`, for one program besides
/// the one for its own types (`aux->btf`).
#[test]
fn programs_whose_loader_named_it() {
    let Some(s) = scene(here!(), |stage| {
        let btf = bpf::load_btf(&btf::blob())?;
        let program = |name| ProgSpec::new(prog_type::SOCKET_FILTER, name, insn::returns(0));
        let too_old = [libc::EINVAL, libc::E2BIG].map(|errno| Cannot {
            errno,
            since: Some((6, 14)),
            why: "no fd_array_cnt before Linux 6.14",
        });
        let named = program("e2e_names_btf")
            .naming(&[&btf, &btf])
            .load()
            .or_impossible(&too_old)?;
        let typed = program("e2e_twice").btf(&btf).naming(&[&btf]).load()?;
        // No map or program has it for its types.
        let other = bpf::load_btf(&btf::blob())?;
        let only = program("e2e_names_other").naming(&[&other]).load()?;
        let mut report = scene::ids([("btf", &btf), ("other", &other)]);
        report["progs"] = json!([named.id, typed.id, only.id]);
        stage.ready(report)
    }) else {
        return;
    };
    let progs = s.ids("progs");
    let used = |times, prog: usize| by("btf-user", times, [Who::prog(progs[prog])]);
    let fd = |name: &str| by("fd", 1, [Who::process(s.pid, [s.id(name)])]);
    s.check_and_why(&[
        Expect::btf(s.id("btf"), [fd("btf_fd"), used(1, 0), used(2, 1)]),
        Expect::btf(s.id("other"), [fd("other_fd"), used(1, 2)]),
    ]);
    s.check_and_why(&[Expect::btf(s.id("other"), [fd("other_fd"), used(1, 2)])]);
}
