//! Runs of lastref, and what they say of themselves.

use anyhow::{Context as _, Result};
use bench_sweep::measure::{self, Cost};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

/// The built program.
pub struct Lastref(pub PathBuf);

/// One report.
#[derive(Debug, Clone, Serialize)]
pub struct Look {
    /// `snapshot.staged_walks`
    pub staged_walks: BTreeSet<String>,
    /// `snapshot.seconds`
    pub sweep_seconds: f64,
    /// `snapshot.passes`
    pub passes: u32,
    /// `snapshot.cannot_see[].what`
    pub cannot_see: Vec<String>,
    /// Objects, lastref's own not among them.
    pub objects: usize,
    /// References of objects whose name begins with `crowd_`.
    pub crowd: u64,
    /// Processes that hold one.
    pub holders: usize,
    /// Accounts with unexplained references, as `map:17 name`.
    pub unexplained: Vec<String>,
    /// The whole command.
    pub cost: Cost,
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
    staged_walks: BTreeSet<String>,
    cannot_see: Vec<CannotSee>,
}

#[derive(Deserialize)]
struct CannotSee {
    what: String,
}

#[derive(Deserialize)]
struct Object {
    kind: String,
    id: Option<u32>,
    name: String,
    explained: u64,
    unexplained: Option<i64>,
    references: Vec<Reference>,
}

#[derive(Deserialize)]
struct Reference {
    holders: Vec<Holder>,
}

#[derive(Deserialize)]
struct Holder {
    pid: Option<u32>,
}

impl Lastref {
    /// It, with arguments.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.0);
        command.args(arguments);
        command
    }

    /// `ls`, its output read by nobody.
    pub fn run(&self, arguments: &[&str]) -> Result<Cost> {
        measure::command(&mut self.command(arguments))
    }

    /// `ls --json`, read.
    pub fn look(&self) -> Result<Look> {
        let (_, text, cost) = measure::output(&mut self.command(&["ls", "--json"]))?;
        let report: Report =
            serde_json::from_slice(&text).context("lastref's JSON is not as expected")?;
        let crowd = report
            .objects
            .iter()
            .filter(|o| o.name.starts_with("crowd_"));
        let holders = report.objects.iter().flat_map(|o| &o.references);
        let holders: BTreeSet<u32> = holders
            .flat_map(|r| r.holders.iter().filter_map(|h| h.pid))
            .collect();
        let unexplained = report
            .objects
            .iter()
            .filter(|o| o.unexplained.is_some_and(|n| n != 0));
        Ok(Look {
            crowd: crowd.map(|o| o.explained).sum(),
            holders: holders.len(),
            unexplained: unexplained
                .map(|o| format!("{}:{} {}", o.kind, o.id.unwrap_or_default(), o.name))
                .collect(),
            objects: report.objects.len(),
            staged_walks: report.snapshot.staged_walks,
            sweep_seconds: report.snapshot.seconds,
            passes: report.snapshot.passes,
            cannot_see: report
                .snapshot
                .cannot_see
                .into_iter()
                .map(|c| c.what)
                .collect(),
            cost,
            output_bytes: text.len(),
        })
    }
}
