//! Slots of outer maps and of program arrays.

use e2e::bpf::{self, F_NO_PREALLOC, Kind, map_type};
use e2e::files::private_bpffs;
use e2e::{Expect, Scene, Who, by, here, lastref, scene};
use serde_json::json;

/// An outer map holds one inner map in three slots, and another in one.
fn in_slots_of(name: &'static str, outer_type: u32, flags: u32) -> Option<Scene> {
    scene(name, move |stage| {
        let thrice = bpf::hash("e2e_inner_3")?;
        let once = bpf::hash("e2e_inner_1")?;
        let outer = bpf::outer(outer_type, "e2e_outer", flags, &thrice)?;
        for slot in [0, 3, 7] {
            bpf::put(&outer, slot, &thrice)?;
        }
        bpf::put(&outer, 5, &once)?;
        let report = json!({
            "outer": outer.id, "outer_fd": outer.fd(), "thrice": thrice.id, "once": once.id,
        });
        drop((thrice, once));
        stage.ready(report)?;
        bpf::take_out(&outer, 3)?;
        stage.ready(json!({}))
    })
}

/// Checks such a scene before and after a slot is emptied.
fn check_slots(scene: Option<Scene>, outer_type: &str) {
    let Some(mut s) = scene else {
        return;
    };
    let (outer, thrice, once) = (s.id("outer"), s.id("thrice"), s.id("once"));
    let me = Who::process(s.pid, [s.id("outer_fd")]);
    let expected = |slots| {
        [
            Expect::map(thrice, [by("outer-map", slots, [Who::map(outer)])]).kept_by([me.clone()]),
            Expect::map(once, [by("outer-map", 1, [Who::map(outer)])]),
            // The template takes no reference on its model.
            Expect::map(outer, [by("fd", 1, [me.clone()])]).field("type", outer_type),
        ]
    };
    s.check_and_why(&expected(3));
    s.advance();
    s.check(&expected(2));
}

#[test]
fn slots_of_an_array_of_maps() {
    let scene = in_slots_of(here!(), map_type::ARRAY_OF_MAPS, 0);
    check_slots(scene, "array_of_maps");
}

#[test]
fn slots_of_a_hash_of_maps() {
    let scene = in_slots_of(here!(), map_type::HASH_OF_MAPS, 0);
    check_slots(scene, "hash_of_maps");
}

#[test]
fn slots_of_a_hash_of_maps_without_preallocation() {
    let scene = in_slots_of(here!(), map_type::HASH_OF_MAPS, F_NO_PREALLOC);
    check_slots(scene, "hash_of_maps");
}

/// An outer map larger than one page of slots, and slots at its ends.
#[test]
fn slots_at_the_ends_of_a_large_outer_map() {
    let Some(s) = scene(here!(), |stage| {
        let inner = bpf::hash("e2e_far_inner")?;
        let mut spec = bpf::MapSpec::new(map_type::ARRAY_OF_MAPS, "e2e_far_outer").inner(&inner);
        spec.max_entries = 5000;
        let outer = spec.create()?;
        for slot in [0, 4097, 4999] {
            bpf::put(&outer, slot, &inner)?;
        }
        let mut spec = bpf::MapSpec::new(map_type::HASH_OF_MAPS, "e2e_far_hash").inner(&inner);
        spec.max_entries = 5000;
        let hash = spec.create()?;
        for key in [1, 1_000_000, u32::MAX] {
            bpf::put(&hash, key, &inner)?;
        }
        let report = json!({"inner": inner.id, "outer": outer.id, "hash": hash.id});
        drop(inner);
        stage.ready(report)
    }) else {
        return;
    };
    s.check_and_why(&[Expect::map(
        s.id("inner"),
        [
            by("outer-map", 3, [Who::map(s.id("outer"))]),
            by("outer-map", 3, [Who::map(s.id("hash"))]),
        ],
    )]);
}

/// map ← outer map ← program ← pin: a chain of three.
#[test]
fn an_inner_map_of_an_outer_map_that_a_pinned_program_uses() {
    let Some(s) = scene(here!(), |stage| {
        let bpffs = private_bpffs()?;
        let inner = bpf::hash("e2e_deep_inner")?;
        let outer = bpf::outer(map_type::ARRAY_OF_MAPS, "e2e_deep_outer", 0, &inner)?;
        bpf::put(&outer, 1, &inner)?;
        let prog = bpf::filter_using("e2e_deep_prog", &[&outer])?;
        prog.pin(&bpffs.join("e2e_deep"))?;
        let report = json!({"inner": inner.id, "outer": outer.id, "prog": prog.id});
        drop((inner, outer, prog));
        stage.ready(report)
    }) else {
        return;
    };
    let (outer, prog) = (Who::map(s.id("outer")), Who::prog(s.id("prog")));
    let pin = Who::pin(s.pid, &["/sys/fs/bpf/e2e_deep"]);
    let report = s.check_and_why(&[
        Expect::map(s.id("inner"), [by("outer-map", 1, [outer])])
            .state(&["orphan-pin"])
            .kept_by([pin.clone()]),
        Expect::map(s.id("outer"), [by("prog", 1, [prog])])
            .state(&["orphan-pin"])
            .kept_by([pin]),
    ]);
    // One step frees all three.
    let steps = report["to_release"].as_array().expect("a list of steps");
    assert_eq!(steps.len(), 1, "{steps:?}");
    let frees = steps[0]["frees"].to_string();
    let objects = [
        (Kind::Map, s.id("inner")),
        (Kind::Map, s.id("outer")),
        (Kind::Prog, s.id("prog")),
    ];
    for (kind, id) in objects {
        let name = format!("\"{}\"", lastref::name(kind, id));
        assert!(frees.contains(&name), "{name} is not among {frees}");
    }
}

/// Slots of a program array hold programs. They are emptied when the array's
/// last user reference goes (`prog_array_map_clear`), though a program still uses it.
#[test]
fn slots_of_a_program_array() {
    let Some(mut s) = scene(here!(), |stage| {
        let array = bpf::prog_array("e2e_tails")?;
        let target = bpf::filter("e2e_tail")?;
        let caller = bpf::filter_using("e2e_caller", &[&array])?;
        bpf::put(&array, 0, &target)?;
        bpf::put(&array, 6, &target)?;
        // A caller in its own array: a cycle, until the array is emptied.
        bpf::put(&array, 1, &caller)?;
        stage.ready(json!({
            "array": array.id, "array_fd": array.fd(),
            "target": target.id, "target_fd": target.fd(),
            "caller": caller.id, "caller_fd": caller.fd(),
        }))?;
        drop(array);
        stage.ready(json!({}))
    }) else {
        return;
    };
    let (array, target, caller) = (s.id("array"), s.id("target"), s.id("caller"));
    let fd = |name: &str| by("fd", 1, [Who::process(s.pid, [s.id(name)])]);
    let (array_fd, target_fd, caller_fd) = (fd("array_fd"), fd("target_fd"), fd("caller_fd"));
    s.check_and_why(&[
        Expect::prog(
            target,
            [by("prog-array", 2, [Who::map(array)]), target_fd.clone()],
        ),
        Expect::prog(
            caller,
            [by("prog-array", 1, [Who::map(array)]), caller_fd.clone()],
        ),
        Expect::map(array, [by("prog", 1, [Who::prog(caller)]), array_fd]),
    ]);
    s.advance();
    s.check_and_why(&[
        Expect::prog(target, [target_fd]),
        Expect::prog(caller, [caller_fd]),
        Expect::map(array, [by("prog", 1, [Who::prog(caller)])]),
    ]);
}

/// A pinned program array keeps its programs, and its programs keep it: the pin
/// is the only end, however often the cycle is walked.
#[test]
fn a_pinned_program_array_and_a_cycle() {
    let Some(s) = scene(here!(), |stage| {
        let bpffs = private_bpffs()?;
        let array = bpf::prog_array("e2e_cycle")?;
        let caller = bpf::filter_using("e2e_cycle_prog", &[&array])?;
        bpf::put(&array, 2, &caller)?;
        array.pin(&bpffs.join("e2e_cycle"))?;
        let report = json!({"array": array.id, "caller": caller.id});
        drop((array, caller));
        stage.ready(report)
    }) else {
        return;
    };
    let (array, caller) = (s.id("array"), s.id("caller"));
    let pin = Who::pin(s.pid, &["/sys/fs/bpf/e2e_cycle"]);
    s.check_and_why(&[
        Expect::prog(caller, [by("prog-array", 1, [Who::map(array)])])
            .state(&["orphan-pin"])
            .kept_by([pin.clone()]),
        Expect::map(
            array,
            [
                by("pin", 1, [pin.clone()]),
                by("prog", 1, [Who::prog(caller)]),
            ],
        )
        .state(&["orphan-pin"])
        .kept_by([pin]),
    ]);
}
