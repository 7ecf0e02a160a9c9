//! Why nothing is established.

use crate::evidence::Why;
use std::fmt;

/// What was missing, or what contradicts what. Handles for which the same is missing are one group,
/// whatever the words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Neither a descriptor nor a mapping of the handle is left.
    NowhereOpen,
    /// A reading of Go objects in a process that is not Go, or the reverse.
    OwnerWithoutGo,
    /// What the process runs could not be read.
    Program(Why),
    /// The runtime could not be read.
    Runtime(Why),
    /// The owner of this descriptor could not be read.
    Owner(Why),
    /// No owner in an incomplete reading.
    Incomplete(Why),
    /// The mark of the last collection could not be read.
    Mark(Why),
    /// The state of the collector could not be read.
    Gc(Why),
    /// The queues could not be read.
    Queues(Why),
    /// It is queued, and it was not read whether behind a release that does not return.
    Behind,
    /// It is queued, and a goroutine that may run it was not read.
    Runners,
    /// The owner has no release, and its type is not known.
    UnknownType(String),
    /// The owner has no release, and its type registers one.
    ReleaseMissing(String),
    /// Two readings cannot both be right: says both.
    Contradiction(String),
}

impl Reason {
    /// The same for all that are of one group.
    pub fn code(&self) -> u8 {
        match self {
            Self::NowhereOpen => 0,
            Self::OwnerWithoutGo => 1,
            Self::Runtime(_) => 2,
            Self::Owner(_) => 3,
            Self::Incomplete(_) => 4,
            Self::Mark(_) => 5,
            Self::Gc(_) => 6,
            Self::Queues(_) => 7,
            Self::UnknownType(_) => 8,
            Self::ReleaseMissing(_) => 9,
            Self::Contradiction(_) => 10,
            Self::Program(_) => 11,
            Self::Behind => 12,
            Self::Runners => 13,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NowhereOpen => f.write_str(
                "neither a descriptor nor a mapping is left: it was closed during the look, or is under way",
            ),
            Self::OwnerWithoutGo => f.write_str(
                "the readings do not agree on whether the process is Go: it executed another program",
            ),
            Self::Program(why) => write!(f, "what the process runs was not read: {why}"),
            Self::Runtime(why) => write!(f, "the Go runtime was not read: {why}"),
            Self::Owner(why) => write!(f, "the owner was not read: {why}"),
            Self::Incomplete(why) => write!(f, "no owner was found, but not all was read: {why}"),
            Self::Mark(why) => write!(
                f,
                "whether the last collection reached the owner was not read: {why}"
            ),
            Self::Gc(why) => write!(f, "the state of the collector was not read: {why}"),
            Self::Queues(why) => write!(f, "the queues of finalizers were not read: {why}"),
            Self::Behind => f.write_str(
                "it is queued; one of several goroutines that run releases stands at a call that does not return, and which entries it has taken was not read",
            ),
            Self::Runners => f.write_str(
                "it is queued; a goroutine that may run it was not read, and may stand at a call that does not return",
            ),
            Self::UnknownType(name) => {
                write!(f, "{name} has neither finalizer nor cleanup, and is not a type that is known")
            }
            Self::ReleaseMissing(name) => write!(
                f,
                "{name} has neither finalizer nor cleanup, though its library registers one: it was given away, or closed"
            ),
            Self::Contradiction(says) => f.write_str(says),
        }
    }
}
