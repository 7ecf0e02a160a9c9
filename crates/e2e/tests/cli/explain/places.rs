//! Processes in namespaces of their own, and lastref with less than it would like to have.

use super::contract::keeps_contract;
use super::{arguments, explain, group, groups, look, needs, parsed};
use crate::refused;
use crate::watch::ACT;
use e2e::confine::{
    CAP_BPF, CAP_DAC_READ_SEARCH, CAP_PERFMON, CAP_SYS_ADMIN, CAP_SYS_PTRACE, as_nobody,
    as_nobody_among_hidden,
};
use e2e::files::{Folder, private_mounts};
use e2e::process::{exec_sleep, keep_over_exec, unshare};
use e2e::scene::{Child, Inherit, OrImpossible as _, Outcome, Stage};
use e2e::{Scene, bpf, here, lastref, scene, sys};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// A pid that nobody has here, and that no other test asks for.
fn free_pid(which: u32) -> u32 {
    let most = std::fs::read_to_string("/proc/sys/kernel/pid_max").expect("/proc is mounted");
    let most: u32 = most.trim().parse().expect("a number");
    let free = |pid: &u32| !Path::new(&format!("/proc/{pid}")).exists();
    let mut candidates = (most / 2..most).rev().filter(|pid| pid % 8 == which);
    candidates.find(free).expect("most pids are free")
}

/// In namespaces of its own for pids and mounts, a process that has this pid there and holds a map.
fn contained(stage: &mut Stage, ns_pid: u32, name: &str) -> Outcome {
    private_mounts()?;
    unshare(libc::CLONE_NEWPID)?;
    let init = Child::start(Inherit::Nothing, |stage| {
        let last = (ns_pid - 1).to_string();
        std::fs::write("/proc/sys/kernel/ns_last_pid", last)
            .map_err(sys::io("ns_last_pid"))
            .or_impossible(&[scene::Cannot {
                errno: libc::ENOENT,
                since: None,
                why: "this kernel is built without CONFIG_CHECKPOINT_RESTORE",
            }])?;
        let inner = Child::start(Inherit::Nothing, |stage| {
            let map = bpf::hash(name)?;
            stage.ready(json!({"map": map.id, "pid": status("NSpid")}))
        })?;
        stage.ready(inner.report.clone())
    })?;
    stage.ready(init.report.clone())
}

/// The first number of a line of `/proc/self/status`: of the mount's pid namespace.
fn status(field: &str) -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let mut lines = status
        .lines()
        .filter_map(|l| l.strip_prefix(field)?.strip_prefix(':'));
    let first = lines.next().and_then(|line| line.split_whitespace().next());
    first.and_then(|pid| pid.parse().ok()).expect("a pid")
}

#[test]
fn in_another_pid_namespace_by_either_pid() {
    let inner = free_pid(1);
    let Some(s) = scene(here!(), |stage| contained(stage, inner, "e2e_x_box")) else {
        return;
    };
    let pid = s.id("pid");
    assert_ne!(pid, inner);
    for either in [pid, inner] {
        let report = look(either);
        keeps_contract(&report);
        assert_eq!(report["process"]["pid"], pid);
        assert_eq!(
            group(&report, "e2e_x_box")["objects"]["ids"],
            json!([s.id("map")])
        );
        assert_eq!(group(&report, "e2e_x_box")["verdict"], "unmanaged");
    }
}

#[test]
fn two_with_the_same_pid_in_their_containers() {
    let inner = free_pid(2);
    let scene = || scene(here!(), |stage| contained(stage, inner, "e2e_x_twin"));
    let (Some(one), Some(two)) = (scene(), scene()) else {
        return;
    };
    let [first, second] = [&one, &two].map(|s| s.id("pid").to_string());
    let output = lastref::run(&["explain", &inner.to_string()]);
    refused(&output, 2, &[&inner.to_string(), &first, &second]);
    for s in [&one, &two] {
        let report = look(s.id("pid"));
        assert_eq!(
            group(&report, "e2e_x_twin")["objects"]["ids"],
            json!([s.id("map")])
        );
    }
}

/// `lastref` as a process of a child pid namespace.
#[test]
fn from_within_a_container() {
    let Some(s) = scene(here!(), |stage| {
        let map = bpf::hash("e2e_x_outside")?;
        stage.ready(json!({"map": map.id}))
    }) else {
        return;
    };
    let program = lastref::program().display().to_string();
    let inside = |words: &[&str]| {
        let mut command = Command::new("unshare");
        command
            .args(["--pid", "--fork", "--mount-proc", ACT])
            .args(words);
        command.output().expect("unshare")
    };
    // The one beside it: pid 1 there.
    let explain = [
        "fork", "become", &program, "explain", "1", "--json", "--for", "0",
    ];
    let output = inside(&[&["map", "e2e_x_inside"][..], &explain].concat());
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", crate::errors(&output)));
    keeps_contract(&report);
    assert_eq!(report["process"]["pid"], 1);
    let found = group(&report, "e2e_x_inside");
    assert_eq!(
        (&found["verdict"], &found["count"]),
        (&json!("unmanaged"), &json!(1))
    );
    // Whatever else has it may be out of sight.
    assert_eq!(
        needs(&report, "descriptors and mappings of processes outside"),
        Some("hostPID")
    );
    // One outside does not exist there.
    let pid = s.pid.to_string();
    let output = inside(&["become", &program, "explain", &pid, "--json"]);
    refused(&output, 2, &[&pid, "does not exist"]);
}

/// The executable is removed, as in an image that was replaced.
#[test]
fn a_deleted_executable() {
    if !e2e::needs_root(here!()) {
        return;
    }
    let folder = Folder::new(here!());
    let copy = folder.path("agent");
    std::fs::copy(ACT, &copy).expect("a copy");
    let mut child = Command::new(&copy)
        .args(["map", "e2e_x_deleted", "sleep", "100000"])
        .spawn()
        .expect("it starts");
    std::fs::remove_file(&copy).expect("it is there");
    let mut looks = std::iter::repeat_with(|| look(child.id())).take(200);
    let report = looks.find(|r| !groups(r).is_empty());
    let report = report.expect("it makes a map");
    child.kill().expect("it lives");
    child.wait().expect("it ends");
    assert_eq!(report["process"]["language"], "rust");
    assert_eq!(group(&report, "e2e_x_deleted")["verdict"], "unmanaged");
    let exe = report["process"]["exe"].as_str().expect("an executable");
    assert!(exe.starts_with(&copy), "{exe}");
}

/// A process that belongs to user nobody and holds a map.
fn of_nobody(name: &'static str) -> Option<Scene> {
    let mut s = scene(name, |stage| {
        let map = bpf::hash("e2e_x_nobody")?;
        keep_over_exec(&map)?;
        stage.ready(json!({"map": map.id, "fd": map.leak()}))?;
        // SAFETY: integers only.
        let became =
            unsafe { libc::setresgid(65534, 65534, 65534) | libc::setresuid(65534, 65534, 65534) };
        sys::check("setresuid", i64::from(became))?;
        exec_sleep()
    })?;
    s.child.become_another_program().expect("an exec");
    Some(s)
}

/// Of root's, and of nobody's own.
fn two(name: &'static str) -> Option<(Scene, Scene)> {
    let of_root = scene(name, |stage| {
        let map = bpf::hash("e2e_x_root")?;
        stage.ready(json!({"map": map.id, "fd": map.fd()}))
    })?;
    Some((of_root, of_nobody(name)?))
}

fn with(capabilities: &[u32], pid: u32, more: &[&str]) -> (Value, Option<i32>) {
    let more = [&["--for", "0"], more].concat();
    let output = as_nobody(capabilities, &arguments(pid, &more)).output();
    parsed(&output.expect("it runs"))
}

/// Who may count, and may not look into others: groups without a verdict.
#[test]
fn without_sys_ptrace() {
    let Some((root, nobody)) = two(here!()) else {
        return;
    };
    let capabilities = [CAP_BPF, CAP_PERFMON];
    let (report, code) = with(&capabilities, root.pid, &[]);
    keeps_contract(&report);
    assert_eq!(code, Some(0));
    let found = group(&report, "e2e_x_root");
    assert_eq!(
        (&found["verdict"], &found["count"]),
        (&json!("unknown"), &json!(1))
    );
    assert_eq!(found["fds"], json!([root.id("fd")]));
    assert_eq!(
        needs(&report, "what the process runs"),
        Some("CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH")
    );
    assert!(
        found["fix"].to_string().contains("CAP_SYS_PTRACE"),
        "{found:#}"
    );
    let (strict, code) = with(&capabilities, root.pid, &["--strict"]);
    assert_eq!((group(&strict, "e2e_x_root"), code), (found, Some(3)));
    // Its own, it may.
    let (report, _) = with(&capabilities, nobody.pid, &[]);
    assert_eq!(group(&report, "e2e_x_nobody")["verdict"], "unmanaged");
    assert_eq!(needs(&report, "what the process runs"), None);
    // With more, there is nothing that it cannot see of it.
    for more in [
        &[CAP_SYS_PTRACE][..],
        &[CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH, CAP_SYS_ADMIN],
    ] {
        let capabilities = [&capabilities, more].concat();
        // Neither of what it holds: what is out of sight elsewhere (BTF of modules) is no matter of it.
        let (report, code) = with(&capabilities, root.pid, &["--strict"]);
        assert_eq!(group(&report, "e2e_x_root")["verdict"], "unmanaged");
        // Before there was an iterator over links (5.19), they take CAP_SYS_ADMIN, and one may hold what it holds.
        match needs(&report, "links, and what they hold") {
            Some(needs) => assert_eq!((needs, code), ("CAP_SYS_ADMIN, or kernel ≥ 5.19", Some(3))),
            None => assert_eq!((&report["cannot_see"], code), (&json!([]), Some(0))),
        }
        let elsewhere = as_nobody(&capabilities, &["ls", "--json", "--strict"]).output();
        if !capabilities.contains(&CAP_SYS_ADMIN) {
            assert_eq!(elsewhere.expect("it runs").status.code(), Some(3));
        }
    }
    // Words that say so.
    let pid = root.pid.to_string();
    let output = as_nobody(&capabilities, &["explain", &pid, "--for", "0"]).output();
    let text = String::from_utf8(output.expect("it runs").stdout).expect("text");
    assert!(
        text.contains("cannot see") && text.contains("needs CAP_SYS_PTRACE"),
        "{text}"
    );
    // Once each.
    assert_eq!(
        text.matches("what the process runs (pid").count(),
        1,
        "{text}"
    );
}

/// What `/proc` alone tells of a process of one's own.
#[test]
fn without_any_capability() {
    let Some((root, nobody)) = two(here!()) else {
        return;
    };
    for capabilities in [&[][..], &[CAP_BPF], &[CAP_PERFMON]] {
        let (report, code) = with(capabilities, nobody.pid, &[]);
        keeps_contract(&report);
        assert_eq!(code, Some(0));
        let [found] = groups(&report) else {
            panic!("{report:#}");
        };
        assert_eq!(found["verdict"], "unmanaged", "{found:#}");
        assert_eq!(found["leak"], "unknown");
        assert_eq!(found["objects"]["ids"], json!([nobody.id("map")]));
        assert_eq!(found["objects"]["type"], "hash");
        assert_eq!(
            (&found["count"], &found["fds"]),
            (&json!(1), &json!([nobody.id("fd")]))
        );
        let takes = needs(&report, "names of objects");
        assert!(
            takes.is_some_and(|needs| needs.contains("CAP_")),
            "{report:#}"
        );
        let (_, code) = with(capabilities, nobody.pid, &["--strict"]);
        assert_eq!(code, Some(3));
        // Another's: nothing, with what it would take.
        for more in [&["--json"][..], &[]] {
            let pid = root.pid.to_string();
            let words = [&["explain", &pid, "--for", "0"][..], more].concat();
            let output = as_nobody(capabilities, &words).output();
            refused(&output.expect("it runs"), 3, &["it would take", "CAP_"]);
        }
    }
    // Without a look, too, a number that nobody has.
    let output = as_nobody(&[], &["explain", "2147483647"]).output();
    refused(
        &output.expect("it runs"),
        2,
        &["2147483647", "does not exist"],
    );
}

/// `/proc` shows nobody's own processes alone.
#[test]
fn among_hidden_processes() {
    let Some((root, nobody)) = two(here!()) else {
        return;
    };
    let look = |capabilities: &[u32], pid: u32| {
        let mut command = as_nobody_among_hidden(capabilities, &arguments(pid, &["--for", "0"]));
        command.output().expect("it runs")
    };
    for capabilities in [&[][..], &[CAP_BPF, CAP_PERFMON]] {
        refused(
            &look(capabilities, root.pid),
            2,
            &["does not exist", "hidden"],
        );
        let (report, _) = parsed(&look(capabilities, nobody.pid));
        assert_eq!(groups(&report)[0]["verdict"], "unmanaged");
    }
    let three = [CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE];
    let (report, _) = parsed(&look(&three, root.pid));
    assert_eq!(group(&report, "e2e_x_root")["verdict"], "unmanaged");
    // As root sees it.
    assert_eq!(explain(root.pid, &["--for", "0"]).1, Some(0));
}
