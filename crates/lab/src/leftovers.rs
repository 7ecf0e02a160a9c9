//! What a scenario leaves behind: nothing, or the lab says what.

use crate::books::Said;
use crate::catalog::Scenario;
use crate::error::Error;
use crate::needs;
use crate::own;
use model::Kind;
use rustix::process::{Pid, test_kill_process};
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
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

/// Objects of a program that has ended that are still there after a while.
pub fn of(scenario: &Scenario, said: &Said) -> Result<Vec<String>, Error> {
    let all: BTreeSet<(Kind, u32)> = scenario
        .manifest
        .groups
        .iter()
        .flat_map(|group| {
            let book = said.book(&group.name);
            let ids = book.held.into_iter().chain(book.dropped);
            ids.map(|id| (group.object.kind, id)).collect::<Vec<_>>()
        })
        .collect();
    let deadline = Instant::now() + FREED;
    loop {
        let report = own::ask(&["ls", "--json"])?;
        let listed = own::objects_of(&report);
        let left: Vec<_> = all.iter().filter(|id| listed.contains_key(id)).collect();
        if left.is_empty() || Instant::now() > deadline {
            return Ok(left
                .into_iter()
                .map(|(kind, id)| format!("{}:{id}", kind.as_str()))
                .collect());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Removes what scenarios left whose lab has ended; gives the paths. Those of labs that run stay.
pub fn clean() -> Result<Vec<PathBuf>, Error> {
    let Some(root) = needs::cgroup2() else {
        return Ok(Vec::new());
    };
    let mut removed = Vec::new();
    let entries = std::fs::read_dir(&root).map_err(Error::Output)?;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(owner) = name.to_str().and_then(|name| name.strip_prefix(MARK)) else {
            continue;
        };
        if is_running(owner) {
            continue;
        }
        // An empty cgroup takes its attachments along.
        match std::fs::remove_dir(entry.path()) {
            Ok(()) => removed.push(entry.path()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let what = format!("{}: {error}", entry.path().display());
                return Err(Error::Output(io::Error::new(error.kind(), what)));
            }
        }
    }
    Ok(removed)
}

/// `PID-START…` of a process that runs.
fn is_running(owner: &str) -> bool {
    let mut parts = owner.split('-');
    let pid: Option<u32> = parts.next().and_then(|pid| pid.parse().ok());
    let start: Option<u64> = parts.next().and_then(|start| start.parse().ok());
    let (Some(pid), Some(start)) = (pid, start) else {
        return false;
    };
    let exists = i32::try_from(pid).ok().and_then(Pid::from_raw);
    exists.is_some_and(|pid| test_kill_process(pid).is_ok()) && start_ticks(pid) == Some(start)
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
        let owner = ours.strip_prefix(MARK).expect("it begins so");
        assert!(is_running(owner));
        assert!(is_running(&format!("{owner}-more")));
        let (pid, start) = owner.split_once('-').expect("two numbers");
        let later: u64 = start.parse::<u64>().expect("a number") + 1;
        assert!(!is_running(&format!("{pid}-{later}")));
        for odd in ["", "x", "1", "-", "4294967295-1", "99999999999-1"] {
            assert!(!is_running(odd), "{odd}");
        }
    }
}
