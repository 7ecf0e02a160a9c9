//! Evidence in, verdicts out. Pure.
//!
//! ```text
//! Evidence (one process) ─► judge: each handle its verdict, with what establishes it
//!                           └─► group: alike in verdict, object, origin, owner, site
//!                                └─► says, fix: its evidence in sentences, and what lets it go
//! ```
//!
//! Three rules hold whatever the evidence: what a verdict rests on was all read; what contradicts
//! itself is `unknown`, and says both; the counts of all groups are together the number of handles.

pub mod evidence;
mod fix;
mod group;
mod judge;
mod says;

#[cfg(test)]
mod tests;

pub use evidence::Evidence;

use evidence::{Process, Runtime};
use model::{CannotSee, ExplainGroup, ExplainReport, ExplainedProcess, GcSummary, LibraryVersion};

/// Why a process holds its handles: groups, the largest first. No handles, no groups.
pub fn explain(evidence: &Evidence<'_>) -> Vec<ExplainGroup> {
    let groups = group::groups(evidence);
    let context = says::Context::new(evidence, &groups);
    groups
        .iter()
        .enumerate()
        .map(|(at, group)| group.report(&context, at == 0))
        .collect()
}

/// The same, with what there is to say of the process.
pub fn report(evidence: &Evidence<'_>) -> ExplainReport {
    let mut cannot_see = evidence.cannot_see.clone();
    cannot_see.extend(unread(&evidence.process));
    ExplainReport {
        schema: ExplainReport::SCHEMA.into(),
        process: summary(&evidence.process),
        groups: explain(evidence),
        cannot_see,
    }
}

/// What the runtime hid.
fn unread(process: &Process) -> Option<CannotSee> {
    let (what, why, needs) = match &process.runtime {
        Runtime::GoUnread { why, needs, .. } => ("who owns descriptors in its Go heap", why, needs),
        Runtime::Unread { why, needs } => ("what the process runs", why, needs),
        Runtime::Go(_) | Runtime::NotGo(_) => return None,
    };
    Some(CannotSee {
        what: format!("{what} (pid {})", process.pid),
        why: why.to_string(),
        needs: needs.to_string(),
    })
}

fn summary(process: &Process) -> ExplainedProcess {
    let (runtime, language, gc) = match &process.runtime {
        Runtime::Go(go) => (
            Some(go.version.to_string()),
            Some("go"),
            go.gc.as_ref().ok().map(|gc| GcSummary {
                cycles: gc.cycles,
                last_seconds_ago: gc.last_seconds_ago,
            }),
        ),
        Runtime::GoUnread { version, .. } => {
            (version.as_deref().map(str::to_owned), Some("go"), None)
        }
        Runtime::NotGo(language) => (None, language.as_str(), None),
        Runtime::Unread { .. } => (None, None, None),
    };
    let libraries = process.libraries.iter().map(|library| LibraryVersion {
        path: library.path.clone(),
        version: library.version.clone(),
    });
    ExplainedProcess {
        pid: process.pid,
        comm: process.comm.to_string(),
        exe: process.exe.as_deref().map(str::to_owned),
        runtime,
        language: language.map(str::to_owned),
        libraries: libraries.collect(),
        gc,
        paused_seconds: 0.0,
    }
}
