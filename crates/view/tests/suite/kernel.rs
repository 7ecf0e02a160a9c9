//! Attachments, sockets, io_urings, modules on the screens.

use crate::kernel_world::{attachment, everything, socket, why_everywhere};
use crate::screen::{check_says, table, why};
use crate::world;
use model::{By, Holder, IoUring, Reference};
use view::ListOptions;

#[test]
fn a_list_at_160_columns() {
    assert_eq!(
        table(&everything(), ListOptions::default(), 160),
        r"OBJECT   TYPE           NAME            REFS   MEMORY  STATE           HELD BY
map:20   hash           handed_over        2  4.0 KiB  in-use          io_uring, sock:[71] ← tetragon[4242], worker[5150]
map:21   array          lost_message       1  4.0 KiB  held-by-kernel  sock:[72]
map:22   struct_ops     cc                 1  4.0 KiB  held-by-kernel  registered as tcp_congestion_ops
map:23   lru_hash       conntrack          1  4.0 KiB  held-by-kernel  prog:10 ← cgroup:/kubepods.slice/kubepods-burstable.slice/pod8a6b2c1e/app
prog:10  cgroup_skb     count_ingress      1  4.0 KiB  held-by-kernel  cgroup:/kubepods.slice/kubepods-burstable.slice/pod8a6b2c1e/app
prog:11  xdp            xdp_drop           5  4.0 KiB  held-by-kernel  dev:eth0, dev:lo
prog:12  socket_filter  filter             1  4.0 KiB  in-use          sock:[48211] ← worker[5150]
prog:13  socket_filter  capture        1,200  4.0 KiB  in-use          1,200 sockets ← tetragon[4242]
prog:14  tracepoint     on_switch          1  4.0 KiB  in-use          tracepoint:sched/sched_switch ← tetragon[4242]
link:30  iter           → prog:5           2        -  in-use          pin /sys/fs/bpf/maps.debug, bpf_preload
"
    );
}

#[test]
fn a_list_at_80_columns() {
    assert_eq!(
        table(&everything(), ListOptions::default(), 80),
        r"OBJECT   TYPE      NAME          REFS   MEMORY  STATE           HELD BY
map:20   hash      handed_over      2  4.0 KiB  in-use          ← tet…[4242], +1
map:21   array     lost_messa…      1  4.0 KiB  held-by-kernel  sock:[72]
map:22   struct_…  cc               1  4.0 KiB  held-by-kernel  regist…stion_ops
map:23   lru_hash  conntrack        1  4.0 KiB  held-by-kernel  ← cgroup:…/app
prog:10  cgroup_…  count_ingr…      1  4.0 KiB  held-by-kernel  cgroup:…2c1e/app
prog:11  xdp       xdp_drop         5  4.0 KiB  held-by-kernel  dev:eth0, dev:lo
prog:12  socket_…  filter           1  4.0 KiB  in-use          ← worker[5150]
prog:13  socket_…  capture      1,200  4.0 KiB  in-use          ← tetragon[4242]
prog:14  tracepo…  on_switch        1  4.0 KiB  in-use          ← tetragon[4242]
link:30  iter      → prog:5         2        -  in-use          pin …s.debug, +1
"
    );
}

#[test]
fn an_account_at_160_columns() {
    assert_eq!(
        why(&why_everywhere(), 160),
        r"prog 5 everywhere (socket_filter, 4.0 KiB)
refcnt 23 = 23 explained + 0 unexplained   in-use
attached   tag 0123456789abcdef

held by
├─ 12  timer       map:41 sessions
├─  3  map-entry   map:40 redirects
├─  1  attachment  cgroup:/system.slice/tetragon.service  cgroup_inet_ingress
├─  1  attachment  tracepoint:sched/sched_switch  perf_event  open in tetragon (pid 4242)  fd 7  unit tetragon.service
├─  2  driver      shared by 2 attachments:
│                  ├─ dev:eth0@netns:4026531840  xdp
│                  └─ dev:lo@netns:4026531840  xdp
├─  1  fd          1 open file, shared by 2 holders:
│                  ├─ tetragon (pid 4242)  fd 6  unit tetragon.service  pid 1 in its namespace
│                  └─ socket:[71]  unix  open in tetragon (pid 4242)  fd 5  unit tetragon.service  netns 4026531840
├─  1  io-uring    io_uring  open in worker (pid 5150)  fd 4  containerd 3f1d0c5a9b7e  pod 8a6b2c1e-0d4f-4b0a-9a55-2f6f0f1f7c11
├─  1  socket      shared by 3 sockets:
│                  ├─ socket:[48211]  tcp  open in worker (pid 5150)  fd 9  containerd 3f1d0c5a9b7e  pod 8a6b2c1e-0d4f-4b0a-9a55-2f6f0f1f7c11
│                  │  open in worker (pid 5151)  fd 9  containerd 3f1d0c5a9b7e  pod 8a6b2c1e-0d4f-4b0a-9a55-2f6f0f1f7c11  netns 4026531840
│                  ├─ socket (no inode)  tcp  no process has it open  netns 4026531840
│                  └─ socket:[48400]  udp  open in pids 31-33, 40  netns 4026531840
└─  1  module      module bpf_preload

kept by
  prog:5 ← cgroup:/system.slice/tetragon.service (cgroup_inet_ingress)
  prog:5 ← tracepoint:sched/sched_switch (perf_event) ← tetragon (pid 4242)
  prog:5 ← socket:[48211] ← worker (pids 5150-5151)
  prog:5 ← socket (no inode)
  prog:5 ← io_uring ← worker (pid 5150)

to let it go
  1. bpftool cgroup detach /sys/fs/cgroup/system.slice/tetragon.service ingress id 5
     frees nothing by itself
  2. make worker (pid 5150) close socket:[48211] (fd 9) or detach prog:5 (setsockopt SO_DETACH_BPF); unregister its fixed files (IORING_UNREGISTER_FILES) or
     close the ring (fd 4); or end it
     frees nothing by itself

note         A socket without an inode holds prog:5, but no process has it open: it may be in flight itself, or closed and still draining.

sweep        1 pass in 4 ms; kernel 6.18.44, 2026-11-24T03:12:45Z
"
    );
}

#[test]
fn an_account_at_80_columns() {
    assert_eq!(
        why(&why_everywhere(), 80),
        r"prog 5 everywhere (socket_filter, 4.0 KiB)
refcnt 23 = 23 explained + 0 unexplained   in-use
attached   tag 0123456789abcdef

held by
├─ 12  timer       map:41 sessions
├─  3  map-entry   map:40 redirects
├─  1  attachment  cgroup:/system.slice/tetragon.service  cgroup_inet_ingress
├─  1  attachment  tracepoint:sched/sched_switch  perf_event
│                  open in tetragon (pid 4242)  fd 7  unit tetragon.service
├─  2  driver      shared by 2 attachments:
│                  ├─ dev:eth0@netns:4026531840  xdp
│                  └─ dev:lo@netns:4026531840  xdp
├─  1  fd          1 open file, shared by 2 holders:
│                  ├─ tetragon (pid 4242)  fd 6  unit tetragon.service
│                  │  pid 1 in its namespace
│                  └─ socket:[71]  unix  open in tetragon (pid 4242)  fd 5
│                     unit tetragon.service  netns 4026531840
├─  1  io-uring    io_uring  open in worker (pid 5150)  fd 4
│                  containerd 3f1d0c5a9b7e
│                  pod 8a6b2c1e-0d4f-4b0a-9a55-2f6f0f1f7c11
├─  1  socket      shared by 3 sockets:
│                  ├─ socket:[48211]  tcp  open in worker (pid 5150)  fd 9
│                  │  containerd 3f1d0c5a9b7e
│                  │  pod 8a6b2c1e-0d4f-4b0a-9a55-2f6f0f1f7c11
│                  │  open in worker (pid 5151)  fd 9  containerd 3f1d0c5a9b7e
│                  │  pod 8a6b2c1e-0d4f-4b0a-9a55-2f6f0f1f7c11  netns 4026531840
│                  ├─ socket (no inode)  tcp  no process has it open
│                  │  netns 4026531840
│                  └─ socket:[48400]  udp  open in pids 31-33, 40
│                     netns 4026531840
└─  1  module      module bpf_preload

kept by
  prog:5 ← cgroup:/system.slice/tetragon.service (cgroup_inet_ingress)
  prog:5 ← tracepoint:sched/sched_switch (perf_event) ← tetragon (pid 4242)
  prog:5 ← socket:[48211] ← worker (pids 5150-5151)
  prog:5 ← socket (no inode)
  prog:5 ← io_uring ← worker (pid 5150)

to let it go
  1. bpftool cgroup detach /sys/fs/cgroup/system.slice/tetragon.service \
       ingress id 5
     frees nothing by itself
  2. make worker (pid 5150) close socket:[48211] (fd 9) or detach prog:5
     (setsockopt SO_DETACH_BPF); unregister its fixed files
     (IORING_UNREGISTER_FILES) or close the ring (fd 4); or end it
     frees nothing by itself

note         A socket without an inode holds prog:5, but no process has it open:
             it may be in flight itself, or closed and still draining.

sweep        1 pass in 4 ms; kernel 6.18.44, 2026-11-24T03:12:45Z
"
    );
}

/// The HELD BY cell of an object that these hold.
fn cell(references: Vec<Reference>, width: usize) -> String {
    let mut report = everything();
    report.objects.truncate(1);
    report.objects[0].kept_by.clear();
    report.objects[0].facts.references = references;
    let table = table(&report, ListOptions::default(), width);
    let at = table.find("HELD BY").expect("the column");
    table.lines().nth(1).expect("a row")[at..].to_owned()
}

#[test]
fn more_than_three_of_a_sort_are_counted() {
    let cgroup = |n| attachment(&format!("cgroup:/{n}"), "cgroup_device");
    let on = |number: u32| (0..number).map(|n| world::held(By::Attachment, 1, cgroup(n)));
    assert_eq!(
        cell(on(3).collect(), 160),
        "cgroup:/0, cgroup:/1, cgroup:/2"
    );
    assert_eq!(cell(on(1_204).collect(), 160), "1,204 attachments");
    // The same cgroup twice, by different attach types.
    let twice = ["cgroup_device", "cgroup_sysctl"];
    let twice = twice.map(|attach_type| attachment("cgroup:/a", attach_type));
    let twice = twice.map(|holder| world::held(By::Attachment, 1, holder));
    assert_eq!(cell(twice.to_vec(), 160), "cgroup:/a");
}

#[test]
fn names_from_outside_are_escaped() {
    let evil = "x\u{1b}[2J\u{202e}\n";
    let mut references = vec![
        world::held(
            By::Attachment,
            5,
            attachment(&format!("dev:{evil}@1"), evil),
        ),
        world::held(By::Module, 4, Holder::Module { name: evil.into() }),
        world::held(By::StructOps, 3, Holder::Kernel { what: evil.into() }),
        world::held(By::Socket, 2, socket(7, evil, vec![])),
    ];
    assert_eq!(
        cell(references.clone(), 200),
        r"dev:x\x1b[2J\u{202e}\n, x\x1b[2J\u{202e}\n, x\x1b[2J\u{202e}\n, sock:[7]"
    );
    let mut report = why_everywhere();
    report.object.facts.references.append(&mut references);
    let text = why(&report, 200);
    check_says(&text, &[r"module x\x1b[2J\u{202e}\n"]);
    assert!(
        text.lines()
            .all(|line| model::escape_controls(line) == line)
    );
}

#[test]
fn a_ring_says_what_is_known_of_it() {
    let ring = |pid, fd| {
        Holder::IoUring(Box::new(IoUring {
            pid,
            fd,
            open_by: vec![],
        }))
    };
    for (pid, fd, says) in [
        (Some(7), Some(3), "io_uring  fd 3 of pid 7\n"),
        (Some(7), None, "io_uring  mapped by pid 7\n"),
        (None, None, "io_uring  no process has it open\n"),
    ] {
        let mut report = why_everywhere();
        report.object.facts.references = vec![world::held(By::IoUring, 1, ring(pid, fd))];
        check_says(&why(&report, 120), &[says]);
    }
}

#[test]
fn many_that_have_a_socket_open_are_counted() {
    let openers = (0..1_000).map(|n| world::worker(10_000 + n, vec![4]));
    let shared = socket(7, "tcp", openers.collect());
    let mut report = why_everywhere();
    report.object.facts.references = vec![world::held(By::Socket, 1, shared)];
    let text = why(&report, 120);
    assert_eq!(text.matches("open in worker").count(), 4, "{text}");
    check_says(&text, &["… and 996 more processes"]);
}

#[test]
fn the_rest_of_many_sockets_has_its_own_noun() {
    // Each in a process of its own: they are not alike.
    let sockets = (0..500).map(|n| {
        let opener = world::worker(10_000 + n, vec![4]);
        world::held(By::Socket, 1, socket(n.into(), "tcp", vec![opener]))
    });
    let mut report = why_everywhere();
    report.object.facts.references = sockets.collect();
    let rest = "─ …  socket  and 480 more sockets with 480 references\n";
    check_says(&why(&report, 80), &[rest]);
}

#[test]
fn sockets_of_one_process_that_are_alike_share_a_line() {
    let of = |pid, count: u64, family| {
        (0..count).map(move |n| {
            let opener = world::worker(pid, vec![4 + n as u32]);
            let inode = u64::from(pid) * 10_000 + n;
            world::held(By::Socket, 1, socket(inode, family, vec![opener]))
        })
    };
    let all = of(71, 3000, "udp")
        .chain(of(71, 9, "tcp"))
        .chain(of(72, 9, "udp"))
        .chain(of(73, 2, "udp"));
    let mut report = why_everywhere();
    report.object.facts.references = all.collect();
    let holders = report.object.facts.references.iter().map(|r| &r.holders[0]);
    let chains =
        holders.map(|h| vec![h.clone(), Holder::Process(Box::new(h.open_by()[0].clone()))]);
    report.chains = chains.collect();
    for columns in [80, 160] {
        let text = why(&report, columns);
        check_says(
            &text,
            &[
                "├─ 3,000  socket  3,000 udp sockets  open in worker (pid 71)",
                "├─     9  socket  9 tcp sockets  open in worker (pid 71)",
                "├─     9  socket  9 udp sockets  open in worker (pid 72)",
                " ← 3,000 udp sockets ← worker (pid 71)\n",
                " ← 9 tcp sockets ← worker (pid 71)\n",
                " ← 9 udp sockets ← worker (pid 72)\n",
            ],
        );
        // Two lines each: as holders, and as ways.
        assert_eq!(text.matches("socket:[73").count(), 4, "{text}");
    }
}
