//! What one look at a runtime sees.

use crate::mark::{Mark, Unread};
use std::sync::Arc;
use std::time::Duration;

/// What one look saw. Taken while the process ran on: each part is as it was at one moment of the look.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// Finalizers, cleanups and weak handles, by address of the object.
    pub specials: Vec<Special>,
    /// Specials of other kinds (profile, pins), which are only counted.
    pub others: usize,
    /// Spans whose specials could not be read, with the reason. Nothing is known of the objects in them.
    pub unread: Vec<UnreadSpan>,
    /// Arenas of 64 MiB of which it could not be read which spans have specials.
    pub unread_arenas: usize,
    /// What waits to be run, or is being run.
    pub queue: Vec<Queued>,
    /// Entries of the queue that changed while they were read, so that they are not in it.
    pub queue_moved: usize,
    /// What waits in the queue of cleanups is not in `queue`: where it stands was not found.
    pub cleanups_unread: bool,
    /// Cleanups that were run, from Go 1.25 on; counted by the block, when all of it has been run.
    pub cleanups_run: Option<u64>,
    /// Goroutines that run finalizers and cleanups.
    pub runners: Vec<Runner>,
    /// The collector.
    pub collector: Collector,
    /// Goroutines that were not looked at, at least: each may be one that runs finalizers or cleanups. Those that are
    /// none are looked at only until all of these are found.
    pub unread_goroutines: usize,
    /// A collection ended each time it was looked at. Marks that are not of the last one that is told are unread.
    pub cycle_moved: bool,
}

/// A span whose specials were not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadSpan {
    /// Its first address; 0 if not even that is known.
    pub start: u64,
    /// Why.
    pub why: Unread,
}

/// A type, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TypeName {
    /// Address of its descriptor.
    pub addr: u64,
    /// As Go prints it: `*sys.FD`; empty if its descriptor could not be read.
    pub name: String,
    /// Path of its package, if it has one: `github.com/cilium/ebpf/internal/sys`.
    pub package: Option<String>,
    /// Integers of 4 or 8 bytes in what it points to, also in structs of it.
    pub integers: Vec<Integer>,
    /// There is more in it than these: pointers that lead on, arrays, what was too much to read or could not be read.
    pub has_more: bool,
}

/// An integer in a struct.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Integer {
    /// Its name, after those of the structs that it is in: `pfd.Sysfd`. Empty if there is no struct around it.
    pub path: String,
    /// Bytes from the start of the object.
    pub offset: u64,
    /// 4 or 8.
    pub width: u64,
}

/// What the runtime does for one object when nobody reaches it any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Special {
    /// The object's address: what the finalizer or cleanup was set for. In a block of the tiny allocator, not the block's.
    pub object: u64,
    /// First address of the slot that it is in.
    pub slot: u64,
    /// Bytes of the slot.
    pub size: u64,
    /// The slot is a block of the tiny allocator, which objects without pointers share: it lives as long as any of them.
    pub tiny: bool,
    /// What the last completed collection says of it.
    pub mark: Mark,
    /// Which collection that is: as many were completed.
    pub cycle: u32,
    /// What is to be done.
    pub kind: Kind,
    /// The first bytes of the object, as many as were asked for and are in its slot.
    pub bytes: Option<Box<[u8]>>,
}

/// What is to be done for an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// `runtime.SetFinalizer`: the function is called with the object, which is then reachable again.
    Finalizer {
        /// Type of the pointer to the object.
        pointer: Arc<TypeName>,
        /// Name of the function; empty if it is no Go function.
        function: Arc<str>,
    },
    /// `runtime.AddCleanup`: the function is called with the argument, once the object is gone.
    Cleanup {
        /// Name of the function.
        function: Arc<str>,
        /// The first word of the argument: of an integer, its value. `None` if it has none, or could not be read.
        argument: Option<u64>,
        /// The cleanup's number.
        id: u64,
    },
    /// `weak.Make`: nothing is called; the pointer becomes nil.
    Weak,
}

/// A call that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// The call.
    pub call: Call,
    /// It is being run. Of a cleanup that is told in Go 1.25 alone, where the goroutine that has its block is known: later ones
    /// take it out of the queue before they call it ([`Runner::left_queue`]).
    pub running: bool,
    /// Address of the block that it stands in.
    pub block: u64,
    /// The goroutine that has taken its block, and runs all of it: told of cleanups, from Go 1.25 on.
    pub taken_by: Option<u64>,
    /// It is in a list of one processor that nobody runs yet: the sweep is not over.
    pub held: bool,
}

/// What will be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// A finalizer, with the object.
    Finalizer {
        /// The object's address.
        object: u64,
        /// Type of the pointer to it.
        pointer: Arc<TypeName>,
        /// Name of the function.
        function: Arc<str>,
        /// The first bytes of the object, as many as were asked for.
        bytes: Option<Box<[u8]>>,
    },
    /// A cleanup, with its argument.
    Cleanup {
        /// Name of the function.
        function: Arc<str>,
        /// The first word of the argument.
        argument: Option<u64>,
    },
}

/// A goroutine that runs finalizers or cleanups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runner {
    /// Its number.
    pub id: u64,
    /// It runs cleanups; else finalizers (until Go 1.24: both).
    pub cleanups: bool,
    /// What it does.
    pub state: State,
    /// It runs a block of cleanups, as the runtime itself says (`g.runningCleanups`), from Go 1.25 on.
    pub runs_cleanups: bool,
    /// What it runs is a cleanup that has left the queue: its object is gone, and nothing tells its argument. From Go 1.26
    /// on, a cleanup's entry is cleared before its function is called (`runtime.runCleanups`).
    pub left_queue: bool,
    /// The block of cleanups that it runs ([`Queued::block`]), if its stack tells.
    pub block: Option<u64>,
    /// Calls on its stack, the innermost first; empty while it runs, as its stack then moves.
    pub stack: Vec<Frame>,
}

/// A call on a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Name of the function, as Go prints it.
    pub function: String,
    /// File and line, if they are known.
    pub file: String,
    /// Line in it.
    pub line: u32,
    /// It was inlined into the next one.
    pub inlined: bool,
}

/// What a goroutine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Waits for work.
    Idle,
    /// Waits for something else, within a call. `since` on the monotonic clock: when a collection first saw it wait;
    /// `None` before that (`g.waitsince`).
    Waiting {
        /// The runtime's number of the reason (`waitReason`); [`Heap::reason`](crate::Heap::reason) names it.
        reason: u8,
        /// Nanoseconds of `CLOCK_MONOTONIC`.
        since: Option<u64>,
    },
    /// In a call of the system, or in C. `since`: as of [`State::Waiting`].
    Syscall {
        /// Nanoseconds of `CLOCK_MONOTONIC`.
        since: Option<u64>,
    },
    /// Could go on, and waits for a processor.
    Runnable,
    /// Runs on a thread: no stack is shown.
    Running,
    /// It changed each time it was read.
    Moving,
}

/// The collector's own figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collector {
    /// Collections that were completed: marked to the end.
    pub cycles: u32,
    /// End of the last one's marking, nanoseconds of `CLOCK_MONOTONIC`. `None`: there was none.
    pub last: Option<u64>,
    /// The same as the time of day, nanoseconds since 1970.
    pub last_unix: Option<u64>,
    /// What it does right now.
    pub phase: Phase,
    /// GOGC. `None`: off.
    pub percent: Option<u32>,
    /// GOMEMLIMIT in bytes. `None`: none, or a release before 1.19.
    pub limit: Option<u64>,
    /// Bytes that are live, as the runtime counts them between collections.
    pub live: u64,
    /// Bytes that the last collection marked.
    pub marked: u64,
    /// Pages in use, of 8 KiB, and how many of them were swept since the last collection.
    pub sweep: Option<(u64, u64)>,
    /// When the runtime will force a collection, if none comes before: two minutes after the last one's end, nanoseconds of
    /// `CLOCK_MONOTONIC`. `None`: never, as there was none yet or GOGC is off (`gcTrigger.test`).
    pub forced: Option<u64>,
}

/// How long after a collection the runtime forces the next one (`forcegcperiod`).
pub const FORCED: Duration = Duration::from_secs(120);

/// What a collector does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// Nothing, or sweeps.
    #[default]
    Off,
    /// Marks.
    Mark,
    /// Ends marking: the world is stopped.
    Termination,
}
