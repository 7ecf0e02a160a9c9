//! Reports that are read instead of the host: `--from FILE`, `--diff BEFORE AFTER`.

use crate::exit::Usage;
use ledger::{Correction, Ledger};
use model::Snapshot;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// A report, as if it had just been made.
pub struct Opened {
    pub snapshot: Snapshot,
    pub ledger: Ledger,
    /// What it was narrowed by.
    pub filters: Vec<String>,
}

/// Reads a report; its accounts are closed again.
pub fn open(file: &Path) -> anyhow::Result<Opened> {
    let report = parsed(file, record::list_report)?;
    let (ledger, corrections) = Ledger::reopen(report.objects);
    warn(&name(file), &corrections);
    Ok(Opened {
        snapshot: report.snapshot,
        ledger,
        filters: report.filters,
    })
}

/// How messages call it.
pub fn name(file: &Path) -> String {
    if is_stdin(file) {
        "standard input".into()
    } else {
        file.display().to_string()
    }
}

/// `-`
pub fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// Reads what `parse` can read of a file.
pub fn parsed<T, E: std::fmt::Display>(
    file: &Path,
    parse: impl FnOnce(&[u8]) -> Result<T, E>,
) -> anyhow::Result<T> {
    let fail = |why: &dyn std::fmt::Display| Usage(format!("{}: {why}", name(file)));
    let bytes = if is_stdin(file) {
        bytes(io::stdin().lock())
    } else {
        File::open(file).and_then(bytes)
    };
    let bytes = bytes.map_err(|error| fail(&error))?;
    parse(&bytes).map_err(|error| fail(&error).into())
}

/// Not more than a report can have, and one, which tells that it has more.
fn bytes(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(record::MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Says which numbers of a file contradict each other.
fn warn(file: &str, corrections: &[Correction]) {
    const SAID: usize = 8;
    let say = |text: &str| eprintln!("lastref: {}", model::escape_controls(text));
    for Correction { id, says } in corrections.iter().take(SAID) {
        let id = id.map_or("an object without an id".into(), |id| id.to_string());
        say(&format!("{file}: {id}: {says}; counted again"));
    }
    if corrections.len() > SAID {
        let more = corrections.len() - SAID;
        say(&format!("{file}: and {more} more such numbers"));
    }
}
