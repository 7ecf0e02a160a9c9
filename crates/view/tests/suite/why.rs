//! `lastref why`, as it looks.

use crate::screen::{check_says, why};
use crate::world;
use model::{Detail, Holder, Kind, ObjectId, Pin, State};

#[test]
fn an_account_at_160_columns() {
    assert_eq!(
        why(&world::why_conn_events(), 160),
        r"map 17 conn_events (hash, 8.0 MiB)   charged to /system.slice/tetragon.service
refcnt 1,209 = 1,207 explained + 2 unexplained   in-use
4,096 of 65,536 entries   usercnt 1,205

held by
├─ 1,204  fd    tetragon (pid 4242)  fds 5-1208  unit tetragon.service  pid 1 in its namespace
├─     1  fd    1 open file, shared by 2 processes:
│               ├─ worker (pid 5150)  fd 9  containerd 3f1d0c5a9b7e  pod 8a6b2c1e-0d4f-4b0a-9a55-2f6f0f1f7c11  pid 7 in its namespace  exe /app/bin/collect
│               └─ worker (pid 5151)  fds 9, 11  containerd 3f1d0c5a9b7e  pod 8a6b2c1e-0d4f-4b0a-9a55-2f6f0f1f7c11  pid 7 in its namespace  exe /app/bin/collect
├─     1  pin   /sys/fs/bpf/tetragon/conn_events  in the mount namespace of pid 77  also /sys/fs/bpf/tetragon/conn_events.old
├─     1  prog  prog:5 on_exec
└─     2  ?     unexplained: no holder found

kept by
  map:17 ← tetragon (pid 4242)
  map:17 ← pin /sys/fs/bpf/tetragon/conn_events (mounts of pid 77)
  map:17 ← prog:5 generic_kprobe_event_process_exec ← link:3 ← tetragon (pid 4242)

to let it go
  1. rm /proc/77/root/sys/fs/bpf/tetragon/conn_events /proc/77/root/sys/fs/bpf/tetragon/conn_events.old
     frees nothing by itself
  2. close descriptors 5-1208 in tetragon (pid 4242), or end it: systemctl stop tetragon.service
     frees map:17, prog:5 (8.0 MiB)

note         2 references are unexplained: the map may stay after these steps.
             Ending tetragon also ends what else it does.

cannot see   sockets that hold programs: no walk for them is built in yet; needs a later version
sweep        3 passes in 4 ms, also walked mappings; kernel 6.18.44, 2026-11-24T03:12:45Z
"
    );
}

#[test]
fn an_account_at_80_columns() {
    assert_eq!(
        why(&world::why_conn_events(), 80),
        r"map 17 conn_events (hash, 8.0 MiB)   charged to /system.slice/tetragon.service
refcnt 1,209 = 1,207 explained + 2 unexplained   in-use
4,096 of 65,536 entries   usercnt 1,205

held by
├─ 1,204  fd    tetragon (pid 4242)  fds 5-1208  unit tetragon.service
│               pid 1 in its namespace
├─     1  fd    1 open file, shared by 2 processes:
│               ├─ worker (pid 5150)  fd 9  containerd 3f1d0c5a9b7e
│               │  pod 8a6b2c1e-0d4f-4b0a-9a55-2f6f0f1f7c11
│               │  pid 7 in its namespace  exe /app/bin/collect
│               └─ worker (pid 5151)  fds 9, 11  containerd 3f1d0c5a9b7e
│                  pod 8a6b2c1e-0d4f-4b0a-9a55-2f6f0f1f7c11
│                  pid 7 in its namespace  exe /app/bin/collect
├─     1  pin   /sys/fs/bpf/tetragon/conn_events
│               in the mount namespace of pid 77
│               also /sys/fs/bpf/tetragon/conn_events.old
├─     1  prog  prog:5 on_exec
└─     2  ?     unexplained: no holder found

kept by
  map:17 ← tetragon (pid 4242)
  map:17 ← pin /sys/fs/bpf/tetragon/conn_events (mounts of pid 77)
  map:17 ← prog:5 generic_kprobe_event_process_exec ← link:3
      ← tetragon (pid 4242)

to let it go
  1. rm /proc/77/root/sys/fs/bpf/tetragon/conn_events \
       /proc/77/root/sys/fs/bpf/tetragon/conn_events.old
     frees nothing by itself
  2. close descriptors 5-1208 in tetragon (pid 4242), or end it: systemctl stop
     tetragon.service
     frees map:17, prog:5 (8.0 MiB)

note         2 references are unexplained: the map may stay after these steps.
             Ending tetragon also ends what else it does.

cannot see   sockets that hold programs: no walk for them is built in yet; needs
             a later version
sweep        3 passes in 4 ms, also walked mappings; kernel 6.18.44,
             2026-11-24T03:12:45Z
"
    );
}

#[test]
fn an_account_at_60_columns() {
    assert_eq!(
        why(&world::why_conn_events(), 60),
        r"map 17 conn_events (hash, 8.0 MiB)
  charged to /system.slice/tetragon.service
refcnt 1,209 = 1,207 explained + 2 unexplained   in-use
4,096 of 65,536 entries   usercnt 1,205

held by
├─ 1,204  fd    tetragon (pid 4242)  fds 5-1208
│               unit tetragon.service
│               pid 1 in its namespace
├─     1  fd    1 open file, shared by 2 processes:
│               ├─ worker (pid 5150)  fd 9
│               │  containerd 3f1d0c5a9b7e
│               │  pod 8a6b2c1e-0d4f-4b0a-9a55-2f6f0f1f7c11
│               │  pid 7 in its namespace
│               │  exe /app/bin/collect
│               └─ worker (pid 5151)  fds 9, 11
│                  containerd 3f1d0c5a9b7e
│                  pod 8a6b2c1e-0d4f-4b0a-9a55-2f6f0f1f7c11
│                  pid 7 in its namespace
│                  exe /app/bin/collect
├─     1  pin   /sys/fs/bpf/tetragon/conn_events
│               in the mount namespace of pid 77
│               also /sys/fs/bpf/tetragon/conn_events.old
├─     1  prog  prog:5 on_exec
└─     2  ?     unexplained: no holder found

kept by
  map:17 ← tetragon (pid 4242)
  map:17
      ← pin /sys/fs/bpf/tetragon/conn_events (mounts of pid
      77)
  map:17 ← prog:5 generic_kprobe_event_process_exec ← link:3
      ← tetragon (pid 4242)

to let it go
  1. rm /proc/77/root/sys/fs/bpf/tetragon/conn_events \
       /proc/77/root/sys/fs/bpf/tetragon/conn_events.old
     frees nothing by itself
  2. close descriptors 5-1208 in tetragon (pid 4242), or end
     it: systemctl stop tetragon.service
     frees map:17, prog:5 (8.0 MiB)

note         2 references are unexplained: the map may stay
             after these steps.
             Ending tetragon also ends what else it does.

cannot see   sockets that hold programs: no walk for them is
             built in yet; needs a later version
sweep        3 passes in 4 ms, also walked mappings; kernel
             6.18.44, 2026-11-24T03:12:45Z
"
    );
}

#[test]
fn a_crowd_is_one_line() {
    assert_eq!(
        why(&world::why_crowd(5_000), 80),
        r"map 17 shared (array, 4.0 KiB)
refcnt 10,001 = 10,001 explained + 0 unexplained   in-use

held by
├─ 10,000  fd   5,000 processes worker  pids 10000-14999  10,000 fds
│               containerd 3f1d0c5a9b7e
│               pod 8a6b2c1e-0d4f-4b0a-9a55-2f6f0f1f7c11
└─      1  pin  /sys/fs/bpf/shared

kept by
  map:17 ← worker (pids 10000-10099)
  … and more that were not followed

cannot see   sockets that hold programs: no walk for them is built in yet; needs
             a later version
sweep        3 passes in 4 ms, also walked mappings; kernel 6.18.44,
             2026-11-24T03:12:45Z
"
    );
}

#[test]
fn many_that_differ_are_cut_short() {
    let mut report = world::why_crowd(5_000);
    for (n, reference) in report.object.facts.references.iter_mut().enumerate() {
        if let Holder::Process(process) = &mut reference.holders[0] {
            process.comm = format!("w{n}").into();
            process.container = None;
        }
    }
    let text = why(&report, 80);
    let fds = text.lines().filter(|line| line.contains("  fd ")).count();
    assert_eq!(fds, 21);
    let rest = "├─ …  fd   and 4,980 more processes with 9,960 references\n";
    check_says(&text, &[rest]);
}

#[test]
fn states_and_holes_are_told() {
    let mut report = world::why_conn_events();
    let object = &mut report.object;
    object.state = State::OrphanPin;
    object.settled = false;
    object.facts.memory_bytes = None;
    object.facts.unreadable = vec!["memory: no holder's fdinfo could be read".into()];
    let text = why(&report, 80);
    check_says(
        &text,
        &[
            "refcnt ~1,209, 1,207 explained, not settled",
            "orphan-pin: only pins keep it",
            "the count still moved after 3 passes",
            "not read     memory: no holder's fdinfo",
        ],
    );

    let object = &mut report.object;
    object.settled = true;
    object.unexplained = None;
    let text = why(&report, 80);
    check_says(&text, &["refcnt 1,209 = 1,207 explained + ?"]);
    report.object.facts.refcnt = None;
    let text = why(&report, 80);
    let parts = ["refcnt ?, 1,207 explained", "the count could not be read"];
    check_says(&text, &parts);
}

#[test]
fn the_kernels_own_btf_has_no_account() {
    let mut report = world::why_crowd(0);
    report.object.facts.kind = Kind::Btf;
    report.object.facts.detail = Detail::Btf(model::BtfFacts { kernel_btf: true });
    let text = why(&report, 80);
    check_says(&text, &["the kernel's own BTF: listed, not accounted for"]);
    assert!(
        !text.contains("held by") && !text.contains("in-use"),
        "{text}"
    );
}

#[test]
fn pins_without_a_name_or_a_mount_say_so() {
    let mut report = world::why_crowd(0);
    report.object.facts.references[0].holders = vec![Holder::Pin(Pin {
        path: "(bpffs 0:35)/x".into(),
        mount_namespace: None,
        enter_pid: None,
        also: (0..9).map(|n| format!("/other/{n}")).collect(),
        unlinked: true,
    })];
    let text = why(&report, 120);
    check_says(
        &text,
        &[
            "(bpffs 0:35)/x",
            "unlinked, kept by an open file",
            "no path in sight leads there",
            "also /other/3",
            "and 5 more names",
        ],
    );
}

#[test]
fn a_step_that_frees_much_counts_it() {
    let mut report = world::why_conn_events();
    report.to_release.truncate(1);
    let ids = |kind, number| (0..number).map(move |id| ObjectId { kind, id });
    report.to_release[0].frees = ids(Kind::Map, 1_204).chain(ids(Kind::Prog, 1)).collect();
    report.to_release[0].bytes = 3 << 30;
    let text = why(&report, 80);
    check_says(&text, &["     frees 1,204 maps, 1 program (3.0 GiB)\n"]);
}
