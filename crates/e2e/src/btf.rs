//! A small hand-made BTF, and the ids of functions in the kernel's own.

use crate::sys::{Error, Result, io};

const MAGIC: u16 = 0xeb9f;
const HEADER: u32 = 24;

const KIND_INT: u32 = 1;
const KIND_PTR: u32 = 2;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_FUNC: u32 = 12;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const KIND_DECL_TAG: u32 = 17;
const KIND_ENUM64: u32 = 19;

/// In [`blob`]: `int`, for keys.
pub const INT: u32 = 1;
/// In [`blob`]: `struct e2e_value { int count; }`, for values.
pub const VALUE: u32 = 2;
/// In [`blob`]: `int e2e_main(struct __sk_buff *)`, a global function.
pub const MAIN: u32 = 6;

/// A BTF object with the types above.
pub fn blob() -> Vec<u8> {
    let mut strings = vec![0_u8];
    let mut name = |text: &str| {
        let at = strings.len() as u32;
        strings.extend_from_slice(text.as_bytes());
        strings.push(0);
        at
    };
    let (int, value, count) = (name("int"), name("e2e_value"), name("count"));
    let (skb, argument, main) = (name("__sk_buff"), name("skb"), name("e2e_main"));
    let info = |kind: u32, vlen: u32| kind << 24 | vlen;
    let signed_32_bits = 1 << 24 | 32;
    let global = 1;
    #[rustfmt::skip]
    let types: [u32; 24] = [
        // 1: int
        int, info(KIND_INT, 0), 4, signed_32_bits,
        // 2: struct e2e_value, with one member of type 1 at bit 0
        value, info(KIND_STRUCT, 1), 4, count, INT, 0,
        // 3: struct __sk_buff, without members
        skb, info(KIND_STRUCT, 0), 0,
        // 4: pointer to 3
        0, info(KIND_PTR, 0), 3,
        // 5: int (struct __sk_buff *skb)
        0, info(KIND_FUNC_PROTO, 1), INT, argument, 4,
        // 6: the function
        main, info(KIND_FUNC, global), 5,
    ];
    let type_bytes = types.len() as u32 * 4;
    let mut blob = Vec::new();
    blob.extend_from_slice(&MAGIC.to_le_bytes());
    blob.extend_from_slice(&[1, 0]); // version, flags
    for word in [HEADER, 0, type_bytes, type_bytes, strings.len() as u32] {
        blob.extend_from_slice(&word.to_le_bytes());
    }
    for word in types {
        blob.extend_from_slice(&word.to_le_bytes());
    }
    blob.extend_from_slice(&strings);
    blob
}

/// The id of a function in the running kernel's BTF.
pub fn kernel_function(name: &str) -> Result<u32> {
    Ok(kernel()?.find(KIND_FUNC, name)?.id)
}

/// A structure of the running kernel.
#[derive(Debug)]
pub struct Struct {
    /// Its type id.
    pub id: u32,
    /// Its size in bytes.
    pub size: usize,
    /// Name and offset in bytes of each member, in order.
    pub members: Vec<(String, usize)>,
}

impl Struct {
    /// Index and offset of a member.
    pub fn member(&self, name: &str) -> Result<(usize, usize)> {
        let found = self.members.iter().enumerate().find(|(_, m)| m.0 == name);
        found
            .map(|(index, (_, offset))| (index, *offset))
            .ok_or_else(|| missing(name))
    }
}

/// A structure of the running kernel, by name.
pub fn kernel_struct(name: &str) -> Result<Struct> {
    let btf = kernel()?;
    let found = btf.find(KIND_STRUCT, name)?;
    let member = |i: usize| -> Option<(String, usize)> {
        // name, type, offset in bits
        let at = found.at + 12 + 12 * i;
        let name = btf.text(btf.word(at)? as usize)?;
        Some((name, btf.word(at + 8)? as usize / 8))
    };
    let members: Option<Vec<_>> = (0..found.vlen).map(member).collect();
    Ok(Struct {
        id: found.id,
        size: btf.word(found.at + 8).ok_or_else(|| missing(name))? as usize,
        members: members.ok_or_else(|| missing(name))?,
    })
}

fn missing(name: &str) -> Error {
    Error {
        what: format!("{name} in {VMLINUX}"),
        errno: libc::ENOENT,
    }
}

const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

fn kernel() -> Result<Btf> {
    Ok(Btf(std::fs::read(VMLINUX).map_err(io(VMLINUX))?))
}

/// The bytes of a BTF.
struct Btf(Vec<u8>);

/// Where a type stands.
struct Found {
    id: u32,
    at: usize,
    vlen: usize,
}

impl Btf {
    fn word(&self, at: usize) -> Option<u32> {
        let bytes = self.0.get(at..at.checked_add(4)?)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    }

    fn text(&self, name_at: usize) -> Option<String> {
        let strings = (self.word(4)? + self.word(16)?) as usize;
        let bytes = self.0.get(strings + name_at..)?.split(|b| *b == 0).next()?;
        String::from_utf8(bytes.to_vec()).ok()
    }

    fn find(&self, kind: u32, name: &str) -> Result<Found> {
        self.walk(kind, name).ok_or_else(|| missing(name))
    }

    /// Walks the types for the first of a kind and name.
    fn walk(&self, kind: u32, name: &str) -> Option<Found> {
        let header = self.word(4)? as usize;
        let types = header + self.word(8)? as usize;
        let end = types + self.word(12)? as usize;
        let strings = header + self.word(16)? as usize;
        let (mut at, mut id) = (types, 0);
        while at < end {
            id += 1;
            let (name_at, info) = (self.word(at)? as usize, self.word(at + 4)?);
            let (this, vlen) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
            if this == kind {
                let text = self.0.get(strings + name_at..)?;
                if text.starts_with(name.as_bytes()) && text.get(name.len()) == Some(&0) {
                    return Some(Found { id, at, vlen });
                }
            }
            at += 12 + rest(this, vlen);
        }
        None
    }
}

/// How many bytes follow the three words that every type has (Documentation/bpf/btf.rst).
fn rest(kind: u32, vlen: usize) -> usize {
    match kind {
        KIND_INT | KIND_VAR | KIND_DECL_TAG => 4,
        KIND_ARRAY => 12,
        KIND_STRUCT | KIND_UNION | KIND_DATASEC | KIND_ENUM64 => vlen * 12,
        KIND_ENUM | KIND_FUNC_PROTO => vlen * 8,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_blob_is_found_through_by_the_walk() {
        let btf = Btf(blob());
        let id = |kind, name| btf.walk(kind, name).map(|found| found.id);
        assert_eq!(id(KIND_FUNC, "e2e_main"), Some(MAIN));
        assert_eq!(id(KIND_STRUCT, "e2e_value"), Some(VALUE));
        assert_eq!(id(KIND_FUNC, "e2e_mai"), None);
    }
}
