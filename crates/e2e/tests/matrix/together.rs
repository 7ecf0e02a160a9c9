//! All kinds of reference at once: on one map, and on many objects.

use e2e::bpf::{self, F_MMAPABLE, Kind, MapSpec, ProgSpec, map_type, prog_type};
use e2e::expect::Tid;
use e2e::files::{hard_link, private_bpffs};
use e2e::process::{map_memory, tid, unshare};
use e2e::scene::{Child, Inherit};
use e2e::{Expect, Who, btf, by, here, insn, scene};
use serde_json::json;
use std::os::fd::AsRawFd;
use std::sync::mpsc::channel;

/// One map, held in every way there is.
#[test]
fn all_on_one_map() {
    let Some(s) = scene(here!(), |stage| {
        let bpffs = private_bpffs()?;
        let btf = bpf::load_btf(&btf::blob())?;
        let map = MapSpec::new(map_type::ARRAY, "e2e_all")
            .flags(F_MMAPABLE)
            .btf(&btf)
            .create()?;
        // Two files, three descriptors.
        let again = map.reopen()?;
        let twin = map.dup()?;
        // A third file, only mapped.
        map_memory(&map.reopen()?, 4096)?;
        // Two inodes, three names.
        map.pin(&bpffs.join("one"))?;
        map.pin(&bpffs.join("two"))?;
        hard_link(&bpffs.join("one"), &bpffs.join("three"))?;
        // Two programs, an outer array and an outer hash, an iterator and its file.
        let user = bpf::filter_using("e2e_all_user", &[&map])?;
        let binder = bpf::filter("e2e_all_bind")?;
        bpf::bind(&binder, &map)?;
        let array = bpf::outer(map_type::ARRAY_OF_MAPS, "e2e_all_array", 0, &map)?;
        let hash = bpf::outer(map_type::HASH_OF_MAPS, "e2e_all_hash", 0, &map)?;
        for slot in 0..4 {
            bpf::put(&array, slot, &map)?;
            bpf::put(&hash, 10 * slot, &map)?;
        }
        let walker = bpf::iterator("e2e_all_iter", "bpf_map_elem")?;
        let link = bpf::iterator_link(&walker, Some(&map))?;
        let file = bpf::open_iterator(&link)?;
        // A thread with its own table, and a file in it. Before the child: the copy
        // would keep the child's pipes open.
        let (sender, receiver) = channel();
        let id = map.id;
        std::thread::spawn(move || {
            let open = || {
                unshare(libc::CLONE_FILES)?;
                Ok::<_, e2e::Stop>((tid(), bpf::by_id(Kind::Map, id)?.leak()))
            };
            let _ = sender.send(open());
            loop {
                std::thread::park();
            }
        });
        let (thread, thread_fd) = receiver.recv().expect("the thread answers")?;
        // A child with the first file, a mapping of its own and a file of its own.
        let heir = Child::start(Inherit::All, |stage| {
            let own = map.reopen()?;
            stage.ready(json!({"own": own.fd()}))
        })?;
        stage.ready(json!({
            "map": map.id, "btf": btf.id,
            "fds": [map.fd(), twin.as_raw_fd()], "again": again.fd(),
            "user": user.id, "binder": binder.id, "array": array.id, "hash": hash.id,
            "link": link.id, "file": file.as_raw_fd(), "btf_fd": btf.fd(),
            "heir": heir.pid, "heir_own": heir.id("own"),
            "tid": thread, "thread_fd": thread_fd,
        }))
    }) else {
        return;
    };
    // The thread's and the child's tables are copies of the main thread's: the
    // files that were open then stand in all three.
    let everywhere = |fds: Vec<u32>| {
        [
            Who::process(s.pid, fds.clone()),
            Who::process(s.id("heir"), fds.clone()),
            Who::thread(s.pid, Tid::Own(s.id("tid")), fds),
        ]
    };
    let mut shared = s.ids("fds");
    shared.push(s.id("again"));
    let own = |who| by("fd", 1, [who]);
    let pin = |names: &[&str]| by("pin", 1, [Who::pin(s.pid, names)]);
    let slots = |id| by("outer-map", 4, [Who::map(id)]);
    let using = |id| by("prog", 1, [Who::prog(id)]);
    let map = Expect::map(
        s.id("map"),
        [
            by("fd", 2, everywhere(shared)),
            own(Who::process(s.id("heir"), [s.id("heir_own")])),
            own(Who::thread(
                s.pid,
                Tid::Own(s.id("tid")),
                [s.id("thread_fd")],
            )),
            by(
                "mmap",
                1,
                [Who::process(s.pid, []), Who::process(s.id("heir"), [])],
            ),
            pin(&["/sys/fs/bpf/one", "/sys/fs/bpf/three"]),
            pin(&["/sys/fs/bpf/two"]),
            using(s.id("user")),
            using(s.id("binder")),
            slots(s.id("array")),
            slots(s.id("hash")),
            by("link", 1, [Who::link(s.id("link"))]),
            by("iterator", 1, everywhere(vec![s.id("file")])),
        ],
    );
    assert_eq!(map.refcnt(), 19, "by construction");
    s.check_and_why(&[map]);
}

/// Forty objects of every kind that hold each other, checked in one report.
#[test]
fn many_objects() {
    const TIMES: usize = 8;
    let Some(s) = scene(here!(), |stage| {
        let bpffs = private_bpffs()?;
        let mut keep = Vec::new();
        let mut rows = Vec::new();
        for i in 0..TIMES {
            let map = bpf::hash("e2e_many")?;
            let outer = bpf::outer(map_type::HASH_OF_MAPS, "e2e_many_outer", 0, &map)?;
            bpf::put(&outer, 7, &map)?;
            let tails = bpf::prog_array("e2e_many_tails")?;
            let insns = insn::uses_maps(&[map.as_raw_fd(), tails.as_raw_fd()], 0);
            let prog = ProgSpec::new(prog_type::RAW_TRACEPOINT, "e2e_many", insns).load()?;
            bpf::put(&tails, 3, &prog)?;
            let link = bpf::raw_tracepoint(&prog, Some("sched_kthread_stop"))?;
            link.pin(&bpffs.join(format!("link{i}")))?;
            outer.pin(&bpffs.join(format!("outer{i}")))?;
            rows.push(json!([
                map.id,
                outer.id,
                tails.id,
                prog.id,
                link.id,
                tails.fd(),
                map.fd(),
            ]));
            keep.push(tails);
            // Every second map is closed.
            if i % 2 == 0 {
                keep.push(map);
            }
        }
        stage.ready(json!({"rows": rows}))?;
        drop(keep);
        Ok(())
    }) else {
        return;
    };
    let mut expected = Vec::new();
    for i in 0..TIMES {
        let number = |column: usize| {
            let value = s.report["rows"][i][column].as_u64();
            value.expect("a number") as u32
        };
        let [map, outer, tails, prog, link, tails_fd, map_fd] = [0, 1, 2, 3, 4, 5, 6].map(number);
        let pin = |name: &str| {
            let path = format!("/sys/fs/bpf/{name}{i}");
            by("pin", 1, [Who::pin(s.pid, &[&path])])
        };
        let mut of_map = vec![
            by("prog", 1, [Who::prog(prog)]),
            by("outer-map", 1, [Who::map(outer)]),
        ];
        if i % 2 == 0 {
            of_map.push(by("fd", 1, [Who::process(s.pid, [map_fd])]));
        }
        expected.extend([
            Expect::map(map, of_map),
            Expect::map(outer, [pin("outer")]).state(&["orphan-pin"]),
            Expect::map(
                tails,
                [
                    by("fd", 1, [Who::process(s.pid, [tails_fd])]),
                    by("prog", 1, [Who::prog(prog)]),
                ],
            ),
            Expect::prog(
                prog,
                [
                    by("link", 1, [Who::link(link)]),
                    by("prog-array", 1, [Who::map(tails)]),
                ],
            )
            .field("attached", true),
            Expect::link(link, [pin("link")]),
        ]);
    }
    s.check(&expected);
}
