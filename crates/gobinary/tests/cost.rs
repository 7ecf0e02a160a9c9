//! What an executable that was made up can have its reader do.

use gobinary::{
    Arch, Error, Executable, FunctionTable, Layouts, Memory, Module, ReadError, Slice, Source, Span,
};
use std::cell::Cell;
use std::io::Result;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The head of a function table of Go 1.20 and later: one function, and tables that are all at the same place.
fn header() -> Vec<u8> {
    let mut bytes = vec![0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8];
    for word in [1_u64, 1, 0x1000, 64, 64, 64, 64, 64] {
        bytes.extend(word.to_le_bytes());
    }
    bytes
}

/// A file of 2 GiB, almost all of it zeros: one segment that may be written, which begins with twenty function tables.
struct Sparse {
    head: Vec<u8>,
    read: AtomicU64,
}

impl Sparse {
    const SIZE: u64 = 2 << 30;

    fn new() -> Self {
        let mut head = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        // ET_EXEC, EM_X86_64, version, entry, program headers, no section headers.
        head.extend([2, 0, 62, 0, 1, 0, 0, 0]);
        for word in [0_u64, 64, 0] {
            head.extend(word.to_le_bytes());
        }
        for half in [0_u16, 0, 64, 56, 1, 64, 0, 0] {
            head.extend(half.to_le_bytes());
        }
        // PT_LOAD, to be read and written: offset, address, size.
        head.extend([1, 0, 0, 0, 6, 0, 0, 0]);
        let size = Self::SIZE - 4096;
        for word in [4096, 0x1000_0000, 0x1000_0000, size, size, 4096_u64] {
            head.extend(word.to_le_bytes());
        }
        head.resize(4096, 0);
        for _ in 0..20 {
            head.extend(header());
        }
        Self {
            head,
            read: AtomicU64::new(0),
        }
    }
}

impl Source for Sparse {
    fn size(&self) -> Result<u64> {
        Ok(Self::SIZE)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.read.fetch_add(buf.len() as u64, Ordering::Relaxed);
        buf.fill(0);
        if let Some(head) = self.head.get(offset as usize..) {
            let len = head.len().min(buf.len());
            buf[..len].copy_from_slice(&head[..len]);
        }
        Ok(())
    }
}

#[test]
fn many_function_tables_are_searched_for_within_one_limit() {
    let source = Sparse::new();
    let executable = Executable::open(&source).expect("its headers");
    let (_, layout) = Layouts::newest(Arch::Amd64).expect("a layout");
    let module = executable.module_by(layout);
    assert!(matches!(module, Err(Error::NotGo)), "{module:?}");
    let read = source.read.load(Ordering::Relaxed);
    assert!(read < 3 << 30, "{} MiB", read >> 20);
}

/// A table of functions that have other names than those that are looked for, over and over.
struct Names {
    name: &'static [u8],
    read: Cell<u64>,
}

/// As many as may be said.
const FUNCTIONS: u64 = (1 << 24) - 1;
/// Where the names stand.
const NAMES: u64 = 1 << 32;

impl Memory for Names {
    fn read(&self, addr: u64, buf: &mut [u8]) -> std::result::Result<(), ReadError> {
        self.read.set(self.read.get() + buf.len() as u64);
        buf.fill(0);
        if addr == 0x1000 {
            let mut header = header();
            header[8..16].copy_from_slice(&FUNCTIONS.to_le_bytes());
            buf.copy_from_slice(&header[..buf.len()]);
        } else if (NAMES..2 * NAMES).contains(&addr) {
            let skipped = (addr - NAMES) as usize % self.name.len();
            let names = self.name.iter().cycle().skip(skipped);
            buf.iter_mut()
                .zip(names)
                .for_each(|(byte, name)| *byte = *name);
        }
        Ok(())
    }
}

#[test]
fn names_are_searched_for_within_a_limit() {
    let wanted = ["runtime.mallocinit", "runtime.allgadd", "runtime.gcinit"];
    for name in [
        &b"\0"[..],
        b"xuntime.mallocinit\0",
        b"runtime.gcinit\0",
        b"x\0runtime.gcinit\0",
    ] {
        let memory = Names {
            name,
            read: Cell::new(0),
        };
        let table = |addr| Slice { addr, len: 1 << 31 };
        let module = Module {
            pc_header: 0x1000,
            funcnametab: table(NAMES),
            pclntable: table(2 * NAMES),
            ftab: Slice {
                addr: 3 * NAMES,
                len: FUNCTIONS + 1,
            },
            maxpc: 1 << 40,
            text: Span {
                start: 0,
                end: 1 << 40,
            },
            ..Module::default()
        };
        let functions = FunctionTable::new(&memory, &module).expect("a table");
        let began = Instant::now();
        let found = functions.by_names(&wanted).expect("no error");
        assert_eq!(
            found.iter().flatten().count(),
            usize::from(name[0] == wanted[0].as_bytes()[0])
        );
        let (took, read) = (began.elapsed(), memory.read.get());
        println!("{took:?}, {} MiB", read >> 20);
        assert!(took < Duration::from_secs(20), "{took:?}");
        assert!(read < 300 << 20, "{} MiB", read >> 20);
    }
}
