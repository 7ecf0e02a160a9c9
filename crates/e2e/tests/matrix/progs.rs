//! Maps that programs use.

use e2e::bpf::{self, Kind};
use e2e::{Expect, Stage, Who, by, here, lastref, scene};
use serde_json::{Value, json};

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

/// Binds that many maps to a program, and reports the first and the last.
fn many_maps(stage: &mut Stage, name: &str, count: usize) -> scene::Outcome {
    let prog = bpf::filter(name)?;
    let mut ids = Vec::new();
    for _ in 0..count {
        let map = bpf::hash("e2e_one_of_many")?;
        bpf::bind(&prog, &map)?;
        ids.push(map.id);
    }
    let ends = [ids[0], ids[count - 1]];
    stage.ready(json!({"maps": ends, "prog": prog.id}))
}

/// More than the verifier gives to one program (`MAX_USED_MAPS`), all bound.
#[test]
fn hundreds_of_maps_bound_to_a_program() {
    let Some(s) = scene(here!(), |stage| many_maps(stage, "e2e_many_maps", 600)) else {
        return;
    };
    let user = || [by("prog", 1, [Who::prog(s.id("prog"))])];
    let maps = s.ids("maps").into_iter();
    let expected: Vec<_> = maps.map(|map| Expect::map(map, user())).collect();
    s.check_and_why(&expected);
}

/// More than can be read: what is left of a map's count is not called unexplained.
#[test]
fn more_maps_than_can_be_read() {
    let Some(s) = scene(here!(), |stage| many_maps(stage, "e2e_too_many", 2100)) else {
        return;
    };
    let maps = s.ids("maps");
    let count = |report: &Value, id| {
        lastref::find(report, Kind::Map, id).map_or(Value::Null, |map| map["refcnt"].clone())
    };
    // Whoever lists maps holds the one that he is at.
    let alone = |report: &Value| maps.iter().all(|&id| count(report, id) == 1);
    let mut looks = std::iter::repeat_with(lastref::ls).take(20);
    let report = looks.find(alone).expect("a look without others");
    let of = |id| lastref::find(&report, Kind::Map, id).unwrap_or(&Value::Null);
    assert_eq!(of(maps[0])["unexplained"], 0, "{}", of(maps[0]));
    let last = of(maps[1]);
    assert_eq!(last["refcnt"], 1, "{last}");
    assert_eq!(last["unexplained"], Value::Null, "{last}");
    let says = last["unreadable"].to_string();
    let reason = format!("prog:{} uses more maps than can be read", s.id("prog"));
    assert!(says.contains(&reason), "{says}");
    let unseen = report["snapshot"]["cannot_see"].to_string();
    assert!(unseen.contains(&reason), "{unseen}");
}
