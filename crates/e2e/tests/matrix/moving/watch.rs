//! What moves without an end, and what must be said of it meanwhile.

use e2e::bpf::{self, Kind};
use e2e::scene::{Child, Inherit};
use e2e::sys::{Result, check};
use e2e::{Expect, Outcome, Scene, lastref};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often lastref looks.
const RUNS: usize = 30;
/// Where a run takes seconds (emulation), fewer have to do.
const ENOUGH: Duration = Duration::from_secs(5);
const AT_LEAST: usize = 5;
/// Within that it ends, whatever moves.
const PATIENCE: Duration = Duration::from_secs(3);

/// Something that is done again and again in a thread of its own, until this is dropped.
/// If it fails, so does the scene.
#[derive(Debug)]
pub struct Churn {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Churn {
    pub fn start(mut once: impl FnMut() -> Result<()> + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Err(error) = once() {
                    eprintln!("what should move stands still: {error}");
                    // SAFETY: ends the scene's process, which nothing else does here.
                    unsafe { libc::_exit(1) };
                }
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Churn {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Processes that are forked, open these objects, become another program and die. To be
/// started before there is anything that a fork would share.
pub fn processes() -> Outcome<Child> {
    Child::start(Inherit::Nothing, |stage| {
        let maps = [bpf::hash("e2e_mv_forked")?, bpf::hash("e2e_mv_forked")?];
        let ids = maps.each_ref().map(|map| map.id);
        let _churn = Churn::start(move || {
            // SAFETY: the child makes system calls, and allocates, which the C library allows.
            let pid = check("fork", i64::from(unsafe { libc::fork() }))?;
            if pid == 0 {
                for id in ids {
                    std::mem::forget(bpf::by_id(Kind::Map, id));
                }
                let null = std::ptr::null();
                // SAFETY: null-terminated arrays of C strings; where there is no such program,
                // the process ends here.
                unsafe {
                    let arguments = [c"true".as_ptr(), null];
                    libc::execve(c"/bin/true".as_ptr(), arguments.as_ptr(), [null].as_ptr());
                    libc::_exit(0)
                }
            }
            // SAFETY: our own child; its status may be discarded.
            let waited = unsafe { libc::waitpid(pid as i32, std::ptr::null_mut(), 0) };
            check("waitpid", i64::from(waited)).map(drop)
        });
        stage.ready(json!({"moving": ids.map(|id| json!(["map", id]))}))
    })
}

/// `quiet` is right in every one of many reports, and what moves (`moving` of the scene's
/// report: kinds and ids) is right, or not settled, or gone. The program always succeeds,
/// and in time.
///
/// Other iterators on this host may show a quiet object just now, which is a reference
/// that it does not have by construction: then it may be unsettled, but not always.
pub fn watch(s: &Scene, quiet: &[Expect]) {
    watch_with(s, quiet, 0);
}

/// The same, where so many references of what moves may be those of things that are gone
/// already, and that the kernel lets go of when it comes to it.
pub fn watch_with(s: &Scene, quiet: &[Expect], late: u64) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock();
    let moving: Vec<(Kind, u32)> = moving_of(&s.report);
    let mut seen = std::collections::BTreeSet::new();
    let mut disturbed = Vec::new();
    let begun = Instant::now();
    let mut right = 0;
    // Few looks may all fall on the same moment of what moves.
    let few = |right, seen| right < AT_LEAST || seen < 2 || begun.elapsed() < ENOUGH;
    while right < RUNS && few(right, seen.len()) {
        let (report, used) = lastref::ls_measured();
        if let Err(late) = lastref::in_time(used, PATIENCE) {
            panic!("{}: {late}", s.name);
        }
        for object in report["objects"].as_array().expect("objects") {
            if let Some(wrong) = overdrawn(object) {
                panic!("{}: {wrong}", s.name);
            }
        }
        for &(kind, id) in &moving {
            let object = lastref::find(&report, kind, id);
            seen.insert(object.and_then(|o| o["refcnt"].as_u64()));
            if let Some(wrong) = object.and_then(|object| accused(object, late)) {
                panic!("{}: {wrong}\n{}", s.name, about(&report));
            }
        }
        let wrong: Vec<String> = quiet
            .iter()
            .flat_map(|e| e.against_report(&report))
            .collect();
        if wrong.is_empty() {
            right += 1;
            continue;
        }
        let looked_at_by_others = quiet.iter().any(|e| e.is_unsettled_in(&report));
        assert!(
            looked_at_by_others,
            "{}: after {right} right ones:\n{}\n{}",
            s.name,
            wrong.join("\n"),
            about(&report)
        );
        disturbed.extend(wrong);
        disturbed.push(about(&report));
        right = right.saturating_sub(1);
        assert!(
            disturbed.len() < 60,
            "{}: unsettled too often:\n{}",
            s.name,
            disturbed.join("\n")
        );
    }
    if !disturbed.is_empty() {
        println!("{}: unsettled meanwhile:\n{}", s.name, disturbed.join("\n"));
    }
    assert!(seen.len() > 1, "{}: nothing moved: {seen:?}", s.name);
}

fn moving_of(report: &Value) -> Vec<(Kind, u32)> {
    let list = report["moving"].as_array().expect("a list of what moves");
    let kind = |word: &Value| {
        let all = [Kind::Map, Kind::Prog, Kind::Link, Kind::Btf];
        all.into_iter().find(|kind| word == kind.as_str())
    };
    list.iter()
        .map(|pair| {
            let id = pair[1].as_u64().expect("an id") as u32;
            (kind(&pair[0]).expect("a kind"), id)
        })
        .collect()
}

/// More was found than there is, and that is said to be sure.
fn overdrawn(object: &Value) -> Option<String> {
    let [refcnt, explained] = ["refcnt", "explained"].map(|name| object[name].as_u64());
    let over = refcnt.is_some() && explained > refcnt && object["settled"] == true;
    over.then(|| format!("settled and overdrawn: {object}"))
}

/// Less was found than there is, and that is said to be sure.
fn accused(object: &Value, late: u64) -> Option<String> {
    let left = object["unexplained"].as_i64();
    let late = late as i64;
    let accused = object["settled"] == true && left.is_some_and(|left| !(0..=late).contains(&left));
    accused.then(|| format!("it moves, and is said to be settled: {object}"))
}

/// What the report says of itself.
fn about(report: &Value) -> String {
    ["passes", "seconds", "staged_walks", "cannot_see"]
        .map(|name| format!("{name}: {}", report["snapshot"][name]))
        .join("; ")
}
