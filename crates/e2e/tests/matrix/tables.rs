//! Descriptor tables that are not the main thread's.

use e2e::bpf;
use e2e::expect::Tid;
use e2e::process::{die_with_parent, end_this_thread, tid, unshare, wait_for_end_of_thread};
use e2e::scene::{Outcome, Stage};
use e2e::{Expect, Who, by, here, scene};
use serde_json::json;
use std::sync::mpsc::channel;

/// `unshare(CLONE_FILES)`: what a thread opens from then on stands in its table alone.
#[test]
fn a_thread_s_own_table() {
    let Some(s) = scene(here!(), |stage| {
        // Held by the main thread, and copied with its table.
        let common = bpf::hash("e2e_thread_com")?;
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let open = || -> Outcome<_> {
                unshare(libc::CLONE_FILES)?;
                let own = bpf::hash("e2e_thread_own")?;
                let id = own.id;
                Ok((tid(), id, own.leak()))
            };
            let _ = sender.send(open());
            loop {
                std::thread::park();
            }
        });
        let (tid, own, own_fd) = receiver.recv().expect("the thread answers")?;
        stage.ready(json!({
            "common": common.id, "common_fd": common.fd(),
            "tid": tid, "own": own, "own_fd": own_fd,
        }))
    }) else {
        return;
    };
    let thread = |fd| Who::thread(s.pid, Tid::Own(s.id("tid")), [fd]);
    let fd = s.id("common_fd");
    s.check_and_why(&[
        Expect::map(s.id("own"), [by("fd", 1, [thread(s.id("own_fd"))])]),
        Expect::map(
            s.id("common"),
            [by("fd", 1, [Who::process(s.pid, [fd]), thread(fd)])],
        ),
    ]);
}

/// Threads that share the main thread's table add nothing.
#[test]
fn threads_that_share_a_table() {
    let Some(s) = scene(here!(), |stage| {
        for _ in 0..3 {
            std::thread::spawn(|| {
                loop {
                    std::thread::park();
                }
            });
        }
        let map = bpf::hash("e2e_threads")?;
        stage.ready(json!({"map": map.id, "map_fd": map.fd()}))
    }) else {
        return;
    };
    let me = Who::process(s.pid, [s.id("map_fd")]);
    s.check_and_why(&[Expect::map(s.id("map"), [by("fd", 1, [me])])]);
}

/// The main thread has ended, others live on with its table: `/proc/PID/fd` is
/// unreadable, and a walk over group leaders sees nothing.
#[test]
fn behind_a_dead_main_thread() {
    let Some(s) = scene(here!(), |stage| {
        let map = bpf::hash("e2e_dead_main")?;
        let again = map.reopen()?;
        let (id, fds) = (map.id, [map.leak(), again.leak()]);
        // A second survivor: a table seen twice must not be counted twice.
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let _ = sender.send(tid());
            loop {
                std::thread::park();
            }
        });
        let other = receiver.recv().expect("the thread answers");
        let parent = std::os::unix::process::parent_id();
        let main = tid();
        // The scene's stage stands on the main thread's stack, which stays when the
        // thread ends without unwinding.
        let stage: &'static mut Stage = {
            // SAFETY: the caller's frame is never left: `end_this_thread` does not
            // return, and the process ends by `_exit` in the thread below.
            unsafe { &mut *std::ptr::from_mut(stage) }
        };
        std::thread::spawn(move || {
            die_with_parent(parent);
            wait_for_end_of_thread(main);
            let report = json!({"map": id, "fds": fds, "tids": [tid(), other]});
            let _ = stage.ready(report);
            // SAFETY: ends the process without exit handlers, as the scene would.
            unsafe { libc::_exit(0) };
        });
        end_this_thread()
    }) else {
        return;
    };
    let tids = s.ids("tids");
    let me = Who::thread(s.pid, Tid::NoneOr([tids[0], tids[1]]), s.ids("fds"));
    s.check_and_why(&[Expect::map(s.id("map"), [by("fd", 2, [me])])]);
}
