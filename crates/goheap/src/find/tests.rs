//! What is found in code is what symbols say, for both architectures.

use super::*;
use gobinary::layout::Layouts;
use gobinary::{Executable, FunctionTable};
use object::{Object, ObjectSymbol};
use std::path::Path;
use std::process::Command;

const RELEASES: [&str; 10] = [
    "1.18.10", "1.19.13", "1.20.14", "1.21.13", "1.22.12", "1.23.12", "1.24.11", "1.25.5",
    "1.26.8", "1.27.4",
];

fn build(release: Option<&str>, arch: Arch, folder: &Path) -> Vec<u8> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/owners");
    for file in std::fs::read_dir(source).expect("the program") {
        let file = file.expect("a file");
        std::fs::copy(file.path(), folder.join(file.file_name())).expect("a copy");
    }
    let mut go = Command::new("go");
    go.args(["build", "-o", "program", "."])
        .current_dir(folder)
        .env("CGO_ENABLED", "0")
        .env("GOARCH", arch.name())
        .env("GOFLAGS", "-buildvcs=false")
        .env("GODEBUG", "goindex=0");
    if let Some(release) = release {
        let minor = release.rsplit_once('.').map_or(release, |(minor, _)| minor);
        let module = format!("module owners\n\ngo {minor}\n");
        std::fs::write(folder.join("go.mod"), module).expect("go.mod");
        go.env("GOTOOLCHAIN", format!("go{release}"));
    }
    let done = go.output().expect("go");
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    std::fs::read(folder.join("program")).expect("the program")
}

fn symbols_agree(release: Option<&str>, arch: Arch) {
    let folder = tempfile::Builder::new()
        .prefix("goheap")
        .tempdir()
        .expect("a folder");
    let file = build(release, arch, folder.path());
    let executable = Executable::parse(&file).expect("an executable");
    let module = executable.module().expect("its module");
    let minor = executable
        .build_info()
        .ok()
        .and_then(|info| info.minor())
        .expect("its release");
    let fields =
        Fields::of(Layouts::for_release(minor, arch).expect("its layout")).expect("all fields");
    let table = FunctionTable::new(&executable, &module).expect("its functions");
    let functions = table.by_names(&names()).expect("their names");
    let data = module.noptrdata.start..module.end;
    let found = Candidates::of(arch, &executable, &functions, &data).expect("their code");

    let elf = object::File::parse(&*file).expect("an ELF file");
    let symbol = |name: &str| {
        let symbol = elf.symbols().find(|symbol| symbol.name() == Ok(name));
        symbol.expect(name).address()
    };
    let what = format!("{release:?} {arch}");
    let queue = found.queue().expect("a queue");
    let expected = ["gcphase", "finq", "allfin"].map(|name| symbol(&format!("runtime.{name}")));
    assert_eq!([queue.0, queue.1, queue.2], expected, "{what}");
    assert_eq!(
        found.memstats(&fields),
        Some(symbol("runtime.memstats")),
        "{what}"
    );
    assert!(
        found.targets(0).contains(&symbol("runtime.mheap_")),
        "{what}"
    );
    assert!(found.slices(2).contains(&symbol("runtime.allgs")), "{what}");
    assert!(
        found.targets(4).contains(&symbol("runtime.gcController")),
        "{what}"
    );
    assert!(found.slices(6).contains(&symbol("runtime.allp")), "{what}");
    assert!(
        found.targets(7).contains(&symbol("runtime.mbuckets")),
        "{what}"
    );
    if minor >= 25 {
        assert_eq!(
            found.cleanups(&fields),
            [symbol("runtime.gcCleanups")],
            "{what}"
        );
    }
}

#[test]
fn code_tells_what_symbols_tell() {
    for arch in Arch::ALL {
        symbols_agree(None, arch);
    }
}

#[test]
#[ignore = "fetches the toolchains of all releases"]
fn code_tells_what_symbols_tell_in_every_release() {
    for release in RELEASES {
        for arch in Arch::ALL {
            symbols_agree(Some(release), arch);
        }
    }
}
