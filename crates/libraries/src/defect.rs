//! What versions of libraries are known to do wrong with handles.

use crate::version::is_before;
use crate::{Library, LibraryKind};
use model::Kind;

/// A defect of a library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defect {
    /// Of which.
    pub library: LibraryKind,
    /// The first release that has it no more; `None` if the newest has it.
    fixed_in: Option<([u64; 3], &'static str)>,
    /// What it leaves open, by kind of object.
    pub kinds: &'static [Kind],
    /// What happens, in a clause.
    pub says: &'static str,
}

impl Defect {
    /// The first release without it.
    pub fn fixed_in(&self) -> Option<&'static str> {
        self.fixed_in.map(|(_, release)| release)
    }
}

const MAP: &[Kind] = &[Kind::Map];
const PROG: &[Kind] = &[Kind::Prog];
const LINK: &[Kind] = &[Kind::Link];
const BTF: &[Kind] = &[Kind::Btf];
const ALL: &[Kind] = &[Kind::Map, Kind::Prog, Kind::Link];

const fn fixed(
    library: LibraryKind,
    release: [u64; 3],
    written: &'static str,
    kinds: &'static [Kind],
    says: &'static str,
) -> Defect {
    Defect {
        library,
        fixed_in: Some((release, written)),
        kinds,
        says,
    }
}

const fn still(library: LibraryKind, kinds: &'static [Kind], says: &'static str) -> Defect {
    Defect {
        library,
        fixed_in: None,
        kinds,
        says,
    }
}

/// Each with the change that ended it, or the code that has it.
const DEFECTS: &[Defect] = &[
    // github.com/cilium/ebpf/pull/428
    fixed(
        LibraryKind::CiliumEbpf,
        [0, 7, 0],
        "v0.7.0",
        ALL,
        "probing the kernel's features leaves descriptors to the collector",
    ),
    // commit 54f34552
    fixed(
        LibraryKind::CiliumEbpf,
        [0, 9, 1],
        "v0.9.1",
        MAP,
        "LoadAndAssign leaves maps that it does not assign to the collector",
    ),
    // github.com/cilium/ebpf/pull/725
    fixed(
        LibraryKind::CiliumEbpf,
        [0, 9, 1],
        "v0.9.1",
        MAP,
        "NewMap leaves a map that it cannot fill or freeze to the collector",
    ),
    // github.com/cilium/ebpf/pull/918
    fixed(
        LibraryKind::CiliumEbpf,
        [0, 11, 0],
        "v0.11.0",
        LINK,
        "closing a link of a kprobe in tracefs leaves its descriptor open",
    ),
    // commits 564f68be, ddb44453
    fixed(
        LibraryKind::CiliumEbpf,
        [0, 12, 0],
        "v0.12.0",
        BTF,
        "a module's BTF stays open when a type is not found in it",
    ),
    // prog.go, map.go: not appended to module.links
    still(
        LibraryKind::Libbpfgo,
        LINK,
        "Module.Close forgets links of AttachGeneric, uprobes, USDT, struct_ops and AttachCgroupLegacy",
    ),
    // map-low.go
    still(
        LibraryKind::Libbpfgo,
        MAP,
        "GetMapByID leaves its descriptor open when it cannot read the map's info",
    ),
    // bcc/module.go, elf/module.go
    still(
        LibraryKind::Gobpf,
        LINK,
        "Module.Close closes no raw tracepoint",
    ),
    still(
        LibraryKind::Gobpf,
        PROG,
        "Module.Close closes no tc program, and stops at the first error",
    ),
    // github.com/libbpf/libbpf commit 360ed84f
    fixed(
        LibraryKind::Libbpf,
        [0, 8, 0],
        "0.8.0",
        MAP,
        "a pinned map that is used again has a second descriptor, which stays open",
    ),
    // commit d23679b4
    still(
        LibraryKind::Libbpf,
        LINK,
        "bpf_link__disconnect leaves the descriptor open with no owner",
    ),
    // github.com/iovisor/bcc, src/python/bcc/__init__.py: atexit.register(self.cleanup)
    still(
        LibraryKind::Bcc,
        ALL,
        "in Python every BPF object is reachable until exit: dropping it releases nothing",
    ),
    // github.com/libbpf/libbpf-rs, Link::disconnect
    still(
        LibraryKind::LibbpfRs,
        LINK,
        "Link::disconnect leaves the descriptor open with no owner",
    ),
    // github.com/aya-rs/aya/issues/612
    fixed(
        LibraryKind::Aya,
        [0, 12, 0],
        "0.12.0",
        ALL,
        "descriptors that are kept as numbers stay open on errors",
    ),
];

/// What this library is known to leave open of a kind of object. A version that is not known has
/// only what the newest has too.
pub fn defects(library: &Library, kind: Kind) -> impl Iterator<Item = &'static Defect> {
    let version = library.version.as_deref();
    let has = move |d: &Defect| match d.fixed_in {
        Some((release, _)) => is_before(version, release),
        None => true,
    };
    let of = library.kind;
    DEFECTS
        .iter()
        .filter(move |d| d.library == of && d.kinds.contains(&kind) && has(d))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cilium(version: Option<&str>) -> Library {
        Library {
            kind: LibraryKind::CiliumEbpf,
            path: "github.com/cilium/ebpf".into(),
            version: version.map(str::to_owned),
        }
    }

    #[test]
    fn defects_end_with_a_release() {
        let count = |version| defects(&cilium(version), Kind::Map).count();
        assert_eq!(count(Some("v0.5.0")), 3);
        assert_eq!(count(Some("v0.9.0")), 2);
        assert_eq!(count(Some("v0.22.0")), 0);
        assert_eq!(count(None), 0);
    }

    #[test]
    fn what_the_newest_has_is_said_of_any() {
        let libbpfgo = Library {
            kind: LibraryKind::Libbpfgo,
            path: "github.com/aquasecurity/libbpfgo".into(),
            version: None,
        };
        assert_eq!(defects(&libbpfgo, Kind::Link).count(), 1);
        assert_eq!(defects(&libbpfgo, Kind::Btf).count(), 0);
    }
}
