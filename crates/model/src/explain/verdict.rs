//! The verdicts. Codes never change their meaning.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a process still holds a group of handles.
///
/// The page on each verdict is made of its doc comment: what it means, what establishes it, what to do,
/// an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The last garbage collection reached the Go object that owns the descriptor. What leads to it was not
    /// searched. Whether the program still needs it, and whether it leaks, is not said by that: a cache that
    /// is full is retained, too.
    ///
    /// **Evidence.** A completed collection, and the mark that it left on the owner (or, where the owner
    /// lies in a 16-byte block of the tiny allocator, on its block, which a neighbour may keep). Its
    /// finalizer or cleanup is registered and was not called. What was made while that collection marked counts as
    /// reached.
    ///
    /// **Fix.** Close the handle when its user stops: `Close` on the `*ebpf.Map`, `*ebpf.Program`,
    /// `link.Link` or `*btf.Handle`. What is in a map or slice of the program is to be taken out of it,
    /// too.
    ///
    /// **Example.**
    ///
    /// ```go
    /// cache[conn] = m // and nothing deletes from cache
    /// ```
    Retained,
    /// A path leads from a package variable, or from something of the runtime's own such as a pending timer,
    /// to the owner.
    ///
    /// **Evidence.** The path, found in a heap that stood still.
    ///
    /// **Fix.** Close the handle and take it out of what the path names.
    ///
    /// **Example.**
    ///
    /// ```go
    /// var allMaps []*ebpf.Map // every load appends, no unload removes
    /// ```
    RetainedByGlobal,
    /// Nothing but a goroutine's stack leads to the owner.
    ///
    /// **Evidence.** The path to a slot of a frame that is live, what the goroutine waits for, and for how
    /// long.
    ///
    /// **Fix.** Have the goroutine end, and close the handle before it does: `defer m.Close()`.
    ///
    /// **Example.**
    ///
    /// ```go
    /// go func() { use(m); <-never }()
    /// ```
    RetainedByGoroutine,
    /// Nothing leads to the owner, but it lies in a 16-byte block of the allocator that another small object
    /// keeps. Its finalizer runs only once the whole block is dead.
    ///
    /// **Evidence.** The owner stands in a span of tiny blocks; all that points into its block points to a
    /// neighbour.
    ///
    /// **Fix.** Close the handle. Since v0.20 an owner of cilium/ebpf shares its block with no other object.
    ///
    /// **Example.**
    ///
    /// ```go
    /// id := new(int64)                          // kept for long
    /// m, _ := ebpf.LoadPinnedMap(path, nil)     // dropped, and beside it
    /// ```
    RetainedByTinyBlock,
    /// Only an object that itself waits for its finalizer leads to the owner: finalizers run in the order of
    /// references, one collection after the other.
    ///
    /// **Evidence.** A path that goes through the finalizer of another object.
    ///
    /// **Fix.** Close the handle; or wait for as many collections as the chain has finalizers.
    ///
    /// **Example.**
    ///
    /// ```go
    /// runtime.SetFinalizer(session, (*Session).end) // session.stats is a *ebpf.Map
    /// ```
    RetainedByFinalizer,
    /// Objects with finalizers lead to each other, and to the owner: none of their finalizers ever runs.
    ///
    /// **Evidence.** A cycle of paths through a finalizer.
    ///
    /// **Fix.** Close the handle, and set no finalizer on objects that refer to each other; a cleanup
    /// (`runtime.AddCleanup`) does not keep its object.
    ///
    /// **Example.**
    ///
    /// ```go
    /// a.peer, b.peer = b, a
    /// runtime.SetFinalizer(a, (*End).close)
    /// runtime.SetFinalizer(b, (*End).close)
    /// ```
    ReleaseCycle,
    /// Nothing leads to the owner any more: the next collection will release it.
    ///
    /// **Evidence.** An exact search of a heap that stood still found no path. When the next collection is
    /// due: GOGC, GOMEMLIMIT, and two minutes after the last; with `GOGC=off` it may be never.
    ///
    /// **Fix.** Close the handle where it goes out of scope.
    ///
    /// **Example.**
    ///
    /// ```go
    /// m, _ := ebpf.NewMap(spec)
    /// _ = m.Put(k, v) // and return
    /// ```
    Dropped,
    /// The owner was allocated since the last collection, or there was none: nothing has judged it. A program
    /// whose heap stays small may take hours to its first: with `GOGC=100` that comes at 4 MiB, and none is forced
    /// before. After it, one is forced two minutes after the last, unless `GOGC=off`.
    ///
    /// **Evidence.** The span of the owner: no mark, and a slot that was handed out since it was swept.
    ///
    /// **Fix.** Close the handle when its user stops. Look again after a collection; with `GOGC=off`, and
    /// without a memory limit, there will be none.
    ///
    /// **Example.** A program with `GOGC=off` that drops its maps.
    NotJudged,
    /// The last collection did not reach the owner. Its span is not swept yet; once it is, the finalizer or
    /// cleanup is queued.
    ///
    /// **Evidence.** A completed collection, no mark of it, and the span's sweep generation.
    ///
    /// **Fix.** None is needed for it to go. Close the handle so that it goes at once.
    ///
    /// **Example.** A map that was dropped, just after a collection.
    SweepPending,
    /// The finalizer or cleanup of the owner is queued, or runs.
    ///
    /// **Evidence.** Its entry in the queue, and what the goroutine that runs the queue does. A queue that
    /// moves is told so, however slow, and a process that is paused, too.
    ///
    /// **Fix.** Close the handle rather than leave it to the collector.
    ///
    /// **Example.** Ten thousand maps dropped at once.
    ReleaseQueued,
    /// The finalizer or cleanup of the owner is queued behind one that does not return: nothing behind it
    /// will ever be released.
    ///
    /// **Evidence.** Its entry in the queue; two looks at least a second apart between which the queue did
    /// not move; the function that runs, with its stack. Where several goroutines run cleanups, each takes a
    /// block of them: then the one that has taken this entry stood at the same call in both looks, and the
    /// others may go on. Never said of a process that is stopped, traced or frozen meanwhile.
    ///
    /// **Fix.** Have that function return: a finalizer must not wait for a lock, a channel or the network;
    /// what takes long belongs into a goroutine of its own. Up to Go 1.24 cleanups wait behind finalizers; later
    /// releases run cleanups on goroutines of their own, a quarter as many as processors, and at least one.
    ///
    /// **Example.**
    ///
    /// ```go
    /// runtime.SetFinalizer(c, func(c *Conn) { c.done <- struct{}{} }) // nobody receives
    /// ```
    ReleaseBlocked,
    /// The Go object that owns the descriptor was found, and its type registers neither a finalizer nor a
    /// cleanup: dropping it releases nothing.
    ///
    /// **Evidence.** No special of the runtime stands on the owner, and its library is known never to set
    /// one (libbpfgo, gobpf).
    ///
    /// **Fix.** Call what releases it: `Module.Close`, `BPFLink.Destroy`, or, for a `BPFMapLow`,
    /// `syscall.Close(m.FileDescriptor())`.
    ///
    /// **Example.**
    ///
    /// ```go
    /// m, _ := libbpfgo.GetMapByID(id) // a BPFMapLow has no Close
    /// ```
    NoRelease,
    /// The process is Go, and none of its objects owns the descriptor: it is a number that some code keeps or
    /// has forgotten, in Go or in C.
    ///
    /// **Evidence.** All finalizers, cleanups and queues were read, and no object of a known type has the
    /// number.
    ///
    /// **Fix.** `unix.Close`, or the release of the C library: `bpf_object__close`, `bpf_link__destroy`.
    ///
    /// **Example.**
    ///
    /// ```go
    /// fd, err := unix.BPF_OBJ_GET(path) // to see whether the pin is there
    /// ```
    NoOwner,
    /// The program has no collector that closes descriptors (C, C++, Rust, Python): only its own code does.
    ///
    /// **Evidence.** What the executable is, and which libraries it has.
    ///
    /// **Fix.** `bpf_object__close`, `bpf_link__destroy` or `close(2)` in C; let the owner drop in Rust;
    /// `cleanup()` in Python's bcc.
    ///
    /// **Example.**
    ///
    /// ```c
    /// int fd = bpf_obj_get(path);
    /// if (bpf_map_lookup_elem(fd, &key, &value))
    ///         return -1; /* and fd stays open */
    /// ```
    Unmanaged,
    /// No descriptor is left; a memory mapping of the file keeps the object.
    ///
    /// **Evidence.** Mappings of the file in the process's memory map, and the kernel's account.
    ///
    /// **Fix.** `munmap(2)`, or the reader that made the mapping: `Close` on a `*ringbuf.Reader`,
    /// `ring_buffer__free`.
    ///
    /// **Example.**
    ///
    /// ```go
    /// r, _ := ringbuf.NewReader(m)
    /// m.Close() // and r is not closed
    /// ```
    Mapped,
    /// What was seen establishes none of the others. It says what was missing, or which two readings
    /// contradict each other.
    ///
    /// **Evidence.** None; what was read all the same is told.
    ///
    /// **Fix.** What it takes to see more: `CAP_SYS_PTRACE` and `CAP_DAC_READ_SEARCH`, a release of Go that is
    /// known; or another look.
    ///
    /// **Example.** A Go program older than 1.18.
    Unknown,
}

impl Verdict {
    /// All, in the order of the documentation.
    pub const ALL: [Self; 16] = [
        Self::Retained,
        Self::RetainedByGlobal,
        Self::RetainedByGoroutine,
        Self::RetainedByTinyBlock,
        Self::RetainedByFinalizer,
        Self::ReleaseCycle,
        Self::Dropped,
        Self::NotJudged,
        Self::SweepPending,
        Self::ReleaseQueued,
        Self::ReleaseBlocked,
        Self::NoRelease,
        Self::NoOwner,
        Self::Unmanaged,
        Self::Mapped,
        Self::Unknown,
    ];

    /// The code, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retained => "retained",
            Self::RetainedByGlobal => "retained-by-global",
            Self::RetainedByGoroutine => "retained-by-goroutine",
            Self::RetainedByTinyBlock => "retained-by-tiny-block",
            Self::RetainedByFinalizer => "retained-by-finalizer",
            Self::ReleaseCycle => "release-cycle",
            Self::Dropped => "dropped",
            Self::NotJudged => "not-judged",
            Self::SweepPending => "sweep-pending",
            Self::ReleaseQueued => "release-queued",
            Self::ReleaseBlocked => "release-blocked",
            Self::NoRelease => "no-release",
            Self::NoOwner => "no-owner",
            Self::Unmanaged => "unmanaged",
            Self::Mapped => "mapped",
            Self::Unknown => "unknown",
        }
    }

    /// What it means, in one line.
    pub fn title(self) -> &'static str {
        match self {
            Self::Retained => "the last collection still reached the owner",
            Self::RetainedByGlobal => {
                "a package variable, or the runtime itself, leads to the owner"
            }
            Self::RetainedByGoroutine => "only a goroutine's stack leads to the owner",
            Self::RetainedByTinyBlock => "the owner is dead, and a neighbour in its block is not",
            Self::RetainedByFinalizer => {
                "only an object that waits for its finalizer leads to the owner"
            }
            Self::ReleaseCycle => "finalizers wait for each other, and never run",
            Self::Dropped => "nothing leads to the owner: the next collection releases it",
            Self::NotJudged => "made since the last collection, which has not judged it",
            Self::SweepPending => "the last collection found it dead, and has not swept it",
            Self::ReleaseQueued => "its finalizer or cleanup is queued",
            Self::ReleaseBlocked => {
                "its finalizer or cleanup waits behind one that does not return"
            }
            Self::NoRelease => "its owner has neither finalizer nor cleanup",
            Self::NoOwner => "no Go object owns the descriptor",
            Self::Unmanaged => "no collector releases it: only the program's own code does",
            Self::Mapped => "no descriptor is left, and a memory mapping keeps it",
            Self::Unknown => "what was seen establishes nothing",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
