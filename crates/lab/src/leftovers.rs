//! What a scenario leaves behind: nothing, or the lab says what.

use crate::books::Said;
use crate::catalog::Scenario;
use crate::error::Error;
use crate::needs;
use crate::own;
use model::Kind;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Begins the name of whatever cannot die with a scenario.
const MARK: &str = "lastref-lab-";
/// How long the kernel may take to free what a namespace held.
const FREED: Duration = Duration::from_secs(20);

/// The name for what cannot die with a scenario of this process: it tells whose it is.
pub fn mark() -> String {
    let pid = std::process::id();
    format!("{MARK}{pid}-{}", start_ticks(pid).unwrap_or(0))
}

/// Objects of a program that has ended that are still there after a while, and what carries our
/// mark.
pub fn of(scenario: &Scenario, said: &Said) -> Result<Vec<String>, Error> {
    left(&booked(scenario, said), None)
}

/// The objects that a program tells of.
pub fn booked(scenario: &Scenario, said: &Said) -> BTreeSet<(Kind, u32)> {
    let groups = scenario.manifest.groups.iter();
    let ids = groups.flat_map(|group| {
        let book = said.book(&group.name);
        let ids = book.held.into_iter().chain(book.dropped);
        ids.map(|id| (group.object.kind, id)).collect::<Vec<_>>()
    });
    ids.collect()
}

/// The objects that the processes beside this one have open, as `/proc` tells: also those that a
/// program does not tell of. What this process has open they may have from it, and that stays.
pub fn open_in(pid: u32) -> BTreeSet<(Kind, u32)> {
    let ours = own::descriptors(&[std::process::id()]);
    let theirs = own::descriptors(&own::processes_beside(pid));
    let theirs = theirs.into_keys().filter(|id| !ours.contains_key(id));
    theirs.collect()
}

/// What is still there after a while: of these objects, of the processes in that pid namespace, and
/// of what carries our mark.
pub fn left(
    objects: &BTreeSet<(Kind, u32)>,
    namespace: Option<&Path>,
) -> Result<Vec<String>, Error> {
    let deadline = Instant::now() + FREED;
    let mark = mark();
    loop {
        let report = own::ask(&["ls", "--json"])?;
        let listed = own::objects_of(&report);
        let there = objects.iter().filter(|id| listed.contains_key(id));
        let mut left: Vec<String> = there
            .map(|(kind, id)| format!("{}:{id}", kind.as_str()))
            .collect();
        let processes = namespace.into_iter().flat_map(own::processes_in);
        left.extend(processes.map(|pid| format!("process {pid}")));
        let marked = marked()?.into_iter().filter(|(name, _)| {
            let rest = name.strip_prefix(&mark);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        });
        left.extend(marked.map(|(_, path)| path.display().to_string()));
        if left.is_empty() || Instant::now() > deadline {
            return Ok(left);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What was removed, and what was not.
#[derive(Debug, Default)]
pub struct Cleaned {
    /// It was there.
    pub removed: Vec<PathBuf>,
    /// Another lab uses it.
    pub in_use: Vec<PathBuf>,
    /// The kernel refused.
    pub failed: Vec<(PathBuf, io::Error)>,
}

/// Removes what scenarios left whose lab has ended. That of labs that run stays, and so does what
/// no lab has named.
pub fn clean() -> Result<Cleaned, Error> {
    let mut cleaned = Cleaned::default();
    for (name, path) in marked()? {
        let owner = name.strip_prefix(MARK).and_then(owner);
        if owner.is_none_or(is_running) {
            continue;
        }
        // An empty cgroup takes its attachments along.
        match std::fs::remove_dir(&path) {
            Ok(()) => cleaned.removed.push(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => cleaned.failed.push((path, error)),
        }
    }
    Ok(cleaned)
}

/// The same at the beginning of other work, which it shall not keep from being done; says on
/// standard error what there was.
pub fn sweep() {
    let tell = |text: &str| eprintln!("lastref: {}", model::escape_controls(text));
    match clean() {
        Ok(cleaned) => {
            for path in &cleaned.removed {
                let path = path.display();
                tell(&format!("removed {path}, left by a lab that was killed"));
            }
            for (path, error) in &cleaned.failed {
                let path = path.display();
                tell(&format!("{path}, left by a lab that was killed: {error}"));
            }
        }
        Err(error) => tell(&error.to_string()),
    }
}

/// Cgroups whose name begins with the mark, and their paths.
fn marked() -> Result<Vec<(String, PathBuf)>, Error> {
    let Some(root) = needs::cgroup2() else {
        return Ok(Vec::new());
    };
    let failed = |error| Error::host(root.display().to_string(), error);
    let entries = std::fs::read_dir(&root).map_err(failed)?.flatten();
    let marked = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        name.starts_with(MARK).then(|| (name, entry.path()))
    });
    Ok(marked.collect())
}

/// `PID-START` or `PID-START-…`: a process, and when it started.
fn owner(name: &str) -> Option<(u32, u64)> {
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let mut parts = name.splitn(3, '-').take(2).filter(|part| number(part));
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn is_running((pid, start): (u32, u64)) -> bool {
    let exists = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let exists = exists.is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH));
    exists && start_ticks(pid) == Some(start)
}

/// When a process started, in ticks since boot.
fn start_ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may have spaces and parentheses.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_tells_whether_its_lab_runs() {
        let ours = mark();
        let name = ours.strip_prefix(MARK).expect("it begins so");
        let (pid, start) = owner(name).expect("two numbers");
        assert!(is_running((pid, start)));
        assert_eq!(owner(&format!("{name}-more-of-it")), Some((pid, start)));
        assert!(!is_running((pid, start + 1)));
        assert!(!is_running((u32::MAX, 1)));
    }

    #[test]
    fn a_name_that_no_lab_gives_has_no_owner() {
        for odd in [
            "",
            "x",
            "1",
            "-",
            "test",
            "1-x",
            "x-1-1",
            "+1-1",
            "99999999999-1",
            "1-2x",
        ] {
            assert_eq!(owner(odd), None, "{odd}");
        }
    }
}
