//! BPF instructions, assembled by hand.

use std::os::fd::{AsRawFd, RawFd};

/// One instruction as the kernel reads it (`struct bpf_insn`), in an integer.
pub type Insn = u64;

const BPF_PSEUDO_MAP_FD: u8 = 1;

/// `struct bpf_insn` on a little-endian machine: code, registers, offset, immediate.
fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
    u64::from(code)
        | u64::from(dst | src << 4) << 8
        | u64::from(off as u16) << 16
        | u64::from(imm as u32) << 32
}

/// `rN = imm`
pub fn mov(dst: u8, imm: i32) -> Insn {
    insn(0xb7, dst, 0, 0, imm)
}

/// `exit`
pub fn exit() -> Insn {
    insn(0x95, 0, 0, 0, 0)
}

/// A program that returns `value` and does nothing else.
pub fn returns(value: i32) -> Vec<Insn> {
    vec![mov(0, value), exit()]
}

/// A program that returns `value`, and loads the address of each map on its
/// way: the verifier puts them into `used_maps`.
pub fn uses_maps(maps: &[RawFd], value: i32) -> Vec<Insn> {
    let mut program = Vec::new();
    for map in maps {
        program.push(insn(0x18, 1, BPF_PSEUDO_MAP_FD, 0, *map));
        program.push(insn(0, 0, 0, 0, 0));
    }
    program.extend(returns(value));
    program
}

/// [`uses_maps`] for one map.
pub fn uses(map: &impl AsRawFd, value: i32) -> Vec<Insn> {
    uses_maps(&[map.as_raw_fd()], value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_have_the_kernel_s_layout() {
        assert_eq!(
            mov(0, 2).to_le_bytes(),
            [0xb7, 0, 0, 0, 2, 0, 0, 0],
            "r0 = 2"
        );
        assert_eq!(
            uses_maps(&[7], 0)[0].to_le_bytes(),
            [0x18, 0x11, 0, 0, 7, 0, 0, 0],
            "r1 = map fd 7"
        );
    }
}
