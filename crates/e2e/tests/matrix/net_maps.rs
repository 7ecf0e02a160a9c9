//! Maps of the network whose entries hold something: a program, or the map itself
//! for a socket.

use crate::attached::{at, attached, by_xdp};
use e2e::bpf::{self, MapSpec, Object, ProgSpec, attach_type, map_type, prog_type};
use e2e::files::private_bpffs;
use e2e::net::{self, LOOPBACK};
use e2e::sys::Result;
use e2e::{Expect, Stage, Who, by, fd, here, insn, scene, unix};
use serde_json::json;

const PASS: i32 = 2;

/// An XDP program for the entries of such a map. It can be attached to no device.
fn load(name: &str, kind: u32) -> Result<Object> {
    ProgSpec::new(prog_type::XDP, name, insn::returns(PASS))
        .attach(kind)
        .load()
}

/// A map whose values have a program: `struct bpf_devmap_val`, `struct bpf_cpumap_val`.
fn map(map_type: u32, name: &str) -> Result<Object> {
    let mut spec = MapSpec::new(map_type, name);
    spec.value_size = 8;
    spec.create()
}

/// Reports a map, and a program whose descriptor is closed: the map's entries keep it.
fn only_in_entries(stage: &mut Stage, map: &Object, prog: Object) -> scene::Outcome {
    let mut report = scene::ids([("map", map)]);
    report["prog"] = prog.id.into();
    drop(prog);
    stage.ready(report)
}

/// What keeps a program that stands in one map's entries: whoever keeps the map.
fn check_entries(s: &e2e::Scene, entries: u64) {
    let map = s.id("map");
    let me = Who::process(s.pid, []);
    let in_map = by("map-entry", entries, [Who::map(map)]);
    s.check_and_why(&[
        Expect::prog(s.id("prog"), [in_map]).kept_by([me]),
        Expect::map(map, [fd(s, "map")]),
    ]);
}

#[test]
fn devmap() {
    let Some(s) = scene(here!(), |stage| {
        net::private()?;
        let map = map(map_type::DEVMAP, "e2e_devmap")?;
        let prog = load("e2e_devmap_prog", attach_type::XDP_DEVMAP)?;
        for slot in [0, 3, 7] {
            bpf::put_with_prog(&map, slot, LOOPBACK, &prog)?;
        }
        // One without a program, one emptied, one set again.
        bpf::put_bytes(&map, 1, &[1, 0, 0, 0, 0, 0, 0, 0])?;
        bpf::put_with_prog(&map, 2, LOOPBACK, &prog)?;
        bpf::take_out(&map, 2)?;
        bpf::put_with_prog(&map, 3, LOOPBACK, &prog)?;
        only_in_entries(stage, &map, prog)
    }) else {
        return;
    };
    check_entries(&s, 3);
}

#[test]
fn devmap_hash() {
    let Some(s) = scene(here!(), |stage| {
        net::private()?;
        let map = map(map_type::DEVMAP_HASH, "e2e_devhash")?;
        let prog = load("e2e_devhash_pr", attach_type::XDP_DEVMAP)?;
        for key in [0, 1, 8, 16, 1_000_000] {
            bpf::put_with_prog(&map, key, LOOPBACK, &prog)?;
        }
        bpf::put_bytes(&map, 24, &[1, 0, 0, 0, 0, 0, 0, 0])?;
        only_in_entries(stage, &map, prog)
    }) else {
        return;
    };
    check_entries(&s, 5);
}

#[test]
fn cpumap() {
    const QUEUE: u32 = 64;
    let Some(s) = scene(here!(), |stage| {
        let map = new_cpumap("e2e_cpumap")?;
        let prog = load("e2e_cpumap_prog", attach_type::XDP_CPUMAP)?;
        bpf::put_with_prog(&map, 0, QUEUE, &prog)?;
        only_in_entries(stage, &map, prog)
    }) else {
        return;
    };
    check_entries(&s, 1);
}

/// It has room for no more than there can be CPUs.
fn new_cpumap(name: &str) -> Result<Object> {
    let mut spec = MapSpec::new(map_type::CPUMAP, name);
    (spec.value_size, spec.max_entries) = (8, 1);
    spec.create()
}

/// The maps go: the devices of a devmap do not keep it.
#[test]
fn entries_go_with_their_map() {
    let Some(s) = scene(here!(), |stage| {
        net::private()?;
        let map = map(map_type::DEVMAP_HASH, "e2e_gone_map")?;
        let prog = load("e2e_gone_prog", attach_type::XDP_DEVMAP)?;
        bpf::put_with_prog(&map, 5, LOOPBACK, &prog)?;
        drop(map);
        stage.ready(scene::ids([("prog", &prog)]))
    }) else {
        return;
    };
    s.check_and_why(&[Expect::prog(s.id("prog"), [fd(&s, "prog")]).field("attached", false)]);
}

/// Every kind of entry, and every other way to hold the same programs.
#[test]
fn all_on_one_program() {
    let Some(s) = scene(here!(), |stage| {
        let bpffs = private_bpffs()?;
        net::private()?;
        let prog = load("e2e_all_dev", attach_type::XDP_DEVMAP)?;
        let on_cpu = load("e2e_all_cpu", attach_type::XDP_CPUMAP)?;
        let array = map(map_type::DEVMAP, "e2e_all_devmap")?;
        let hash = map(map_type::DEVMAP_HASH, "e2e_all_devhash")?;
        let cpus = [new_cpumap("e2e_all_cpu1")?, new_cpumap("e2e_all_cpu2")?];
        for slot in 0..8 {
            bpf::put_with_prog(&array, slot, LOOPBACK, &prog)?;
        }
        for key in 0..4 {
            bpf::put_with_prog(&hash, 100 * key, LOOPBACK, &prog)?;
        }
        for map in &cpus {
            bpf::put_with_prog(map, 0, 64, &on_cpu)?;
        }
        prog.pin(&bpffs.join("prog"))?;
        let tails = bpf::prog_array("e2e_all_tails")?;
        bpf::put(&tails, 1, &prog)?;
        bpf::put(&tails, 6, &prog)?;
        let mut report = scene::ids([
            ("prog", &prog),
            ("on_cpu", &on_cpu),
            ("array", &array),
            ("hash", &hash),
            ("tails", &tails),
        ]);
        report["cpus"] = json!(cpus.each_ref().map(|map| map.id));
        stage.ready(report)
    }) else {
        return;
    };
    let entries = |count, map| by("map-entry", count, [Who::map(map)]);
    let prog = Expect::prog(
        s.id("prog"),
        [
            fd(&s, "prog"),
            by("pin", 1, [Who::pin(s.pid, &["/sys/fs/bpf/prog"])]),
            by("prog-array", 2, [Who::map(s.id("tails"))]),
            entries(8, s.id("array")),
            entries(4, s.id("hash")),
        ],
    );
    assert_eq!(prog.refcnt(), 16, "by construction");
    let cpus = s.ids("cpus");
    let on_cpu = Expect::prog(
        s.id("on_cpu"),
        [fd(&s, "on_cpu"), entries(1, cpus[0]), entries(1, cpus[1])],
    );
    s.check_and_why(&[prog, on_cpu]);
}

/// Each entry of an xskmap holds the map, for the socket: when that closes, it
/// takes itself out.
#[test]
fn xskmap() {
    let Some(mut s) = scene(here!(), |stage| {
        net::private()?;
        net::up(LOOPBACK)?;
        let map = MapSpec::new(map_type::XSKMAP, "e2e_xskmap").create()?;
        let socket = net::xdp_socket(LOOPBACK)?;
        for slot in [0, 2, 5] {
            bpf::put(&map, slot, &socket)?;
        }
        let mut report = scene::ids([("map", &map)]);
        report["inode"] = unix::inode(&socket)?.into();
        stage.ready(report.clone())?;
        drop(map);
        stage.ready(report.clone())?;
        drop(socket);
        stage.ready(report)
    }) else {
        return;
    };
    let map = s.id("map");
    let entries = by("map-entry", 3, [Who::socket(s.number("inode"), [s.pid])]);
    let me = Who::process(s.pid, []);
    s.check_and_why(&[Expect::map(map, [fd(&s, "map"), entries.clone()]).kept_by([me.clone()])]);
    // The socket alone keeps it.
    s.advance();
    s.check_and_why(&[Expect::map(map, [entries]).kept_by([me])]);
    // Nothing does.
    s.advance();
    let gone = (0..500).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        let refcnt = e2e::Truth::get().read().refcnt(bpf::Kind::Map, map);
        refcnt.is_none()
    });
    assert!(gone, "map {map} outlives its sockets");
}

/// An XDP program that redirects into an xskmap, its map and the socket: the chain
/// of a usual `AF_XDP` application.
#[test]
fn xskmap_in_use() {
    let Some(s) = scene(here!(), |stage| {
        net::private()?;
        net::up(LOOPBACK)?;
        let map = MapSpec::new(map_type::XSKMAP, "e2e_xskmap_use").create()?;
        let insns = insn::uses(&map, PASS);
        let prog = ProgSpec::new(prog_type::XDP, "e2e_xsk_prog", insns).load()?;
        net::set_xdp(LOOPBACK, &prog, net::XdpMode::Generic)?;
        let socket = net::xdp_socket(LOOPBACK)?;
        bpf::put(&map, 0, &socket)?;
        let inode = unix::inode(&socket)?;
        let report = json!({
            "map": map.id, "prog": prog.id, "inode": inode, "netns": net::number()?,
        });
        drop((map, prog));
        stage.ready(report)
    }) else {
        return;
    };
    let lo = at(&s, "lo", "xdp");
    let me = Who::process(s.pid, []);
    let prog = s.id("prog");
    s.check_and_why(&[
        Expect::map(
            s.id("map"),
            [
                by("prog", 1, [Who::prog(prog)]),
                by("map-entry", 1, [Who::socket(s.number("inode"), [s.pid])]),
            ],
        )
        .kept_by([me, lo.clone()]),
        attached(prog, by_xdp(&lo))
            .state(&["held-by-kernel"])
            .kept_by([lo]),
    ]);
}
