//! Cgroups, messages, rings, perf events, slots, pins and timers that come and go.

use super::watch::{Churn, processes, watch};
use crate::attached::{attached, one};
use crate::cgroups::{at, load};
use crate::perf::{DUMMY, dummy, program};
use e2e::bpf::{self, F_ALLOW_MULTI, attach_type, map_type, prog_type};
use e2e::files::{self, Cgroup, private_mounts};
use e2e::sys::{Result, io};
use e2e::uring::Ring;
use e2e::{Expect, Who, by, fd, here, object_file, scene, unix};
use serde_json::json;
use std::fs;
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Beside the quiet one, below it, and at the quiet cgroup itself.
#[test]
fn cgroups() {
    const INGRESS: u32 = attach_type::CGROUP_INET_INGRESS;
    let prog = |name| load(prog_type::CGROUP_SKB, INGRESS, name);
    let Some(s) = scene(here!(), |stage| {
        let _processes = processes()?;
        private_mounts()?;
        let cgroup = Cgroup::new()?;
        let (quiet, moving) = (prog("e2e_mv_quiet")?, prog("e2e_mv_cgroup")?);
        let here = fs::File::open(cgroup.below(&["quiet"])?).map_err(io("open a cgroup"))?;
        let number = here.as_raw_fd() as u32;
        bpf::attach(&quiet, number, INGRESS, F_ALLOW_MULTI)?;
        let mut report = scene::ids([("quiet", &quiet)]);
        report["cgroup"] = format!("{}/quiet", cgroup.name).into();
        report["moving"] = json!([["prog", moving.id]]);
        let root = cgroup.below(&[])?;
        let churn = move || {
            for name in ["a", "quiet/b", "z", "a/c"] {
                let path = root.join(name);
                fs::create_dir_all(&path).map_err(io("mkdir in cgroup2"))?;
                let new = fs::File::open(&path).map_err(io("open a cgroup"))?;
                bpf::attach(&moving, new.as_raw_fd() as u32, INGRESS, F_ALLOW_MULTI)?;
            }
            bpf::attach(&moving, number, INGRESS, F_ALLOW_MULTI)?;
            bpf::detach_prog(&moving, number, INGRESS)?;
            for name in ["a/c", "a", "z", "quiet/b"] {
                fs::remove_dir(root.join(name)).map_err(io("rmdir in cgroup2"))?;
            }
            Ok(())
        };
        let _churn = Churn::start(churn);
        stage.ready(report)?;
        drop((cgroup, here));
        Ok(())
    }) else {
        return;
    };
    let here = at(s.text("cgroup"), "cgroup_inet_ingress");
    watch(
        &s,
        &[attached(s.id("quiet"), [fd(&s, "quiet"), one(&here)])],
    );
}

/// A map waits in a queue; others pass through other queues all the time.
#[test]
fn messages() {
    let Some(s) = scene(here!(), |stage| {
        let _processes = processes()?;
        let (sender, receiver) = unix::pair(libc::SOCK_STREAM)?;
        let (quiet, moving) = (bpf::hash("e2e_mv_quiet")?, bpf::hash("e2e_mv_sent")?);
        let more = quiet.reopen()?;
        unix::send(&sender, &[&quiet])?;
        unix::send(&sender, &[&more])?;
        let report = json!({
            "quiet": quiet.id, "inode": unix::inode(&receiver)?, "moving": [["map", moving.id]],
        });
        drop((quiet, more));
        let pairs: Vec<_> = [libc::SOCK_STREAM, libc::SOCK_DGRAM, libc::SOCK_SEQPACKET]
            .into_iter()
            .map(unix::pair)
            .collect::<Result<_>>()?;
        let mut round = 0;
        let _churn = Churn::start(move || {
            round += 1;
            for (one, other) in &pairs {
                // As many as a queue takes anywhere (net.unix.max_dgram_qlen).
                let count = 1 + round % 8;
                for _ in 0..count {
                    unix::send(one, &[&moving.reopen()?, &moving, other])?;
                }
                for _ in 0..count {
                    unix::receive(other, 0)?;
                }
            }
            Ok(())
        });
        stage.ready(report)?;
        drop((sender, receiver));
        Ok(())
    }) else {
        return;
    };
    let receiver = Who::socket(s.number("inode"), [s.pid]);
    let quiet = Expect::map(s.id("quiet"), [by("in-flight", 2, [receiver])]);
    watch(&s, &[quiet.kept_by([Who::process(s.pid, [])])]);
}

/// Tables of rings, and rings.
#[test]
fn fixed_files() {
    let Some(s) = scene(here!(), |stage| {
        let _processes = processes()?;
        let (quiet, moving) = (bpf::hash("e2e_mv_quiet")?, bpf::hash("e2e_mv_fixed")?);
        let (ring, other) = (Ring::new()?, Ring::new()?);
        ring.fix(&[quiet.as_raw_fd()])?;
        let report = json!({
            "quiet": quiet.id, "ring": ring.as_raw_fd(), "moving": [["map", moving.id]],
        });
        drop(quiet);
        let mut round = 0;
        let _churn = Churn::start(move || {
            round += 1;
            let files: Vec<_> = (0..=round % 40)
                .map(|_| moving.reopen())
                .collect::<Result<_>>()?;
            let fds: Vec<_> = files.iter().map(AsRawFd::as_raw_fd).collect();
            other.fix(&fds)?;
            drop(files);
            // Letting go waits for the kernel's own work: on one processor that is when lastref
            // runs, and it would never see what was there before.
            if round % 3 == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            other.let_go()?;
            if round % 10 == 0 {
                let gone = Ring::new().map_err(|stop| e2e::sys::Error {
                    what: stop.to_string(),
                    errno: 0,
                })?;
                gone.fix(&[moving.as_raw_fd()])?;
            }
            Ok(())
        });
        stage.ready(report)?;
        drop(ring);
        Ok(())
    }) else {
        return;
    };
    let ring = Who::io_uring(s.pid, s.id("ring"));
    let quiet = Expect::map(s.id("quiet"), [by("io-uring", 1, [ring])]);
    watch(&s, &[quiet.kept_by([Who::process(s.pid, [])])]);
}

#[test]
fn perf_events() {
    let Some(s) = scene(here!(), |stage| {
        let _processes = processes()?;
        let (quiet, moving) = (program("e2e_mv_quiet")?, program("e2e_mv_event")?);
        let held = dummy(&quiet)?;
        let mut report = scene::ids([("quiet", &quiet)]);
        report["moving"] = json!([["prog", moving.id]]);
        let _churn = Churn::start(move || {
            let all = [dummy(&moving)?, dummy(&moving)?, dummy(&moving)?];
            drop(all);
            Ok(())
        });
        stage.ready(report)?;
        drop(held);
        Ok(())
    }) else {
        return;
    };
    let event = by("attachment", 1, [Who::perf_event(DUMMY, [s.pid])]);
    watch(&s, &[Expect::prog(s.id("quiet"), [fd(&s, "quiet"), event])]);
}

/// Outer maps that are made, filled and closed.
#[test]
fn slots() {
    let Some(s) = scene(here!(), |stage| {
        let _processes = processes()?;
        let (quiet, moving) = (bpf::hash("e2e_mv_quiet")?, bpf::hash("e2e_mv_inner")?);
        let outer = bpf::outer(map_type::HASH_OF_MAPS, "e2e_mv_outer", 0, &quiet)?;
        let shared = bpf::outer(map_type::HASH_OF_MAPS, "e2e_mv_shared", 0, &quiet)?;
        for key in 0..4 {
            bpf::put(&outer, key, &quiet)?;
        }
        let mut report = scene::ids([("quiet", &quiet), ("outer", &outer)]);
        report["moving"] = json!([["map", moving.id], ["map", shared.id]]);
        let mut round = 0;
        let _churn = Churn::start(move || {
            round += 1;
            for kind in [map_type::HASH_OF_MAPS, map_type::ARRAY_OF_MAPS] {
                let gone = bpf::outer(kind, "e2e_mv_gone", 0, &moving)?;
                bpf::put(&gone, round % 8, &moving)?;
                bpf::put(&shared, round % 8, &moving)?;
            }
            if round % 8 == 0 {
                for key in 0..8 {
                    bpf::take_out(&shared, key)?;
                }
            }
            Ok(())
        });
        stage.ready(report)
    }) else {
        return;
    };
    let slots = by("outer-map", 4, [Who::map(s.id("outer"))]);
    watch(
        &s,
        &[
            Expect::map(s.id("quiet"), [fd(&s, "quiet"), slots]),
            Expect::map(s.id("outer"), [fd(&s, "outer")]),
        ],
    );
}

/// Pins beside the quiet one, and whole file systems.
#[test]
fn pins() {
    let Some(s) = scene(here!(), |stage| {
        let _processes = processes()?;
        let bpffs = files::private_bpffs()?;
        let (quiet, moving) = (bpf::hash("e2e_mv_quiet")?, bpf::hash("e2e_mv_pinned")?);
        let other = bpffs.join("other");
        quiet.pin(&bpffs.join("quiet"))?;
        fs::create_dir(&other).map_err(io("mkdir"))?;
        let report = json!({"quiet": quiet.id, "moving": [["map", moving.id]]});
        drop(quiet);
        let _churn = Churn::start(move || {
            let pins = [1, 2, 3].map(|n| bpffs.join(format!("moving{n}")));
            for pin in &pins {
                moving.pin(pin)?;
            }
            // To unmount takes nearly all of the time: once with these pins, once without.
            files::mount("bpf", &other)?;
            files::unmount(&other)?;
            pins.iter().try_for_each(|pin| files::unlink(pin))?;
            files::mount("bpf", &other)?;
            moving.pin(&other.join("moving"))?;
            files::unmount(&other)
        });
        stage.ready(report)
    }) else {
        return;
    };
    let pin = by("pin", 1, [Who::pin(s.pid, &["/sys/fs/bpf/quiet"])]);
    watch(
        &s,
        &[Expect::map(s.id("quiet"), [pin]).state(&["orphan-pin"])],
    );
}

/// Elements with timers are replaced and taken out.
#[test]
fn timers() {
    let Some(s) = scene(here!(), |stage| {
        let _processes = processes()?;
        let bpffs = files::private_bpffs()?;
        let why = "no bpf_timer before Linux 5.15";
        let load = || object_file::load_since("timers", &bpffs, (5, 15), why);
        let mut still = load()?;
        let quiet = still.prog("start")?;
        bpf::run(&quiet)?;
        let maps = [still.map("array")?, still.map("hash")?, still.map("lru")?];
        for folder in ["progs", "maps"] {
            fs::remove_dir(bpffs.join(folder)).map_err(io("rmdir"))?;
        }
        let mut moves = load()?;
        let (moving, hash) = (moves.prog("start")?, moves.map("hash")?);
        let mut report = scene::ids([("quiet", &quiet)]);
        report["maps"] = json!(maps.each_ref().map(|map| map.id));
        report["moving"] = json!([["prog", moving.id], ["map", hash.id]]);
        let _churn = Churn::start(move || {
            bpf::run(&moving)?;
            bpf::take_out(&hash, 10)?;
            bpf::take_out(&hash, 20)
        });
        stage.ready(report)?;
        drop((moves, maps));
        Ok(())
    }) else {
        return;
    };
    let maps = s.ids("maps");
    let callbacks = |at: usize, count| by("timer", count, [Who::map(maps[at])]);
    let references = [
        fd(&s, "quiet"),
        callbacks(0, 3),
        callbacks(1, 2),
        callbacks(2, 1),
    ];
    watch(&s, &[Expect::prog(s.id("quiet"), references)]);
}
