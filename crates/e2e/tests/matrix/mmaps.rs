//! Memory mappings that keep a file whose descriptor is closed.

use e2e::bpf;
use e2e::process::map_memory;
use e2e::scene::{Child, Inherit};
use e2e::{Expect, Who, by, here, scene};
use serde_json::json;

const PAGE: usize = 4096;

/// A mapping of a map whose descriptor is closed: a reference that no list of
/// descriptors shows.
#[test]
fn of_an_array_whose_descriptor_is_closed() {
    let Some(s) = scene(here!(), |stage| {
        let map = bpf::mmapable_array("e2e_mmap")?;
        map_memory(&map, PAGE)?;
        stage.ready(scene::closed([("map", map)]))
    }) else {
        return;
    };
    let me = Who::process(s.pid, []);
    s.check_and_why(&[Expect::map(s.id("map"), [by("mmap", 1, [me.clone()])]).kept_by([me])]);
}

#[test]
fn of_a_ring_buffer_whose_descriptor_is_closed() {
    let Some(s) = scene(here!(), |stage| {
        let map = bpf::ringbuf("e2e_ringbuf")?;
        map_memory(&map, PAGE)?;
        stage.ready(scene::closed([("map", map)]))
    }) else {
        return;
    };
    let me = Who::process(s.pid, []);
    s.check_and_why(&[Expect::map(s.id("map"), [by("mmap", 1, [me])])]);
}

/// With the descriptor still open it is the same file: one reference, by descriptor.
#[test]
fn beside_an_open_descriptor() {
    let Some(s) = scene(here!(), |stage| {
        let map = bpf::mmapable_array("e2e_mmap_fd")?;
        map_memory(&map, PAGE)?;
        stage.ready(json!({"map": map.id, "map_fd": map.fd()}))
    }) else {
        return;
    };
    let me = Who::process(s.pid, [s.id("map_fd")]);
    s.check_and_why(&[Expect::map(s.id("map"), [by("fd", 1, [me])])]);
}

/// Two mappings of one file are one reference; those of two files are two.
#[test]
fn several() {
    let Some(s) = scene(here!(), |stage| {
        let once = bpf::mmapable_array("e2e_mmap_once")?;
        map_memory(&once, PAGE)?;
        map_memory(&once, PAGE)?;
        let twice = bpf::mmapable_array("e2e_mmap_twice")?;
        map_memory(&twice, PAGE)?;
        map_memory(&twice.reopen()?, PAGE)?;
        stage.ready(scene::closed([("once", once), ("twice", twice)]))
    }) else {
        return;
    };
    let me = || [Who::process(s.pid, [])];
    s.check_and_why(&[
        Expect::map(s.id("once"), [by("mmap", 1, me())]),
        Expect::map(s.id("twice"), [by("mmap", 2, me())]),
    ]);
}

/// One file open, another only mapped, of the same map in the same process.
#[test]
fn and_another_file_that_is_open() {
    let Some(s) = scene(here!(), |stage| {
        let map = bpf::mmapable_array("e2e_mmap_open")?;
        map_memory(&map.reopen()?, PAGE)?;
        stage.ready(json!({"map": map.id, "map_fd": map.fd()}))
    }) else {
        return;
    };
    let (open, mapped) = (
        Who::process(s.pid, [s.id("map_fd")]),
        Who::process(s.pid, []),
    );
    s.check_and_why(&[Expect::map(
        s.id("map"),
        [by("fd", 1, [open]), by("mmap", 1, [mapped])],
    )]);
}

/// fork(2) copies mappings too: one file, two processes.
#[test]
fn inherited_by_fork() {
    let Some(s) = scene(here!(), |stage| {
        let map = bpf::mmapable_array("e2e_mmap_fork")?;
        map_memory(&map, PAGE)?;
        let id = map.id;
        drop(map);
        let heir = Child::start(Inherit::All, |stage| stage.ready(json!({})))?;
        stage.ready(json!({"map": id, "heir": heir.pid}))
    }) else {
        return;
    };
    let both = [Who::process(s.pid, []), Who::process(s.id("heir"), [])];
    s.check_and_why(&[Expect::map(s.id("map"), [by("mmap", 1, both)])]);
}
