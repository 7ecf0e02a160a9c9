//! What is measured, side by side.

use crate::bare::Bare;
use crate::holders::Maps;
use crate::measure::{self, Cost};
use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::Command;

/// One way to look at all descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Peer {
    /// `lastref ls --json`, the whole command.
    LastrefJson,
    /// `lastref ls`, the whole command.
    LastrefText,
    /// An iterator whose program returns at once.
    BarePass,
    /// `/proc/*/fd` and `fdinfo`.
    ProcWalk,
    /// `bpftool map show`
    Bpftool,
    /// `lsof -n -P`
    Lsof,
}

impl Peer {
    /// All, the fast ones first.
    pub const ALL: [Self; 6] = [
        Self::LastrefJson,
        Self::BarePass,
        Self::LastrefText,
        Self::ProcWalk,
        Self::Bpftool,
        Self::Lsof,
    ];

    /// Runs in milliseconds, so that it can run often.
    pub fn is_fast(self) -> bool {
        matches!(self, Self::LastrefJson | Self::LastrefText | Self::BarePass)
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::LastrefJson => "lastref ls --json",
            Self::LastrefText => "lastref ls",
            Self::BarePass => "bare pass",
            Self::ProcWalk => "/proc walk",
            Self::Bpftool => "bpftool map show",
            Self::Lsof => "lsof -n -P",
        }
    }
}

/// Runs peers.
pub struct Runner {
    lastref: PathBuf,
    itself: PathBuf,
    bare: Bare,
}

/// What lastref says of one of its sweeps, and what its whole command took.
#[derive(Debug, Clone, Serialize)]
pub struct OwnWords {
    /// Extra descriptors.
    pub descriptors: u64,
    /// `snapshot.seconds`
    pub sweep_seconds: f64,
    /// `snapshot.passes`
    pub passes: u32,
    /// `snapshot.staged_walks`
    pub staged_walks: Vec<String>,
    /// BPF objects on the host, ten of them the benchmark's.
    pub objects: usize,
    /// The whole command, its output read by us.
    pub wall_ns: u64,
    /// Bytes of JSON.
    pub output_bytes: usize,
}

#[derive(Deserialize)]
struct Report {
    snapshot: Snapshot,
    objects: Vec<Object>,
}

#[derive(Deserialize)]
struct Snapshot {
    seconds: f64,
    passes: u32,
    staged_walks: Vec<String>,
}

#[derive(Deserialize)]
struct Object {
    kind: String,
    id: Option<u32>,
    explained: u64,
}

impl Runner {
    /// `lastref`: the built program. `target`: type id of `bpf_iter_task_file`.
    pub fn new(lastref: &Path, target: u32) -> Result<Self> {
        Ok(Self {
            lastref: lastref.to_owned(),
            itself: std::env::current_exe().context("where is this program?")?,
            bare: Bare::load(target)?,
        })
    }

    /// lastref with arguments.
    pub fn lastref(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.lastref);
        command.args(arguments);
        command
    }

    /// One run of one peer.
    pub fn run(&self, peer: Peer) -> Result<Cost> {
        let mut command = match peer {
            Peer::BarePass => return self.bare.pass(),
            Peer::LastrefJson => self.lastref(&["ls", "--json"]),
            Peer::LastrefText => self.lastref(&["ls"]),
            Peer::ProcWalk => {
                let mut walk = Command::new(&self.itself);
                walk.arg("walk");
                walk
            }
            Peer::Bpftool => {
                let mut bpftool = Command::new("bpftool");
                bpftool.args(["map", "show"]);
                bpftool
            }
            Peer::Lsof => {
                let mut lsof = Command::new("lsof");
                lsof.args(["-n", "-P"]);
                lsof
            }
        };
        measure::command(&mut command)
    }

    /// Runs lastref and the walk once and reads what they print: both must have found
    /// at least the extra descriptors, or their times mean nothing.
    pub fn check(&self, maps: &Maps, descriptors: u64) -> Result<OwnWords> {
        let (_, text, cost) = measure::output(&mut self.lastref(&["ls", "--json"]))?;
        let report: Report =
            serde_json::from_slice(&text).context("lastref's JSON is not as expected")?;
        let ours = report
            .objects
            .iter()
            .filter(|o| o.kind == "map" && o.id.is_some_and(|id| maps.ids.contains(&id)));
        let explained: u64 = ours.map(|o| o.explained).sum();
        if explained < descriptors {
            bail!("lastref explains {explained} references of {descriptors} and more");
        }
        let (_, walked, _) = measure::output(Command::new(&self.itself).arg("walk"))?;
        let walked: u64 = String::from_utf8_lossy(&walked).trim().parse()?;
        if walked < descriptors {
            bail!("the walk found {walked} descriptors of {descriptors} and more");
        }
        Ok(OwnWords {
            descriptors,
            sweep_seconds: report.snapshot.seconds,
            passes: report.snapshot.passes,
            staged_walks: report.snapshot.staged_walks,
            objects: report.objects.len(),
            wall_ns: cost.wall_ns,
            output_bytes: text.len(),
        })
    }
}
