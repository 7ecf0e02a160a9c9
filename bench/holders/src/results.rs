//! The raw results, as they are written.

use crate::look::{Lastref, Look};
use crate::walks::Costs;
use anyhow::Result;
use bench_sweep::crowd::Size;
use bench_sweep::host::Host;
use bench_sweep::measure::Cost;
use serde::Serialize;
use std::collections::BTreeSet;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub struct Results {
    /// `lastref.bench-holders/0`
    pub schema: &'static str,
    /// Day, UTC.
    pub date: String,
    /// The machine.
    pub host: Host,
    /// The load of the minute before.
    pub load_before: Option<f64>,
    /// And at the end; the benchmark's own work is in it.
    pub load_after: Option<f64>,
    /// What was left out, and why.
    pub notes: Vec<String>,
    /// Which walks each kind of holder asks for.
    pub asked: Vec<Asked>,
    /// With and without all kinds.
    pub scenes: Vec<Scene>,
    /// A pass over descriptors that looks at nothing, with all kinds.
    pub bare_pass_ns: Vec<u64>,
    /// The walks, with all kinds.
    pub walks: Costs,
    /// Large hosts.
    pub large: Vec<Large>,
}

/// Which walks one kind of holder asks for.
#[derive(Debug, Serialize)]
pub struct Asked {
    /// The kind.
    pub kind: &'static str,
    /// Those that ran at every look.
    pub walks: BTreeSet<String>,
    /// Accounts that stayed open at every look.
    pub unexplained: Vec<String>,
    /// Of the whole command.
    pub wall_ns: Vec<u64>,
}

/// `ls` in one state of the host.
#[derive(Debug, Serialize)]
pub struct Scene {
    /// In words.
    pub name: &'static str,
    /// `lastref ls`
    pub text: Vec<Cost>,
    /// `lastref ls --json`
    pub json: Vec<Cost>,
    /// What it says.
    pub looks: Vec<Look>,
}

impl Scene {
    /// Without runs.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            text: Vec::new(),
            json: Vec::new(),
            looks: Vec::new(),
        }
    }

    /// One run of each.
    pub fn run(&mut self, lastref: &Lastref) -> Result<()> {
        self.text.push(lastref.run(&["ls"])?);
        self.json.push(lastref.run(&["ls", "--json"])?);
        Ok(())
    }
}

/// A large host.
#[derive(Debug, Serialize)]
pub struct Large {
    /// In words.
    pub name: &'static str,
    /// What was on it.
    pub sizes: Vec<Size>,
    /// A pass over descriptors that looks at nothing.
    pub bare_ns: Vec<u64>,
    /// How often that was told to call again (`EAGAIN`).
    pub calls_again: Vec<u32>,
    /// `lastref ls`
    pub text: Vec<Cost>,
    /// `lastref ls --json`
    pub json: Vec<Cost>,
    /// What it says.
    pub look: Look,
}
