//! Names that a process made up, as long and as many as it can.

use super::*;
use gobinary::{ReadError, Slice, Span};
use std::cell::Cell;

/// Bytes by their addresses, if they can be read.
struct Made<F>(F);

impl<F: Fn(u64) -> Option<u8>> Memory for Made<F> {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let len = buf.len();
        for (at, byte) in (addr..).zip(buf) {
            *byte = (self.0)(at).ok_or(ReadError::Unmapped { addr, len })?;
        }
        Ok(())
    }
}

/// Where the parts of a function table stand.
const HEADER: u64 = 0x1000;
const NAMES: u64 = 0x1_0000_0000;
const FILES: u64 = 0x2_0000_0000;
const UNITS: u64 = 0x3_0000_0000;
const VALUES: u64 = 0x4_0000_0000;
const FUNCTIONS: u64 = 0x5_0000_0000;
const INDEX: u64 = 0x6_0000_0000;
const TREE: u64 = 0x7_0000_0000;
const CODE: u64 = 0x8_0000_0000;
/// Functions, and bytes of the code of each.
const COUNT: u64 = 1 << 16;
const SIZE: u64 = 256;
/// Bytes of a name: all that there may be.
const LONG: u64 = 16 << 10;

fn byte_of(words: &[u32], at: u64) -> u8 {
    let word = words.get(at as usize / 4).copied().unwrap_or(0);
    word.to_le_bytes()[at as usize % 4]
}

/// A table whose functions all have the longest of names, and a call inlined into each other at every instruction.
fn table_byte(at: u64) -> Option<u8> {
    let within = at & 0xffff_ffff;
    Some(match at & !0xffff_ffff {
        0 => {
            // Magic of Go 1.20, quantum, size of a pointer; functions, files, code; the tables, which are told by the module.
            let header = [0xffff_fff1, 0x0801_0000, COUNT as u32, 0, 0, 0, 0, 0];
            match at.checked_sub(HEADER)? {
                at @ 0..32 => byte_of(&header, at),
                at if at % 8 == 0 => 64,
                _ => 0,
            }
        }
        NAMES | FILES if within % LONG == LONG - 1 => 0,
        NAMES | FILES => b'a',
        UNITS => 0,
        // From the second byte on: -1 at the first pc, then one more at each. From the 4096th on: 0 at all of them.
        VALUES => match within {
            1 => 0,
            4096 => 2,
            4097 => 0xff,
            4098 => 3,
            within if within % 2 == 0 => 1,
            _ => 2,
        },
        FUNCTIONS => {
            // entryOff, nameOff, args, deferreturn, pcsp, pcfile, pcln, npcdata, cuOffset, startLine, then four bytes; three
            // pcdata, of which the last one is the index of inlined calls; four funcdata.
            let function = within / 128;
            let words = [
                (function * SIZE) as u32,
                0,
                0,
                0,
                0,
                4096,
                4096,
                3,
                0,
                0,
                0x0400_0000,
                0,
                0,
                1,
                0,
                0,
                0,
                0,
            ];
            byte_of(&words, within % 128)
        }
        INDEX => {
            let entry = within / 8;
            byte_of(&[(entry * SIZE) as u32, (entry * 128) as u32], within % 8)
        }
        // The call of each is the instruction before.
        TREE => byte_of(&[0, 0, (within / 16) as u32, 0], within % 16),
        _ => return None,
    })
}

fn module() -> Module {
    let table = |addr| Slice { addr, len: 1 << 30 };
    Module {
        pc_header: HEADER,
        funcnametab: table(NAMES),
        filetab: table(FILES),
        cutab: table(UNITS),
        pctab: table(VALUES),
        pclntable: table(FUNCTIONS),
        ftab: Slice {
            addr: INDEX,
            len: COUNT + 1,
        },
        minpc: CODE,
        maxpc: CODE + COUNT * SIZE,
        text: Span {
            start: CODE,
            end: CODE + COUNT * SIZE,
        },
        gofunc: TREE,
        types: Span {
            start: 0x1000,
            end: 1 << 40,
        },
        ..Module::default()
    }
}

fn names<'m>(table: &'m dyn Memory, types: &'m dyn Memory) -> Names<'m> {
    let budget = Rc::new(Budget::default());
    budget.fill(LOOK);
    let functions = FunctionTable::new(Limited::new(table, &budget), &module()).expect("a table");
    let types = Types::new(Limited::new(types, &budget), &[module()], 26);
    Names::of(functions, types, budget)
}

/// The pc of a function at which so many calls are inlined.
fn pc(function: u64, inlined: u64) -> u64 {
    CODE + function * SIZE + inlined
}

#[test]
fn stacks_of_long_names_end_with_the_budget() {
    let read = Cell::new(0_u64);
    let table = Made(|at| {
        read.set(read.get() + 1);
        table_byte(at)
    });
    let names = names(&table, &table);
    let one = names.frames(pc(3, 2));
    assert_eq!(one.len(), 3, "{:?}", names.complete());
    assert!(
        one.iter()
            .all(|frame| frame.function.len() as u64 == LONG - 1)
    );
    assert!(one[0].inlined && one[1].inlined && !one[2].inlined);
    assert_eq!(names.frames(pc(3, 2)), one);

    // All different, and then the same again and again.
    let all = (0..2000).map(|i| names.frames(pc(i, 100)));
    let all = all.chain((0..100_000).map(|_| names.frames(pc(0, 100))));
    let bytes = all.map(|frames| {
        frames
            .iter()
            .map(|f| f.function.len() + f.file.len())
            .sum::<usize>()
    });
    let bytes: usize = bytes.sum();
    assert!(
        bytes as u64 <= LOOK && read.get() <= LOOK,
        "{bytes} {}",
        read.get()
    );
    assert!(bytes > 1 << 20);
    assert!(matches!(names.complete(), Err(Error::TooMuch(_))));

    names.begin();
    assert!(names.complete().is_ok());
    assert_eq!(names.frames(pc(3, 2)), one);
}

#[test]
fn functions_end_with_the_budget_and_are_forgotten_if_they_are_many() {
    let names = names(&Made(table_byte), &Made(table_byte));
    let bytes = |names: &Names<'_>| names.known.borrow().bytes;
    let all = (0..COUNT).map(|i| names.function(pc(i, 0)).len() as u64);
    assert!(all.sum::<u64>() <= LOOK);
    assert!(names.complete().is_err());
    assert!(bytes(&names) > KEPT && bytes(&names) <= LOOK);
    // What was read stays what it is.
    assert_eq!(names.function(pc(0, 0)).len() as u64, LONG - 1);
    names.begin();
    assert_eq!(bytes(&names), 0);
    assert_eq!(names.entry(pc(7, 9)), Some(pc(7, 0)));
    names.begin();
    assert!(bytes(&names) > 0);
}

/// A pc at which there is no function costs something, too: there may be any number of them.
#[test]
fn what_is_no_code_is_paid_for() {
    let names = names(&Made(table_byte), &Made(table_byte));
    let asked = (0..1 << 21).take_while(|i| {
        assert_eq!(&*names.function(*i), "");
        names.complete().is_ok()
    });
    assert!(asked.count() as u64 <= LOOK / ENTRY);
}

/// A pointer to a struct with one integer. What is at 0x3000 can be read only if it is said so.
fn type_byte(at: u64, readable: bool) -> Option<u8> {
    // Size, flags and kind; the offset of the name from 0x1000; then what a pointer points to, or where fields stand.
    let descriptor =
        |size: u8, kind: u8, name: u32, behind: u64, more: u64, within: u64| match within {
            0 => size,
            21 => 8,
            23 => kind,
            40..44 => name.to_le_bytes()[within as usize - 40],
            48..56 if kind == 22 => behind.to_le_bytes()[within as usize - 48],
            56..64 if kind == 25 => behind.to_le_bytes()[within as usize - 56],
            64..72 if kind == 25 => more.to_le_bytes()[within as usize - 64],
            _ => 0,
        };
    let name = |text: &[u8], within: u64| match within {
        0 => 0,
        1 => text.len() as u8,
        within => text.get(within as usize - 2).copied().unwrap_or(0),
    };
    let (page, within) = (at & !0xfff, at & 0xfff);
    Some(match page {
        0x2000 => descriptor(8, 22, 0x5000, 0x3000, 0, within),
        0x3000 if readable => descriptor(8, 25, 0x5000, 0x4000, 1, within),
        // The field: name, type, offset.
        0x4000 => match within {
            1 => 0x70,
            9 => 0x80,
            _ => 0,
        },
        0x6000 => name(b"*T", within),
        0x7000 => name(b"fd", within),
        0x8000 => descriptor(8, 2, 0x5000, 0, 0, within),
        _ => return None,
    })
}

#[test]
fn what_could_not_be_read_is_read_in_the_next_look() {
    let readable = Cell::new(false);
    let reads = Cell::new(0);
    let memory = Made(|at| {
        reads.set(reads.get() + 1);
        type_byte(at, readable.get())
    });
    let names = names(&Made(table_byte), &memory);
    let before = names.type_name(0x2000);
    assert_eq!(
        (before.name.as_str(), before.integers.len(), before.has_more),
        ("*T", 0, true)
    );
    assert_eq!(names.type_name(0x9000).name, "");
    readable.set(true);
    let until = reads.get();
    // Of one look, always the same, and for nothing.
    assert_eq!(names.type_name(0x2000), before);
    assert_eq!(names.type_name(0x9000).name, "");
    assert_eq!(reads.get(), until);
    names.begin();
    let now = names.type_name(0x2000);
    let integer = Integer {
        path: "fd".to_owned(),
        offset: 0,
        width: 8,
    };
    assert_eq!((&now.integers[..], now.has_more), (&[integer][..], false));
    // What is known is not read again.
    readable.set(false);
    names.begin();
    assert_eq!(names.type_name(0x2000), now);
}
