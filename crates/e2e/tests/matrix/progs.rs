//! Maps that programs use.

use e2e::bpf;
use e2e::{Expect, Who, by, here, scene};
use serde_json::json;

/// The map's descriptor is closed; the program keeps it.
#[test]
fn a_program_that_uses_a_map() {
    let Some(s) = scene(here!(), |stage| {
        let map = bpf::hash("e2e_used")?;
        let prog = bpf::filter_using("e2e_user", &[&map])?;
        let id = map.id;
        drop(map);
        stage.ready(json!({"map": id, "prog": prog.id, "prog_fd": prog.fd()}))
    }) else {
        return;
    };
    let me = Who::process(s.pid, [s.id("prog_fd")]);
    let report = s.check_and_why(&[
        Expect::map(s.id("map"), [by("prog", 1, [Who::prog(s.id("prog"))])]).kept_by([me.clone()]),
        Expect::prog(s.id("prog"), [by("fd", 1, [me])]).field("maps", json!([s.id("map")])),
    ]);
    // map ← program ← process
    let chains = report["chains"].as_array().expect("a list of chains");
    let kinds: Vec<_> = chains[0]
        .as_array()
        .into_iter()
        .flatten()
        .map(|h| h["type"].as_str().unwrap_or("?"))
        .collect();
    assert_eq!((chains.len(), kinds), (1, vec!["prog", "process"]));
}

/// A program that names a map three times holds it once.
#[test]
fn a_program_that_uses_a_map_repeatedly() {
    let Some(s) = scene(here!(), |stage| {
        let map = bpf::hash("e2e_used_3")?;
        let prog = bpf::filter_using("e2e_user_3", &[&map, &map, &map])?;
        let id = map.id;
        drop(map);
        stage.ready(json!({"map": id, "prog": prog.id}))
    }) else {
        return;
    };
    s.check_and_why(&[Expect::map(
        s.id("map"),
        [by("prog", 1, [Who::prog(s.id("prog"))])],
    )]);
}

/// Three programs that use two maps.
#[test]
fn several_programs_and_maps() {
    let Some(s) = scene(here!(), |stage| {
        let (a, b) = (bpf::hash("e2e_map_a")?, bpf::hash("e2e_map_b")?);
        let progs = [
            bpf::filter_using("e2e_uses_a", &[&a])?,
            bpf::filter_using("e2e_uses_b", &[&b])?,
            bpf::filter_using("e2e_uses_ab", &[&a, &b])?,
        ];
        let ids = progs.each_ref().map(|p| p.id);
        stage.ready(json!({"a": a.id, "b": b.id, "fds": [a.fd(), b.fd()], "progs": ids}))
    }) else {
        return;
    };
    let (progs, fds) = (s.ids("progs"), s.ids("fds"));
    let using = |which: [usize; 2], fd| {
        [
            by("prog", 1, [Who::prog(progs[which[0]])]),
            by("prog", 1, [Who::prog(progs[which[1]])]),
            by("fd", 1, [Who::process(s.pid, [fd])]),
        ]
    };
    s.check_and_why(&[
        Expect::map(s.id("a"), using([0, 2], fds[0])),
        Expect::map(s.id("b"), using([1, 2], fds[1])),
    ]);
}

/// `BPF_PROG_BIND_MAP`: held by a program whose instructions do not name it.
#[test]
fn a_map_bound_to_a_program() {
    let Some(s) = scene(here!(), |stage| {
        let map = bpf::hash("e2e_bound")?;
        let prog = bpf::filter("e2e_binder")?;
        bpf::bind(&prog, &map)?;
        let id = map.id;
        drop(map);
        stage.ready(json!({"map": id, "prog": prog.id, "prog_fd": prog.fd()}))
    }) else {
        return;
    };
    let me = Who::process(s.pid, [s.id("prog_fd")]);
    s.check_and_why(&[
        Expect::map(s.id("map"), [by("prog", 1, [Who::prog(s.id("prog"))])]),
        Expect::prog(s.id("prog"), [by("fd", 1, [me])]).field("maps", json!([s.id("map")])),
    ]);
}
