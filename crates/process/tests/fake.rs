//! Roots that a test has written: what no live system shows at will.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use model::Container;
use process::{BpffsMount, Error, FdInfo, FdObject, MountNamespace, Proc};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use tempfile::TempDir;

const STAT: &str = "S 1 4242 4242 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 3 0 159487 1 1\n";
const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A folder with one process, 4242.
fn root() -> (TempDir, Proc) {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "4242/stat", format!("4242 (agent) {STAT}"));
    let proc = Proc::with_root(dir.path());
    (dir, proc)
}

fn write(root: &Path, name: &str, content: impl AsRef<[u8]>) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn link(root: &Path, name: &str, target: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    symlink(target, path).unwrap();
}

#[test]
fn every_field_comes_from_its_file() {
    let (dir, proc) = root();
    write(dir.path(), "4242/status", "Name:\tagent\nNSpid:\t4242\t7\n");
    write(
        dir.path(),
        "4242/cgroup",
        format!("0::/system.slice/docker-{ID}.scope\n"),
    );
    link(dir.path(), "4242/exe", "/usr/bin/agent (deleted)");
    let process = proc.describe(4242).unwrap();
    assert_eq!(
        (process.pid, process.ns_pid, process.start_ticks),
        (4242, Some(7), Some(159_487))
    );
    assert_eq!(
        (&*process.comm, process.exe.as_deref()),
        ("agent", Some("/usr/bin/agent (deleted)"))
    );
    assert_eq!(
        process.cgroup,
        Some(format!("/system.slice/docker-{ID}.scope").into())
    );
    assert_eq!(process.unit, None);
    let container = Container {
        runtime: Some("docker".into()),
        id: ID.into(),
        ..Container::default()
    };
    assert_eq!(process.container.as_deref(), Some(&container));
    assert_eq!((process.tid, process.fds), (None, vec![]));
}

#[test]
fn each_field_fails_on_its_own() {
    let (dir, proc) = root();
    let process = proc.describe(4242).unwrap();
    assert_eq!(&*process.comm, "agent");
    assert_eq!(
        (process.ns_pid, process.exe, process.cgroup),
        (None, None, None)
    );

    write(dir.path(), "4242/stat", "nonsense");
    write(dir.path(), "4242/comm", b"a\xff)\nb\n");
    let process = proc.describe(4242).unwrap();
    assert_eq!((&*process.comm, process.start_ticks), ("a\\xff)\nb", None));
}

#[test]
fn a_process_that_is_gone_is_told_from_a_proc_that_is_missing() {
    let (dir, proc) = root();
    assert!(proc.describe(1).unwrap_err().is_gone());
    assert!(proc.fdinfo(1, 0).unwrap_err().is_gone());
    assert!(proc.bpffs_mounts(1).unwrap_err().is_gone());

    let empty = Proc::with_root(tempfile::tempdir_in(dir.path()).unwrap().path());
    let error = empty.describe(1).unwrap_err();
    assert!(matches!(error, Error::NotMounted { .. }), "{error}");
    let error = empty.mount_namespaces().unwrap_err();
    assert!(matches!(error, Error::NotMounted { .. }), "{error}");
    assert!(error.to_string().contains("mount -t proc"), "{error}");
}

#[test]
fn the_longest_link() {
    let (dir, proc) = root();
    let long = format!("/{}", "x".repeat(4094));
    link(dir.path(), "4242/exe", &long);
    assert_eq!(proc.describe(4242).unwrap().exe, Some(long.into()));
}

#[test]
fn files_without_measure_are_cut() {
    let (dir, proc) = root();
    let groups = "1 ".repeat(100_000);
    write(
        dir.path(),
        "4242/status",
        format!("Groups:\t{groups}\nNSpid:\t4242\t7\n"),
    );
    write(
        dir.path(),
        "4242/cgroup",
        format!("0::/{}\n", "x".repeat(1 << 20)),
    );
    let process = proc.describe(4242).unwrap();
    assert_eq!(process.ns_pid, None);
    assert!(process.cgroup.unwrap().len() <= 64 << 10);
}

#[test]
fn behind_a_dead_main_thread_another_tells() {
    let (dir, proc) = root();
    write(
        dir.path(),
        "4242/stat",
        format!("4242 (agent) {}", STAT.replacen('S', "Z", 1)),
    );
    write(dir.path(), "4242/cgroup", "0::/\n");
    fs::create_dir_all(dir.path().join("4242/task/4242")).unwrap();
    fs::create_dir_all(dir.path().join("4242/task/4243")).unwrap();
    link(dir.path(), "4242/task/4244/exe", "/usr/bin/agent");
    link(dir.path(), "4242/task/4244/ns/mnt", "mnt:[7]");
    write(
        dir.path(),
        "4242/task/4244/cgroup",
        "0::/system.slice/agent.service\n",
    );
    let process = proc.describe(4242).unwrap();
    assert_eq!(
        (process.exe.as_deref(), process.unit.as_deref()),
        (Some("/usr/bin/agent"), Some("agent.service"))
    );

    let expected = MountNamespace {
        inode: 7,
        pid: 4244,
        own: false,
    };
    assert_eq!(proc.mount_namespaces().unwrap().list, [expected]);
    // A process with a living main thread is the better guide, whatever its pid.
    link(dir.path(), "9000/ns/mnt", "mnt:[7]");
    assert_eq!(proc.mount_namespaces().unwrap().list[0].pid, 9000);
}

#[test]
fn mount_namespaces_each_once() {
    let dir = tempfile::tempdir().unwrap();
    for (pid, inode) in [(900, 2), (31, 1), (4, 2), (10, 1), (50, 3)] {
        link(
            dir.path(),
            &format!("{pid}/ns/mnt"),
            &format!("mnt:[{inode}]"),
        );
    }
    link(dir.path(), "self", "31");
    // A zombie has none and is no loss; nor is what is no process.
    fs::create_dir_all(dir.path().join("60/task/60")).unwrap();
    fs::create_dir_all(dir.path().join("sys")).unwrap();
    // What is no link at all stands for one that is refused.
    write(dir.path(), "70/ns/mnt", "");
    let found = Proc::with_root(dir.path()).mount_namespaces().unwrap();
    let list: Vec<_> = found.list.iter().map(|n| (n.inode, n.pid, n.own)).collect();
    assert_eq!(list, [(1, 31, true), (2, 4, false), (3, 50, false)]);
    assert_eq!(found.unreadable, 1);
}

#[test]
fn network_namespaces_of_processes_and_mounts() {
    let (dir, proc) = root();
    link(dir.path(), "4242/ns/net", "net:[5]");
    link(dir.path(), "self", "4242");
    link(dir.path(), "50/ns/net", "net:[6]");
    let found = proc.net_namespaces().unwrap();
    let list: Vec<_> = found.list.iter().map(|n| (n.inode, n.pid, n.own)).collect();
    assert_eq!(list, [(5, Some(4242), true), (6, Some(50), false)]);
    assert_eq!(found.list[1].path, dir.path().join("50/ns/net"));

    let mounts = "1 0 0:4 net:[7] /run/netns/a\\040b rw shared:1 - nsfs nsfs rw\n\
                  2 0 0:4 mnt:[8] /run/m rw - nsfs nsfs rw\n";
    write(dir.path(), "4242/mountinfo", mounts);
    let found = proc.mounted_net_namespaces(4242).unwrap();
    let list: Vec<_> = found.iter().map(|n| (n.inode, n.pid)).collect();
    assert_eq!(list, [(7, None)]);
    let path = dir.path().join("4242/root").join("run/netns/a b");
    assert_eq!(found[0].path, path);
}

#[test]
fn bpffs_mounts_are_unescaped() {
    let (dir, proc) = root();
    write(
        dir.path(),
        "4242/mountinfo",
        b"1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 0:29 / /a\\040b\xff rw shared:1 - bpf bpf rw\n",
    );
    let found = proc.bpffs_mounts(4242).unwrap();
    let expected = BpffsMount {
        device: (0, 29),
        mount_point: r"/a b\xff".into(),
        root: "/".into(),
        covered: [].into(),
    };
    assert_eq!((found.mounts, found.incomplete), (vec![expected], false));
}

/// In a cgroup namespace of its own a part looks like the whole.
#[test]
fn the_whole_of_cgroup2_only_from_the_initial_namespace() {
    let (dir, proc) = root();
    let table = "1 0 8:1 / / rw - ext4 /dev/a rw\n\
                 2 1 0:30 /part /part rw - cgroup2 none rw\n\
                 3 1 0:30 / /hidden rw - cgroup2 none rw\n\
                 4 3 0:31 / /hidden rw - tmpfs none rw\n\
                 5 1 0:30 / /whole rw - cgroup2 none rw\n";
    write(
        dir.path(),
        &format!("{}/mountinfo", std::process::id()),
        table,
    );
    assert_eq!(proc.cgroup2_mount(), None, "no link tells the namespace");
    for (text, expected) in [
        ("cgroup:[4026531835]", Some("/whole")),
        ("cgroup:[4026532201]", None),
    ] {
        let _ = fs::remove_file(dir.path().join("self/ns/cgroup"));
        link(dir.path(), "self/ns/cgroup", text);
        assert_eq!(proc.cgroup2_mount().as_deref(), expected, "{text}");
    }
}

#[test]
fn a_mount_table_without_measure_is_cut() {
    let (dir, proc) = root();
    let line = format!("2 1 0:29 / /{} rw - bpf bpf rw\n", "x".repeat(4000));
    write(dir.path(), "4242/mountinfo", line.repeat(5000));
    let found = proc.bpffs_mounts(4242).unwrap();
    assert!(found.incomplete);
    assert_eq!(found.mounts.len(), (16 << 20) / line.len());
}

#[test]
fn descriptors_by_kind() {
    let (dir, proc) = root();
    let info = "pos:\t0\nlink_type:\txdp\nlink_id:\t5\nprog_id:\t6\nmap_id:\t7\nbtf_id:\t8\nmemlock:\t4096\n";
    for (fd, target, object) in [
        (1, "anon_inode:bpf_link", FdObject::Link(5)),
        (2, "anon_inode:bpf-prog", FdObject::Prog(6)),
        (3, "anon_inode:bpf-map", FdObject::Map(7)),
        (4, "anon_inode:btf", FdObject::Btf(8)),
    ] {
        link(dir.path(), &format!("4242/fd/{fd}"), target);
        write(dir.path(), &format!("4242/fdinfo/{fd}"), info);
        let memlock = Some(4096);
        assert_eq!(proc.fdinfo(4242, fd).unwrap(), FdInfo { object, memlock });
    }
    link(dir.path(), "4242/fd/5", "socket:[77]");
    assert_eq!(
        proc.fdinfo(4242, 5).unwrap().object,
        FdObject::Other("socket:[77]".into())
    );
    let error = proc.fdinfo(4242, 6).unwrap_err();
    assert!(
        matches!(error, Error::NotOpen { pid: 4242, fd: 6 }),
        "{error}"
    );

    link(dir.path(), "4242/fd/7", "anon_inode:bpf-map");
    write(dir.path(), "4242/fdinfo/7", "pos:\t0\nprog_id:\t6\n");
    let error = proc.fdinfo(4242, 7).unwrap_err();
    assert!(matches!(error, Error::Malformed { .. }), "{error}");
}

#[test]
fn the_host() {
    let dir = tempfile::tempdir().unwrap();
    write(
        dir.path(),
        "sys/kernel/random/boot_id",
        "d3730a52-14e3-477a-85bc-04faa3307ea7\n",
    );
    write(dir.path(), "sys/kernel/osrelease", "6.18.44\n");
    let proc = Proc::with_root(dir.path());
    assert_eq!(
        proc.boot_id().unwrap(),
        "d3730a52-14e3-477a-85bc-04faa3307ea7"
    );
    assert_eq!(proc.kernel_release().unwrap(), "6.18.44");
    let error = proc.in_host_pid_namespace().unwrap_err();
    assert!(error.to_string().contains("self/ns/pid"), "{error}");
    for (text, expected) in [
        ("pid:[4026531836]", Some(true)),
        ("pid:[4026532201]", Some(false)),
        ("mnt:[1]", None),
    ] {
        let _ = fs::remove_file(dir.path().join("self/ns/pid"));
        link(dir.path(), "self/ns/pid", text);
        assert_eq!(proc.in_host_pid_namespace().ok(), expected, "{text}");
    }
}

#[test]
fn a_process_has_ended_when_its_first_thread_alone_is_a_zombie() {
    let (dir, proc) = root();
    let rest = |threads: u32| {
        format!("1 4242 4242 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 {threads} 0 159487 1 1\n")
    };
    for (state, threads, is_ending) in [
        ('S', 3, true),
        ('R', 1, true),
        ('D', 1, true),
        ('Z', 2, true),
        ('Z', 1, false),
        ('X', 0, false),
    ] {
        let text = format!("4242 (agent) {state} {}", rest(threads));
        write(dir.path(), "4242/stat", text);
        let found = proc.is_ending(4242, 159_487);
        assert_eq!(found, is_ending, "{state} {threads}");
        assert!(!proc.is_ending(4242, 159_488), "another began later");
    }
    assert!(!proc.is_ending(4243, 159_487), "there is none");
    write(dir.path(), "4242/stat", "4242 (agent");
    assert!(!proc.is_ending(4242, 159_487), "it cannot be read");
}
