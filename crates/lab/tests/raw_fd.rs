//! `raw-fd` for real: what leaks is counted from outside, and after every kind
//! of end nothing of it is left.

mod common;

use common::{Run, bpffs_mounts, eventually, map_fds, map_lives, newest_map, root, send};
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, setrlimit};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::{Duration, Instant};

#[test]
fn leaks_at_its_rate_and_shows_where_to_look() {
    if !root() {
        return;
    }
    let mut run = Run::start("100 - 30000");
    let (pid, map) = run.begin();
    let began = Instant::now();
    let first = map_fds(pid);
    let hint = run.until("lastref why pid:");
    assert!(
        first
            .iter()
            .any(|fd| hint.contains(&format!("pid:{pid}/fd:{fd} "))),
        "{hint}"
    );

    run.until("descriptors leaked");
    run.until("descriptors leaked");
    let leaked = map_fds(pid).len() as f64;
    let seconds = began.elapsed().as_secs_f64();
    assert!(
        (leaked - 100.0 * seconds).abs() < 30.0,
        "{leaked} in {seconds} s"
    );

    let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).expect("it lives");
    assert_eq!(comm.trim_end(), "lab-raw-fd");
    let info = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", first[0])).expect("open");
    let field = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().last()?.parse::<u64>().ok()
    };
    assert_eq!(field("map_id:"), Some(map.into()));
    assert!(
        field("memlock:").is_some_and(|bytes| bytes >= 8 << 20),
        "{info}"
    );
}

#[test]
fn pins_where_only_its_own_process_sees_it() {
    if !root() {
        return;
    }
    let before = bpffs_mounts("self");
    let mut run = Run::start("10 - 30000");
    let (pid, _) = run.begin();
    let path = run.until("/lastref-lab/");
    let inside = format!("/proc/{pid}/root{path}");
    assert!(Path::new(&inside).exists(), "{inside}");
    assert!(!Path::new(&path).exists(), "{path} on the host");
    assert_eq!(bpffs_mounts("self"), before);
    let namespace =
        |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/mnt")).expect("it lives");
    assert_ne!(namespace(&pid.to_string()), namespace("self"));
}

#[test]
fn a_host_that_shares_its_mounts_does_not_see_the_pin() {
    if !root() {
        return;
    }
    let mut run = Run::start_as("10 - 30000", |command| {
        let share = || {
            // A host as systemd makes it, whatever this one is.
            // SAFETY: no descriptor table is unshared.
            unsafe { unshare_unsafe(UnshareFlags::NEWNS) }?;
            let shared = MountPropagationFlags::SHARED | MountPropagationFlags::REC;
            mount_change(
                "/",
                MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
            )?;
            Ok(mount_change("/", shared)?)
        };
        // SAFETY: system calls only.
        unsafe { command.pre_exec(share) };
    });
    let (pid, _) = run.begin();
    let (inside, outside) = (
        bpffs_mounts(&pid.to_string()),
        bpffs_mounts(&run.child.id().to_string()),
    );
    assert_eq!(inside.len(), outside.len() + 1, "{inside:?} {outside:?}");
    assert_eq!(outside.len(), bpffs_mounts("self").len());
}

#[test]
fn ends_after_its_time_and_counts_exactly() {
    if !root() {
        return;
    }
    let mut run = Run::start("1000 25 1500");
    let (pid, map) = run.begin();
    run.until("25 descriptors leaked; that is all");
    assert_eq!(map_fds(pid).len(), 25);
    assert!(map_lives(map));
    let ended = run.until("ended after s; 25 descriptors leaked");
    let seconds = ended.split(' ').find_map(|word| word.parse::<f64>().ok());
    // Not before; how long after, a busy machine decides.
    assert!(seconds.is_some_and(|seconds| seconds >= 1.5), "{ended}");
    run.until("the map is gone from the kernel");
    assert!(run.wait().success());
    assert!(!map_lives(map));
    assert_eq!(
        run.errors(),
        format!("outcome: 25 leaked, map:{map}, gone true\n")
    );
    run.leaves_nothing();
}

#[test]
fn signals_end_it_normally() {
    if !root() {
        return;
    }
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut run = Run::start("200 - 30000");
        let (_, map) = run.begin();
        run.until("descriptors leaked");
        run.signal(signal);
        run.until("ended after");
        run.until("the map is gone from the kernel");
        assert!(run.wait().success(), "{signal:?}");
        assert!(!map_lives(map));
        run.leaves_nothing();
    }
}

#[test]
fn ctrl_c_reaches_the_whole_group_and_is_no_accident() {
    if !root() {
        return;
    }
    let mut run = Run::start_as("200 - 30000", |command| {
        command.process_group(0);
    });
    run.begin();
    let group = Pid::from_raw(run.child.id().cast_signed()).expect("a pid");
    kill_process_group(group, Signal::INT).expect("it lives");
    // Not "its process ended".
    run.until("raw-fd: ended after");
    assert!(run.wait().success());
    run.leaves_nothing();
}

#[test]
fn at_its_limit_it_says_so_and_stays() {
    if !root() {
        return;
    }
    let mut run = Run::start_as("1000 - 30000", |command| {
        let limit = Rlimit {
            current: Some(64),
            maximum: Some(64),
        };
        // SAFETY: setrlimit is safe between fork and exec.
        unsafe { command.pre_exec(move || Ok(setrlimit(Resource::Nofile, limit)?)) };
    });
    let (pid, map) = run.begin();
    let line = run.until("descriptors leaked; then: Too many open files");
    run.until("its limit is 64 (RLIMIT_NOFILE)");
    // Three are its pipes; whoever runs the tests may have left it more.
    let leaked = map_fds(pid).len();
    assert!(line.contains(&format!(" {leaked} descriptors")), "{line}");
    assert!((32..=61).contains(&leaked), "{leaked}");
    assert!((0..64).all(|fd| Path::new(&format!("/proc/{pid}/fd/{fd}")).exists()));
    run.signal(Signal::TERM);
    assert!(run.wait().success());
    assert_eq!(
        run.errors(),
        format!("outcome: {leaked} leaked, map:{map}, gone true\n")
    );
    run.leaves_nothing();
}

#[test]
fn its_process_may_be_killed_by_others() {
    if !root() {
        return;
    }
    let mut run = Run::start("10 - 30000");
    let (pid, _) = run.begin();
    run.until("lastref ls --pid");
    send(pid, Signal::KILL);
    run.until("its process ended after (signal: 9");
    run.until("the map is gone from the kernel");
    assert!(run.wait().success());
    run.leaves_nothing();
}

#[test]
fn a_closed_pipe_ends_it() {
    if !root() {
        return;
    }
    let mut run = Run::start("50 - 30000");
    run.begin();
    run.out = None;
    assert_eq!(run.wait().code(), Some(2));
    run.leaves_nothing();
}

#[test]
fn killed_at_any_moment_it_leaves_nothing() {
    if !root() {
        return;
    }
    let before = bpffs_mounts("self");
    let mut seed = newest_map(0).wrapping_add(std::process::id());
    for round in 0..60 {
        // Until the first line a run takes some 5 ms: half of the kills fall into the making.
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let pause = Duration::from_micros(u64::from(seed >> 8) % 10_000);
        let mut run = Run::start("5000 - 30000");
        std::thread::sleep(pause);
        run.child.kill().expect("it lives");
        run.child.wait().expect("ours");
        eprintln!("round {round}: killed after {pause:?}");
        run.leaves_nothing();
    }
    assert_eq!(bpffs_mounts("self"), before);
}

#[test]
fn a_stopped_process_dies_with_its_parent_too() {
    if !root() {
        return;
    }
    let mut run = Run::start("100 - 30000");
    let (pid, map) = run.begin();
    send(pid, Signal::STOP);
    run.child.kill().expect("it lives");
    run.child.wait().expect("ours");
    run.leaves_nothing();
    eventually("the map goes", || !map_lives(map));
}

#[test]
fn without_privilege_it_says_what_it_takes() {
    // Not another user: that one might not be able to read the program.
    let drop_all = || {
        for capability in 0..64 {
            // SAFETY: no pointers. Fails where there is no such capability.
            unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        }
        Ok(())
    };
    let mut run = Run::start_as("10 - 30000", |command| {
        // SAFETY: prctl is safe between fork and exec.
        unsafe { command.pre_exec(drop_all) };
    });
    assert_eq!(run.wait().code(), Some(3));
    let says = run.errors();
    assert!(
        says.contains("cannot have a mount namespace of its own: Operation not permitted"),
        "{says}"
    );
    assert!(says.contains("it takes CAP_SYS_ADMIN (or root)"), "{says}");
    assert_eq!(says.lines().count(), 1, "{says}");
    assert_eq!(run.line(), None);
}

#[test]
fn impossible_options_are_a_sentence() {
    let mut run = Run::start("0 - 30000");
    assert_eq!(run.wait().code(), Some(2));
    assert!(run.errors().contains("the rate must be above 0"));
}
