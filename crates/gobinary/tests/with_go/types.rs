//! Types, against what the program's own reflect says of them.

use crate::common::{Build, FLAVOURS, RELEASES, build};
use gobinary::{Executable, Kind, Layouts, TypeField, Types};

fn check_build(how: Build) {
    let name = format!("{how:?}");
    let built = build("frames", how);
    let bytes = built.bytes();
    let executable = Executable::parse(&bytes).expect(&name);
    let running = built.run();
    let regions = running.regions();
    let bias = executable
        .load_bias(&regions, running.file(&built.path))
        .expect(&name);
    let minor = executable.build_info().expect(&name).minor().expect(&name);
    let layout = Layouts::for_release(minor, executable.arch()).expect(&name);
    let modules = executable
        .live_modules(&running, &regions, bias, layout)
        .expect(&name);
    let types = Types::new(&running, &modules, minor);

    let mut told = 0;
    let mut fields: Vec<TypeField> = Vec::new();
    for line in &running.lines {
        let words: Vec<&str> = line.splitn(6, ' ').collect();
        match words[..] {
            ["type", addr, size, kind, package, text] => {
                told += 1;
                assert_eq!(fields, [], "{name}: the fields before {line}");
                let ty = types.read(addr.parse().expect("a number")).expect(line);
                assert_eq!(ty.size.to_string(), size, "{name}: {line}");
                assert_eq!(ty.name, text, "{name}: {line}");
                let lower = format!("{:?}", ty.kind).to_lowercase();
                assert_eq!(
                    lower.replace("pointer", "ptr"),
                    kind.replace("pointer", "ptr"),
                    "{line}"
                );
                if ty.kind != Kind::Map {
                    let package = package.trim_matches('"');
                    assert_eq!(
                        ty.package.as_deref().unwrap_or(""),
                        package,
                        "{name}: {line}"
                    );
                }
                fields = types.fields(&ty).and_then(Iterator::collect).expect(line);
            }
            ["field", offset, embedded, field, ..] => {
                let is = fields.remove(0);
                let text = line.splitn(5, ' ').nth(4).expect("a type");
                assert_eq!(is.name, field, "{name}: {line}");
                assert_eq!(is.offset.to_string(), offset, "{name}: {line}");
                assert_eq!(is.embedded.to_string(), embedded, "{name}: {line}");
                assert_eq!(types.read(is.ty).expect(line).name, text, "{name}: {line}");
            }
            _ => {}
        }
    }
    assert!(told >= 20, "{name}: it told little");
    descriptors_of_files(&types, &running.lines);
}

/// Where the descriptor stands in what `os.File` points to.
fn descriptors_of_files(types: &Types<&crate::common::Running>, lines: &[String]) {
    let line = lines
        .iter()
        .find(|l| l.ends_with(" *os.File"))
        .expect("it told of it");
    let addr = line
        .split(' ')
        .nth(1)
        .expect("an address")
        .parse()
        .expect("a number");
    let pointer = types.read(addr).expect("a type");
    assert_eq!(pointer.full_name(), "*os.File");
    let file = types
        .read(pointer.elem.expect("a pointer"))
        .expect("a type");
    let (offset, inner) = types
        .field(&file, "file")
        .expect("no error")
        .expect("a field");
    assert_eq!((offset, inner.name.as_str()), (0, "*os.file"));
    let inner = types.read(inner.elem.expect("a pointer")).expect("a type");
    let (offset, descriptor) = types
        .field(&inner, "pfd.Sysfd")
        .expect("no error")
        .expect("a field");
    assert_eq!((offset, descriptor.kind), (16, Kind::Int));
    assert_eq!(types.field(&inner, "pfd.nothing").expect("no error"), None);
    let (_, poll) = types
        .field(&inner, "pfd")
        .expect("no error")
        .expect("a field");
    assert_eq!(
        (poll.name.as_str(), poll.full_name().as_str()),
        ("poll.FD", "internal/poll.FD")
    );
}

#[test]
fn as_reflect_says() {
    for how in FLAVOURS {
        check_build(how);
    }
}

#[test]
#[ignore = "fetches the toolchains of all releases"]
fn as_reflect_of_every_release_says() {
    for go in RELEASES {
        for how in FLAVOURS {
            check_build(Build {
                go: Some(go),
                ..how
            });
        }
    }
}
