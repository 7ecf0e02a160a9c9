//! The words of lastref as types, and their JSON.
//!
//! An *object* (BPF map, program, link or BTF) has a *reference* count in the
//! kernel. Each reference belongs to *holders*. [`Facts`] is what the readers
//! found out about one object; [`Object`] is the same with what the ledger
//! concluded. The field names of the JSON are a contract: see `docs/json.md`.
//!
//! No input or output happens here.

mod diff;
mod explain;
mod fold;
mod holder;
mod metrics;
mod object;
mod reference;
mod snapshot;
mod text;
pub mod units;
mod watch;

pub use diff::{Before, Change, DiffReport, DiffTotals, Growth, GrowthOf};
pub use explain::{
    EvidenceKind, EvidenceLine, ExplainGroup, ExplainReport, ExplainedProcess, GcSummary,
    LibraryVersion, Origin, OwnerSummary, PathKind, PathStep, ProgramGrowth, Release, ReleaseState,
    Verdict,
};
pub use fold::{fold_digits, fold_paths};
pub use holder::{Attachment, Container, Holder, IoUring, ObjectRef, Pin, Process, Socket};
pub use metrics::{Census, Held, Metrics, Tally};
pub use object::{
    BtfFacts, Detail, Facts, Kind, LinkFacts, MapFacts, MemorySource, Object, ObjectId,
    ParseObjectIdError, ProgFacts, State,
};
pub use reference::{By, Reference};
pub use snapshot::{CannotSee, ListReport, PidNamespace, ReleaseStep, Snapshot, WhyReport};
pub use text::{decode, escape_controls, shell_quote};
pub use watch::{
    Ahead, Collected, CommandEnd, Created, Exhaustion, Frame, Leak, LeakEvent, LeftBehind,
    ObjectGroup, OpenAtExit, Scope, SeriesSample, Site, SweepSample, Trend, WatchCost, WatchEvent,
    WatchStart, WatchSummary,
};
