//! Compiles BPF programs: the iterators of the independent truth, one object file
//! per kind, and what the scenes load.

use std::env;
use std::path::PathBuf;
use std::process::Command;

/// Newest first; any that targets BPF will do.
const CLANGS: [&str; 8] = [
    "clang-19", "clang-20", "clang-21", "clang-18", "clang-17", "clang-16", "clang", "clang-15",
];

/// `fixtures/NAME.bpf.c`
const FIXTURES: [&str; 5] = [
    "timers",
    "many_timers",
    "workqueues",
    "kptr_kernel",
    "kptr_local",
];

fn main() {
    println!("cargo::rerun-if-env-changed=CLANG");
    let clang = env::var("CLANG").ok().or_else(|| {
        CLANGS
            .iter()
            .find(|c| Command::new(c).arg("--version").output().is_ok())
            .map(ToString::to_string)
    });
    let clang = clang.expect("no clang found: install clang-19, or set CLANG");
    for kind in ["map", "prog", "link", "link_file", "file"] {
        let define = format!("-DTRUTH_{}", kind.to_uppercase());
        let object = format!("truth_{kind}.bpf.o");
        compile(&clang, "truth/refcnt.bpf.c", &[&define], &object);
    }
    println!("cargo::rerun-if-changed=fixtures/common.h");
    for name in FIXTURES {
        let source = format!("fixtures/{name}.bpf.c");
        compile(&clang, &source, &[], &format!("{name}.bpf.o"));
    }
}

fn compile(clang: &str, source: &str, flags: &[&str], object: &str) {
    println!("cargo::rerun-if-changed={source}");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let status = Command::new(clang)
        .args([
            "-target", "bpf", "-mcpu=v2", "-g", "-O2", "-Wall", "-Werror",
        ])
        .args(flags)
        .args(["-c", source, "-o"])
        .arg(out.join(object))
        .status()
        .unwrap_or_else(|e| panic!("cannot run {clang}: {e}"));
    assert!(
        status.success(),
        "{clang} failed on {source}: libbpf's headers are in the package libbpf-dev"
    );
}
