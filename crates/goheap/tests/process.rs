//! What a look leaves a process as, and what it says of its heap.

mod common;

use common::{Build, Running, build};
use gobinary::Executable;
use goheap::{Error, Heap, Kind, Mark, Program, State, Unread};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A field of `/proc/PID/status`.
fn status(pid: u32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let line = text
        .lines()
        .find(|line| line.starts_with(name))
        .expect(name);
    line.split_once(':').expect("a value").1.trim().to_owned()
}

/// The library has no other way to a process than `Memory`, which only reads, and no unsafe code. Here also: what the kernel
/// says of the process, and its objects.
#[test]
fn it_is_neither_stopped_nor_traced_nor_written_to() {
    let built = build("owners", None, Build::Normal, "amd64");
    let mut running = Running::start(&built, &[]);
    running.tell("keep 1000");
    running.tell("gc");
    let pid = running.pid();
    let memory = running.memory();
    let mut heap = running.attach(&memory).expect("a heap");
    let look = heap.look().expect("a look");
    let bytes = |heap: &Heap<'_>| -> Vec<Vec<u8>> {
        let read = |special: &goheap::Special| {
            heap.read_object(special.slot, special.size)
                .expect("an object")
        };
        // Those of the program alone: the runtime works with others, such as those of its files.
        let ours = |special: &&goheap::Special| matches!(&special.kind, Kind::Finalizer { pointer, .. } if pointer.name == "*main.Owner");
        look.specials.iter().filter(ours).map(read).collect()
    };
    let before = bytes(&heap);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                assert_eq!(status(pid, "TracerPid"), "0");
                assert!(!status(pid, "State").starts_with(['T', 't']), "stopped");
                assert_eq!(status(pid, "SigPnd"), "0000000000000000");
                assert_eq!(status(pid, "ShdPnd"), "0000000000000000");
            }
        });
        let end = Instant::now() + Duration::from_secs(1);
        while Instant::now() < end {
            heap.look().expect("a look");
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(before == bytes(&heap), "an object has changed");
    drop(heap);
    running.tell("gc");
}

#[test]
fn marks_are_told_of_any_object() {
    let built = build("owners", None, Build::Normal, "amd64");
    let mut running = Running::start(&built, &[]);
    running.tell("keep 500");
    running.tell("gc");
    running.tell("drop 20");
    let memory = running.memory();
    let mut heap = running.attach(&memory).expect("a heap");
    let look = heap.look().expect("a look");
    let objects: Vec<u64> = look.specials.iter().map(|special| special.object).collect();
    let inside: Vec<u64> = look
        .specials
        .iter()
        .map(|special| special.slot + special.size - 1)
        .collect();
    let expected: Vec<Mark> = look
        .specials
        .iter()
        .map(|special| special.mark.clone())
        .collect();
    assert_eq!(heap.marks(&objects).expect("marks"), expected);
    assert_eq!(heap.marks(&inside).expect("marks"), expected);
    let nowhere = [0, 8, heap.variables().heap, u64::MAX, 0xc0_ffff_ffff];
    for mark in heap.marks(&nowhere).expect("marks") {
        assert!(
            matches!(mark, Mark::Unread(Unread::NotInHeap | Unread::Moving)),
            "{mark:?}"
        );
    }
}

#[test]
fn a_collector_that_is_off_forces_nothing() {
    let built = build("owners", None, Build::Stripped, "amd64");
    let mut running = Running::start(&built, &[("GOGC", "off"), ("GOMEMLIMIT", "64MiB")]);
    running.tell("keep 5");
    running.tell("gc");
    let memory = running.memory();
    let collector = running
        .attach(&memory)
        .expect("a heap")
        .collector()
        .expect("the collector");
    assert_eq!((collector.percent, collector.forced), (None, None));
    assert_eq!(collector.limit, Some(64 << 20));
    assert!(collector.cycles >= 1 && collector.last.is_some());
    // Its clock is the system's.
    let age = monotonic() - collector.last.expect("a time");
    assert!(age < 60_000_000_000, "{age}");
}

fn monotonic() -> u64 {
    let text = fs::read_to_string("/proc/uptime").expect("uptime");
    let seconds: f64 = text
        .split(' ')
        .next()
        .expect("seconds")
        .parse()
        .expect("a number");
    (seconds * 1e9) as u64
}

#[test]
fn a_large_heap_costs_no_more() {
    let built = build("owners", None, Build::Stripped, "amd64");
    let mut running = Running::start(&built, &[]);
    running.tell("keep 2000");
    let cost = |running: &Running| {
        let memory = running.memory();
        let mut heap = running.attach(&memory).expect("a heap");
        let before = memory.bytes.load(Ordering::Relaxed);
        let look = heap.look().expect("a look");
        let owners = look.specials.iter().filter(
            |special| matches!(&special.kind, Kind::Finalizer { pointer, .. } if pointer.name == "*main.Owner"),
        );
        assert_eq!(owners.count(), 2000);
        memory.bytes.load(Ordering::Relaxed) - before
    };
    let small = cost(&running);
    running.tell("heap 256");
    running.tell("gc");
    let large = cost(&running);
    // The profile's specials and 1 KiB for each 64 MiB are all that is more.
    assert!(large < small + (1 << 20), "{small} and {large} bytes");
}

#[test]
fn the_runtimes_own_profile() {
    let built = build("owners", None, Build::Stripped, "amd64");
    let mut running = Running::start(&built, &[("GODEBUG", "memprofilerate=4096")]);
    running.tell("heap 16");
    running.tell("gc 3");
    let memory = running.memory();
    let mut heap = running.attach(&memory).expect("a heap");
    let profile = heap.profile().expect("a profile").expect("it is kept");
    let top = &profile.sites[0];
    assert!(top.bytes > 8 << 20, "{top:?}");
    assert!(
        top.stack
            .iter()
            .any(|frame| frame.function == "main.command" && frame.line > 0),
        "{top:?}"
    );
    let many = build("many", None, Build::Stripped, "amd64");
    let file = fs::read(&many.path).expect("the program");
    assert!(
        !file.windows(18).any(|bytes| bytes == b"runtime.MemProfile"),
        "nothing refers to it"
    );
}

/// The same program, said to be of another release.
fn of_release(running: &Running, built: &common::Built, from: &str, to: &str) -> Result<(), Error> {
    assert_eq!(from.len(), to.len());
    let mut file = fs::read(&built.path).expect("the program");
    while let Some(at) = file
        .windows(from.len())
        .position(|bytes| bytes == from.as_bytes())
    {
        file[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    let executable = Executable::parse(&file).expect("an executable");
    let memory = running.memory();
    let program = Program {
        executable: &executable,
        regions: &running.regions,
        file: running.file,
        layout: None,
    };
    Heap::attach(&memory, &program).map(|_| ())
}

#[test]
fn a_release_that_is_not_known_is_named() {
    let built = build("owners", None, Build::Normal, "amd64");
    let running = Running::start(&built, &[]);
    let release = running.executable.build_info().expect("build info").go;
    let minor = release.split('.').nth(1).expect("a minor").to_owned();
    let other = |to: &str| {
        let named = release.replacen(&format!(".{minor}."), &format!(".{to}."), 1);
        (
            named.clone(),
            of_release(&running, &built, &release, &named),
        )
    };
    let (named, old) = other("17");
    assert!(
        matches!(&old, Err(Error::Release(release, 27)) if *release == named),
        "{old:?}"
    );
    // Newer than all: the newest layout is tried, and does not fit this one.
    let (named, new) = other("99");
    assert!(
        matches!(&new, Err(Error::Release(release, 27)) if *release == named),
        "{new:?}"
    );
}

#[test]
fn a_process_that_is_gone_is_an_error() {
    let built = build("owners", None, Build::Normal, "amd64");
    let running = Running::start(&built, &[]);
    let (memory, executable, regions, file) = (
        running.memory(),
        running.executable,
        running.regions.clone(),
        running.file,
    );
    let program = Program {
        executable,
        regions: &regions,
        file,
        layout: None,
    };
    let mut heap = Heap::attach(&memory, &program).expect("a heap");
    drop(running);
    assert!(matches!(heap.look(), Err(Error::Read(_))));
    assert!(Heap::attach(&memory, &program).is_err());
}

#[test]
fn what_a_blocked_finalizer_waits_for() {
    let built = build("owners", None, Build::Stripped, "amd64");
    let mut running = Running::start(&built, &[]);
    for command in ["block", "gc 2", "gc"] {
        running.tell(command);
    }
    let memory = running.memory();
    let mut heap = running.attach(&memory).expect("a heap");
    let look = heap.look().expect("a look");
    let runner = look
        .runners
        .iter()
        .find(|runner| !runner.cleanups)
        .expect("the goroutine");
    let State::Waiting { reason, since } = runner.state else {
        panic!("{runner:?}");
    };
    assert_eq!(heap.reason(reason), Some("ChanReceive"));
    // A collection has seen it wait, before it ended.
    assert!(
        since.is_some_and(|since| Some(since) < look.collector.last),
        "{runner:?}"
    );
}
