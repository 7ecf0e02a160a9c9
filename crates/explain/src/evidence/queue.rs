//! Finalizers and cleanups that wait to be run, and who runs them.

use super::Why;
use model::Frame;
use std::sync::Arc;

/// Which of the runtime's two ways to release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum QueueKind {
    /// `runtime.SetFinalizer`; up to Go 1.24 its queue takes cleanups too.
    Finalizer,
    /// `runtime.AddCleanup`; a queue of its own since Go 1.25.
    Cleanup,
}

/// A queue, as of the last look.
#[derive(Debug, Clone, PartialEq)]
pub struct Queue {
    /// What it is of. Cleanups without a queue of their own wait in that of the finalizers.
    pub kind: QueueKind,
    /// Entries that wait, with those that run.
    pub length: u64,
    /// Goroutines that run them: one for finalizers, up to a quarter of GOMAXPROCS for cleanups.
    pub runners: Vec<Runner>,
    /// Goroutines that could not be read, each of which may run them.
    pub unread_runners: usize,
    /// What an earlier look says; `None` if there was one look.
    pub second: Option<SecondLook>,
}

/// A queue in two looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SecondLook {
    /// Seconds between the two.
    pub seconds: f64,
    /// Something was run or returned between them: a counter of executed ones is higher, the first
    /// entry is another, or a runner was idle or ran another one.
    pub moved: bool,
}

/// A goroutine that runs what is queued.
#[derive(Debug, Clone, PartialEq)]
pub struct Runner {
    /// Its id.
    pub goroutine: u64,
    /// What it does.
    pub doing: Doing,
    /// It is at the very call that it was at in an earlier look ([`Queue::second`]).
    pub stands: bool,
}

/// What a runner does.
#[derive(Debug, Clone, PartialEq)]
pub enum Doing {
    /// It waits for entries.
    Idle,
    /// It has called one.
    Running {
        /// The finalizer or cleanup that it called; `None` if its stack does not tell.
        function: Option<Arc<str>>,
        /// Its stack, innermost first; empty if it was on a processor.
        stack: Vec<Frame>,
        /// What it waits for, in the runtime's words: `select (no cases)`.
        waits: Option<Arc<str>>,
        /// Since when (`g.waitsince`, which the collector sets: a lower bound).
        waits_seconds: Option<f64>,
    },
    /// It could not be read.
    Unread(Why),
}
