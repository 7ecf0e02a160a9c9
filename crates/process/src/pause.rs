//! Processes that somebody has stopped from running.

use crate::read::SMALL;
use crate::{Proc, stat};
use std::path::{Path, PathBuf};

/// Threads that are looked at.
const THREADS: usize = 4096;
/// Where hierarchies of cgroups are mounted: the unified one alone, or beside those of version 1.
const UNIFIED: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
const FREEZER: &str = "/sys/fs/cgroup/freezer";

/// Why nothing of a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// A signal has stopped it (`SIGSTOP`, `SIGTSTP` …).
    Stopped,
    /// Whoever traces it has stopped all of its threads (`ptrace`).
    Traced,
    /// Its cgroup is frozen.
    Frozen,
}

impl std::fmt::Display for Pause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Stopped => "a signal has stopped it",
            Self::Traced => "whoever traces it has stopped it",
            Self::Frozen => "its cgroup is frozen",
        })
    }
}

impl Proc {
    /// Whether somebody has stopped all of a process. `None`: nobody has, or it is not shown.
    pub fn pause(&self, pid: u32) -> Option<Pause> {
        let dir = self.process_dir(pid).ok()?;
        let mut buf = Vec::new();
        let mut state = |name: &str| {
            dir.read_single(name, SMALL, &mut buf).ok()?;
            Some(stat::parse(&buf)?.state)
        };
        let first = state("stat")?;
        // TASK_STOPPED, TASK_TRACED; a main thread that has exited says nothing of the others.
        if matches!(first, b'T' | b't' | b'D' | b'Z' | b'X') {
            let tids = crate::read::numbers(&self.process_path(pid).join("task")).ok()?;
            let states = tids.iter().take(THREADS);
            let states = states.filter_map(|tid| state(&format!("task/{tid}/stat")));
            let living: Vec<u8> = states.filter(|s| !matches!(s, b'Z' | b'X')).collect();
            // Who waits within the kernel (`D`) stops before it is back in the program.
            let stopped = |state: &u8| matches!(state, b'T' | b't');
            let kept = |state: &u8| stopped(state) || *state == b'D';
            if living.iter().any(stopped) && living.iter().all(kept) {
                let traced = living.contains(&b't');
                return Some(if traced {
                    Pause::Traced
                } else {
                    Pause::Stopped
                });
            }
        }
        dir.read_single("cgroup", SMALL, &mut buf).ok()?;
        let frozen = frozen_files(&buf).any(|(file, says)| reads(&file, says));
        frozen.then_some(Pause::Frozen)
    }
}

/// Files that tell of a process's cgroups whether they are frozen, and the line that says so.
fn frozen_files(content: &[u8]) -> impl Iterator<Item = (PathBuf, &'static str)> {
    let lines = content.split(|&b| b == b'\n');
    lines.flat_map(|line| {
        let mut parts = line.splitn(3, |&b| b == b':').skip(1);
        let (controllers, path) = (parts.next().unwrap_or(b"-"), parts.next());
        let path = path.and_then(|path| std::str::from_utf8(path).ok());
        // What lies outside of our cgroup namespace is not below the mount.
        let path = path.and_then(|path| path.strip_prefix('/'));
        let path = path.filter(|path| !path.split('/').any(|part| part == ".."));
        let is_freezer = controllers.split(|&b| b == b',').any(|c| c == b"freezer");
        let roots: &[&str] = match (controllers.is_empty(), is_freezer) {
            (true, _) => &UNIFIED,
            (_, true) => &[FREEZER],
            _ => &[],
        };
        // kernel/cgroup/freezer.c (5.2), kernel/cgroup/legacy_freezer.c.
        let (file, says) = if is_freezer {
            ("freezer.state", "FROZEN")
        } else {
            ("cgroup.events", "frozen 1")
        };
        let of = path.map(|path| {
            roots
                .iter()
                .map(move |root| (Path::new(root).join(path).join(file), says))
        });
        of.into_iter().flatten().collect::<Vec<_>>()
    })
}

fn reads(file: &Path, says: &str) -> bool {
    let text = std::fs::read_to_string(file);
    text.is_ok_and(|text| text.lines().any(|line| line == says))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Pid, Signal, kill_process};
    use std::process::{Child, Command};
    use std::time::{Duration, Instant};

    struct Sleeper(Child);

    impl Sleeper {
        fn start() -> Self {
            Self(Command::new("sleep").arg("60").spawn().expect("sleep"))
        }

        fn signal(&self, signal: Signal) {
            let pid = Pid::from_child(&self.0);
            kill_process(pid, signal).expect("ours");
        }

        fn becomes(&self, pause: Option<Pause>) {
            let began = Instant::now();
            while Proc::new().pause(self.0.id()) != pause {
                assert!(began.elapsed() < Duration::from_secs(10), "{pause:?}");
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_signal_stops_a_process() {
        let sleeper = Sleeper::start();
        sleeper.becomes(None);
        sleeper.signal(Signal::STOP);
        sleeper.becomes(Some(Pause::Stopped));
        sleeper.signal(Signal::CONT);
        sleeper.becomes(None);
    }

    /// A cgroup of our own, and what freezes it.
    struct Group(PathBuf, &'static str, [&'static str; 2]);

    impl Group {
        fn freeze(&self, on: bool) {
            let word = self.2[usize::from(on)];
            std::fs::write(self.0.join(self.1), word).expect("its switch");
        }
    }

    impl Drop for Group {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir(&self.0);
        }
    }

    /// In each hierarchy that there is and that we may make one in.
    #[test]
    fn a_cgroup_freezes_a_process() {
        let name = format!("lastref-pause-{}", std::process::id());
        let unified = UNIFIED.map(|root| (root, "cgroup.freeze", ["0", "1"]));
        let all = unified
            .into_iter()
            .chain([(FREEZER, "freezer.state", ["THAWED", "FROZEN"])]);
        for (root, switch, words) in all {
            let group = Group(Path::new(root).join(&name), switch, words);
            let made = std::fs::create_dir(&group.0).is_ok() && group.0.join(switch).exists();
            if !made {
                eprintln!("{root}: no cgroup may be made there, or none can be frozen");
                continue;
            }
            let sleeper = Sleeper::start();
            let procs = group.0.join("cgroup.procs");
            std::fs::write(procs, sleeper.0.id().to_string()).expect("a member");
            sleeper.becomes(None);
            group.freeze(true);
            sleeper.becomes(Some(Pause::Frozen));
            group.freeze(false);
            sleeper.becomes(None);
            drop(sleeper);
        }
    }

    #[test]
    fn a_process_that_is_gone_is_not_paused() {
        let sleeper = Sleeper::start();
        let pid = sleeper.0.id();
        drop(sleeper);
        assert_eq!(Proc::new().pause(pid), None);
    }

    #[test]
    fn where_it_is_told_that_a_cgroup_is_frozen() {
        let content = b"12:freezer:/a\n3:cpu,cpuacct:/b\n0::/c d\n0::/../e\nnonsense\n";
        let files: Vec<_> = frozen_files(content).collect();
        let expected = [
            ("/sys/fs/cgroup/freezer/a/freezer.state", "FROZEN"),
            ("/sys/fs/cgroup/c d/cgroup.events", "frozen 1"),
            ("/sys/fs/cgroup/unified/c d/cgroup.events", "frozen 1"),
        ];
        assert_eq!(
            files,
            expected.map(|(file, says)| (PathBuf::from(file), says))
        );
    }
}
