//! Maps of sockets, and the programs attached to them.

use crate::bpf::{self, MapSpec, Object, ProgSpec, map_type};
use crate::insn;
use crate::sys::Result;
use std::net::TcpStream;
use std::os::fd::AsRawFd;

/// `BPF_MAP_TYPE_SOCKHASH`
const SOCKHASH: u32 = 18;

/// Which of a map's programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// `BPF_SK_SKB_STREAM_PARSER`
    Parser,
    /// `BPF_SK_SKB_STREAM_VERDICT`
    StreamVerdict,
    /// `BPF_SK_MSG_VERDICT`
    MsgVerdict,
    /// `BPF_SK_SKB_VERDICT`, since 5.13
    SkbVerdict,
}

impl Slot {
    fn attach_type(self) -> u32 {
        match self {
            Self::Parser => 4,
            Self::StreamVerdict => 5,
            Self::MsgVerdict => 7,
            Self::SkbVerdict => 38,
        }
    }
}

/// A sockmap with room for 256 sockets.
pub fn sockmap(name: &str) -> Result<Object> {
    of_type(map_type::SOCKMAP, name)
}

/// A sockhash of the same size.
pub fn sockhash(name: &str) -> Result<Object> {
    of_type(SOCKHASH, name)
}

fn of_type(map_type: u32, name: &str) -> Result<Object> {
    let mut spec = MapSpec::new(map_type, name);
    spec.max_entries = 256;
    spec.create()
}

/// A program for these slots, which lets everything pass.
pub fn program(slot: Slot, name: &str) -> Result<Object> {
    const SK_SKB: u32 = 14;
    const SK_MSG: u32 = 16;
    const SK_PASS: i32 = 1;
    let prog_type = if slot == Slot::MsgVerdict {
        SK_MSG
    } else {
        SK_SKB
    };
    // A parser says how long the message is: 1 byte is as good as any.
    ProgSpec::new(prog_type, name, insn::returns(SK_PASS))
        .attach(slot.attach_type())
        .load()
}

/// `BPF_PROG_ATTACH` on the map: sockets get the program when they are put in later.
pub fn attach(map: &Object, slot: Slot, prog: &Object) -> Result<()> {
    bpf::attach(prog, map.fd(), slot.attach_type(), 0)
}

/// `BPF_LINK_CREATE` on the map, since 6.10.
pub fn link(map: &Object, slot: Slot, prog: &Object) -> Result<Object> {
    let detail = bpf::LinkDetail::default();
    bpf::link(prog, map.fd(), slot.attach_type(), 0, detail)
}

/// Puts a connected socket in.
pub fn put(map: &Object, key: u32, socket: &TcpStream) -> Result<()> {
    bpf::put_bytes(map, key, &socket.as_raw_fd().to_ne_bytes())
}
