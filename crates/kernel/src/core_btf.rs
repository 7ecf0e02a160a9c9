//! A small BTF for libbpf's relocations.
//!
//! For each struct that the walks name, libbpf looks through all of the
//! kernel's 100,000 types, 0.5 to 1 ms each time: two thirds of the time that
//! `lastref ls` takes on an idle host. Here one pass over the kernel's BTF picks
//! out these structs with the fields that the walks read, and libbpf is given
//! that instead (`btf_custom_path`).
//!
//! If anything about the kernel's BTF is not as expected, there is no small BTF,
//! and libbpf does it the long way.

use rustc_hash::{FxHashMap, FxHashSet};
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::OnceLock;

mod wanted {
    // WANTED: each struct's name (no flavour), with the names of its fields; ""
    // stands for all structs without a name.
    include!(concat!(env!("OUT_DIR"), "/wanted.rs"));
}

/// Where the kernel shows its own BTF.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// The small BTF of the running kernel, in memory.
pub struct CoreBtf {
    file: OwnedFd,
}

impl CoreBtf {
    /// Made once from the running kernel's BTF, and kept.
    pub fn of_running_kernel() -> Option<&'static Self> {
        static RUNNING: OnceLock<Option<CoreBtf>> = OnceLock::new();
        RUNNING.get_or_init(Self::make).as_ref()
    }

    fn make() -> Option<Self> {
        let vmlinux = std::fs::read(VMLINUX).ok()?;
        let small = shrink(&vmlinux, wanted::WANTED)?;
        // SAFETY: the name is a C string.
        let fd = unsafe { libc::memfd_create(c"lastref-btf".as_ptr(), libc::MFD_CLOEXEC) };
        if fd < 0 {
            return None;
        }
        // SAFETY: a new descriptor that nobody else has.
        let mut file = unsafe { File::from_raw_fd(fd) };
        file.write_all(&small).ok()?;
        Some(Self { file: file.into() })
    }

    /// A path to it. Needs `/proc`.
    pub fn path(&self) -> Option<PathBuf> {
        let path = PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()));
        path.exists().then_some(path)
    }
}

/// Whether the running kernel has a function of that name, as its BTF tells.
pub fn has_function(name: &str) -> bool {
    kernel_has(&[FUNC], name)
}

/// The same of a struct or union.
pub fn has_struct(name: &str) -> bool {
    kernel_has(&[STRUCT, UNION], name)
}

fn kernel_has(kinds: &[u32], name: &str) -> bool {
    let vmlinux = std::fs::read(VMLINUX).unwrap_or_default();
    Source::parse(&vmlinux).is_some_and(|source| {
        let mut types = (1..source.offsets.len() as u32).filter_map(|id| source.get(id));
        types.any(|ty| kinds.contains(&ty.kind) && source.string(ty.name) == Some(name.as_bytes()))
    })
}

// Documentation/bpf/btf.rst; include/uapi/linux/btf.h
const HEADER: usize = 24;
const MAGIC: u16 = 0xeb9f;
const INT: u32 = 1;
const PTR: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const FWD: u32 = 7;
const TYPEDEF: u32 = 8;
const VOLATILE: u32 = 9;
const CONST: u32 = 10;
const RESTRICT: u32 = 11;
const FUNC: u32 = 12;
const FUNC_PROTO: u32 = 13;
const VAR: u32 = 14;
const DATASEC: u32 = 15;
const DECL_TAG: u32 = 17;
const TYPE_TAG: u32 = 18;
const ENUM64: u32 = 19;

type Wanted<'a> = FxHashMap<&'a [u8], FxHashSet<&'a [u8]>>;

/// Picks the wanted structs out of a BTF.
pub fn shrink(btf: &[u8], wanted: &[(&str, &[&str])]) -> Option<Vec<u8>> {
    let source = Source::parse(btf)?;
    let wanted: Wanted<'_> = wanted
        .iter()
        .map(|(name, fields)| {
            (
                name.as_bytes(),
                fields.iter().map(|f| f.as_bytes()).collect(),
            )
        })
        .collect();
    let mut small = Small {
        source: &source,
        wanted: &wanted,
        types: Vec::new(),
        strings: vec![0],
        done: FxHashMap::default(),
    };
    for id in 1..source.offsets.len() as u32 {
        let ty = source.get(id)?;
        if matches!(ty.kind, STRUCT | UNION) {
            let name = source.string(ty.name)?;
            if !name.is_empty() && wanted.contains_key(name) {
                small.add(id, 0)?;
            }
        }
    }
    Some(small.finish())
}

/// One type's fixed part.
#[derive(Clone, Copy)]
struct Type {
    name: u32,
    kind: u32,
    flag: bool,
    len: u32,
    /// Size in bytes, or the type it refers to.
    payload: u32,
    /// Where what follows it begins, among the types' bytes.
    rest: usize,
}

struct Source<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Of each type, by id; the first stands for void.
    offsets: Vec<u32>,
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(
        bytes.get(at..at.checked_add(4)?)?.try_into().ok()?,
    ))
}

impl<'a> Source<'a> {
    fn parse(btf: &'a [u8]) -> Option<Self> {
        let magic = u16::from_ne_bytes(btf.get(..2)?.try_into().ok()?);
        if magic != MAGIC {
            return None;
        }
        let word = |at| u32_at(btf, at).map(|w| w as usize);
        let body = word(4)?;
        let part = |offset: usize, length: usize| {
            let start = body.checked_add(offset)?;
            btf.get(start..start.checked_add(length)?)
        };
        let mut source = Self {
            types: part(word(8)?, word(12)?)?,
            strings: part(word(16)?, word(20)?)?,
            offsets: vec![0],
        };
        let mut at = 0;
        while at < source.types.len() {
            source.offsets.push(at as u32);
            let ty = source.read(at)?;
            at = ty.rest + Self::rest_len(ty)?;
        }
        Some(source)
    }

    fn read(&self, at: usize) -> Option<Type> {
        let info = u32_at(self.types, at + 4)?;
        Some(Type {
            name: u32_at(self.types, at)?,
            kind: (info >> 24) & 0x1f,
            flag: info >> 31 != 0,
            len: info & 0xffff,
            payload: u32_at(self.types, at + 8)?,
            rest: at + 12,
        })
    }

    /// Bytes that follow the fixed part; `None` for a kind that is not known.
    fn rest_len(ty: Type) -> Option<usize> {
        let len = ty.len as usize;
        Some(match ty.kind {
            INT | VAR | DECL_TAG => 4,
            ARRAY => 12,
            STRUCT | UNION | DATASEC | ENUM64 => 12 * len,
            ENUM | FUNC_PROTO => 8 * len,
            PTR..=TYPE_TAG => 0,
            _ => return None,
        })
    }

    fn get(&self, id: u32) -> Option<Type> {
        if id == 0 {
            return None;
        }
        self.read(*self.offsets.get(id as usize)? as usize)
    }

    fn string(&self, at: u32) -> Option<&'a [u8]> {
        let tail = self.strings.get(at as usize..)?;
        Some(&tail[..tail.iter().position(|&b| b == 0)?])
    }
}

struct Small<'a> {
    source: &'a Source<'a>,
    wanted: &'a Wanted<'a>,
    /// Bytes of each type; ids count from 1.
    types: Vec<Vec<u8>>,
    strings: Vec<u8>,
    done: FxHashMap<u32, u32>,
}

impl Small<'_> {
    /// Adds a type and what it is made of; its new id. Names of types are not
    /// compared beyond structs and enums, so modifiers and typedefs are left out.
    fn add(&mut self, id: u32, depth: u32) -> Option<u32> {
        const DEPTH: u32 = 32;
        if id == 0 {
            return Some(0);
        }
        if let Some(&new) = self.done.get(&id) {
            return Some(new);
        }
        if depth > DEPTH {
            return None;
        }
        let ty = self.source.get(id)?;
        if matches!(ty.kind, TYPEDEF | VOLATILE | CONST | RESTRICT | TYPE_TAG) {
            let new = self.add(ty.payload, depth + 1)?;
            self.done.insert(id, new);
            return Some(new);
        }
        self.types.push(Vec::new());
        let new = self.types.len() as u32;
        self.done.insert(id, new);
        let bytes = match ty.kind {
            STRUCT | UNION => self.composite(ty, depth)?,
            ARRAY => {
                let element = self.add(u32_at(self.source.types, ty.rest)?, depth + 1)?;
                let index = self.add(u32_at(self.source.types, ty.rest + 4)?, depth + 1)?;
                let count = u32_at(self.source.types, ty.rest + 8)?;
                [head(0, ARRAY, 0, false, 0), words(&[element, index, count])].concat()
            }
            INT => {
                let name = self.name(ty.name)?;
                let encoding = u32_at(self.source.types, ty.rest)?;
                [head(name, INT, 0, ty.flag, ty.payload), words(&[encoding])].concat()
            }
            ENUM | ENUM64 => {
                let name = self.name(ty.name)?;
                head(name, ENUM, 0, false, ty.payload)
            }
            FWD => {
                let name = self.name(ty.name)?;
                head(name, FWD, 0, ty.flag, 0)
            }
            // A pointer's target is the start of another relocation; of the rest nothing is read.
            _ => head(0, PTR, 0, false, 0),
        };
        self.types[new as usize - 1] = bytes;
        Some(new)
    }

    /// A struct or union with the fields that are wanted of it.
    fn composite(&mut self, ty: Type, depth: u32) -> Option<Vec<u8>> {
        let wanted = self.wanted;
        let name = self.source.string(ty.name)?;
        // The kernel may have a name for what the walks declare without (refcount_struct).
        let fields = wanted.get(name).or_else(|| wanted.get(b"".as_slice()));
        let mut members = Vec::new();
        let mut count = 0;
        for i in 0..ty.len as usize {
            let at = ty.rest + 12 * i;
            let member = u32_at(self.source.types, at)?;
            let member_name = self.source.string(member)?;
            // Structs without a name lie inside others, whose fields they hold.
            let keep = member_name.is_empty()
                || if name.is_empty() {
                    wanted.values().any(|f| f.contains(member_name))
                } else {
                    fields.is_some_and(|f| f.contains(member_name))
                };
            if !keep {
                continue;
            }
            let member_type = self.add(u32_at(self.source.types, at + 4)?, depth + 1)?;
            let offset = u32_at(self.source.types, at + 8)?;
            members.extend(words(&[self.name(member)?, member_type, offset]));
            count += 1;
        }
        let name = self.name(ty.name)?;
        let mut bytes = head(name, ty.kind, count, ty.flag, ty.payload);
        bytes.extend(members);
        Some(bytes)
    }

    fn name(&mut self, at: u32) -> Option<u32> {
        let name = self.source.string(at)?;
        if name.is_empty() {
            return Some(0);
        }
        let new = self.strings.len() as u32;
        self.strings.extend(name);
        self.strings.push(0);
        Some(new)
    }

    fn finish(self) -> Vec<u8> {
        let types = self.types.concat();
        let mut btf = Vec::with_capacity(HEADER + types.len() + self.strings.len());
        btf.extend(MAGIC.to_ne_bytes());
        btf.extend([1, 0]);
        let (types_len, strings_len) = (types.len() as u32, self.strings.len() as u32);
        btf.extend(words(&[
            HEADER as u32,
            0,
            types_len,
            types_len,
            strings_len,
        ]));
        btf.extend(types);
        btf.extend(self.strings);
        btf
    }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_ne_bytes()).collect()
}

fn head(name: u32, kind: u32, len: u32, flag: bool, payload: u32) -> Vec<u8> {
    words(&[name, u32::from(flag) << 31 | kind << 24 | len, payload])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_kernels_btf_shrinks_to_what_is_wanted() {
        let vmlinux = std::fs::read(VMLINUX).expect("a kernel with BTF");
        let small = shrink(&vmlinux, wanted::WANTED).expect("it shrinks");
        assert!(small.len() < 200_000, "{} bytes", small.len());
        let source = Source::parse(&small).expect("it is BTF again");
        let names: Vec<_> = (1..source.offsets.len() as u32)
            .filter_map(|id| source.get(id))
            .filter(|ty| ty.kind == STRUCT)
            .filter_map(|ty| source.string(ty.name))
            .collect();
        for name in ["bpf_map", "bpf_prog_aux", "task_struct", "super_block"] {
            assert!(names.contains(&name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn damaged_btf_is_no_panic() {
        let vmlinux = std::fs::read(VMLINUX).expect("a kernel with BTF");
        let small = shrink(&vmlinux, wanted::WANTED).expect("it shrinks");
        for end in (0..small.len()).step_by(7) {
            let _ = shrink(&small[..end], wanted::WANTED);
        }
        for at in 0..small.len().min(6000) {
            let mut damaged = small.clone();
            damaged[at] ^= 0xff;
            let _ = shrink(&damaged, wanted::WANTED);
        }
    }
}
