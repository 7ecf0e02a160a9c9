//! The raw results, as they are written.

use crate::host::Host;
use crate::measure::Cost;
use crate::peers::{OwnWords, Peer};
use crate::verifier::Program;
use anyhow::{Context as _, Result};
use serde::Serialize;
use std::fs;
use std::path::Path;

/// Writes `NAME.json` and `NAME.md`.
pub fn write(folder: &Path, name: &str, results: &impl Serialize, table: &str) -> Result<()> {
    fs::create_dir_all(folder)?;
    let json = serde_json::to_string(results)?;
    // One sample a line: a change is then seen as one.
    let json = json.replace("},{", "},\n{");
    for (ending, text) in [("json", json + "\n"), ("md", table.to_owned())] {
        let path = folder.join(format!("{name}.{ending}"));
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        eprintln!("written: {}", path.display());
    }
    Ok(())
}

/// One run of one peer.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// Who.
    pub peer: Peer,
    /// Extra BPF descriptors on the host.
    pub descriptors: u64,
    /// Holders are made anew in each round.
    pub round: u32,
    /// What it took.
    #[serde(flatten)]
    pub cost: Cost,
}

/// Time from the start of the command to its first byte of output, nothing extra on the host.
#[derive(Debug, Clone, Serialize)]
pub struct FirstByte {
    /// With `--json`, or as text.
    pub peer: Peer,
    /// Monotonic.
    pub first_byte_ns: u64,
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub struct Results {
    /// `lastref.bench-sweep/0`
    pub schema: &'static str,
    /// Day, UTC.
    pub date: String,
    /// The machine.
    pub host: Host,
    /// The load of the minute before.
    pub load_before: Option<f64>,
    /// And at the end; the benchmark's own work is in it.
    pub load_after: Option<f64>,
    /// Processes that hold the extra descriptors, the same number at every point.
    pub holders: u64,
    /// No command's peak memory can be read below this.
    pub rss_floor_kib: Option<u64>,
    /// What was left out, and why.
    pub notes: Vec<String>,
    /// Verifier instructions of lastref's programs.
    pub programs: Vec<Program>,
    /// Start to first byte.
    pub first_bytes: Vec<FirstByte>,
    /// What lastref says of its own sweeps.
    pub own_words: Vec<OwnWords>,
    /// Every run.
    pub samples: Vec<Sample>,
}

/// What is asked of the samples of one point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// The smallest: noise only adds.
    Min,
    /// The middle one.
    Median,
}

impl Of {
    /// Of these. `None` if there are none.
    pub fn of(self, values: impl IntoIterator<Item = u64>) -> Option<u64> {
        let mut values: Vec<u64> = values.into_iter().collect();
        values.sort_unstable();
        match self {
            Self::Min => values.first().copied(),
            Self::Median => values.get(values.len() / 2).copied(),
        }
    }
}

impl Results {
    /// The costs of one peer at one point.
    pub fn costs(&self, peer: Peer, descriptors: u64) -> impl Iterator<Item = Cost> {
        let at = move |s: &&Sample| s.peer == peer && s.descriptors == descriptors;
        self.samples.iter().filter(at).map(|s| s.cost)
    }

    /// One number for one peer at one point.
    pub fn at(&self, of: Of, what: fn(Cost) -> u64, peer: Peer, descriptors: u64) -> Option<u64> {
        of.of(self.costs(peer, descriptors).map(what))
    }

    /// Nanoseconds that one more descriptor costs, between two points.
    pub fn slope(&self, of: Of, what: fn(Cost) -> u64, peer: Peer, span: Span) -> Option<f64> {
        let low = self.at(of, what, peer, span.from)?;
        let high = self.at(of, what, peer, span.to)?;
        Some((high as f64 - low as f64) / (span.to - span.from) as f64)
    }
}

/// Two points.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// The lower number of descriptors.
    pub from: u64,
    /// The higher.
    pub to: u64,
}

/// Wall time.
pub fn wall(cost: Cost) -> u64 {
    cost.wall_ns
}

/// Processor time.
pub fn cpu(cost: Cost) -> u64 {
    cost.cpu_ns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_and_minimum() {
        assert_eq!(Of::Median.of([5, 1, 9]), Some(5));
        assert_eq!(Of::Min.of([5, 1, 9]), Some(1));
        assert_eq!(Of::Median.of([]), None);
    }
}
