//! Other programs that look into a Go process, if they are in `PATH`: `grf` (goref), `viewcore` with `gcore`, `dlv`.

use crate::results::PeerRun;
use crate::target::Target;
use anyhow::{Context as _, Result};
use bench_sweep::measure::elapsed;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    Goref,
    Viewcore,
    Delve,
}

impl Peer {
    const ALL: [Self; 3] = [Self::Goref, Self::Viewcore, Self::Delve];

    pub fn name(self) -> &'static str {
        match self {
            Self::Goref => "goref",
            Self::Viewcore => "viewcore",
            Self::Delve => "delve",
        }
    }

    fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Goref => &["grf"],
            Self::Viewcore => &["viewcore", "gcore"],
            Self::Delve => &["dlv"],
        }
    }

    /// Runs it once on a process.
    pub fn measure(self, target: &mut Target) -> Result<Vec<PeerRun>> {
        let folder = tempfile::tempdir()?;
        match self {
            Self::Goref => goref(target, folder.path()),
            Self::Viewcore => viewcore(target, folder.path()),
            Self::Delve => delve(target, folder.path()),
        }
    }
}

/// Those that are there; what is said of the others.
pub fn found(notes: &mut Vec<String>) -> Vec<Peer> {
    let mut found = Vec::new();
    for peer in Peer::ALL {
        let missing = peer.programs().iter().find(|name| !in_path(name));
        match missing {
            None => found.push(peer),
            Some(name) => notes.push(format!(
                "{}: `{name}` is not in PATH, and it was not measured.",
                peer.name()
            )),
        }
    }
    found
}

fn in_path(name: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| folder.join(name).is_file())
}

/// What a run took, and what was printed.
struct Ran {
    wall_ns: u64,
    output: Output,
}

fn run(command: &mut Command) -> Result<Ran> {
    // Delve asks whether to kill the process.
    let (answers, mut ours) = std::io::pipe()?;
    ours.write_all(b"n\n")?;
    drop(ours);
    let begun = Instant::now();
    let output = command
        .stdin(answers)
        .output()
        .with_context(|| format!("{command:?} does not start"))?;
    Ok(Ran {
        wall_ns: elapsed(begun),
        output,
    })
}

impl Ran {
    fn into_run(
        self,
        peer: Peer,
        target: &Target,
        what: &'static str,
        stood_ns: Option<u64>,
        said: &dyn Fn(&str) -> String,
    ) -> PeerRun {
        let out = String::from_utf8_lossy(&self.output.stdout);
        let err = String::from_utf8_lossy(&self.output.stderr);
        let ok = self.output.status.success();
        PeerRun {
            peer: peer.name(),
            heap_mib: target.heap_mib(),
            what,
            wall_ns: self.wall_ns,
            stood_ns,
            ok,
            said: if ok {
                said(&out)
            } else {
                let last = err.lines().chain(out.lines()).last().unwrap_or_default();
                last.chars().take(200).collect()
            },
        }
    }
}

/// References by type, from a process that it stops.
fn goref(target: &mut Target, folder: &Path) -> Result<Vec<PeerRun>> {
    let file = folder.join("references");
    let pid = target.pid().to_string();
    let mut command = Command::new("grf");
    command
        .args(["attach", &pid, "-o"])
        .arg(&file)
        .current_dir(folder);
    let (gap, ran) = target.gap(|| run(&mut command))?;
    let size = fs::metadata(&file).map_or(0, |meta| meta.len());
    let said = |_: &str| format!("a profile of references, {size} bytes, by type");
    Ok(vec![ran?.into_run(
        Peer::Goref,
        target,
        "attach",
        Some(gap),
        &said,
    )])
}

/// A core, which is made while the process stands still; then objects by type.
fn viewcore(target: &mut Target, folder: &Path) -> Result<Vec<PeerRun>> {
    let prefix = folder.join("core");
    let pid = target.pid().to_string();
    let mut dump = Command::new("gcore");
    dump.arg("-o").arg(&prefix).arg(&pid);
    let (gap, ran) = target.gap(|| run(&mut dump))?;
    let core = PathBuf::from(format!("{}.{pid}", prefix.display()));
    let size = fs::metadata(&core).map_or(0, |meta| meta.len());
    let said = |_: &str| format!("a core of {} MiB", size >> 20);
    let dumped = ran?.into_run(Peer::Viewcore, target, "gcore", Some(gap), &said);
    let mut list = Command::new("viewcore");
    list.arg(&core).arg("--exe").arg(target.program());
    list.args(["histogram", "--top", "1000000"]);
    let said = |out: &str| {
        let is_owner = |line: &&str| line.trim_end().ends_with("sys.FD");
        out.lines()
            .find(is_owner)
            .map_or("no line on sys.FD".into(), |line| {
                line.split_whitespace().collect::<Vec<_>>().join(" ")
            })
    };
    let listed =
        run(&mut list)?.into_run(Peer::Viewcore, target, "histogram of the core", None, &said);
    Ok(vec![dumped, listed])
}

/// A variable that one can name.
fn delve(target: &mut Target, folder: &Path) -> Result<Vec<PeerRun>> {
    let script = folder.join("script");
    fs::write(
        &script,
        "print len(main.held)\nprint main.held[0].fd\nquit\n",
    )?;
    let pid = target.pid().to_string();
    let mut command = Command::new("dlv");
    command
        .args([
            "attach",
            &pid,
            "--allow-non-terminal-interactive=true",
            "--init",
        ])
        .arg(&script)
        .env("HOME", folder)
        .env("XDG_CONFIG_HOME", folder);
    let (gap, ran) = target.gap(|| run(&mut command))?;
    let said = |out: &str| {
        // Without its greeting and its question.
        let is_answer = |line: &&str| !line.starts_with("Type ") && !line.starts_with("Would you ");
        let words = out
            .lines()
            .filter(is_answer)
            .flat_map(str::split_whitespace);
        words.collect::<Vec<_>>().join(" ")
    };
    Ok(vec![ran?.into_run(
        Peer::Delve,
        target,
        "print one variable",
        Some(gap),
        &said,
    )])
}
