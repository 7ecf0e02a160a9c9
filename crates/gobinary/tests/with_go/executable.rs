//! What is said of a file, against what the go command says of it.

use crate::common::{Build, FLAVOURS, NORMAL, build, go};
use gobinary::{Arch, Error, Executable, Source};
use std::fs::File;
use std::process::Command;
use std::time::{Duration, Instant};

/// What `go version -m` prints of a file.
fn go_version(path: &std::path::Path) -> Vec<String> {
    let done = go(NORMAL)
        .args(["version", "-m"])
        .arg(path)
        .output()
        .expect("go is installed");
    let text = String::from_utf8(done.stdout).expect("it is text");
    text.lines().map(str::to_owned).collect()
}

fn check_build_info(how: Build) {
    let built = build("deps", how);
    let bytes = built.bytes();
    let info = Executable::parse(&bytes)
        .expect("an executable")
        .build_info()
        .expect("build info");
    let main = info.main.as_ref().expect("built as a module");
    let mut lines = vec![
        format!("{}: {}", built.path.display(), info.go),
        format!("\tpath\t{}", info.path.as_deref().expect("it has a path")),
        format!("\tmod\t{}\t{}\t", main.path, main.version),
    ];
    for dep in &info.deps {
        let replaced = dep.replaced_by.as_ref().expect("it is replaced");
        lines.push(format!("\tdep\t{}\t{}", dep.path, dep.version));
        lines.push(format!(
            "\t=>\t{}\t{}\t",
            replaced.0,
            replaced.1.as_deref().unwrap_or("(devel)")
        ));
    }
    for (key, value) in &info.settings {
        let value = if value.contains(' ') {
            format!("{value:?}")
        } else {
            value.clone()
        };
        lines.push(format!("\tbuild\t{key}={value}"));
    }
    let trim = |l: &String| l.trim_end().to_owned();
    let lines: Vec<String> = lines.iter().map(trim).collect();
    let told = go_version(&built.path);
    let told: Vec<String> = told.iter().map(trim).filter(|l| !l.is_empty()).collect();
    assert_eq!(lines, told, "{how:?}");
    assert_eq!(info.deps[0].path, "example.com/helper");
    assert_eq!(info.deps[0].built(), ("./helper", None));
    assert_eq!(
        info.setting("CGO_ENABLED"),
        Some(if how.cgo { "1" } else { "0" })
    );
}

#[test]
fn build_info_as_go_version_says() {
    for how in FLAVOURS {
        check_build_info(how);
    }
}

/// Since Go 1.24 the linker writes one, and gcc always does.
#[test]
fn build_ids_as_readelf_says() {
    for how in FLAVOURS {
        let built = build("deps", how);
        let bytes = built.bytes();
        let executable = Executable::parse(&bytes).expect("an executable");
        let id = executable.gnu_build_id();
        let told = Command::new("readelf").arg("-n").arg(&built.path).output();
        let Ok(told) = told else {
            // No binutils here: that there is one has to do.
            assert!(id.is_some(), "{how:?}");
            continue;
        };
        let told = String::from_utf8(told.stdout).expect("it is text");
        let line = told
            .lines()
            .find_map(|l| l.trim().strip_prefix("Build ID: "));
        assert_eq!(id.as_deref(), line, "{how:?}");
        assert!(id.is_some(), "{how:?}");
    }
}

#[test]
fn cgo_is_seen() {
    for how in FLAVOURS {
        let built = build("deps", how);
        let bytes = built.bytes();
        let executable = Executable::parse(&bytes).expect("an executable");
        assert_eq!(
            executable.uses_cgo().expect("a Go program"),
            how.cgo,
            "{how:?}"
        );
    }
}

/// Takes the section headers away, as some packers do.
fn without_sections(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[40..48].fill(0);
    bytes[58..64].fill(0);
    bytes
}

#[test]
fn nothing_rests_on_section_headers() {
    for how in FLAVOURS {
        let built = build("frames", how);
        let bytes = built.bytes();
        let with = Executable::parse(&bytes).expect("an executable");
        let stripped = without_sections(bytes.clone());
        let without = Executable::parse(&stripped).expect("an executable");
        assert_eq!(without.section(".text"), None);
        assert!(without.is_go());
        assert_eq!(
            without.build_info().expect("it is there"),
            with.build_info().expect("it is there")
        );
        assert_eq!(
            without.pclntab().expect("it is there"),
            with.pclntab().expect("it is there")
        );
        let module = without.module().expect("it is there");
        assert_eq!(module, with.module().expect("it is there"));
        assert!(module.text.contains(module.minpc));
    }
}

#[test]
fn a_file_is_read_piece_by_piece() {
    let built = build("frames", NORMAL);
    let bytes = built.bytes();
    let file = File::open(&built.path).expect("it was just built");
    let source: &dyn Source = &file;
    let executable = Executable::open(source).expect("an executable");
    let module = executable.module().expect("a Go program");
    assert_eq!(
        module,
        Executable::parse(&bytes)
            .expect("an executable")
            .module()
            .expect("the same")
    );
}

#[test]
fn arm64_is_read() {
    for args in [&["-ldflags=-s -w"][..], &["-buildmode=pie"]] {
        let built = build(
            "frames",
            Build {
                arch: "arm64",
                args,
                ..NORMAL
            },
        );
        let bytes = built.bytes();
        let executable = Executable::parse(&bytes).expect("an executable");
        assert_eq!(executable.arch(), Arch::Arm64);
        let table = executable.functions().expect("a Go program");
        let found = table.by_names(&["main.leaf"]).expect("no error");
        let leaf = found[0].as_ref().expect("it has one");
        let frames = table.frames(leaf.entry).expect("no error");
        assert_eq!(
            (frames.len(), frames[0].function.as_str()),
            (1, "main.leaf")
        );
        assert!(frames[0].file.ends_with("frames/main.go"), "{frames:?}");
        assert_eq!(Some(frames[0].line), leaf.start_line);
        let inlined = (leaf.entry..leaf.end).step_by(4).find_map(|pc| {
            let frames = table.frames(pc).expect("no error");
            (frames.len() == 3).then_some(frames)
        });
        let inlined = inlined.expect("middle is inlined into Outer, and that into leaf");
        assert_eq!(inlined[0].function, "main.middle");
        assert_eq!(inlined[1].function, "main.(*wrapper).Outer");
        let sizes = (leaf.entry..leaf.end)
            .step_by(4)
            .map(|pc| table.frame_size(pc).expect("no error"));
        let sizes: Vec<Option<u32>> = sizes.collect();
        assert!(
            sizes.contains(&Some(0)) && sizes.iter().all(Option::is_some),
            "{sizes:?}"
        );
        // The linker keeps sp a multiple of 16; what is not 0 is the whole frame.
        assert!(
            sizes.iter().flatten().any(|s| *s >= 16 && s % 16 == 0),
            "{sizes:?}"
        );
    }
}

#[test]
fn other_files_are_told_apart() {
    let refused = |bytes: &[u8]| {
        Executable::parse(bytes)
            .map(|_| ())
            .expect_err("no executable")
    };
    assert!(matches!(refused(b""), Error::NotElf));
    assert!(matches!(refused(&[0; 100]), Error::NotElf));
    assert!(matches!(
        refused(
            b"#!/bin/sh\necho a script is no executable, but longer than a header of an ELF file"
        ),
        Error::NotElf
    ));

    let this = std::env::current_exe().expect("it runs");
    let bytes = std::fs::read(this).expect("it runs");
    let executable = Executable::parse(&bytes).expect("a program of Rust");
    assert!(!executable.is_go());
    assert!(matches!(executable.build_info(), Err(Error::NotGo)));
    assert!(matches!(executable.module(), Err(Error::NotGo)));
    assert!(matches!(
        executable.functions().map(|_| ()),
        Err(Error::NotGo)
    ));
    let bytes = without_sections(bytes);
    assert!(!Executable::parse(&bytes).expect("an executable").is_go());

    let built = build(
        "deps",
        Build {
            arch: "386",
            ..NORMAL
        },
    );
    let error = refused(&built.bytes()).to_string();
    assert!(error.contains("386"), "{error}");
    let built = build(
        "deps",
        Build {
            arch: "riscv64",
            ..NORMAL
        },
    );
    let error = refused(&built.bytes()).to_string();
    assert!(error.contains("riscv64"), "{error}");
}

#[test]
#[ignore = "fetches a toolchain of Go 1.17"]
fn a_release_too_old_is_named_and_its_functions_too() {
    for args in [&[][..], &["-ldflags=-s -w"], &["-buildmode=pie"]] {
        let built = build(
            "deps",
            Build {
                go: Some("go1.17.13"),
                args,
                ..NORMAL
            },
        );
        let bytes = built.bytes();
        let executable = Executable::parse(&bytes).expect("an executable");
        let info = executable.build_info().expect("it is there");
        assert_eq!((info.go.as_str(), info.minor()), ("go1.17.13", Some(17)));
        assert_eq!(info.deps[0].path, "example.com/helper");
        assert!(matches!(executable.module(), Err(Error::Release(17))));
        let table = executable.functions().expect("it is there");
        let found = table
            .by_names(&["main.main", "runtime.main"])
            .expect("no error");
        let main = found[0].as_ref().expect("it has a main");
        let frames: Vec<_> = (main.entry..main.end)
            .filter_map(|pc| table.frames(pc).ok())
            .collect();
        assert_eq!(frames.len() as u64, main.end - main.entry, "{args:?}");
        assert!(
            frames
                .iter()
                .any(|f| f.len() == 2 && f[0].function == "example.com/helper.Add")
        );
        assert!(
            frames
                .iter()
                .all(|f| f.last().expect("a frame").function == "main.main")
        );
        assert!(
            table
                .function(found[1].as_ref().expect("it has one").entry)
                .expect("no error")
                .is_some()
        );
    }
}

#[test]
fn opening_a_large_file_costs_little() {
    let built = build("frames", NORMAL);
    let mut bytes = built.bytes();
    // As large as the largest agents; what is added is not loaded, as DWARF is not.
    bytes.resize(100 << 20, 0);
    let names: Vec<u64> = {
        let executable = Executable::parse(&bytes).expect("an executable");
        let module = executable.module().expect("a Go program");
        (0..20)
            .map(|i| module.minpc + (module.maxpc - module.minpc) / 20 * i)
            .collect()
    };
    let mut best = Duration::MAX;
    for _ in 0..10 {
        let start = Instant::now();
        let executable = Executable::parse(&bytes).expect("an executable");
        let table = executable.functions().expect("a Go program");
        for &pc in &names {
            let function = table
                .function(pc)
                .expect("no error")
                .expect("code everywhere");
            assert!(!function.name.is_empty());
        }
        best = best.min(start.elapsed());
    }
    assert!(best < Duration::from_millis(10), "{best:?}");
    println!("20 functions named in {best:?}");
}
