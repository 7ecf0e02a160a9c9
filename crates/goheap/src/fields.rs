//! The offsets of one release, looked up once.

use crate::error::Error;
use gobinary::layout::{Field, Layout};

/// A field that must be there.
fn must(layout: &Layout, strukt: &'static str, field: &'static str) -> Result<Field, Error> {
    let found = layout.field(strukt, field).filter(|f| f.size <= 1 << 24);
    found.ok_or(Error::Layout(field))
}

macro_rules! fields {
    ($(#[$doc:meta])* $name:ident of $strukt:literal { $($field:ident = $go:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        #[allow(missing_docs)]
        pub struct $name {
            // Not of every struct is it asked for.
            #[allow(dead_code)]
            pub size: u64,
            $(pub $field: Field),*
        }

        impl $name {
            /// Looks them up.
            pub fn of(layout: &Layout) -> Result<Self, Error> {
                Ok(Self {
                    size: layout.size($strukt).filter(|size| *size <= 1 << 24).ok_or(Error::Layout($strukt))?,
                    $($field: must(layout, $strukt, $go)?),*
                })
            }
        }
    };
}

fields! {
    /// `runtime.mspan`.
    Mspan of "runtime.mspan" {
        start = "startAddr", pages = "npages", freeindex = "freeindex", nelems = "nelems",
        alloc_bits = "allocBits", mark_bits = "gcmarkBits", sweepgen = "sweepgen", class = "spanclass",
        state = "state", elemsize = "elemsize", specials = "specials",
    }
}
fields! {
    /// `runtime.special`.
    SpecialHead of "runtime.special" { next = "next", offset = "offset", kind = "kind" }
}
fields! {
    /// `runtime.specialfinalizer`.
    FinalizerSpecial of "runtime.specialfinalizer" { function = "fn", pointer_type = "ot" }
}
fields! {
    /// `runtime.finalizer`.
    Finalizer of "runtime.finalizer" { function = "fn", argument = "arg", first = "fint", pointer_type = "ot" }
}
fields! {
    /// `runtime.finBlock`.
    FinalizerBlock of "runtime.finBlock" { all = "alllink", next = "next", count = "cnt", entries = "fin" }
}
fields! {
    /// `runtime.cleanupBlockHeader`.
    CleanupHeader of "runtime.cleanupBlockHeader" { all = "alllink", count = "n" }
}
fields! {
    /// `runtime.cleanupQueue`.
    CleanupQueue of "runtime.cleanupQueue" {
        all = "all", running = "running", goroutines = "ng", executed = "executed",
    }
}
fields! {
    /// `runtime.cleanupFn`.
    CleanupFn of "runtime.cleanupFn" { function = "fn", argument = "arg" }
}
fields! {
    /// `runtime.mstats`.
    Memstats of "runtime.mstats" {
        cycles = "numgc", forced = "numforcedgc", enabled = "enablegc", last = "last_gc_nanotime",
        last_unix = "last_gc_unix",
    }
}
fields! {
    /// `runtime.g`.
    Goroutine of "runtime.g" {
        stack = "stack", sched = "sched", syscallsp = "syscallsp", syscallpc = "syscallpc",
        status = "atomicstatus", id = "goid", since = "waitsince", reason = "waitreason", start = "startpc",
    }
}
fields! {
    /// `runtime.gobuf`.
    Gobuf of "runtime.gobuf" { sp = "sp", pc = "pc", lr = "lr" }
}
fields! {
    /// `runtime.bucket`.
    Bucket of "runtime.bucket" { next = "allnext", kind = "typ", size_of_object = "size", frames = "nstk" }
}
fields! {
    /// `runtime.memRecordCycle`.
    Record of "runtime.memRecordCycle" {
        allocs = "allocs", frees = "frees",
    }
}

/// The numbers of the kinds of special in one release.
#[derive(Debug, Clone, Copy)]
pub struct Kinds {
    /// `_KindSpecialFinalizer`.
    pub finalizer: u64,
    /// `_KindSpecialWeakHandle`, from 1.23 on.
    pub weak: Option<u64>,
    /// `_KindSpecialCleanup`, from 1.24 on.
    pub cleanup: Option<u64>,
    /// The highest that there is.
    pub highest: u64,
}

impl Kinds {
    /// Specials of this kind are told one by one; of the others, how many there are.
    pub fn is_told(&self, kind: u64) -> bool {
        let kind = Some(kind);
        kind == Some(self.finalizer) || kind == self.weak || kind == self.cleanup
    }
}

/// What a cleanup's special holds.
#[derive(Debug, Clone, Copy)]
pub enum CleanupSpecial {
    /// A closure of `runtime.AddCleanup`, which has function and argument in it (1.24 and 1.25).
    Closure {
        /// The closure.
        function: Field,
        /// The cleanup's number.
        id: Field,
        /// Bytes of the special.
        size: u64,
    },
    /// A function and a pointer to its argument (from 1.26 on).
    Pair {
        /// `cleanupFn`.
        cleanup: Field,
        /// The cleanup's number.
        id: Field,
        /// Bytes of the special.
        size: u64,
    },
}

/// All of one release.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Fields {
    pub heap_sweepgen: Field,
    pub heap_allspans: Field,
    pub heap_arenas: Field,
    pub heap_arena_list: Field,
    pub heap_pages: Option<Field>,
    pub heap_swept: Option<Field>,
    pub arena_spans: Field,
    pub arena_specials: Field,
    pub arena_inline: Option<Field>,
    pub inline_size: u64,
    pub inline_marks: u64,
    pub span: Mspan,
    pub special: SpecialHead,
    pub finalizer_special: FinalizerSpecial,
    pub cleanup_special: Option<CleanupSpecial>,
    pub finalizer: Finalizer,
    pub finalizer_block: FinalizerBlock,
    pub cleanup_queue: Option<CleanupQueue>,
    pub cleanup_header: Option<CleanupHeader>,
    pub cleanup_block: u64,
    pub cleanup_fn: Option<CleanupFn>,
    pub memstats: Memstats,
    pub controller_percent: Field,
    pub controller_minimum: Field,
    pub controller_limit: Option<Field>,
    pub controller_live: Field,
    pub controller_marked: Field,
    pub g: Goroutine,
    /// From 1.25 on.
    pub g_running_cleanups: Option<Field>,
    pub gobuf: Gobuf,
    pub p_id: Option<Field>,
    pub p_cleanups: Option<Field>,
    pub bucket: Bucket,
    pub record: Record,
    pub kinds: Kinds,
    pub finalizer_wait: u64,
    pub cleanup_wait: Option<u64>,
    pub tiny_class: u64,
    pub arena_base: u64,
}

impl Fields {
    /// Looks all of them up.
    pub fn of(layout: &Layout) -> Result<Self, Error> {
        let constant = |name: &str| {
            layout
                .constant(name)
                .and_then(|value| u64::try_from(value).ok())
        };
        let kind = |name: &str| constant(name).filter(|kind| *kind < 64);
        let inline = layout.field("runtime.spanInlineMarkBits", "marks");
        let weak = kind("runtime._KindSpecialWeakHandle");
        let cleanup = kind("runtime._KindSpecialCleanup");
        let cleanup_special = cleanup.and_then(|_| cleanup_special(layout));
        let cleanup_fn = CleanupFn::of(layout).ok();
        // Without them, cleanups would be taken for specials that call nothing.
        match cleanup_special {
            None if cleanup.is_some() => return Err(Error::Layout("specialCleanup")),
            Some(CleanupSpecial::Pair { .. }) if cleanup_fn.is_none() => {
                return Err(Error::Layout("cleanupFn"));
            }
            _ => {}
        }
        Ok(Self {
            heap_sweepgen: must(layout, "runtime.mheap", "sweepgen")?,
            heap_allspans: must(layout, "runtime.mheap", "allspans")?,
            heap_arenas: must(layout, "runtime.mheap", "arenas")?,
            // runtime/mheap.go: allArenas until 1.24, then heapArenas, without those of user arenas.
            heap_arena_list: must(layout, "runtime.mheap", "heapArenas")
                .or_else(|_| must(layout, "runtime.mheap", "allArenas"))?,
            heap_pages: layout.field("runtime.mheap", "pagesInUse"),
            heap_swept: layout.field("runtime.mheap", "pagesSwept"),
            arena_spans: must(layout, "runtime.heapArena", "spans")?,
            arena_specials: must(layout, "runtime.heapArena", "pageSpecials")?,
            arena_inline: layout.field("runtime.heapArena", "pageUseSpanInlineMarkBits"),
            inline_size: layout.size("runtime.spanInlineMarkBits").unwrap_or(0),
            inline_marks: inline.map_or(0, |field| field.offset),
            span: Mspan::of(layout)?,
            special: SpecialHead::of(layout)?,
            finalizer_special: FinalizerSpecial::of(layout)?,
            cleanup_special,
            finalizer: Finalizer::of(layout)?,
            finalizer_block: FinalizerBlock::of(layout)?,
            cleanup_queue: CleanupQueue::of(layout).ok(),
            cleanup_header: CleanupHeader::of(layout).ok(),
            cleanup_block: layout
                .size("runtime.cleanupBlock")
                .unwrap_or(0)
                .min(1 << 16),
            cleanup_fn,
            memstats: Memstats::of(layout)?,
            controller_percent: must(layout, "runtime.gcControllerState", "gcPercent")?,
            controller_minimum: must(layout, "runtime.gcControllerState", "heapMinimum")?,
            controller_limit: layout.field("runtime.gcControllerState", "memoryLimit"),
            controller_live: must(layout, "runtime.gcControllerState", "heapLive")?,
            controller_marked: must(layout, "runtime.gcControllerState", "heapMarked")?,
            g: Goroutine::of(layout)?,
            g_running_cleanups: layout.field("runtime.g", "runningCleanups"),
            gobuf: Gobuf::of(layout)?,
            p_id: layout.field("runtime.p", "id"),
            p_cleanups: layout.field("runtime.p", "cleanups"),
            bucket: Bucket::of(layout)?,
            record: Record::of(layout)?,
            kinds: Kinds {
                finalizer: kind("runtime._KindSpecialFinalizer")
                    .ok_or(Error::Layout("_KindSpecialFinalizer"))?,
                weak,
                cleanup,
                highest: [
                    "Finalizer",
                    "WeakHandle",
                    "Profile",
                    "Reachable",
                    "PinCounter",
                    "Cleanup",
                    "TinyBlock",
                    "CheckFinalizer",
                    "Bubble",
                    "Secret",
                ]
                .iter()
                .filter_map(|name| kind(&format!("runtime._KindSpecial{name}")))
                .max()
                .unwrap_or(0),
            },
            finalizer_wait: constant("runtime.waitReasonFinalizerWait")
                .ok_or(Error::Layout("waitReasonFinalizerWait"))?,
            cleanup_wait: constant("runtime.waitReasonCleanupWait"),
            tiny_class: constant("runtime.tinySpanClass").unwrap_or(5),
            // runtime/malloc.go: 0xffff800000000000 on amd64, 0 on arm64. A negative constant in DWARF.
            arena_base: layout
                .constant("runtime.arenaBaseOffsetUintptr")
                .map_or(0, |value| value as u64),
        })
    }
}

fn cleanup_special(layout: &Layout) -> Option<CleanupSpecial> {
    let size = layout.size("runtime.specialCleanup")?;
    let id = layout.field("runtime.specialCleanup", "id")?;
    if let Some(function) = layout.field("runtime.specialCleanup", "fn") {
        return Some(CleanupSpecial::Closure { function, id, size });
    }
    let cleanup = layout.field("runtime.specialCleanup", "cleanup")?;
    Some(CleanupSpecial::Pair { cleanup, id, size })
}
