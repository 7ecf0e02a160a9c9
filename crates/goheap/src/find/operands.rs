//! Which variables a function's code refers to.
//!
//! No disassembler: on amd64 an operand relative to the next instruction is recognised by its `ModRM` byte
//! (mod 0, r/m 5) behind one of the opcodes that the compiler uses for it; on arm64 by `ADRP` and what then uses its
//! register. A chance hit in the middle of an instruction must lie in the module's data as well to count, and what
//! is found is checked by what stands there.

use gobinary::layout::Arch;
use std::ops::Range;

/// What an instruction does with a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Takes its address.
    Address,
    /// Reads it (also to compare it).
    Load,
    /// Writes it.
    Store,
    /// Another instruction: atomic ones, arithmetic.
    Other,
}

/// A reference to a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operand {
    /// Address of the variable, or of a part of it.
    pub target: u64,
    /// What is done with it.
    pub access: Access,
}

/// The references to addresses in `data`, in the order of the code, which stands at `at`.
pub fn operands(arch: Arch, code: &[u8], at: u64, data: &Range<u64>) -> Vec<Operand> {
    let mut found = match arch {
        Arch::Amd64 => amd64(code, at),
        Arch::Arm64 => arm64(code, at),
    };
    found.retain(|operand| data.contains(&operand.target));
    found
}

fn amd64(code: &[u8], at: u64) -> Vec<Operand> {
    let mut found = Vec::new();
    for i in 1..code.len().saturating_sub(4) {
        if code[i] & 0xc7 != 0x05 {
            continue;
        }
        let long = i >= 2 && code[i - 2] == 0x0f;
        let narrow = i >= 2 && code[i - 2] == 0x66;
        let Some((access, immediate)) = opcode(code[i - 1], code[i], long, narrow) else {
            continue;
        };
        let displacement = i32::from_le_bytes([code[i + 1], code[i + 2], code[i + 3], code[i + 4]]);
        let next = at.wrapping_add(i as u64 + 5 + immediate);
        found.push(Operand {
            target: next.wrapping_add(i64::from(displacement) as u64),
            access,
        });
    }
    found
}

/// What an opcode does with its memory operand, and how many bytes of immediate follow.
fn opcode(opcode: u8, modrm: u8, long: bool, narrow: bool) -> Option<(Access, u64)> {
    let extension = modrm >> 3 & 7;
    Some(match (long, opcode) {
        (false, 0x8d) => (Access::Address, 0),
        // movups, movdqu, movzx, movsx; mov, cmp.
        (true, 0x10 | 0x6f | 0xb6 | 0xb7 | 0xbe | 0xbf) | (false, 0x8a | 0x8b | 0x38..=0x3b) => {
            (Access::Load, 0)
        }
        (true, 0x11 | 0x7f) | (false, 0x88 | 0x89) => (Access::Store, 0),
        (false, 0xc6) if extension == 0 => (Access::Store, 1),
        (false, 0xc7) if extension == 0 => (Access::Store, if narrow { 2 } else { 4 }),
        // cmp, and the arithmetic of the same opcodes.
        (false, 0x80 | 0x83) => (
            if extension == 7 {
                Access::Load
            } else {
                Access::Other
            },
            1,
        ),
        (false, 0x81) => (
            if extension == 7 {
                Access::Load
            } else {
                Access::Other
            },
            4,
        ),
        // cmpxchg, xadd; arithmetic, xchg, inc.
        (true, 0xb0 | 0xb1 | 0xc0 | 0xc1)
        | (false, 0x01 | 0x03 | 0x09 | 0x21 | 0x29 | 0x2b | 0x86 | 0x87 | 0xff) => {
            (Access::Other, 0)
        }
        _ => return None,
    })
}

fn arm64(code: &[u8], at: u64) -> Vec<Operand> {
    let mut found = Vec::new();
    let mut pages = [None; 32];
    for (i, word) in code.chunks_exact(4).enumerate() {
        let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        let pc = at.wrapping_add(i as u64 * 4);
        let (destination, base) = ((word & 31) as usize, (word >> 5 & 31) as usize);
        let immediate = u64::from(word >> 10 & 0xfff);
        if word & 0x9f00_0000 == 0x9000_0000 {
            // ADRP: 21 bits of signed pages.
            let pages_away = (word >> 5 & 0x7_ffff) << 2 | word >> 29 & 3;
            let signed = i64::from((pages_away << 11) as i32 >> 11) << 12;
            pages[destination] = Some((pc & !0xfff).wrapping_add(signed as u64));
        } else if word & 0xffc0_0000 == 0x9100_0000 {
            // ADD of an immediate, not shifted.
            if let Some(page) = pages[base] {
                found.push(Operand {
                    target: page.wrapping_add(immediate),
                    access: Access::Address,
                });
            }
            pages[destination] = None;
        } else if word & 0x3b00_0000 == 0x3900_0000
            && let Some(page) = pages[base]
        {
            // LDR and STR with an unsigned offset in units of what is loaded.
            let vector = word >> 26 & 1 == 1;
            let kind = word >> 22 & 3;
            let size = if vector && kind & 2 != 0 {
                4
            } else {
                word >> 30
            };
            let load = kind & 1 == 1 || (!vector && kind == 2);
            found.push(Operand {
                target: page.wrapping_add(immediate << size),
                access: if load { Access::Load } else { Access::Store },
            });
            if load && !vector {
                pages[destination] = None;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: Range<u64> = 0x50_0000..0x60_0000;

    #[test]
    fn operands_of_amd64() {
        let code = [
            // lea rax, [rip+0x100000]; mov rcx, [rip+0x100]; cmp dword [rip+0x100000], 0; mov qword [rip+0x100000], 1
            &[0x48, 0x8d, 0x05, 0x00, 0x00, 0x10, 0x00][..],
            &[0x48, 0x8b, 0x0d, 0x00, 0x01, 0x00, 0x00],
            &[0x83, 0x3d, 0x00, 0x00, 0x10, 0x00, 0x00],
            &[0x48, 0xc7, 0x05, 0x00, 0x00, 0x10, 0x00, 1, 0, 0, 0],
        ]
        .concat();
        let found = operands(Arch::Amd64, &code, 0x40_0000, &DATA);
        let expected = [
            (0x40_0007 + 0x10_0000, Access::Address),
            (0x40_0015 + 0x10_0000, Access::Load),
            (0x40_0020 + 0x10_0000, Access::Store),
        ];
        // The second is not in the data.
        assert_eq!(found.len(), 3);
        for (found, (target, access)) in found.iter().zip(expected) {
            assert_eq!((found.target, found.access), (target, access));
        }
    }

    #[test]
    fn operands_of_arm64() {
        let code: Vec<u8> = [
            // adrp x27, +0x100 pages; ldr x0, [x27, #0x18]; str w1, [x27, #4]; add x2, x27, #0x20
            0x9000_081b_u32,
            0xf940_0f60,
            0xb900_0761,
            0x9100_8362,
        ]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
        let found = operands(Arch::Arm64, &code, 0x40_0000, &DATA);
        assert_eq!(
            found,
            [
                (0x50_0018, Access::Load),
                (0x50_0004, Access::Store),
                (0x50_0020, Access::Address)
            ]
            .map(|(target, access)| Operand { target, access })
        );
    }

    #[test]
    fn any_bytes_are_read() {
        for len in 0..40 {
            let _ = operands(Arch::Amd64, &vec![0x05; len], u64::MAX - 3, &(0..u64::MAX));
            let _ = operands(Arch::Arm64, &vec![0xff; len], u64::MAX - 3, &(0..u64::MAX));
        }
    }
}
