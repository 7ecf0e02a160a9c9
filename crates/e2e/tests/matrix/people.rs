//! What is said of a holder besides its descriptors: where it lives, and as what.

use e2e::bpf::{self, Kind};
use e2e::files::{Cgroup, private_mounts};
use e2e::process::unshare;
use e2e::scene::{Child, Inherit};
use e2e::{Expect, Who, by, here, lastref, scene, sys};
use serde_json::{Value, json};

/// A process that is the first of its own pid namespace: named by the pid that
/// lastref's user can see, with the other beside it.
#[test]
fn in_a_pid_namespace() {
    let Some(s) = scene(here!(), |stage| {
        unshare(libc::CLONE_NEWPID)?;
        let inner = Child::start(Inherit::Nothing, |stage| {
            let map = bpf::hash("e2e_pid_ns")?;
            stage.ready(json!({"map": map.id, "map_fd": map.fd(), "pid": std::process::id()}))
        })?;
        stage.ready(json!({
            "map": inner.id("map"), "map_fd": inner.id("map_fd"),
            "pid": inner.pid, "ns_pid": inner.id("pid"),
        }))
    }) else {
        return;
    };
    assert_eq!(s.id("ns_pid"), 1);
    let inner = Who::process(s.id("pid"), [s.id("map_fd")]);
    let report = s.check_and_why(&[Expect::map(s.id("map"), [by("fd", 1, [inner])])]);
    let holder = &report["object"]["references"][0]["holders"][0];
    assert_eq!(holder["ns_pid"], 1);
}

/// A process in a cgroup whose path names a unit and a container.
#[test]
fn in_a_container() {
    const UNIT: &str = "e2e-engine.service";
    let id = "0123456789abcdef".repeat(4);
    let scope = format!("docker-{id}.scope");
    let Some(s) = scene(here!(), |stage| {
        private_mounts()?;
        let cgroup = Cgroup::new()?;
        let unit = cgroup.below(&[UNIT])?;
        let container = cgroup.below(&["system.slice", &scope])?;
        let inhabit = |path: &std::path::Path| {
            let procs = path.join("cgroup.procs");
            Child::start(Inherit::Nothing, move |stage| {
                std::fs::write(procs, "0").map_err(sys::io("cgroup.procs"))?;
                let map = bpf::hash("e2e_cgroup")?;
                stage.ready(json!({"map": map.id}))
            })
        };
        let (in_unit, in_container) = (inhabit(&unit)?, inhabit(&container)?);
        stage.ready(json!({
            "cgroup": cgroup.name,
            "in_unit": in_unit.id("map"), "in_container": in_container.id("map"),
        }))
    }) else {
        return;
    };
    let report = lastref::ls();
    let holder = |map: &str| {
        let object = lastref::find(&report, Kind::Map, s.id(map)).expect("the map is listed");
        object["references"][0]["holders"][0].clone()
    };
    let cgroup = s.text("cgroup");
    let in_unit = holder("in_unit");
    assert_eq!(in_unit["cgroup"], format!("{cgroup}/{UNIT}"));
    assert_eq!(in_unit["unit"], UNIT);
    assert_eq!(in_unit["container"], Value::Null);
    let in_container = holder("in_container");
    let path = format!("{cgroup}/system.slice/{scope}");
    assert_eq!(in_container["cgroup"], path);
    assert_eq!(in_container["container"]["runtime"], "docker");
    assert_eq!(in_container["container"]["id"], id);
    // And a list can be cut down to it.
    let list = lastref::json(&lastref::run(&["ls", "--json", "--cgroup", &path]));
    assert!(lastref::find(&list, Kind::Map, s.id("in_container")).is_some());
    assert!(lastref::find(&list, Kind::Map, s.id("in_unit")).is_none());
}

/// The memory of a map is what the kernel says in `fdinfo`, computed or read.
#[test]
fn with_the_memory_that_fdinfo_tells() {
    use bpf::{F_NO_PREALLOC, MapSpec, map_type};
    let Some(s) = scene(here!(), |stage| {
        let specs = [
            MapSpec::new(map_type::HASH, "e2e_mem_hash"),
            MapSpec::new(map_type::HASH, "e2e_mem_lazy").flags(F_NO_PREALLOC),
            MapSpec::new(map_type::ARRAY, "e2e_mem_array"),
        ];
        // First, as it tells whether fdinfo is to be believed.
        let mut maps = vec![bpf::ringbuf("e2e_mem_ring")?];
        for mut spec in specs {
            spec.max_entries = 10_000;
            spec.value_size = 64;
            maps.push(spec.create()?);
        }
        let ids: Vec<_> = maps.iter().map(|m| m.id).collect();
        let fds: Vec<_> = maps.iter().map(bpf::Object::fd).collect();
        stage.ready(json!({"maps": ids, "fds": fds}))
    }) else {
        return;
    };
    let report = lastref::ls();
    for (id, fd) in s.ids("maps").into_iter().zip(s.ids("fds")) {
        let path = format!("/proc/{}/fdinfo/{fd}", s.pid);
        let info = std::fs::read_to_string(&path).expect("fdinfo");
        let line = info.lines().find_map(|l| l.strip_prefix("memlock:"));
        let memlock: u64 = line.and_then(|l| l.trim().parse().ok()).expect("memlock");
        if memlock == 0 && e2e::kernel::version() < (6, 4) {
            let why = "fdinfo tells no memory of a ring buffer before Linux 6.4 (memlock: 0)";
            return e2e::impossible(here!(), why);
        }
        let map = lastref::find(&report, Kind::Map, id).expect("the map is listed");
        let bytes = map["memory_bytes"].as_u64().expect("a number of bytes");
        if map["name"] == "e2e_mem_lazy" && e2e::kernel::version() < (5, 11) {
            // Charged when it is made, with all elements that it may ever have.
            assert!(bytes < memlock, "{memlock} in fdinfo: {map}");
            continue;
        }
        // The formulas of the kernels between differ by a few bytes a CPU.
        let apart = bytes.abs_diff(memlock);
        assert!(apart <= 4096, "{memlock} in fdinfo: {map}");
    }
}
