//! `lastref watch` while processes become others between two sweeps: by exec, in another cgroup, and
//! with a pid that is used again.

use crate::watch::{ACT, of};
use crate::watch_moves::Live;
use e2e::bpf;
use e2e::files::{Cgroup, Folder, private_mounts};
use e2e::{here, scene, sys};
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

#[test]
fn after_an_exec_it_is_told_of_as_the_other_program() {
    if !e2e::needs_root(here!()) {
        return;
    }
    let folder = Folder::new("watch-exec");
    let other = folder.path("another");
    std::fs::copy(ACT, &other).expect("a copy");
    let words = [
        "map",
        "e2e_one",
        "map",
        "e2e_two",
        "keep",
        "wait",
        "become",
        &other,
        "map",
        "e2e_three",
        "wait",
    ];
    let mut act = Command::new(ACT)
        .args(words)
        .stdin(Stdio::piped())
        .spawn()
        .expect("it starts");
    let pid = act.id().to_string();
    let mut watch = Live::start(here!(), &["--pid", &pid, "--interval", "200ms"]);
    let before = watch.of_process("e2e_one")["holder"].clone();
    watch.of_process("e2e_two");
    let mut input = act.stdin.take().expect("it is piped");
    input.write_all(b"\n").expect("it reads");
    let after = watch.of_process("e2e_three")["holder"].clone();
    assert_eq!(
        (&before["comm"], &after["comm"]),
        (&json!("act"), &json!("another"))
    );
    assert_eq!(after["exe"], json!(other), "{after}");
    for same in ["pid", "start_ticks", "cgroup"] {
        assert_eq!(before[same], after[same]);
    }
    // What was kept is still there, of a process that is the same; the other was closed.
    let recorded = watch.recorded();
    let last = |name: &str| {
        let of_it = |s: &&Value| s["scope"] == "process" && s["objects"]["name"] == name;
        let last = recorded.iter().rev().find(of_it);
        last.expect("it was there")["handles"].clone()
    };
    assert_eq!(last("e2e_two"), 1);
    input.write_all(b"\n").expect("it reads");
    act.wait().expect("our child");
    let (_, events) = watch.end();
    assert_eq!(of(&events, "leak"), [&Value::Null; 0]);
}

#[test]
fn in_another_cgroup_it_is_told_of_there() {
    let Some(mut s) = scene(here!(), |stage| {
        private_mounts()?;
        let cgroup = Cgroup::new()?;
        let [from, to] = ["from", "to"].map(|name| cgroup.below(&[name]));
        let inhabit = |path: &std::path::Path| {
            let procs = path.join("cgroup.procs");
            std::fs::write(procs, "0").map_err(sys::io("cgroup.procs"))
        };
        inhabit(&from?)?;
        let _map = bpf::hash("e2e_from")?;
        stage.ready(json!({ "cgroup": cgroup.name }))?;
        inhabit(&to?)?;
        let _map = bpf::hash("e2e_to")?;
        let outcome = stage.ready(json!({ "cgroup": cgroup.name }));
        inhabit(std::path::Path::new("/sys/fs/cgroup"))?;
        outcome
    }) else {
        return;
    };
    let pid = s.pid.to_string();
    let mut watch = Live::start(here!(), &["--pid", &pid, "--interval", "200ms"]);
    let cgroup = s.text("cgroup").to_owned();
    let before = watch.of_process("e2e_from");
    assert_eq!(before["holder"]["cgroup"], format!("{cgroup}/from"));
    s.child.advance().unwrap_or_else(|stop| panic!("{stop:?}"));
    let after = watch.of_process("e2e_to");
    assert_eq!(after["holder"]["cgroup"], format!("{cgroup}/to"));
    watch.end();
}

/// A child with this pid, which no process has (clone3 with `set_tid`, 5.5).
fn child_with_pid(pid: Option<u32>, act: impl FnOnce()) -> sys::Result<u32> {
    /// `struct clone_args`
    #[repr(C)]
    #[derive(Default)]
    struct CloneArgs {
        flags: u64,
        pidfd: u64,
        child_tid: u64,
        parent_tid: u64,
        exit_signal: u64,
        stack: u64,
        stack_size: u64,
        tls: u64,
        set_tid: u64,
        set_tid_size: u64,
        cgroup: u64,
    }
    let wanted = pid.unwrap_or_default();
    let args = CloneArgs {
        exit_signal: libc::SIGCHLD as u64,
        set_tid: if pid.is_some() {
            &raw const wanted as u64
        } else {
            0
        },
        set_tid_size: u64::from(pid.is_some()),
        ..CloneArgs::default()
    };
    // SAFETY: as fork: a copy of this process, which has one thread.
    let made = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of_val(&args)) };
    let made = sys::check("clone3", made)? as u32;
    if made == 0 {
        e2e::process::die_with_parent(std::os::unix::process::parent_id());
        act();
        // SAFETY: ends it at once.
        unsafe { libc::_exit(0) };
    }
    Ok(made)
}

#[test]
fn a_pid_that_is_used_again_is_another_process() {
    const GENERATIONS: usize = 4;
    let Some(mut s) = scene(here!(), |stage| {
        let mut pid = None;
        loop {
            let made = child_with_pid(pid, || {
                // In each the same name, number and kind of object.
                let _map = bpf::hash("e2e_pid").expect("a map");
                thread::sleep(Duration::from_secs(600));
            })?;
            pid = Some(made);
            let outcome = stage.ready(json!({ "pid": made }));
            // SAFETY: our own child.
            unsafe {
                libc::kill(made as i32, libc::SIGKILL);
                libc::waitpid(made as i32, std::ptr::null_mut(), 0);
            }
            outcome?;
        }
    }) else {
        return;
    };
    let mut watch = Live::start(here!(), &["--interval", "200ms"]);
    let mut starts: Vec<Value> = Vec::new();
    for _ in 0..GENERATIONS {
        let pid = s.id("pid");
        let known = starts.clone();
        let found = watch.series("the next generation", |series| {
            let holder = &series["holder"];
            series["scope"] == "process"
                && series["objects"]["name"] == "e2e_pid"
                && holder["pid"] == pid
                && !known.contains(&holder["start_ticks"])
        });
        assert_eq!(
            (&found["came"], &found["handles"]),
            (&json!(1), &json!(1)),
            "{found}"
        );
        starts.push(found["holder"]["start_ticks"].clone());
        s.child.advance().unwrap_or_else(|stop| panic!("{stop:?}"));
    }
    let (_, events) = watch.end();
    let leaks = of(&events, "leak");
    assert!(
        leaks
            .iter()
            .all(|leak| leak["objects"]["name"] != "e2e_pid"),
        "{leaks:?}"
    );
}
