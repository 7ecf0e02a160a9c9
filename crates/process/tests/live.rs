//! Processes that really run.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[allow(dead_code, reason = "each test binary uses a part")]
mod common;

use common::{Fork, Program, eventually, is_root};
use process::{Error, Proc};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Command;

/// `unshare`, with the privilege to do so.
fn unshare(options: &[&str], script: &str) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(options)
        .args((!is_root()).then_some("--map-root-user"));
    command.args(["sh", "-c", script]);
    command
}

/// A copy of a program that waits, under another name.
fn copy_of_cat(path: &PathBuf) {
    // By another process: a fork of this one would inherit the file open for
    // writing, and the kernel does not run such a file (ETXTBSY).
    assert!(
        Command::new("cp")
            .arg("/bin/cat")
            .arg(path)
            .status()
            .unwrap()
            .success()
    );
}

/// `cat` waits for input that never comes; it says so by being `cat` already.
fn cat(path: &PathBuf) -> Program {
    let mut command = Command::new(path);
    let child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    Program(child)
}

#[test]
fn this_process() {
    let pid = std::process::id();
    let process = Proc::new().describe(pid).unwrap();
    let exe = std::env::current_exe().unwrap();
    assert_eq!(process.exe.as_deref(), exe.to_str());
    assert!(
        exe.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with(&*process.comm)
    );
    assert!(process.ns_pid.is_some() && process.cgroup.is_some());
    // ps computes the same number on its own.
    let started = process.start_ticks.unwrap();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    assert!(stat.contains(&format!(" {started} ")));
}

#[test]
fn any_name() {
    static NAMES: [&[u8; 16]; 4] = [
        b") R 1 2 (x\n\\n \t\0",
        b"\xff\xfe(((((((((((((\0",
        b"\x1b[31m))))\x01\x02\x03\x04\x05\x06\0",
        b"abcdefghijklmno\0",
    ];
    fn run<const N: usize>() {
        // SAFETY: prctl reads 16 bytes; pause has no preconditions.
        unsafe {
            libc::prctl(libc::PR_SET_NAME, NAMES[N].as_ptr());
            libc::pause();
        }
    }
    let bodies = [run::<0>, run::<1>, run::<2>, run::<3>];
    let parent = Proc::new().describe(std::process::id()).unwrap();
    for (name, body) in NAMES.iter().zip(bodies) {
        let child = Fork::start(body);
        let expected = model::decode(&name[..15]);
        let process = eventually("the name", || {
            Some(Proc::new().describe(child.0).unwrap()).filter(|p| *p.comm == *expected)
        });
        assert_eq!(process.exe, parent.exe);
        assert!(process.start_ticks >= parent.start_ticks);
    }
}

/// The main thread has gone all the way: its memory goes first, its files later.
fn wait_until_dead(pid: u32) {
    eventually("the end of the main thread", || {
        let stat = fs::read(format!("/proc/{pid}/stat")).unwrap();
        process::stat::parse(&stat).unwrap().is_dead().then_some(())
    });
}

#[test]
fn a_process_that_is_gone() {
    let mut child = Fork::start(|| {});
    let pid = child.0;
    // Not reaped yet: a zombie still has its name and start, and little else.
    wait_until_dead(pid);
    let zombie = Proc::new().describe(pid).unwrap();
    assert_eq!(zombie.exe, None);
    assert!(zombie.start_ticks.is_some() && !zombie.comm.is_empty());
    let error = Proc::new().fdinfo(pid, 0).unwrap_err();
    let refused = !is_root() && matches!(error, Error::Denied { .. });
    assert!(refused || matches!(error, Error::NotOpen { .. }), "{error}");
    assert!(matches!(
        Proc::new().bpffs_mounts(pid),
        Err(Error::Read { .. })
    ));
    child.end();
    assert!(Proc::new().describe(pid).unwrap_err().is_gone());
    assert!(Proc::new().fdinfo(pid, 0).unwrap_err().is_gone());
}

#[test]
fn a_kernel_thread_has_no_executable() {
    // kthreadd is 2, where the host's processes are in sight.
    let Ok(process) = Proc::new().describe(2) else {
        return;
    };
    if &*process.comm == "kthreadd" {
        assert_eq!((process.exe, process.cgroup.as_deref()), (None, Some("/")));
    }
}

extern "C" fn wait_forever(_: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: pause has no preconditions.
    unsafe {
        libc::pause();
    }
    std::ptr::null_mut()
}

#[test]
fn a_dead_main_thread() {
    let child = Fork::start(|| {
        let mut thread = 0;
        // SAFETY: `thread` outlives the call; the function takes no argument. The
        // exit system call ends this thread only.
        unsafe {
            libc::unshare(libc::CLONE_NEWNS);
            libc::pthread_create(
                &raw mut thread,
                std::ptr::null(),
                wait_forever,
                std::ptr::null_mut(),
            );
            libc::syscall(libc::SYS_exit, 0);
        }
    });
    let proc = Proc::new();
    wait_until_dead(child.0);
    assert!(
        fs::read_link(format!("/proc/{}/exe", child.0)).is_err(),
        "the main thread has none"
    );

    let own = proc.describe(std::process::id()).unwrap();
    let process = proc.describe(child.0).unwrap();
    assert_eq!((process.exe, process.cgroup), (own.exe, own.cgroup));
    assert_eq!(
        process.ns_pid,
        Some(child.0).filter(|_| own.ns_pid == Some(own.pid))
    );

    if is_root() {
        let tid: u32 = fs::read_dir(format!("/proc/{}/task", child.0))
            .unwrap()
            .filter_map(|task| task.unwrap().file_name().to_str()?.parse().ok())
            .find(|&tid| tid != child.0)
            .unwrap();
        let inode = fs::metadata(format!("/proc/{tid}/ns/mnt")).unwrap().ino();
        let found = proc.mount_namespaces().unwrap();
        let namespace = found
            .list
            .iter()
            .find(|n| n.inode == inode)
            .expect("its namespace is found");
        assert_eq!((namespace.pid, namespace.own), (tid, false));
        assert!(proc.bpffs_mounts(tid).is_ok());
    }
}

#[test]
fn a_child_mount_namespace() {
    let (child, _) = Program::start(&mut unshare(&["-m"], "echo ready; read _"));
    let inode = fs::metadata(format!("/proc/{}/ns/mnt", child.pid()))
        .unwrap()
        .ino();
    let own_inode = fs::metadata("/proc/self/ns/mnt").unwrap().ino();
    let found = Proc::new().mount_namespaces().unwrap();
    let child_ns = found
        .list
        .iter()
        .find(|n| n.inode == inode)
        .expect("the child's");
    assert_eq!((child_ns.pid, child_ns.own), (child.pid(), false));
    let own: Vec<_> = found.list.iter().filter(|n| n.own).collect();
    assert_eq!(
        (own.len(), own[0].inode, own[0].pid),
        (1, own_inode, std::process::id())
    );
    // Even root may be refused, by a security module.
    eventually("the same count of refusals", || {
        let refused = fs::read_dir("/proc").unwrap().filter(|entry| {
            let link = fs::read_link(entry.as_ref().unwrap().path().join("ns/mnt"));
            link.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
        });
        (Proc::new().mount_namespaces().unwrap().unreadable as usize == refused.count())
            .then_some(())
    });
}

#[test]
fn a_child_pid_namespace() {
    // The innermost process, as its parent sees it, is the child of `unshare`.
    let (child, _) = Program::start(&mut unshare(&["-pf", "--kill-child"], "echo ready; read _"));
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.pid())).unwrap();
    let pid: u32 = children.trim().parse().unwrap();
    let process = Proc::new().describe(pid).unwrap();
    assert_eq!(
        (process.pid, process.ns_pid, &*process.comm),
        (pid, Some(1), "sh")
    );
}

#[test]
fn the_pid_namespace_this_test_is_in() {
    let link = fs::read_link("/proc/self/ns/pid").unwrap();
    let expected = link.to_str() == Some("pid:[4026531836]");
    assert_eq!(Proc::new().in_host_pid_namespace().unwrap(), expected);

    let uname = Command::new("uname").arg("-r").output().unwrap();
    assert_eq!(
        Proc::new().kernel_release().unwrap(),
        String::from_utf8(uname.stdout).unwrap().trim()
    );
    assert_eq!(Proc::new().boot_id().unwrap().len(), 36);
}

#[test]
fn an_executable_that_was_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca\u{1b}t");
    copy_of_cat(&path);
    let child = cat(&path);
    fs::remove_file(&path).unwrap();
    let expected = format!("{} (deleted)", path.display());
    eventually("the deleted executable", || {
        Proc::new()
            .describe(child.pid())
            .unwrap()
            .exe
            .filter(|exe| **exe == *expected)
    });
}

#[test]
fn an_executable_with_the_longest_path() {
    let dir = tempfile::tempdir().unwrap();
    let mut path = dir.path().to_owned();
    let mut left = 4095 - path.as_os_str().len();
    while left > 256 {
        path.push("d".repeat(200));
        left -= 201;
    }
    fs::create_dir_all(&path).unwrap();
    path.push("e".repeat(left - 1));
    assert_eq!(path.as_os_str().len(), 4095);
    copy_of_cat(&path);
    let child = cat(&path);
    eventually("the long executable", || {
        Proc::new()
            .describe(child.pid())
            .unwrap()
            .exe
            .filter(|exe| **exe == *path.display().to_string())
    });
    // With " (deleted)" it no longer fits into the kernel's page (ENAMETOOLONG).
    fs::remove_file(&path).unwrap();
    let process = Proc::new().describe(child.pid()).unwrap();
    assert_eq!((process.exe, &*process.comm), (None, &*"e".repeat(15)));
}

/// A cgroup that goes with the test.
struct Cgroup(PathBuf);

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A cgroup of a process that has just been reaped may be busy for a moment.
        eventually("removing the cgroup", || fs::remove_dir(&self.0).ok());
        let _ = fs::remove_dir(self.0.parent().unwrap());
    }
}

#[test]
fn a_process_in_a_containers_cgroup() {
    let table = fs::read("/proc/self/mountinfo").unwrap();
    let mounts = table
        .split(|&b| b == b'\n')
        .filter_map(process::mountinfo::parse_line);
    let Some(mount) = mounts.into_iter().find(|m| m.fs_type == b"cgroup2") else {
        return;
    };
    let id = "0123456789abcdef".repeat(4);
    let name = format!("lastref-test-{}/docker-{id}.scope", std::process::id());
    let cgroup = PathBuf::from(model::decode(mount.mount_point)).join(&name);
    if fs::create_dir_all(&cgroup).is_err() {
        assert!(!is_root(), "root may make a cgroup");
        return;
    }
    let cgroup = Cgroup(cgroup);
    let child = cat(&PathBuf::from("/bin/cat"));
    fs::write(cgroup.0.join("cgroup.procs"), child.pid().to_string()).unwrap();
    let process = Proc::new().describe(child.pid()).unwrap();
    assert!(process.cgroup.unwrap().ends_with(&name));
    assert_eq!((&process.container.unwrap().id, process.unit), (&id, None));
}
