//! Callbacks in the values of maps: timers (since 5.15) and work queues (since 6.10).

use e2e::bpf::{self, Object};
use e2e::object_file::{self, Loaded};
use e2e::scene::{Outcome, Stop};
use e2e::{Expect, Stage, Who, by, expect::Reference, fd, files, here, scene};
use serde_json::json;
use std::path::Path;

/// Loads an object file that kernels before `since` cannot take, and runs it.
fn started(name: &str, since: (u32, u32), why: &str) -> Outcome<(Loaded, Object)> {
    let bpffs = files::private_bpffs()?;
    let mut loaded = object_file::load_since(name, &bpffs, since, why)?;
    let prog = loaded.prog("start")?;
    match bpf::run(&prog)? {
        0 => Ok((loaded, prog)),
        other => Err(Stop::Failed(format!("{other} elements got no callback"))),
    }
}

/// The program, and its maps: an array, a hash and an LRU hash.
fn timers() -> Outcome<(Object, [Object; 3])> {
    let (mut loaded, prog) = started("timers", (5, 15), "no bpf_timer before Linux 5.15")?;
    let (array, hash, lru) = (
        loaded.map("array")?,
        loaded.map("hash")?,
        loaded.map("lru")?,
    );
    Ok((prog, [array, hash, lru]))
}

fn callbacks(map: u32, elements: u64) -> Reference {
    by("timer", elements, [Who::map(map)])
}

/// Three elements of an array, two of a hash, one of an LRU hash. A hash element
/// is deleted, and its reference goes.
#[test]
fn timers_in_three_maps() {
    let Some(mut s) = scene(here!(), |stage| {
        let (prog, maps) = timers()?;
        let [array, hash, lru] = &maps;
        let objects = [
            ("prog", &prog),
            ("array", array),
            ("hash", hash),
            ("lru", lru),
        ];
        stage.ready(scene::ids(objects))?;
        bpf::take_out(hash, 20)?;
        stage.ready(scene::ids(objects))
    }) else {
        return;
    };
    for of_hash in [2, 1] {
        let (array, hash, lru) = (s.id("array"), s.id("hash"), s.id("lru"));
        let user = || by("prog", 1, [Who::prog(s.id("prog"))]);
        s.check_and_why(&[
            Expect::prog(
                s.id("prog"),
                [
                    fd(&s, "prog"),
                    callbacks(array, 3),
                    callbacks(hash, of_hash),
                    callbacks(lru, 1),
                ],
            ),
            Expect::map(array, [fd(&s, "array"), user()]),
            Expect::map(hash, [fd(&s, "hash"), user()]),
            Expect::map(lru, [fd(&s, "lru"), user()]),
        ]);
        if of_hash == 2 {
            s.advance();
        }
    }
}

/// The program has nothing but its callback in a map, and that map an owner.
#[test]
fn kept_by_the_owner_of_a_map() {
    let Some(s) = scene(here!(), |stage: &mut Stage| {
        // The other two maps lose their last user, and with it their callbacks.
        let (prog, [array, ..]) = timers()?;
        let mut report = scene::ids([("array", &array)]);
        report["prog"] = prog.id.into();
        drop(prog);
        stage.ready(report)
    }) else {
        return;
    };
    let (prog, array) = (s.id("prog"), s.id("array"));
    let me = || [Who::process(s.pid, [])];
    s.check_and_why(&[Expect::prog(prog, [callbacks(array, 3)]).kept_by(me())]);
    let user = by("prog", 1, [Who::prog(prog)]);
    s.check_and_why(&[Expect::map(array, [fd(&s, "array"), user]).kept_by(me())]);
}

/// Program and map hold each other. When the map's last user goes, the kernel
/// cancels its timers (`bpf_map_put_uref`), though the program still uses it.
#[test]
fn a_map_without_users() {
    let Some(mut s) = scene(here!(), |stage| {
        let (prog, [array, hash, lru]) = timers()?;
        let pin = Path::new(files::BPFFS).join("array");
        array.pin(&pin)?;
        let report = json!({
            "prog": prog.id, "prog_fd": prog.fd(),
            "array": array.id, "others": [hash.id, lru.id],
        });
        drop((array, hash, lru));
        stage.ready(report.clone())?;
        files::unlink(&pin)?;
        stage.ready(report)
    }) else {
        return;
    };
    let (prog, array) = (s.id("prog"), s.id("array"));
    let user = || by("prog", 1, [Who::prog(prog)]);
    let others = s.ids("others");
    let others = || others.iter().map(|map| Expect::map(*map, [user()]));
    let pin = by("pin", 1, [Who::pin(s.pid, &["/sys/fs/bpf/array"])]);
    let pinned = [
        Expect::prog(prog, [fd(&s, "prog"), callbacks(array, 3)]),
        Expect::map(array, [pin, user()]),
    ];
    s.check_and_why(&pinned.into_iter().chain(others()).collect::<Vec<_>>());
    s.advance();
    let alone = [
        Expect::prog(prog, [fd(&s, "prog")]),
        Expect::map(array, [user()]),
    ];
    s.check_and_why(&alone.into_iter().chain(others()).collect::<Vec<_>>());
}

/// The same reference, by `bpf_wq_set_callback`.
#[test]
fn work_queues() {
    let Some(s) = scene(here!(), |stage| {
        let (mut loaded, prog) = started("workqueues", (6, 10), "no bpf_wq before Linux 6.10")?;
        let (array, hash) = (loaded.map("array")?, loaded.map("hash")?);
        stage.ready(scene::ids([
            ("prog", &prog),
            ("array", &array),
            ("hash", &hash),
        ]))
    }) else {
        return;
    };
    let (array, hash) = (s.id("array"), s.id("hash"));
    let user = || by("prog", 1, [Who::prog(s.id("prog"))]);
    s.check_and_why(&[
        Expect::prog(
            s.id("prog"),
            [fd(&s, "prog"), callbacks(array, 2), callbacks(hash, 1)],
        ),
        Expect::map(array, [fd(&s, "array"), user()]),
        Expect::map(hash, [fd(&s, "hash"), user()]),
    ]);
}
