//! Two reports compared: `lastref ls --diff BEFORE AFTER --json`.

use crate::{By, Holder, Kind, Object, ObjectId, Reference, Snapshot, State};
use serde::{Deserialize, Serialize};

/// `lastref ls --diff BEFORE AFTER --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DiffReport {
    /// `lastref.diff/0`
    pub schema: String,
    /// The earlier sweep.
    pub before: Snapshot,
    /// The later sweep.
    pub after: Snapshot,
    /// Both were made in one boot. If not, ids mean nothing across them: then only
    /// groups are compared, and `appeared`, `vanished` and `changed` stay empty.
    pub same_boot: bool,
    /// Objects that only the later report has.
    pub appeared: Vec<Object>,
    /// Objects that only the earlier report has. A reused id is an object that vanished
    /// and one that appeared: what counts is kind, id, name, type and tag.
    pub vanished: Vec<Object>,
    /// Objects of both reports that are not the same in both.
    pub changed: Vec<Change>,
    /// Groups of which there is more, by how much more.
    pub growth: Vec<Growth>,
    /// Orphan pins of the later report that were none in the earlier. Across boots: all
    /// in the groups that have more of them.
    pub orphans: Vec<ObjectId>,
    /// Objects with more unexplained references than before, in a settled account.
    pub unexplained: Vec<ObjectId>,
    /// Sums.
    pub totals: DiffTotals,
}

impl DiffReport {
    /// Name and version of the schema.
    pub const SCHEMA: &'static str = "lastref.diff/0";
}

/// An object that both reports have, and what differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// As the later report has it.
    pub object: Object,
    /// As it was.
    pub before: Before,
    /// References that it did not have: `count` is how many more, and `fds` of a process
    /// are those that are new.
    pub came: Vec<Reference>,
    /// References that it has no more.
    pub went: Vec<Reference>,
}

/// What can change of an object, as the earlier report had it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "as in Object and Facts")]
pub struct Before {
    pub refcnt: Option<u64>,
    pub usercnt: Option<u64>,
    pub explained: u64,
    pub unexplained: Option<i64>,
    pub settled: bool,
    pub state: State,
    pub memory_bytes: Option<u64>,
    pub entries: Option<u64>,
    /// Programs.
    pub attached: Option<bool>,
    /// Links.
    pub detached: Option<bool>,
}

/// What there is more of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GrowthOf {
    /// Objects that are alike and kept by one holder.
    Objects,
    /// References of one holder to one object.
    References,
}

/// A site without a stack (holder, kind, name, type, program tag; never an id) that has
/// more than before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Growth {
    /// What `before` and `after` count.
    pub of: GrowthOf,
    /// Of the objects.
    pub kind: Kind,
    /// Of the objects.
    pub name: String,
    /// Of the objects.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Programs: hash of the instructions.
    pub tag: Option<String>,
    /// References: to this object.
    pub object: Option<ObjectId>,
    /// References: how they are held.
    pub by: Option<By>,
    /// Who keeps the objects in the end, or holds the references; one of several if
    /// `holders` says so. `null` where nobody was found.
    pub holder: Option<Holder>,
    /// How many processes of that name (when none of them is in both reports), or
    /// pins of that pattern, `holder` stands for.
    pub holders: u64,
    /// Pins: their path with its varying part folded.
    pub pattern: Option<String>,
    /// How many there were.
    pub before: u64,
    /// How many there are.
    pub after: u64,
    /// Ids of the first 16 objects of the group that only the later report has.
    pub ids: Vec<u32>,
}

/// Sums over both reports. Lastref's own objects do not count unless they were asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct DiffTotals {
    pub objects_before: u64,
    pub objects_after: u64,
    /// References of all objects, as far as their counts were read.
    pub references_before: u64,
    pub references_after: u64,
    /// Kernel memory, as far as it is known.
    pub memory_bytes_before: u64,
    pub memory_bytes_after: u64,
    pub appeared: u64,
    pub vanished: u64,
    pub changed: u64,
    /// Groups that grew.
    pub grown: u64,
    pub new_orphans: u64,
    /// Unexplained references beyond those of the earlier report.
    pub new_unexplained: u64,
}
