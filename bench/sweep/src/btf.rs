//! The id of a function in the kernel's own BTF.

use anyhow::{Context as _, Result};
use std::fs;

const PATH: &str = "/sys/kernel/btf/vmlinux";
const KIND_FUNC: u32 = 12;

/// The type id of function `name`.
pub fn kernel_function(name: &str) -> Result<u32> {
    let btf = fs::read(PATH).with_context(|| format!("cannot read {PATH}"))?;
    find(&btf, name).with_context(|| format!("{PATH} has no function {name}"))
}

/// Walks the types (Documentation/bpf/btf.rst) for the first function of that name.
fn find(btf: &[u8], name: &str) -> Option<u32> {
    let word = |at: usize| -> Option<u32> {
        let bytes = btf.get(at..at.checked_add(4)?)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    let header = word(4)? as usize;
    let types = header + word(8)? as usize;
    let end = types + word(12)? as usize;
    let strings = header + word(16)? as usize;
    let (mut at, mut id) = (types, 0);
    while at < end {
        id += 1;
        let (text, info) = (strings + word(at)? as usize, word(at + 4)?);
        let (kind, members) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
        if kind == KIND_FUNC {
            let text = btf.get(text..)?;
            if text.starts_with(name.as_bytes()) && text.get(name.len()) == Some(&0) {
                return Some(id);
            }
        }
        // What follows the three words that every type has.
        at += 12
            + match kind {
                1 | 14 | 17 => 4,                // int, var, decl_tag
                3 => 12,                         // array
                4 | 5 | 15 | 19 => members * 12, // struct, union, datasec, enum64
                6 | 13 => members * 8,           // enum, func_proto
                _ => 0,
            };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_function_behind_other_types() {
        let strings = b"\0int\0f\0g\0";
        #[rustfmt::skip]
        let types: [u32; 14] = [
            1, 1 << 24, 4, 1 << 24 | 32, // 1: int
            0, 13 << 24 | 1, 1, 0, 1,    // 2: int (int), one parameter of two words
            5, 12 << 24, 2,              // 3: f
            7, 12 << 24,                 // 4: g, whose third word follows
        ];
        let length = (types.len() as u32 + 1) * 4;
        let mut btf = vec![0x9f, 0xeb, 1, 0];
        for word in [24, 0, length, length, strings.len() as u32] {
            btf.extend_from_slice(&word.to_le_bytes());
        }
        for word in types.into_iter().chain([2]) {
            btf.extend_from_slice(&word.to_le_bytes());
        }
        btf.extend_from_slice(strings);
        assert_eq!(find(&btf, "f"), Some(3));
        assert_eq!(find(&btf, "g"), Some(4));
        assert_eq!(find(&btf, "int"), None);
        assert_eq!(find(&btf[..60], "g"), None);
    }
}
