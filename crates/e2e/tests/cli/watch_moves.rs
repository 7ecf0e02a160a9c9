//! `lastref watch` while handles move between two sweeps: passed on, closed and opened again, with
//! numbers and addresses that are used again.

use crate::watch::{events, of};
use e2e::bpf;
use e2e::files::Folder;
use e2e::process::{take_fd, tid, unshare};
use e2e::scene::{Child, Inherit, Outcome, Stage};
use e2e::{here, lastref, scene, sys, unix};
use serde_json::{Value, json};
use std::process::{Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A watch under way, and its recording as it grows.
pub(crate) struct Live {
    child: std::process::Child,
    folder: Folder,
}

impl Live {
    pub(crate) fn start(name: &str, options: &[&str]) -> Self {
        let folder = Folder::new(name);
        let record = folder.path("recording");
        let first = ["watch", "--json", "--record", &record];
        let mut command = lastref::command(&[&first[..], options].concat());
        let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self {
            child: piped.spawn().expect("it starts"),
            folder,
        }
    }

    /// All series of all sweeps so far, each as often as it changed.
    pub(crate) fn recorded(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path("recording")).unwrap_or_default();
        let lines = text.lines().filter_map(|l| serde_json::from_str(l).ok());
        let series = lines.flat_map(|line: Value| {
            let series = line["sweep"]["series"].as_array();
            series.cloned().unwrap_or_default()
        });
        series.collect()
    }

    /// The first series like that.
    pub(crate) fn series(&mut self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let patience = Duration::from_secs(60) + lastref::calm() * 20;
        let begun = Instant::now();
        loop {
            let recorded = self.recorded();
            if let Some(found) = recorded.iter().find(|series| is(series)) {
                return found.clone();
            }
            let ended = self.child.try_wait().expect("our child");
            let late = begun.elapsed() > patience;
            assert!(!late && ended.is_none(), "{what}: {ended:?} {recorded:#?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What one process has of objects with this name.
    pub(crate) fn of_process(&mut self, name: &str) -> Value {
        self.series(name, |series| {
            series["scope"] == "process" && series["objects"]["name"] == name
        })
    }

    /// As by Ctrl-C.
    pub(crate) fn end(self) -> (Output, Vec<Value>) {
        // SAFETY: our own child, not waited for yet.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGINT) };
        let output = self.child.wait_with_output().expect("it ends");
        let events = events(&output);
        (output, events)
    }
}

/// Does the same again and again, on a thread of its own.
fn again(mut act: impl FnMut() -> sys::Result<()> + Send + 'static) {
    thread::spawn(move || {
        while act().is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
    });
}

#[test]
fn what_moves_and_is_used_again_is_no_leak() {
    let Some(s) = scene(here!(), |stage| {
        // Another map each time, with the same number, and often at the same addresses.
        let mut maps = vec![bpf::hash("e2e_again")?];
        again(move || {
            maps.clear();
            maps.push(bpf::hash("e2e_again")?);
            Ok(())
        });
        // Sent, the original closed, and received under another number.
        let (one, other) = unix::pair(libc::SOCK_STREAM)?;
        let mut fd = Some(bpf::hash("e2e_passed")?.dup()?);
        again(move || {
            unix::send(&one, &[&fd.take().expect("a map")])?;
            thread::sleep(Duration::from_millis(20));
            fd = unix::receive(&other, 0)?.pop();
            Ok(())
        });
        // Children and threads have what is there, and go.
        let map = bpf::hash("e2e_shared")?;
        again(move || {
            let dup = map.dup()?;
            let beside = thread::spawn(move || {
                thread::sleep(Duration::from_millis(20));
                drop(dup);
            });
            // SAFETY: the child only sleeps and ends.
            let pid = sys::check("fork", i64::from(unsafe { libc::fork() }))? as i32;
            if pid == 0 {
                // SAFETY: ends it at once.
                unsafe {
                    libc::usleep(20_000);
                    libc::_exit(0);
                }
            }
            // SAFETY: our own child.
            unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
            beside.join().expect("it sleeps only");
            Ok(())
        });
        stage.ready(json!({}))
    }) else {
        return;
    };
    let pid = s.pid.to_string();
    let mut watch = Live::start(here!(), &["--pid", &pid, "--interval", "200ms"]);
    let first = watch.of_process("e2e_again")["objects"]["ids"].clone();
    thread::sleep(Duration::from_secs(3));
    let newer = watch.series("a newer map", |series| {
        let objects = &series["objects"];
        let newer = objects["name"] == "e2e_again" && objects["ids"] != first;
        newer && series["scope"] == "process" && series["handles"] == 1
    });
    // One came, though number and perhaps address are the same.
    assert_eq!(newer["came"], 1, "{newer}");
    let (output, events) = watch.end();
    assert_eq!(output.status.code(), Some(0), "{}", crate::errors(&output));
    assert_eq!(of(&events, "leak"), [&Value::Null; 0]);
}

/// One more each time, in the table of a thread of its own.
fn in_a_thread() -> sys::Result<u32> {
    let map = bpf::hash("e2e_l_thread")?;
    let (to_test, number) = std::sync::mpsc::channel();
    thread::spawn(move || {
        unshare(libc::CLONE_FILES).expect("a table of its own");
        let _ = to_test.send(tid());
        let mut kept = Vec::new();
        while let Ok(more) = map.reopen() {
            kept.push(more);
            thread::sleep(Duration::from_millis(50));
        }
    });
    Ok(number.recv().expect("it says who it is"))
}

/// Four ways to have one more each time.
fn leaks(stage: &mut Stage) -> Outcome {
    let tid = in_a_thread()?;
    // The one who sends closes what the other keeps.
    let map = bpf::hash("e2e_l_sent")?;
    let (from, to) = unix::pair(libc::SOCK_STREAM)?;
    let receiver = Child::start(Inherit::All, |stage| {
        let mut kept = Vec::new();
        thread::spawn(move || {
            while let Ok(received) = unix::receive(&to, 0) {
                kept.extend(received);
            }
        });
        stage.ready(json!({}))
    })?;
    again(move || unix::send(&from, &[&map.reopen()?]));
    // Taken from another process, the same file each time.
    let taken = bpf::hash("e2e_l_taken")?;
    let (fd, pid) = (taken.fd(), std::process::id());
    let thief = Child::start(Inherit::Nothing, |stage| {
        let mut kept = Vec::new();
        again(move || {
            kept.push(take_fd(pid, fd)?);
            Ok(())
        });
        stage.ready(json!({}))
    })?;
    // Nobody ever receives it.
    let map = bpf::hash("e2e_l_flight")?;
    let (one, other) = unix::pair(libc::SOCK_STREAM)?;
    unix::enlarge(&one)?;
    again(move || unix::send(&one, &[&map.reopen()?]));
    let report = json!({ "tid": tid, "receiver": receiver.pid, "thief": thief.pid });
    let outcome = stage.ready(report);
    drop((other, taken));
    outcome
}

#[test]
fn a_leak_is_one_whichever_way_it_comes() {
    let Some(s) = scene(here!(), leaks) else {
        return;
    };
    let watch = Live::start(here!(), &["--interval", "300ms"]);
    // Five looks or so, each with more.
    thread::sleep(lastref::calm() * 15 + Duration::from_secs(4));
    let (_, events) = watch.end();
    let leaks = of(&events, "leak");
    let told = |name: &str| {
        let mut of_it = leaks.iter().filter(|leak| leak["objects"]["name"] == name);
        let leak = of_it
            .next()
            .unwrap_or_else(|| panic!("{name}: {events:#?}"));
        assert_eq!(leak["leak"], "suspected", "{leak}");
        (*leak).clone()
    };
    let thread = told("e2e_l_thread");
    assert_eq!(thread["holder"]["pid"], s.pid);
    assert_eq!(thread["holder"]["tid"], s.id("tid"));
    let flight = told("e2e_l_flight");
    assert_eq!(flight["by"], "in-flight");
    assert_eq!(flight["holder"]["processes"], json!([s.pid]), "{flight}");
    let sent = told("e2e_l_sent");
    assert_eq!(
        (&sent["by"], &sent["holder"]["pid"]),
        (&json!("fd"), &json!(s.id("receiver")))
    );
    let taken = told("e2e_l_taken");
    assert_eq!(taken["holder"]["pid"], s.id("thief"));
    // One handle, many descriptors.
    assert_eq!(taken["open"], 1, "{taken}");
    assert!(taken["open_fds"].as_u64() > Some(1), "{taken}");
}
