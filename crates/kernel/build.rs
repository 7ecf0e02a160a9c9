//! Compiles the walks, links them into one BPF object and generates its skeleton.

use libbpf_cargo::SkeletonBuilder;
use libbpf_rs::btf::Btf;
use libbpf_rs::btf::types::Composite;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, process::Command};

const SOURCES: [&str; 11] = [
    "src/bpf/shared.bpf.c",
    "src/objects/objects.bpf.c",
    "src/holders/files/files.bpf.c",
    "src/holders/mappings/mappings.bpf.c",
    "src/holders/mappings/listed.bpf.c",
    "src/holders/pins/pins.bpf.c",
    "src/holders/slots/slots.bpf.c",
    "src/holders/nets/nets.bpf.c",
    "src/holders/cgroups/cgroups.bpf.c",
    "src/holders/carriers/carriers.bpf.c",
    "src/holders/carriers/children.bpf.c",
];

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let clang = clang();
    println!("cargo:rerun-if-changed=src");
    println!("cargo:rerun-if-env-changed=CLANG");

    let compile = |source: &str| {
        let object = out
            .join(Path::new(source).file_name().expect("a file name"))
            .with_extension("o");
        SkeletonBuilder::new()
            .source(root.join(source))
            .obj(&object)
            .clang(&clang)
            .clang_args(clang_args(&root))
            .build()
            .unwrap_or_else(|e| panic!("{source} does not compile:\n{e:#}"));
        object
    };
    let walks = out.join("walks.bpf.o");
    let mut linker = libbpf_rs::Linker::new(&walks).expect("a BPF linker");
    for source in SOURCES {
        linker.add_file(compile(source)).expect("the object links");
    }
    linker.link().expect("the walks link into one object");
    without_rodata(&walks);
    SkeletonBuilder::new()
        .obj(&walks)
        .generate(out.join("walks.skel.rs"))
        .expect("a skeleton");
    // Loaded only for a command that is followed: its maps are nothing for every sweep.
    SkeletonBuilder::new()
        .obj(compile("src/trace/tree.bpf.c"))
        .generate(out.join("tree.skel.rs"))
        .expect("a skeleton");
    std::fs::write(out.join("wanted.rs"), wanted(&walks)).expect("OUT_DIR can be written");
}

/// Constants in a section of their own (an initialiser of a struct is enough) are one more map,
/// libbpf then tries out binding it, and 5.10 refuses the BTF.
fn without_rodata(object: &Path) {
    let open = libbpf_rs::ObjectBuilder::default().open_file(object);
    let open = open.expect("the object opens");
    for map in open.maps() {
        let name = map.name().to_string_lossy().into_owned();
        assert!(
            !name.ends_with(".rodata"),
            "the walks have constants: {name}"
        );
    }
}

/// The structs that the walks declare, with their fields, for `core_btf.rs`.
fn wanted(object: &Path) -> String {
    let btf = Btf::from_path(object).expect("the object has BTF");
    let mut structs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for composite in btf.type_by_kind::<Composite<'_>>() {
        let name = composite.name().map(|n| n.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        // libbpf's "essential" name: without what follows three underscores.
        let name = name.split("___").next().unwrap_or_default().to_owned();
        let fields = structs.entry(name).or_default();
        let names = composite.iter().filter_map(|member| member.name);
        fields.extend(names.map(|n| n.to_string_lossy().into_owned()));
    }
    let mut table = String::from("pub const WANTED: &[(&str, &[&str])] = &[\n");
    for (name, fields) in structs {
        let _ = writeln!(
            table,
            "    ({name:?}, &{:?}),",
            fields.iter().collect::<Vec<_>>()
        );
    }
    table + "];\n"
}

/// `-mcpu` is pinned, as LLVM's default grew in version 20. v3 needs 5.1.
fn clang_args(root: &Path) -> Vec<OsString> {
    let mut args: Vec<OsString> = ["-mcpu=v3", "-Wall", "-Wextra", "-Werror"]
        .into_iter()
        .chain([
            // Callbacks have parameters that they do not use.
            "-Wno-unused-parameter",
            "-Wno-unknown-warning-option",
        ])
        .map(OsString::from)
        .collect();
    args.push("-I".into());
    args.push(root.join("src/bpf").into());
    // <bpf/bpf_helpers.h>, of the libbpf that the program is linked with.
    let libbpf = env::var_os("DEP_BPF_INCLUDE").expect("libbpf-sys tells where its headers are");
    args.push("-I".into());
    args.push(libbpf);
    // Where Debian and Ubuntu keep <asm/types.h>.
    let machine = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    args.push(format!("-I/usr/include/{machine}-linux-gnu").into());
    args
}

/// `$CLANG`, else the newest of those that the walks are known to build with.
fn clang() -> PathBuf {
    if let Some(clang) = env::var_os("CLANG") {
        return clang.into();
    }
    ["clang-19", "clang-20", "clang-18", "clang-17", "clang"]
        .iter()
        .find(|name| {
            Command::new(name)
                .arg("--version")
                .output()
                .is_ok_and(|o| o.status.success())
        })
        .unwrap_or_else(|| panic!("no clang found: run `make deps`, or set CLANG"))
        .into()
}
