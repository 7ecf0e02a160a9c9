//! The smallest executable that has all parts of a Go program, written by hand byte by byte: the seed of the
//! fuzz target. No code is in it.

use gobinary::{Executable, Frame, Kind, Layouts, Types, find_modules};
use gobinary::{Memory, ReadError, Region};

const TINY: &[u8] = include_bytes!("../../../fuzz/seeds/go_executable/tiny");
/// Where its one segment is loaded.
const BASE: u64 = 0x40_0000;

fn frame(function: &str, file: &str, line: u32, inlined: bool) -> Frame {
    Frame {
        function: function.to_owned(),
        file: file.to_owned(),
        line,
        inlined,
    }
}

#[test]
fn every_part_is_read() {
    let executable = Executable::parse(TINY).expect("an executable");
    assert!(executable.is_go() && !executable.is_pie());
    let info = executable.build_info().expect("it is there");
    assert_eq!(
        (info.go.as_str(), info.path.as_deref()),
        ("go1.26.8", Some("seed/main"))
    );
    assert_eq!(info.deps[0].built(), ("./ebpf", None));

    let table = executable.functions().expect("it is there");
    let module = executable.module().expect("it is there");
    let start = module.minpc;
    let main = |line| frame("main.main", "main.go", line, false);
    assert_eq!(table.frames(start).expect("no error"), [main(10)]);
    let inlined = frame("main.inner", "main.go", 12, true);
    assert_eq!(
        table.frames(start + 8).expect("no error"),
        [inlined, main(10)]
    );
    assert_eq!(table.frames(start + 0x1f).expect("no error"), [main(20)]);
    let close = frame("seed.(*T).Close", "main.go", 20, false);
    assert_eq!(table.frames(start + 0x3f).expect("no error"), [close]);
    assert_eq!(table.frames(start + 0x40).expect("no error"), []);
    let sizes = [0, 4, 0x1b, 0x1c].map(|at| table.frame_size(start + at).expect("no error"));
    assert_eq!(sizes, [Some(0), Some(24), Some(24), Some(0)]);
    let found = table
        .by_names(&["seed.(*T).Close", "main.inner"])
        .expect("no error");
    let close = found[0].as_ref().expect("it is there");
    assert_eq!(
        (close.entry, close.end, close.args),
        (start + 0x20, start + 0x40, Some(8))
    );
    assert_eq!(found[1], None, "it has no code of its own");

    let types = Types::new(&executable, &[module], 26);
    let pointer = types.read(BASE + 0x398).expect("a type");
    assert_eq!(
        (pointer.kind, pointer.name.as_str()),
        (Kind::Pointer, "*seed.T")
    );
    assert_eq!(pointer.full_name(), "*github.com/cilium/seed.T");
    let strukt = types
        .read(pointer.elem.expect("a pointer"))
        .expect("a type");
    assert_eq!(strukt.full_name(), "github.com/cilium/seed.T");
    let (offset, raw) = types
        .field(&strukt, "raw")
        .expect("no error")
        .expect("a field");
    assert_eq!((offset, raw.name.as_str(), raw.kind), (0, "int", Kind::Int));
}

/// The image of a process that has the file `1 << 40` away from where it was linked to: not relocated, so its
/// module is none.
struct Elsewhere;

impl Memory for Elsewhere {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        Executable::parse(TINY)
            .expect("an executable")
            .read(addr.wrapping_sub(1 << 40), buf)
    }
}

#[test]
fn a_module_is_found_in_memory_or_refused() {
    let executable = Executable::parse(TINY).expect("an executable");
    let expected = executable.module().expect("it is there");
    let layout = Layouts::for_release(26, executable.arch()).expect("known");
    let region = Region {
        start: BASE,
        end: BASE + TINY.len() as u64,
        writable: true,
        executable: false,
        offset: 0,
        file: None,
    };
    let regions = [region.clone()];
    let found = find_modules(&executable, &regions, expected.pc_header, layout);
    assert_eq!(found.expect("it is there"), [expected]);
    let found = executable.live_modules(&executable, &regions, 0, layout);
    assert_eq!(found.expect("it is there"), [expected]);

    let moved = Region {
        start: region.start + (1 << 40),
        end: region.end + (1 << 40),
        ..region
    };
    assert!(
        executable
            .live_modules(&Elsewhere, &[moved], 1 << 40, layout)
            .is_err()
    );
}

#[test]
fn cut_short_anywhere_it_is_refused_or_read() {
    for len in 0..TINY.len() {
        let Ok(executable) = Executable::parse(&TINY[..len]) else {
            continue;
        };
        // The last bytes are its module: without them there are no functions.
        assert!(executable.functions().is_err(), "{len}");
        let _ = executable.build_info();
    }
}

/// The same file, said to be loaded anywhere: `ET_DYN`.
#[test]
fn a_file_is_found_by_its_inode_if_its_device_is_told_differently() {
    let mut bytes = TINY.to_vec();
    bytes[16] = 3;
    let executable = Executable::parse(&bytes).expect("an executable");
    let code = executable.segments().iter().find(|s| s.executable);
    let code = code.expect("it has code");
    let region = |start: u64, file| Region {
        start,
        end: start + 0x10_0000,
        writable: false,
        executable: true,
        offset: code.offset & !0xfff,
        file,
    };
    let bias = |start: u64| start.wrapping_sub(code.addr & !0xfff);
    let regions = [
        region(0x1000_0000, None),
        region(0x2000_0000, Some((8, 70))),
        region(0x3000_0000, Some((9, 71))),
        region(0x4000_0000, Some((8, 71))),
    ];
    let found = |file| executable.load_bias(&regions, file);
    assert_eq!(found(Some((8, 71))), Some(bias(0x4000_0000)), "both");
    assert_eq!(found(Some((30, 71))), Some(bias(0x3000_0000)), "the inode");
    assert_eq!(
        found(Some((30, 99))),
        Some(bias(0x2000_0000)),
        "offset and rights"
    );
    assert_eq!(found(None), Some(bias(0x2000_0000)));
    assert_eq!(executable.load_bias(&regions[..1], None), None);
}
