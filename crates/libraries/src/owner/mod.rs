//! Go types that own a descriptor or a mapping: where it stands in them, and what they register to
//! release it.

use crate::LibraryKind;
use crate::version::{is_before, is_between_releases, is_since};
use std::ops::Range;

/// A Go type that owns something of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerType {
    /// As Go prints a pointer to it: `*sys.FD`.
    pub type_name: &'static str,
    /// Full path of its package.
    pub package: &'static str,
    /// Whose it is.
    pub library: LibraryKind,
    /// First and last release that has it so, the last excluded; of the module.
    versions: Range<[u64; 3]>,
    /// What it owns.
    pub stands: Stands,
    /// What it registers when it is made.
    pub registers: Registers,
    /// It is smaller than 16 bytes and has no pointer: it shares a block of the tiny allocator
    /// (runtime/malloc.go, `mallocgcTiny`).
    pub tiny: bool,
    /// The function that its cleanup calls: the last parts of its name, after the package.
    cleanup: Option<&'static str>,
    /// How the shape of its type begins in names of generic functions, before the first field's
    /// type.
    shape: Option<&'static str>,
}

/// What an owner owns, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stands {
    /// A descriptor: a signed number at this offset, of so many bytes. Below 0 once it is closed or
    /// given away. A cleanup's argument is the same number.
    Descriptor {
        /// Bytes from the start of the object.
        offset: u64,
        /// 4 or 8.
        width: u64,
    },
    /// Mappings of a map, no descriptor.
    Mapping,
    /// Nothing of ours: a descriptor that is none of BPF, an event's name.
    Other,
}

/// What a type registers for the collector to release it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registers {
    /// `runtime.SetFinalizer`
    Finalizer,
    /// `runtime.AddCleanup`
    Cleanup,
    /// Nothing, ever: dropping it releases nothing.
    Never,
}

const ANY: Range<[u64; 3]> = [0, 0, 0]..[u64::MAX, 0, 0];
const UP_TO_0_19: Range<[u64; 3]> = [0, 0, 0]..[0, 20, 0];
const SINCE_0_20: Range<[u64; 3]> = [0, 20, 0]..[u64::MAX, 0, 0];
const FIRST_WORD: Stands = Stands::Descriptor {
    offset: 0,
    width: 8,
};

const fn finalizer(
    type_name: &'static str,
    package: &'static str,
    versions: Range<[u64; 3]>,
    stands: Stands,
) -> OwnerType {
    OwnerType {
        type_name,
        package,
        library: LibraryKind::CiliumEbpf,
        versions,
        stands,
        registers: Registers::Finalizer,
        tiny: false,
        cleanup: None,
        shape: None,
    }
}

const fn with_cleanup(
    type_name: &'static str,
    package: &'static str,
    stands: Stands,
    cleanup: &'static str,
    shape: &'static str,
) -> OwnerType {
    OwnerType {
        registers: Registers::Cleanup,
        cleanup: Some(cleanup),
        shape: Some(shape),
        ..finalizer(type_name, package, SINCE_0_20, stands)
    }
}

/// `poll.FD` is the first field of these; in it `Sysfd` follows the 16 bytes of `fdMutex`
/// (`internal/poll/fd_unix.go`, the same in Go 1.18 to 1.27).
const fn std(type_name: &'static str, package: &'static str) -> OwnerType {
    let sysfd = Stands::Descriptor {
        offset: 16,
        width: 8,
    };
    OwnerType {
        library: LibraryKind::GoStd,
        ..finalizer(type_name, package, ANY, sysfd)
    }
}

const fn libbpfgo(type_name: &'static str, stands: Stands) -> OwnerType {
    OwnerType {
        library: LibraryKind::Libbpfgo,
        registers: Registers::Never,
        ..finalizer(type_name, "github.com/aquasecurity/libbpfgo", ANY, stands)
    }
}

/// All that are known. Read in the sources of cilium/ebpf v0.5 to v0.22, libbpfgo v0.4.5 and v0.5.1,
/// Go 1.18 to 1.27.
pub const OWNERS: &[OwnerType] = &[
    // cilium/ebpf internal/sys/fd.go, newFD; internal/fd.go until v0.7. Map, Program, Handle and all
    // links have one and register nothing themselves.
    OwnerType {
        tiny: true,
        ..finalizer(
            "*sys.FD",
            "github.com/cilium/ebpf/internal/sys",
            UP_TO_0_19,
            FIRST_WORD,
        )
    },
    OwnerType {
        tiny: true,
        ..finalizer(
            "*internal.FD",
            "github.com/cilium/ebpf/internal",
            UP_TO_0_19,
            FIRST_WORD,
        )
    },
    with_cleanup(
        "*sys.FD",
        "github.com/cilium/ebpf/internal/sys",
        FIRST_WORD,
        "newFD.func",
        "github.com/cilium/ebpf/internal/sys.raw ",
    ),
    // ringbuf/ring.go, newRingBufEventRing: two mappings of the ring buffer's map.
    finalizer(
        "*ringbuf.ringbufEventRing",
        "github.com/cilium/ebpf/ringbuf",
        UP_TO_0_19,
        Stands::Mapping,
    ),
    with_cleanup(
        "*ringbuf.mmapEventRing",
        "github.com/cilium/ebpf/ringbuf",
        Stands::Mapping,
        "newRingBufEventRing.func",
        "github.com/cilium/ebpf/ringbuf.prod ",
    ),
    // memory.go, newMemory.
    finalizer(
        "*ebpf.Memory",
        "github.com/cilium/ebpf",
        [0, 17, 0]..[0, 20, 0],
        Stands::Mapping,
    ),
    with_cleanup(
        "*ebpf.Memory",
        "github.com/cilium/ebpf",
        Stands::Mapping,
        "memoryCleanupFunc.func",
        "github.com/cilium/ebpf.b ",
    ),
    // perf/ring.go, link/perf_event.go, internal/epoll/poller.go, internal/tracefs/kprobe.go: perf
    // events and what belongs to them.
    finalizer(
        "*perf.perfEventRing",
        "github.com/cilium/ebpf/perf",
        UP_TO_0_19,
        Stands::Other,
    ),
    with_cleanup(
        "*perf.perfEventRing",
        "github.com/cilium/ebpf/perf",
        Stands::Other,
        "newPerfEventRing.func",
        "github.com/cilium/ebpf/perf.cpu ",
    ),
    finalizer(
        "*perf.Reader",
        "github.com/cilium/ebpf/perf",
        UP_TO_0_19,
        Stands::Other,
    ),
    finalizer(
        "*link.perfEvent",
        "github.com/cilium/ebpf/link",
        UP_TO_0_19,
        Stands::Other,
    ),
    finalizer(
        "*link.perfEventIoctl",
        "github.com/cilium/ebpf/link",
        UP_TO_0_19,
        Stands::Other,
    ),
    finalizer(
        "*link.perfEventLink",
        "github.com/cilium/ebpf/link",
        UP_TO_0_19,
        Stands::Other,
    ),
    finalizer(
        "*epoll.Poller",
        "github.com/cilium/ebpf/internal/epoll",
        UP_TO_0_19,
        Stands::Other,
    ),
    with_cleanup(
        "*epoll.Poller",
        "github.com/cilium/ebpf/internal/epoll",
        Stands::Other,
        "New.func",
        "github.com/cilium/ebpf/internal/epoll.epollMu ",
    ),
    finalizer(
        "*tracefs.Event",
        "github.com/cilium/ebpf/internal/tracefs",
        UP_TO_0_19,
        Stands::Other,
    ),
    with_cleanup(
        "*tracefs.Event",
        "github.com/cilium/ebpf/internal/tracefs",
        Stands::Other,
        "NewEvent.func",
        "github.com/cilium/ebpf/internal/tracefs.typ ",
    ),
    // os/file_unix.go, newFile; net/fd_posix.go, (*netFD).init's SetFinalizer.
    std("*os.file", "os"),
    std("*net.netFD", "net"),
    // libbpfgo map-low.go: its fd is the first field. What the others have stands in C structs.
    libbpfgo("*libbpfgo.BPFMapLow", FIRST_WORD),
    libbpfgo("*libbpfgo.BPFMap", Stands::Other),
    libbpfgo("*libbpfgo.BPFProg", Stands::Other),
    libbpfgo("*libbpfgo.BPFLink", Stands::Other),
    libbpfgo("*libbpfgo.Module", Stands::Other),
];

impl OwnerType {
    fn is_of(&self, version: Option<&str>) -> bool {
        // What nobody versioned may be either: the reading tells which it is.
        is_between_releases(version)
            || is_since(version, self.versions.start) && is_before(version, self.versions.end)
    }
}

/// The type of a pointer that a special is on, or that a reader found by other means. `version` is
/// that of the module its package belongs to.
///
/// Of a version that is not known, or that was built between two releases, the oldest entry is
/// returned: what it registers is then a guess, what it owns is not.
///
/// ```
/// let fd = libraries::owner("*sys.FD", "github.com/cilium/ebpf/internal/sys", Some("v0.16.0"));
/// assert_eq!(fd.expect("known").registers, libraries::Registers::Finalizer);
/// ```
pub fn owner(type_name: &str, package: &str, version: Option<&str>) -> Option<&'static OwnerType> {
    let package = without_vendor(package);
    let mut named = OWNERS
        .iter()
        .filter(|o| o.type_name == type_name && o.package == package);
    named.find(|o| o.library == LibraryKind::GoStd || o.is_of(version))
}

/// The type whose cleanup this function is: the closure that `AddCleanup` was given, or, in Go 1.24
/// and 1.25, the runtime's wrapper of it.
///
/// ```
/// let fd = libraries::cleanup("github.com/cilium/ebpf/internal/sys.newFD.func1");
/// assert_eq!(fd.expect("known").type_name, "*sys.FD");
/// assert_eq!(libraries::cleanup("main.newFD.func1"), None);
/// ```
pub fn cleanup(function: &str) -> Option<&'static OwnerType> {
    if let Some(shape) = function.strip_prefix("runtime.AddCleanup[go.shape.struct { ") {
        return OWNERS
            .iter()
            .find(|o| o.shape.is_some_and(|begins| shape.starts_with(begins)));
    }
    let function = without_vendor(function);
    OWNERS.iter().find(|o| {
        let Some(name) = o.cleanup else {
            return false;
        };
        let rest = function
            .strip_prefix(o.package)
            .and_then(|f| f.strip_prefix('.'));
        // Inlined into its caller, the closure of newFD is called NewFD.newFD.func1.
        rest.is_some_and(|rest| {
            let at = if rest.starts_with(name) {
                Some(0)
            } else {
                rest.find(&format!(".{name}")).map(|at| at + 1)
            };
            at.is_some_and(|at| is_number(&rest[at + name.len()..]))
        })
    })
}

/// `1`, or the `1.2` of a closure in a closure.
fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// Programs built without modules have the path of what they vendor before that of a package.
fn without_vendor(path: &str) -> &str {
    path.rfind("/vendor/")
        .map_or(path, |at| &path[at + "/vendor/".len()..])
}

#[cfg(test)]
mod tests;
