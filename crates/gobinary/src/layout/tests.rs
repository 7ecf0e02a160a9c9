use super::*;

fn at(minor: u16, strukt: &str, field: &str) -> (u64, u64) {
    let layout = Layouts::for_release(minor, Arch::Amd64).expect("a layout");
    layout.field(strukt, field).expect(field).into()
}

#[test]
fn every_release_has_what_is_needed_for_both_architectures() {
    for arch in Arch::ALL {
        let releases = Layouts::releases(arch);
        assert_eq!(releases, (18..=27).collect::<Vec<_>>());
        for minor in releases {
            let layout = Layouts::for_release(minor, arch).expect("a layout");
            assert_eq!(layout.lacks(), Vec::<String>::new(), "1.{minor}/{arch}");
        }
        assert_eq!(Layouts::newest(arch).map(|(minor, _)| minor), Some(27));
    }
}

/// Read by eye from each release's own DWARF.
#[test]
fn what_moved_between_releases() {
    assert_eq!(at(18, "runtime.mspan", "elemsize"), (104, 8));
    assert_eq!(at(21, "runtime.mspan", "elemsize"), (112, 8));
    assert_eq!(at(22, "runtime.mspan", "nelems"), (50, 2));
    assert_eq!(at(18, "runtime.special", "offset"), (8, 2));
    assert_eq!(at(24, "runtime.special", "offset"), (8, 8));
    assert_eq!(at(26, "runtime.mheap", "heapArenas"), (66096, 24));
    assert_eq!(at(24, "runtime.finBlock", "alllink"), (0, 8));
    assert_eq!(at(25, "runtime.finBlock", "fin"), (24, 4040));
    assert_eq!(at(27, "runtime.moduledata", "next"), (560, 8));
    assert_eq!(at(18, "internal/abi.Type", "Str"), (40, 4));
}

#[test]
fn constants_that_were_renumbered() {
    let constant = |minor, name: &str| {
        Layouts::for_release(minor, Arch::Arm64)
            .and_then(|layout| layout.constant(&format!("runtime.{name}")))
    };
    assert_eq!(constant(18, "_KindSpecialFinalizer"), Some(1));
    assert_eq!(constant(25, "_KindSpecialFinalizer"), Some(2));
    assert_eq!(constant(24, "_KindSpecialCleanup"), Some(6));
    assert_eq!(constant(23, "_KindSpecialCleanup"), None);
    assert_eq!(constant(25, "waitReasonFinalizerWait"), Some(16));
    assert_eq!(constant(26, "waitReasonFinalizerWait"), Some(10));
    assert_eq!(constant(27, "_Gscan"), Some(0x1000));
}

#[test]
fn a_release_that_is_not_there() {
    assert!(Layouts::for_release(17, Arch::Amd64).is_none());
    assert!(Layouts::for_release(28, Arch::Amd64).is_none());
    assert!(Layouts::for_release(u16::MAX, Arch::Amd64).is_none());
}

#[test]
fn what_is_no_program_has_no_layout() {
    for file in [&b""[..], b"\x7fELF", &[0; 4096]] {
        assert!(matches!(Layout::from_dwarf(file), Err(DwarfError::Elf(_))));
    }
}

/// A program of the machine's own Go: what of the runtime is in it, its debugging information has where the table does.
#[test]
fn own_debugging_information_agrees_with_the_table() {
    let folder = tempfile::Builder::new()
        .prefix("layout")
        .tempdir()
        .expect("a folder");
    let write =
        |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file");
    write("go.mod", "module layout\n\ngo 1.21\n");
    write(
        "main.go",
        "package main\n\nimport \"os\"\n\nfunc main() { os.Open(\"/\") }\n",
    );
    let build = |arguments: &[&str]| {
        let mut go = std::process::Command::new("go");
        go.arg("build").args(arguments).args(["-o", "program", "."]);
        go.current_dir(folder.path())
            .env("CGO_ENABLED", "0")
            .env("GOFLAGS", "-buildvcs=false");
        let done = go.output().expect("go");
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        std::fs::read(folder.path().join("program")).expect("the program")
    };
    let file = build(&[]);
    let own = Layout::from_dwarf(&file).expect("a layout");
    let minor = crate::Executable::parse(&file)
        .and_then(|e| e.build_info())
        .expect("build info")
        .minor();
    let known = Layouts::for_release(minor.expect("a release"), Arch::Amd64).expect("a layout");
    assert!(own.structs.len() > 25);
    for (name, strukt) in &own.structs {
        assert_eq!(known.structs.get(name), Some(strukt), "{name}");
    }
    for (name, value) in &own.constants {
        assert_eq!(known.constants.get(name), Some(value), "{name}");
    }
    let stripped = build(&["-ldflags=-s -w"]);
    assert!(matches!(
        Layout::from_dwarf(&stripped),
        Err(DwarfError::None)
    ));
    // Damaged anywhere: an error or a layout.
    for at in (0..file.len()).step_by(file.len() / 40) {
        let mut damaged = file.clone();
        damaged[at..]
            .iter_mut()
            .take(64)
            .for_each(|byte| *byte = !*byte);
        let _ = Layout::from_dwarf(&damaged);
        let _ = Layout::from_dwarf(&file[..at]);
    }
}
