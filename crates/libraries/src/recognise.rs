//! Which libraries a program has: by its Go modules, its mapped files, its own bytes.

use crate::language::file_name;
use crate::{Library, LibraryKind};
use memchr::memmem;

/// Go modules that make handles.
const MODULES: [(&str, LibraryKind); 3] = [
    ("github.com/cilium/ebpf", LibraryKind::CiliumEbpf),
    ("github.com/aquasecurity/libbpfgo", LibraryKind::Libbpfgo),
    ("github.com/iovisor/gobpf", LibraryKind::Gobpf),
];

/// The libraries among a Go program's modules, as its build info has them; with `cgo`, C code beside
/// them. The standard library is in every Go program and not told.
pub fn of_modules<'a>(
    modules: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
    cgo: bool,
) -> Vec<Library> {
    let known = modules.into_iter().filter_map(|(path, version)| {
        let (_, kind) = MODULES.iter().find(|(module, _)| *module == path)?;
        Some(Library {
            kind: *kind,
            path: path.to_owned(),
            version: version.filter(|v| !v.is_empty()).map(str::to_owned),
        })
    });
    let cgo = cgo.then(|| named(LibraryKind::Cgo, "cgo", None));
    sorted(known.chain(cgo).collect())
}

/// The libraries among the files that a process has mapped.
pub fn of_files<'a>(mapped: impl IntoIterator<Item = &'a str>) -> Vec<Library> {
    let known = mapped.into_iter().filter_map(|path| {
        let name = file_name(path);
        let (stem, rest) = name.split_once(".so")?;
        let (kind, of) = match stem {
            "libbpf" => (LibraryKind::Libbpf, "libbpf"),
            "libxdp" => (LibraryKind::Libxdp, "libxdp"),
            "libbcc" => (LibraryKind::Bcc, "libbcc"),
            _ => return None,
        };
        // `.1` is the name of the interface, `.1.5.0` the release.
        let version = rest.strip_prefix('.').filter(|v| v.split('.').count() == 3);
        Some(named(kind, of, version))
    });
    sorted(known.collect())
}

/// The libraries that were linked into a program, by what they left in its read-only data: paths of
/// crates in the locations of Rust's `panic`, the beginnings of libbpf's messages.
///
/// One pass for each library, whatever the bytes.
pub fn of_bytes(read_only_data: &[u8]) -> Vec<Library> {
    let mut known = vec![];
    for (prefix, kind, of) in [
        ("/aya-", LibraryKind::Aya, "aya"),
        ("/libbpf-rs-", LibraryKind::LibbpfRs, "libbpf-rs"),
    ] {
        known.extend(crate_version(read_only_data, prefix).map(|v| named(kind, of, Some(v))));
    }
    for (message, kind, of) in [
        // libbpf.c, bpf_object__open; xdp-tools lib/libxdp/libxdp.c
        ("libbpf: elf: ", LibraryKind::Libbpf, "libbpf"),
        ("libxdp: ", LibraryKind::Libxdp, "libxdp"),
    ] {
        if memmem::find(read_only_data, message.as_bytes()).is_some() {
            known.push(named(kind, of, None));
        }
    }
    sorted(known)
}

/// `/aya-0.14.0/src/`: the version between.
fn crate_version<'a>(bytes: &'a [u8], prefix: &str) -> Option<&'a str> {
    memmem::find_iter(bytes, prefix.as_bytes()).find_map(|at| {
        let rest = bytes.get(at + prefix.len()..)?;
        let length = rest.iter().take(32).position(|&b| b == b'/')?;
        let version = std::str::from_utf8(&rest[..length]).ok()?;
        let is_version =
            rest[length..].starts_with(b"/src/") && crate::parse_version(version).is_some();
        is_version.then_some(version)
    })
}

fn named(kind: LibraryKind, path: &str, version: Option<&str>) -> Library {
    Library {
        kind,
        path: path.to_owned(),
        version: version.map(str::to_owned),
    }
}

/// Each once, one with a version rather than without.
fn sorted(mut libraries: Vec<Library>) -> Vec<Library> {
    libraries.sort_by(|a, b| (a.kind, &a.path, &b.version).cmp(&(b.kind, &b.path, &a.version)));
    libraries.dedup_by(|next, kept| next.kind == kept.kind && next.path == kept.path);
    libraries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(libraries: &[Library]) -> Vec<(LibraryKind, Option<&str>)> {
        let told = libraries.iter();
        told.map(|l| (l.kind, l.version.as_deref())).collect()
    }

    #[test]
    fn modules() {
        let modules = [
            ("example.org/agent", Some("v1.0.0")),
            ("github.com/cilium/ebpf", Some("v0.16.0")),
            ("github.com/cilium/ebpf/cmd", Some("v0.1.0")),
            ("github.com/aquasecurity/libbpfgo", Some("")),
        ];
        assert_eq!(
            told(&of_modules(modules, true)),
            [
                (LibraryKind::CiliumEbpf, Some("v0.16.0")),
                (LibraryKind::Libbpfgo, None),
                (LibraryKind::Cgo, None),
            ]
        );
    }

    #[test]
    fn files() {
        let files = [
            "/usr/lib/libbpf.so.1.5.0",
            "/usr/lib/libbpf.so.1",
            "/usr/lib/libbpfilter.so.1",
            "/opt/libbcc.so.0 (deleted)",
            "/usr/lib/libbpf.a",
            "[vdso]",
        ];
        assert_eq!(
            told(&of_files(files)),
            [
                (LibraryKind::Libbpf, Some("1.5.0")),
                (LibraryKind::Bcc, None)
            ]
        );
    }

    #[test]
    fn bytes() {
        let data = b"..\0/r/aya-obj-0.3.0/src/lib.rs/r/aya-x/src/ /r/aya-0.14.0/src/lib.rs\0libbpf: elf: %s";
        assert_eq!(
            told(&of_bytes(data)),
            [
                (LibraryKind::Libbpf, None),
                (LibraryKind::Aya, Some("0.14.0"))
            ]
        );
        for cut in 0..data.len() {
            of_bytes(&data[cut..]);
            of_bytes(&data[..cut]);
        }
        assert_eq!(of_bytes(b""), []);
    }
}
