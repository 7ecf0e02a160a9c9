//! The result of a sweep, and the reports that are made of it.

use crate::{Holder, Object, ObjectId};
use serde::{Deserialize, Serialize};

/// What a sweep says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When it began, RFC 3339, UTC.
    pub time: String,
    /// `/proc/sys/kernel/random/boot_id`: ids and addresses mean something only within one boot.
    pub boot_id: Option<String>,
    /// `uname -r`.
    pub kernel: String,
    /// Where lastref itself ran: in a child namespace it sees every object, but not every process.
    pub pid_namespace: PidNamespace,
    /// How many passes the accounts needed, at most three.
    pub passes: u32,
    /// How long the sweep took.
    pub seconds: f64,
    /// Walks that were run because an account had a remainder that they could explain.
    pub staged_walks: Vec<String>,
    /// What it could not look at, why, and what that would take.
    pub cannot_see: Vec<CannotSee>,
}

/// Which pid namespace a sweep was made in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PidNamespace {
    /// The initial one: every process is in sight.
    Host,
    /// One below it.
    Child,
}

/// Something that was out of sight.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CannotSee {
    /// What could not be seen.
    pub what: String,
    /// Why not.
    pub why: String,
    /// What it would take: `CAP_…`, `hostPID`, `kernel ≥ …`.
    pub needs: String,
}

/// `lastref ls --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListReport {
    /// `lastref.ls/0`
    pub schema: String,
    /// The sweep.
    pub snapshot: Snapshot,
    /// What the list was narrowed by, as on the command line: `maps`, `--pid 4242`.
    /// Empty if it has every object.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<String>,
    /// The objects that were asked for.
    pub objects: Vec<Object>,
}

impl ListReport {
    /// Name and version of the schema.
    pub const SCHEMA: &'static str = "lastref.ls/0";
}

/// `lastref why X --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WhyReport {
    /// `lastref.why/0`
    pub schema: String,
    /// The sweep.
    pub snapshot: Snapshot,
    /// The object.
    pub object: Object,
    /// Each from a holder of the object to an end.
    pub chains: Vec<Vec<Holder>>,
    /// More chains exist than are listed.
    pub chains_cut: bool,
    /// What lets the object go, in this order.
    pub to_release: Vec<ReleaseStep>,
    /// Why these steps may not be enough, or what else they do.
    pub caveats: Vec<String>,
}

impl WhyReport {
    /// Name and version of the schema.
    pub const SCHEMA: &'static str = "lastref.why/0";
}

/// One thing to do so that an object goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReleaseStep {
    /// Whose references this step drops.
    pub holder: Holder,
    /// What to do, as a command where there is one.
    #[serde(rename = "do")]
    pub action: String,
    /// What is freed once this and the steps before it are done.
    pub frees: Vec<ObjectId>,
    /// How many bytes of kernel memory that is, as far as known.
    pub bytes: u64,
}
