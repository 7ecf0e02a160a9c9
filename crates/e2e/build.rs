//! Compiles the iterators of the independent truth, one object file per kind.

use std::env;
use std::path::PathBuf;
use std::process::Command;

/// Newest first; any that targets BPF will do.
const CLANGS: [&str; 8] = [
    "clang-19", "clang-20", "clang-21", "clang-18", "clang-17", "clang-16", "clang", "clang-15",
];

fn main() {
    let source = "truth/refcnt.bpf.c";
    println!("cargo::rerun-if-changed={source}");
    println!("cargo::rerun-if-env-changed=CLANG");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let clang = env::var("CLANG").ok().or_else(|| {
        CLANGS
            .iter()
            .find(|c| Command::new(c).arg("--version").output().is_ok())
            .map(ToString::to_string)
    });
    let clang = clang.expect("no clang found: install clang-19, or set CLANG");
    for kind in ["map", "prog", "link", "file"] {
        let status = Command::new(&clang)
            .args([
                "-target", "bpf", "-mcpu=v2", "-g", "-O2", "-Wall", "-Werror",
            ])
            .arg(format!("-DTRUTH_{}", kind.to_uppercase()))
            .args(["-c", source, "-o"])
            .arg(out.join(format!("truth_{kind}.bpf.o")))
            .status()
            .unwrap_or_else(|e| panic!("cannot run {clang}: {e}"));
        assert!(
            status.success(),
            "{clang} failed on {source}: libbpf's headers are in the package libbpf-dev"
        );
    }
}
