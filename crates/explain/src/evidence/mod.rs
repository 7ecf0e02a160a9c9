//! What was measured of one process. A reading is a value, or why there is none.

mod handle;
mod queue;
mod surroundings;

pub use handle::{Descriptor, Handle, Mark, Owner, Ownership, RegisteredRelease, State, Taken};
pub use queue::{Doing, Queue, QueueKind, Runner, SecondLook};
pub use surroundings::{Growth, GrowthSource, Memory, ProfiledStack};

pub use libraries::{Language, Library};
use model::{CannotSee, Object};
use std::sync::Arc;

/// Why something could not be read: a clause without a capital and a full stop, such as
/// `its span changed while it was read`.
pub type Why = Arc<str>;

/// A value, or why there is none.
pub type Reading<T> = Result<T, Why>;

/// All that is known of one process and its handles.
#[derive(Debug, Clone)]
pub struct Evidence<'a> {
    /// The process.
    pub process: Process,
    /// Its handles: one for each `struct file` on an object, in any order.
    pub handles: Vec<Handle>,
    /// Accounts of objects; those that it holds are looked up by kind and id. May hold any others.
    pub accounts: &'a [Object],
    /// What grows, by kind, folded name and type of objects.
    pub growth: Vec<Growth>,
    /// What its memory did during the look.
    pub memory: Option<Memory>,
    /// Where its Go heap has wrappers from, largest first, if its heap profile was read.
    pub profile: Vec<ProfiledStack>,
    /// What is to be said of a profile that somebody gave: a clause each, such as `taken 2 h before this process began`.
    pub profile_says: Vec<Why>,
    /// What the readers could not see. What [`Runtime`] says of itself is added.
    pub cannot_see: Vec<CannotSee>,
}

/// The process.
#[derive(Debug, Clone, PartialEq)]
pub struct Process {
    /// In lastref's own pid namespace: as in the holders of the accounts.
    pub pid: u32,
    /// `comm`
    pub comm: Arc<str>,
    /// Target of `/proc/PID/exe`.
    pub exe: Option<Arc<str>>,
    /// Libraries that make handles, as [`libraries`] recognised them.
    pub libraries: Vec<Library>,
    /// What runs it.
    pub runtime: Runtime,
}

/// What runs a process's code.
#[derive(Debug, Clone, PartialEq)]
pub enum Runtime {
    /// Go, and its runtime was read.
    Go(Box<Go>),
    /// Go, and its runtime could not be read: all its handles are `unknown`.
    GoUnread {
        /// Its release, such as `go1.17.13`, if that much is known.
        version: Option<Arc<str>>,
        /// Why: `go1.17 is older than the releases that are understood`.
        why: Why,
        /// What it would take: `CAP_SYS_PTRACE`; empty if nothing helps.
        needs: Arc<str>,
    },
    /// Not Go: no collector closes descriptors.
    NotGo(Language),
    /// Not even that is known: the executable could not be read.
    Unread {
        /// Why.
        why: Why,
        /// What it would take.
        needs: Arc<str>,
    },
}

/// A Go runtime that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Go {
    /// `go1.26.6`, with experiments as the build info has them.
    pub version: Arc<str>,
    /// Its collector.
    pub gc: Reading<Gc>,
    /// Queues of finalizers and cleanups. Go 1.24 and older have one for both.
    pub queues: Reading<Vec<Queue>>,
    /// Nothing of the process runs, by what somebody else did: `a signal has stopped it`. Then a queue that does not move says
    /// nothing of what is run. As of the last look, or an earlier one that the queues are compared with.
    pub paused: Option<Why>,
}

/// The collector, as of the last look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gc {
    /// Completed collections (`memstats.numgc`).
    pub cycles: u64,
    /// How long ago the last one ended; `None` before the first.
    pub last_seconds_ago: Option<f64>,
    /// `GOGC=off` (`gcController.gcPercent` below 0).
    pub gogc_off: bool,
    /// GOMEMLIMIT in bytes; `None` if there is none.
    pub memory_limit: Option<u64>,
    /// When sysmon will force one, two minutes after the last (`forcegcperiod`); `None` before the
    /// first collection and with `GOGC=off`: never.
    pub forced_in_seconds: Option<f64>,
    /// A mark phase is running: mark bits that count are those of the cycle before.
    pub marking: bool,
}
