//! What a scenario needs of the host, and whether it is there.

use crate::manifest::{Language, Manifest, Need};
use std::env;
use std::path::{Path, PathBuf};

/// The first thing that is missing, as the end of "needs …".
pub fn missing(manifest: &Manifest) -> Option<String> {
    let tools: &[&str] = match manifest.language {
        Language::Go => &["go"],
        Language::C => &["cc"],
        Language::Rust => &["cargo"],
    };
    let found = |tool: &&str| which(tool).is_some();
    if !tools.iter().all(found) {
        return Some(format!(
            "{} ({} is not on the path)",
            manifest.language.name(),
            tools.join(", ")
        ));
    }
    manifest.needs.iter().find_map(|need| lacking(*need))
}

fn lacking(need: Need) -> Option<String> {
    match need {
        Need::Cgo => which("cc").is_none().then(|| "a C compiler for cgo".into()),
        Need::Libbpf => {
            let header = [
                "/usr/include/bpf/libbpf.h",
                "/usr/local/include/bpf/libbpf.h",
            ];
            let there = header.iter().any(|path| Path::new(path).exists());
            (!there).then(|| "libbpf's headers (libbpf-dev)".into())
        }
        Need::BpfCompiler if clang().is_none() => Some("clang".into()),
        Need::BpfCompiler => bpftool().is_none().then(|| "bpftool".into()),
        Need::CgroupV2 => cgroup2()
            .is_none()
            .then(|| "a cgroup hierarchy of version 2".into()),
    }
}

/// A program on the path, or where administrators' programs are.
pub fn which(tool: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/local/go/bin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let mut all = env::split_paths(&path).chain(more);
    all.find_map(|folder| {
        let file = folder.join(tool);
        file.is_file().then_some(file)
    })
}

/// The newest clang.
pub fn clang() -> Option<PathBuf> {
    let versions = (15..=22).rev().map(|v| format!("clang-{v}"));
    versions
        .chain(["clang".into()])
        .find_map(|name| which(&name))
}

/// bpftool, which distributions put in different places.
pub fn bpftool() -> Option<PathBuf> {
    which("bpftool")
}

/// Where the cgroup hierarchy of version 2 is mounted.
pub fn cgroup2() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (_, place, kind) = (words.next()?, words.next()?, words.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(place))
    })
}
