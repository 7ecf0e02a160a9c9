//! BTF behind pointers in the values of maps.

use e2e::bpf::{self, Kind, map_type};
use e2e::{Expect, Truth, Who, by, fd, files, here, kernel, object_file, scene};

/// A map with pointers of a type, and the program that uses it. A pointer to a type
/// of the kernel's refers to the kernel's BTF. One to a type of the program's own
/// refers to the map's BTF, which the map holds anyway: neither adds a reference
/// (`btf_parse_kptr`, `btf_record_free`). Nor does the copy that an outer map has
/// of its template's fields: see `btf::the_template_of_an_outer_map`.
fn check(name: &'static str, file: &str, since: (u32, u32), why: &str) {
    let Some(mut s) = scene(name, |stage| {
        let bpffs = files::private_bpffs()?;
        let mut loaded = object_file::load_since(file, &bpffs, since, why)?;
        let (map, prog) = (loaded.map("pointers")?, loaded.prog("look")?);
        let mut report = scene::ids([("map", &map), ("prog", &prog)]);
        report["btf"] = bpf::btf_of_map(&map)?.into();
        stage.ready(report.clone())?;
        let outer = bpf::outer(map_type::ARRAY_OF_MAPS, "e2e_outer", 0, &map)?;
        report["outer"] = outer.id.into();
        stage.ready(report)
    }) else {
        return;
    };
    let user = |who| by("btf-user", 1, [who]);
    let (btf, map, prog) = (s.id("btf"), Who::map(s.id("map")), Who::prog(s.id("prog")));
    let mut users = vec![user(map), user(prog.clone())];
    s.check_and_why(&[
        Expect::btf(btf, users.clone()).kept_by([Who::process(s.pid, [])]),
        Expect::map(s.id("map"), [fd(&s, "map"), by("prog", 1, [prog])]),
        Expect::prog(s.id("prog"), [fd(&s, "prog")]),
    ]);
    s.advance();
    match Truth::get().read().refcnt(Kind::Btf, btf) {
        Some(2) if kernel::version() < (6, 2) => {}
        Some(3) => users.push(user(Who::map(s.id("outer")))),
        other => panic!("the BTF has {other:?} references"),
    }
    s.check_and_why(&[Expect::btf(btf, users)]);
}

#[test]
fn pointers_to_a_type_of_the_kernel() {
    let why = "no kptr before Linux 5.19, and no syscall programs before 5.14";
    check(here!(), "kptr_kernel", (5, 19), why);
}

#[test]
fn pointers_to_a_type_of_the_program() {
    let why = "no kptr to the program's own types before Linux 6.2";
    check(here!(), "kptr_local", (6, 2), why);
}
