//! Attaching without a link.

use super::{Object, bpf};
use crate::sys::Result;

const PROG_ATTACH: i32 = 8;
const PROG_DETACH: i32 = 9;

/// Attach flag: other programs may be attached there and below.
pub const F_ALLOW_MULTI: u32 = 1 << 1;

/// `BPF_PROG_ATTACH`. `target` is a descriptor or an interface index.
pub fn attach(prog: &Object, target: u32, attach_type: u32, flags: u32) -> Result<()> {
    let mut attr: [u32; 4] = [target, prog.fd(), attach_type, flags];
    bpf(PROG_ATTACH, &mut attr, "BPF_PROG_ATTACH").map(drop)
}

/// `BPF_PROG_DETACH`: takes this program away from there again.
pub fn detach_prog(prog: &Object, target: u32, attach_type: u32) -> Result<()> {
    let mut attr: [u32; 4] = [target, prog.fd(), attach_type, 0];
    bpf(PROG_DETACH, &mut attr, "BPF_PROG_DETACH").map(drop)
}
