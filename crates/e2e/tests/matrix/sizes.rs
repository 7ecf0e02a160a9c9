//! Much of one kind. The sizes are such that all takes seconds; with `LASTREF_E2E_SIZES=full`
//! they are those of `docs/journal/2026-11-25-every-holder.md`, and what each run took is
//! printed.

use crate::attached::{at_in, attached, one};
use crate::cgroups::{at, load};
use e2e::bpf::{self, Kind, MapSpec, ProgSpec, attach_type, map_type, prog_type};
use e2e::files::{self, Cgroup, private_mounts};
use e2e::lastref::{self, Used};
use e2e::net::{self, Chain, LOOPBACK, Place, XdpMode, set_xdp};
use e2e::scene::{Child, Inherit, Stop};
use e2e::sockets::{self, KEEP};
use e2e::sys::{Result, io};
use e2e::uring::{self, Ring};
use e2e::{Expect, Scene, Who, by, fd, here, insn, object_file, scene, unix};
use serde_json::json;
use std::cell::RefCell;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::time::Duration;

/// How many there are of something: `full`, or a part of it that is soon made.
fn size(full: usize, part: usize) -> usize {
    if is_full() { full } else { part }
}

fn is_full() -> bool {
    std::env::var("LASTREF_E2E_SIZES").is_ok_and(|sizes| sizes == "full")
}

/// All is found, within bounded time and memory; prints what it took.
fn check(s: &Scene, what: &str, expected: &[Expect]) {
    const MEMORY_KIB: u64 = 300 << 10;
    const TIME: Duration = Duration::from_secs(5);
    let used: RefCell<Option<Used>> = RefCell::new(None);
    s.check_with(expected, || {
        let (report, run) = lastref::ls_measured();
        *used.borrow_mut() = Some(run);
        report
    });
    let used = used.into_inner().expect("it ran");
    println!("SIZE: {what}: {used}");
    assert!(used.peak_kib < MEMORY_KIB, "{what}: {used}");
    // Without an emulator, that is; there, it is the count of what was made that matters.
    if let Err(late) = lastref::in_time(used, TIME) {
        panic!("{what}: {late}");
    }
}

/// Each with a process in it, an XDP program on a device, and a tc filter.
#[test]
fn network_namespaces() {
    let count = size(1000, 40);
    let Some(s) = scene(here!(), |stage| {
        let xdp = ProgSpec::new(prog_type::XDP, "e2e_sz_xdp", insn::returns(2)).load()?;
        let tc = ProgSpec::new(prog_type::SCHED_CLS, "e2e_sz_tc", insn::returns(0)).load()?;
        let (xdp_id, tc_id) = (xdp.id, tc.id);
        let children: Vec<Child> = (0..count)
            .map(|_| {
                Child::start(Inherit::Nothing, |stage| {
                    net::private()?;
                    let xdp = bpf::by_id(Kind::Prog, xdp_id)?;
                    let tc = bpf::by_id(Kind::Prog, tc_id)?;
                    set_xdp(LOOPBACK, &xdp, XdpMode::Generic)?;
                    net::clsact(LOOPBACK)?;
                    net::filter(Place::ClsactIngress(LOOPBACK), Chain(1, None), &tc)?;
                    drop((xdp, tc));
                    stage.ready(json!({"netns": net::number()?}))
                })
            })
            .collect::<std::result::Result<_, _>>()?;
        let netns: Vec<u64> = children.iter().map(|child| child.number("netns")).collect();
        let mut report = scene::ids([("xdp", &xdp), ("tc", &tc)]);
        report["netns"] = json!(netns);
        stage.ready(report)?;
        drop(children);
        Ok(())
    }) else {
        return;
    };
    let all = s.report["netns"].as_array().expect("a list");
    let all = all.iter().map(|netns| netns.as_u64().expect("a number"));
    let on = |attach_type| {
        let at = move |netns| at_in(netns, "dev:lo", attach_type);
        all.clone().map(at).collect::<Vec<Who>>()
    };
    let (xdp, tc) = (on("xdp"), on("tc_ingress"));
    let mut references: Vec<_> = xdp.iter().map(one).collect();
    references.extend(xdp.iter().map(|lo| by("driver", 1, [lo.clone()])));
    references.extend([by("driver", 1, xdp), fd(&s, "xdp")]);
    let filters = tc.iter().map(one).chain([fd(&s, "tc")]);
    let expected = [
        attached(s.id("xdp"), references),
        attached(s.id("tc"), filters),
    ];
    check(&s, &format!("{count} network namespaces"), &expected);
}

#[test]
fn cgroups() {
    const INGRESS: u32 = attach_type::CGROUP_INET_INGRESS;
    let count = size(2000, 200);
    let Some(s) = scene(here!(), |stage| {
        private_mounts()?;
        let cgroup = Cgroup::new()?;
        let prog = load(prog_type::CGROUP_SKB, INGRESS, "e2e_sz_cgroup")?;
        for i in 0..count {
            let path = cgroup.below(&[&i.to_string()])?;
            let below = File::open(path).map_err(io("open a cgroup"))?;
            bpf::attach(&prog, below.as_raw_fd() as u32, INGRESS, 0)?;
        }
        let mut report = scene::ids([("prog", &prog)]);
        report["cgroup"] = cgroup.name.clone().into();
        stage.ready(report)
    }) else {
        return;
    };
    let cgroup = s.text("cgroup");
    let below = (0..count).map(|i| one(&at(&format!("{cgroup}/{i}"), "cgroup_inet_ingress")));
    let prog = attached(s.id("prog"), below.chain([fd(&s, "prog")]));
    check(&s, &format!("{count} cgroups with a program"), &[prog]);
}

/// Each has a filter of its own, of one program. What people read of it stays short.
#[test]
fn sockets_with_one_filter() {
    let count = size(3000, 400);
    let Some(s) = scene(here!(), |stage| {
        uring::allow_descriptors(4096)?;
        let filter = ProgSpec::new(
            prog_type::SOCKET_FILTER,
            "e2e_sz_filter",
            insn::returns(KEEP),
        );
        let prog = filter.load()?;
        let sockets: Vec<_> = (0..count)
            .map(|_| {
                let socket = unix::socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
                sockets::attach_filter(&socket, &prog)?;
                Ok(socket)
            })
            .collect::<Result<_>>()?;
        let inodes: Vec<u64> = sockets.iter().map(unix::inode).collect::<Result<_>>()?;
        let mut report = scene::ids([("prog", &prog)]);
        report["inodes"] = json!(inodes);
        stage.ready(report)?;
        drop(sockets);
        Ok(())
    }) else {
        return;
    };
    let inodes = s.report["inodes"].as_array().expect("a list");
    let socket = |inode: &serde_json::Value| {
        let inode = inode.as_u64().expect("a number");
        by("socket", 1, [Who::socket(inode, [s.pid])])
    };
    let references = inodes.iter().map(socket).chain([fd(&s, "prog")]);
    let prog = attached(s.id("prog"), references);
    check(&s, &format!("{count} sockets with one filter"), &[prog]);
    let name = lastref::name(Kind::Prog, s.id("prog"));
    for columns in [80, 160] {
        let why = lastref::text(&["why", &name], columns);
        let ls = lastref::text(&["ls", "prog", "--pid", &s.pid.to_string()], columns);
        println!("{ls}\n{why}");
        assert!(why.lines().count() < 40, "{why}");
        assert!(
            why.contains(&format!("{} udp sockets", thousands(count))),
            "{why}"
        );
        let row = ls.lines().filter(|line| line.starts_with(&name));
        assert_eq!(row.count(), 1, "{ls}");
        for line in why.lines().chain(ls.lines()) {
            let short = line.chars().count() <= columns;
            // What is to be pasted is not broken.
            assert!(short || line.contains("lastref "), "{columns}: {line}");
        }
    }
}

fn thousands(number: usize) -> String {
    match number {
        ..1000 => number.to_string(),
        _ => format!("{},{:03}", number / 1000, number % 1000),
    }
}

/// Full messages with different files on one map.
#[test]
fn messages_in_one_queue() {
    let count = size(300, 10);
    let Some(s) = scene(here!(), |stage| {
        let (sender, receiver) = unix::pair(libc::SOCK_STREAM)?;
        unix::enlarge(&sender)?;
        let map = bpf::hash("e2e_sz_flying")?;
        for _ in 0..count {
            let files: Vec<_> = (0..unix::MOST)
                .map(|_| map.reopen())
                .collect::<Result<_>>()?;
            let fds: Vec<_> = files.iter().map(AsRawFd::as_raw_fd).collect();
            unix::send_raw(&sender, &fds)?;
        }
        let report = json!({"map": map.id, "inode": unix::inode(&receiver)?});
        drop(map);
        stage.ready(report)
    }) else {
        return;
    };
    let receiver = Who::socket(s.number("inode"), [s.pid]);
    let files = (count * unix::MOST) as u64;
    let map = Expect::map(s.id("map"), [by("in-flight", files, [receiver])]);
    check(&s, &format!("{files} files in {count} messages"), &[map]);
}

/// A table as large as the limit on descriptors allows, in which a thousand files stand.
#[test]
fn a_table_of_fixed_files() {
    let files = size(1000, 100);
    let Some(s) = scene(here!(), |stage| {
        let slots = uring::allowed_descriptors()?.min(size(30_000, 2000));
        let map = bpf::hash("e2e_sz_fixed")?;
        let all: Vec<_> = (0..files).map(|_| map.reopen()).collect::<Result<_>>()?;
        let fds: Vec<_> = (0..slots)
            .map(|slot| match slot % 3 {
                0 => uring::EMPTY,
                _ => all[slot % files].as_raw_fd(),
            })
            .collect();
        let ring = Ring::new()?;
        ring.fix(&fds)?;
        let report = json!({"map": map.id, "ring": ring.as_raw_fd(), "slots": slots});
        drop((all, map));
        stage.ready(report)
    }) else {
        return;
    };
    let ring = Who::io_uring(s.pid, s.id("ring"));
    let map = Expect::map(s.id("map"), [by("io-uring", files as u64, [ring])]);
    let slots = s.number("slots");
    check(&s, &format!("a ring with a table of {slots}"), &[map]);
}

#[test]
fn entries_of_a_devmap() {
    let count = size(10_000, 1000) as u32;
    let Some(s) = scene(here!(), |stage| {
        net::private()?;
        let mut spec = MapSpec::new(map_type::DEVMAP, "e2e_sz_devmap");
        (spec.value_size, spec.max_entries) = (8, count);
        let map = spec.create()?;
        let prog = ProgSpec::new(prog_type::XDP, "e2e_sz_entry", insn::returns(2))
            .attach(attach_type::XDP_DEVMAP)
            .load()?;
        for key in 0..count {
            bpf::put_with_prog(&map, key, LOOPBACK, &prog)?;
        }
        stage.ready(scene::ids([("map", &map), ("prog", &prog)]))
    }) else {
        return;
    };
    let entries = by("map-entry", count.into(), [Who::map(s.id("map"))]);
    let expected = [
        attached(s.id("prog"), [entries, fd(&s, "prog")]),
        Expect::map(s.id("map"), [fd(&s, "map")]),
    ];
    check(&s, &format!("a devmap with {count} entries"), &expected);
}

/// Five of the elements have a timer that holds the program.
#[test]
fn elements_with_few_timers() {
    let count = size(100_000, 10_000) as u32;
    let Some(s) = scene(here!(), |stage| {
        let bpffs = files::private_bpffs()?;
        let why = "no bpf_timer before Linux 5.15";
        let mut loaded = object_file::load_since("many_timers", &bpffs, (5, 15), why)?;
        let (prog, map) = (loaded.prog("start")?, loaded.map("large")?);
        for key in 0..count {
            bpf::put_bytes(&map, key, &[0; 24])?;
        }
        match bpf::run(&prog)? {
            0 => stage.ready(scene::ids([("prog", &prog), ("map", &map)])),
            other => Err(Stop::Failed(format!("{other} elements got no callback"))),
        }
    }) else {
        return;
    };
    let map = s.id("map");
    let expected = [
        Expect::prog(
            s.id("prog"),
            [fd(&s, "prog"), by("timer", 5, [Who::map(map)])],
        ),
        Expect::map(
            map,
            [fd(&s, "map"), by("prog", 1, [Who::prog(s.id("prog"))])],
        ),
    ];
    let what = format!("a hash with {count} elements that may have timers");
    check(&s, &what, &expected);
}
