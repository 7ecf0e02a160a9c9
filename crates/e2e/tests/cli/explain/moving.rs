//! Processes that end, change, are traced, share what they hold; and that none of them notices.

use super::contract::keeps_contract;
use super::{arguments, explain, group, groups, look, parsed};
use crate::refused;
use crate::watch::ACT;
use e2e::confine::{forbid_to_touch, refuse};
use e2e::process::{exec_sleep, keep_over_exec, take_fd, tid, unshare};
use e2e::scene::{Child, Inherit};
use e2e::{Scene, bpf, here, lastref, scene, unix};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, IntoRawFd as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// A program that does these words, and has said so.
struct Acting {
    child: std::process::Child,
}

impl Acting {
    /// `words` end with `say`.
    fn start(words: &[&str]) -> Self {
        Self::of(ACT, words)
    }

    /// The same of a copy of it.
    fn of(program: &str, words: &[&str]) -> Self {
        let mut command = Command::new(program);
        let piped = command
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut acting = Self {
            child: piped.spawn().expect("it starts"),
        };
        acting.hears();
        acting
    }

    /// Waits for a byte of what it says.
    fn hears(&mut self) {
        let said = self.child.stdout.as_mut().expect("piped");
        said.read_exact(&mut [0]).expect("it says something");
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The line that it waits for.
    fn go_on(&mut self) {
        let stdin = self.child.stdin.as_mut().expect("piped");
        stdin.write_all(b"\n").expect("it waits");
    }
}

impl Drop for Acting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A look under way: it has read what the process runs, and has time left.
pub(super) fn looking(pid: u32) -> std::process::Child {
    let calm = lastref::calm();
    let time = format!("{}ms", (calm * 3 + Duration::from_secs(2)).as_millis());
    let mut command = lastref::command(&arguments(pid, &["--for", &time]));
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = piped.spawn().expect("it starts");
    std::thread::sleep(Duration::from_secs(1) + calm);
    child
}

/// What is said of a process that goes on to its next step while it is looked at.
fn meanwhile(mut acting: Acting) -> (Output, Acting) {
    let looking = looking(acting.pid());
    acting.go_on();
    (looking.wait_with_output().expect("it ends"), acting)
}

#[test]
fn ends_meanwhile() {
    if !e2e::needs_root(here!()) {
        return;
    }
    let acting = Acting::start(&["map", "e2e_x_ends", "say", ".", "wait", "exit", "0"]);
    let pid = acting.pid().to_string();
    // Whether it is waited for or not.
    let (output, mut acting) = meanwhile(acting);
    refused(&output, 2, &[&pid, "ended while it was looked at"]);
    acting.child.wait().expect("it has ended");
    refused(
        &lastref::run(&["explain", &pid]),
        2,
        &[&pid, "does not exist"],
    );
}

#[test]
fn becomes_another_program_meanwhile() {
    if !e2e::needs_root(here!()) {
        return;
    }
    let sleep = ["/bin/sleep", "/usr/bin/sleep"];
    let sleep = sleep
        .into_iter()
        .find(|path| std::path::Path::new(path).exists());
    let sleep = sleep.expect("sleep is on every system");
    let keep = [
        "map",
        "e2e_x_exec",
        "keep",
        "say",
        ".",
        "wait",
        "become",
        sleep,
        "1000",
    ];
    let acting = Acting::start(&keep);
    let pid = acting.pid();
    let (output, _acting) = meanwhile(acting);
    refused(
        &output,
        2,
        &[&pid.to_string(), "became another program", "look again"],
    );
    // And then it is what it is now.
    let report = look(pid);
    let exe = report["process"]["exe"].as_str().expect("an executable");
    assert!(!exe.ends_with("/act"), "{report:#}");
    assert_eq!(group(&report, "e2e_x_exec")["verdict"], "unmanaged");
}

/// An upgrade takes the executable away: it runs on, and is the same.
#[test]
fn loses_its_executable_meanwhile() {
    if !e2e::needs_root(here!()) {
        return;
    }
    let folder = e2e::files::Folder::new(here!());
    let copy = folder.path("agent");
    std::fs::copy(ACT, &copy).expect("a copy");
    let words = ["map", "e2e_x_loses", "say", ".", "wait"];
    let acting = Acting::of(&copy, &words);
    let looking = looking(acting.pid());
    std::fs::rename(&copy, folder.path("agent.old")).expect("it is there");
    std::fs::remove_file(folder.path("agent.old")).expect("it is there");
    let (report, code) = parsed(&looking.wait_with_output().expect("it ends"));
    assert_eq!(code, Some(0));
    assert_eq!(group(&report, "e2e_x_loses")["verdict"], "unmanaged");
}

/// What `/proc` alone tells is of one process, too.
#[test]
fn ends_while_it_is_looked_at_without_bpf() {
    if !e2e::needs_root(here!()) {
        return;
    }
    let acting = Acting::start(&["map", "e2e_x_plain", "say", ".", "wait", "exit", "0"]);
    let pid = acting.pid().to_string();
    let words = arguments(acting.pid(), &["--for", "3s"]);
    let mut command = lastref::command(&words);
    refuse(&mut command, &[libc::SYS_bpf]);
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let looking = piped.spawn().expect("it starts");
    std::thread::sleep(Duration::from_secs(1));
    drop(acting);
    let output = looking.wait_with_output().expect("it ends");
    refused(&output, 2, &[&pid, "ended while it was looked at"]);
}

/// The same executable again, with what it kept open: nothing but the memory is another.
#[test]
fn becomes_itself_anew_meanwhile() {
    if !e2e::needs_root(here!()) {
        return;
    }
    let acting = Acting::start(&[
        "map",
        "e2e_x_anew",
        "keep",
        "say",
        ".",
        "wait",
        "exec",
        "map",
        "e2e_x_more",
        "say",
        ".",
        "wait",
    ]);
    let (output, mut acting) = meanwhile(acting);
    acting.hears();
    let (report, code) = parsed(&output);
    keeps_contract(&report);
    assert_eq!(code, Some(0));
    for name in ["e2e_x_anew", "e2e_x_more"] {
        assert_eq!(group(&report, name)["verdict"], "unmanaged");
    }
}

/// Another one traces it, running or stopped: what is said is the same, and it stays so.
#[test]
fn traced_by_another() {
    let Some(s) = scene(here!(), |stage| {
        let map = bpf::hash("e2e_x_traced")?;
        stage.ready(json!({"map": map.id}))
    }) else {
        return;
    };
    let before = look(s.pid);
    traced(s.pid, |_| assert_eq!(look(s.pid), before));
}

/// Does this while this thread traces `pid`, first as it runs, then as it is stopped.
pub(super) fn traced(pid: u32, look: impl Fn(&str)) {
    let ptrace = |request| {
        let null = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: these requests take no pointers.
        let result = unsafe { libc::ptrace(request, pid as i32, null, null) };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    };
    ptrace(libc::PTRACE_SEIZE);
    look("seized");
    ptrace(libc::PTRACE_INTERRUPT);
    // SAFETY: waits for the process that this thread traces.
    let stopped = unsafe { libc::waitpid(pid as i32, std::ptr::null_mut(), libc::__WALL) };
    assert_eq!(stopped, pid as i32);
    assert_eq!(states(pid).first(), Some(&'t'));
    look("stopped");
    assert_eq!(states(pid).first(), Some(&'t'));
    ptrace(libc::PTRACE_DETACH);
}

/// The states of a process's threads: `R`, `S`, `T`, `t`, …; the main one's first.
fn states(pid: u32) -> Vec<char> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten();
    let state = |task: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    };
    tasks.flatten().filter_map(state).collect()
}

/// Runs it so that the kernel kills it if it traces, signals or writes to anything, and looks at
/// the threads of `pid` all the while: none is ever stopped.
pub(super) fn without_a_touch(pid: u32, more: &[&str]) -> (Value, Option<i32>) {
    let mut command = lastref::command(&arguments(pid, more));
    forbid_to_touch(&mut command);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut seen = 0_u64;
            while !done.load(Ordering::Relaxed) {
                let states = states(pid);
                assert!(
                    !states.iter().any(|state| "TtZX".contains(*state)),
                    "{states:?}"
                );
                seen += states.len() as u64;
            }
            seen
        });
        let output = command.output().expect("it runs");
        done.store(true, Ordering::Relaxed);
        assert!(watching.join().expect("it is never stopped") > 100);
        parsed(&output)
    })
}

/// What would kill it does so: else the tests that use it prove nothing.
#[test]
fn a_touch_is_noticed() {
    if !e2e::needs_root(here!()) {
        return;
    }
    for words in [": > /dev/null", "kill -CONT $$"] {
        let mut command = Command::new("sh");
        command.args(["-c", words]);
        forbid_to_touch(&mut command);
        let status = command.status().expect("sh");
        assert_eq!(status.signal(), Some(libc::SIGSYS), "{words}");
    }
    let mut command = Command::new("sh");
    command.args(["-c", "kill -0 $$ && read x < /dev/null; exit 5"]);
    forbid_to_touch(&mut command);
    assert_eq!(command.status().expect("sh").code(), Some(5));
}

#[test]
fn no_process_notices() {
    static INTERRUPTED: AtomicU64 = AtomicU64::new(0);
    static TURNS: AtomicU64 = AtomicU64::new(0);
    /// Calls this again and again; it returns 0 or −1.
    fn again(call: impl Fn() -> i32 + Send + 'static) {
        std::thread::spawn(move || {
            loop {
                let errno = || std::io::Error::last_os_error().raw_os_error();
                if call() < 0 && errno() == Some(libc::EINTR) {
                    INTERRUPTED.fetch_add(1, Ordering::Relaxed);
                }
                TURNS.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let Some(mut s) = scene(here!(), |stage| {
        let map = bpf::hash("e2e_x_untouched")?;
        let pause = libc::timespec {
            tv_sec: 0,
            tv_nsec: 20_000_000,
        };
        // SAFETY: a live time to wait for; nothing is written back.
        again(move || unsafe { libc::nanosleep(&raw const pause, std::ptr::null_mut()) });
        // SAFETY: no pointers.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        again(move || {
            let mut event = libc::epoll_event { events: 0, u64: 0 };
            // SAFETY: room for one event.
            unsafe { libc::epoll_wait(epoll, &raw mut event, 1, 20) }
        });
        stage.ready(json!({"map": map.id}))?;
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        stage.ready(json!({"interrupted": count(&INTERRUPTED), "turns": count(&TURNS)}))
    }) else {
        return;
    };
    let (report, code) = without_a_touch(s.pid, &["--for", "1s"]);
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(group(&report, "e2e_x_untouched")["verdict"], "unmanaged");
    s.advance();
    assert_eq!(s.number("interrupted"), 0);
    assert!(s.number("turns") > 10);
}

/// A map of a parent's, also in the hands of a child and of a stranger.
#[test]
fn inherited_and_received() {
    let Some(parent) = scene(here!(), |stage| {
        let map = bpf::hash("e2e_x_shared")?;
        let child = Child::start(Inherit::All, |stage| stage.ready(json!({})))?;
        stage.ready(json!({"map": map.id, "fd": map.fd(), "child": child.pid}))
    }) else {
        return;
    };
    let origin = |pid: u32| {
        let report = look(pid);
        let group = group(&report, "e2e_x_shared");
        assert_eq!(group["count"], 1, "{group:#}");
        (
            group["origin"].clone(),
            group["evidence"].to_string(),
            group["fix"].to_string(),
        )
    };
    let child = parent.id("child");
    let (came, says, fix) = origin(child);
    assert_eq!(came, "inherited", "{says}");
    let named = format!("({})", parent.pid);
    assert!(
        says.contains(&named) && fix.contains("close-on-exec"),
        "{says} {fix}"
    );
    // That a child has inherited it says nothing of how it came here.
    assert_eq!(origin(parent.pid).0, "unknown");

    let (pid, fd) = (parent.pid, parent.id("fd"));
    let stranger = scene(here!(), |stage| {
        let taken = take_fd(pid, fd)?;
        let outcome = stage.ready(json!({"fd": taken.as_raw_fd()}));
        drop(taken);
        outcome
    });
    let stranger = stranger.expect("it can be taken");
    let (came, says, fix) = origin(stranger.pid);
    assert_eq!(came, "received", "{says}");
    assert!(fix.contains("another process sent"), "{fix}");
    let (report, _) = explain(child, &["--for", "0"]);
    assert_eq!(group(&report, "e2e_x_shared")["origin"], "inherited");
}

/// A thread that left the table of its process, and what is sent and not yet received.
#[test]
fn in_a_table_of_its_own_and_on_its_way() {
    let Some(s) = scene(here!(), |stage| {
        let (told, made) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            unshare(libc::CLONE_FILES).expect("a table of its own");
            let map = bpf::hash("e2e_x_thread").expect("a map");
            told.send((tid(), map.id, map.fd()))
                .expect("the test waits");
            std::thread::park();
            drop(map);
        });
        let (tid, map, fd) = made.recv().expect("a map");
        let (one, other) = unix::pair(libc::SOCK_STREAM)?;
        let flight = bpf::hash("e2e_x_flight")?;
        unix::send(&one, &[&flight])?;
        drop(flight);
        let dup = bpf::hash("e2e_x_dup")?;
        let fds = [
            dup.fd(),
            dup.dup()?.into_raw_fd() as u32,
            dup.dup()?.into_raw_fd() as u32,
        ];
        let report = json!({"tid": tid, "thread": map, "fd": fd, "fds": fds});
        let outcome = stage.ready(report);
        drop((one, other, dup));
        outcome
    }) else {
        return;
    };
    for pid in [s.pid, s.id("tid")] {
        let report = look(pid);
        keeps_contract(&report);
        assert_eq!(report["process"]["pid"], s.pid);
        let thread = group(&report, "e2e_x_thread");
        assert_eq!(thread["objects"]["ids"], json!([s.id("thread")]));
        assert_eq!(
            (&thread["count"], &thread["fds"]),
            (&json!(1), &json!([s.id("fd")]))
        );
        // A dup is a descriptor, and no handle.
        let dup = group(&report, "e2e_x_dup");
        assert_eq!(
            (&dup["count"], &dup["fds"]),
            (&json!(1), &json!(s.ids("fds")))
        );
        // In nobody's hands yet.
        let flight = |g: &Value| g["objects"]["name"] == "e2e_x_flight";
        assert!(!groups(&report).iter().any(flight), "{report:#}");
    }
}

/// Exec ends neither the process nor what it holds.
#[test]
fn after_an_exec() {
    let Some(mut s): Option<Scene> = scene(here!(), |stage| {
        let map = bpf::hash("e2e_x_over")?;
        keep_over_exec(&map)?;
        stage.ready(json!({"map": map.id, "fd": map.leak()}))?;
        exec_sleep()
    }) else {
        return;
    };
    s.child.become_another_program().expect("an exec");
    let report = look(s.pid);
    let over = group(&report, "e2e_x_over");
    assert_eq!(over["fds"], json!([s.id("fd")]));
    assert_eq!(over["verdict"], "unmanaged");
}
