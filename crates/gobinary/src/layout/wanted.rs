//! Which structs and constants are read.

/// All fields of these. A name with a package is a struct's full name in DWARF; where a release named it
/// otherwise, the older name is mapped to the newer one by [`renamed`].
pub const WHOLE: &[&str] = &[
    "runtime.mspan",
    "runtime.heapArena",
    "runtime.special",
    "runtime.specialfinalizer",
    "runtime.specialCleanup",
    "runtime.specialWeakHandle",
    "runtime.specialprofile",
    "runtime.cleanupFn",
    "runtime.finalizer",
    "runtime.finBlock",
    "runtime.cleanupBlockHeader",
    "runtime.cleanupBlock",
    "runtime.cleanupQueue",
    "runtime.gobuf",
    "runtime.stack",
    "runtime._defer",
    "runtime._panic",
    "runtime.moduledata",
    "runtime.gcControllerState",
    "runtime.bucket",
    "runtime.memRecord",
    "runtime.memRecordCycle",
    "runtime.spanInlineMarkBits",
    "runtime.hchan",
    "runtime.sudog",
    "runtime.pollDesc",
    "runtime.g",
    "runtime.timer",
    "runtime.itab",
    "runtime.eface",
    "runtime.iface",
    "runtime._func",
    "runtime.funcval",
    "runtime.pcHeader",
    "runtime.stackObjectRecord",
    "runtime.hmap",
    "runtime.bmap",
    "internal/abi.Type",
    "internal/abi.PtrType",
    "internal/abi.StructType",
    "internal/abi.StructField",
    "internal/abi.UncommonType",
    "internal/runtime/maps.Map",
];

/// Some fields of large structs, whose others are not needed or move between patches.
pub const PART: &[(&str, &[&str])] = &[
    (
        "runtime.mheap",
        &[
            "sweepgen",
            "allspans",
            "pagesInUse",
            "pagesSwept",
            "pagesSweptBasis",
            "sweepPagesPerByte",
            "arenas",
            "allArenas",
            "heapArenas",
            "sweepArenas",
            "markArenas",
            "spanalloc",
        ],
    ),
    (
        "runtime.mstats",
        &[
            "numgc",
            "numforcedgc",
            "enablegc",
            "last_gc_unix",
            "last_gc_nanotime",
        ],
    ),
    ("runtime.m", &["g0", "procid", "gsignal", "curg"]),
    (
        "runtime.p",
        &[
            "id",
            "status",
            "m",
            "mcache",
            "cleanups",
            "cleanupsQueued",
            "timers",
        ],
    ),
    ("runtime.schedt", &["ngsys", "gFree"]),
];

/// Beginnings of the names of constants that are read.
pub const CONSTANTS: &[&str] = &[
    "runtime._KindSpecial",
    "runtime._G",
    "runtime._Pidle",
    "runtime._Prunning",
    "runtime._Psyscall",
    "runtime._Pgcstop",
    "runtime._Pdead",
    "runtime.waitReason",
    "runtime.mSpan",
    "runtime.fing",
    "runtime.heapArenaBytes",
    "runtime.arenaBaseOffset",
    "runtime.arenaL1Bits",
    "runtime.arenaL2Bits",
    "runtime.pageSize",
    "runtime.pageShift",
    "runtime.tinySpanClass",
    "runtime.maxTinySize",
    "runtime._FinBlockSize",
    "runtime.finBlockSize",
    "runtime.cleanupBlockSize",
    "runtime.forcegcperiod",
    "runtime.bucketType",
    "runtime.memProfile",
];

/// What every release from 1.18 on has; without it nothing can be read.
pub const ALWAYS: &[(&str, &[&str])] = &[
    ("runtime.mheap", &["sweepgen", "allspans", "arenas"]),
    ("runtime.heapArena", &["spans", "pageSpecials"]),
    (
        "runtime.mspan",
        &[
            "startAddr",
            "npages",
            "freeindex",
            "nelems",
            "allocBits",
            "gcmarkBits",
            "sweepgen",
            "spanclass",
            "state",
            "elemsize",
            "specials",
        ],
    ),
    ("runtime.special", &["next", "offset", "kind"]),
    ("runtime.specialfinalizer", &["fn", "fint", "ot"]),
    ("runtime.finalizer", &["fn", "arg", "fint", "ot"]),
    ("runtime.finBlock", &["alllink", "next", "cnt", "fin"]),
    (
        "runtime.g",
        &[
            "stack",
            "sched",
            "syscallsp",
            "syscallpc",
            "atomicstatus",
            "goid",
            "waitsince",
            "waitreason",
            "startpc",
        ],
    ),
    ("runtime.gobuf", &["sp", "pc", "lr"]),
    ("runtime.moduledata", &["pcHeader", "text", "types", "next"]),
    ("runtime.mstats", &["numgc", "last_gc_nanotime", "enablegc"]),
    ("runtime.gcControllerState", &["gcPercent", "heapLive"]),
];

/// The newer name of a struct that once had another.
pub fn renamed(name: &str) -> &str {
    match name {
        // Until 1.24 (runtime/mfinal.go).
        "runtime.finblock" => "runtime.finBlock",
        // Until 1.20 (runtime/type.go); its fields had other names too.
        "runtime._type" => "internal/abi.Type",
        other => other,
    }
}

/// The newer name of a field that once had another.
pub fn renamed_field<'a>(strukt: &str, field: &'a str) -> &'a str {
    match (strukt, field) {
        // An embedded struct is a field named after its type.
        ("internal/abi.Type", "size") => "Size_",
        ("internal/abi.Type", "ptrdata") => "PtrBytes",
        ("internal/abi.Type", "hash") => "Hash",
        ("internal/abi.Type", "tflag") => "TFlag",
        ("internal/abi.Type", "kind") => "Kind_",
        ("internal/abi.Type", "gcdata") => "GCData",
        ("internal/abi.Type", "str") => "Str",
        ("internal/abi.Type", "ptrToThis") => "PtrToThis",
        _ => field,
    }
}

/// Whether a constant is read.
pub fn constant(name: &str) -> bool {
    CONSTANTS.iter().any(|start| name.starts_with(start))
}

/// Which fields of a struct are read.
#[derive(Debug, Clone, Copy)]
pub enum Fields {
    /// All.
    All,
    /// These.
    Only(&'static [&'static str]),
}

impl Fields {
    /// Whether this one is.
    pub fn has(self, field: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(fields) => fields.contains(&field),
        }
    }
}

/// A struct's name and which of its fields are read; none if it is not read.
pub fn strukt(name: &str) -> Option<(&'static str, Fields)> {
    if let Some(whole) = WHOLE.iter().find(|known| **known == name) {
        return Some((whole, Fields::All));
    }
    let (known, fields) = PART.iter().find(|(known, _)| *known == name)?;
    Some((known, Fields::Only(fields)))
}
