//! Programs.

use super::{Kind, Object, attach_type, bpf, bpf_fd, short_name};
use crate::btf;
use crate::insn::{self, Insn};
use crate::sys::{Result, c_string};
use std::os::fd::AsRawFd;

/// `enum bpf_prog_type`
#[allow(missing_docs)]
pub mod prog_type {
    pub const SOCKET_FILTER: u32 = 1;
    pub const KPROBE: u32 = 2;
    pub const SCHED_CLS: u32 = 3;
    pub const SCHED_ACT: u32 = 4;
    pub const TRACEPOINT: u32 = 5;
    pub const XDP: u32 = 6;
    pub const PERF_EVENT: u32 = 7;
    pub const CGROUP_SKB: u32 = 8;
    pub const CGROUP_SOCK: u32 = 9;
    pub const LWT_IN: u32 = 10;
    pub const LWT_OUT: u32 = 11;
    pub const LWT_XMIT: u32 = 12;
    pub const SOCK_OPS: u32 = 13;
    pub const SK_SKB: u32 = 14;
    pub const CGROUP_DEVICE: u32 = 15;
    pub const RAW_TRACEPOINT: u32 = 17;
    pub const CGROUP_SOCK_ADDR: u32 = 18;
    pub const FLOW_DISSECTOR: u32 = 22;
    pub const CGROUP_SYSCTL: u32 = 23;
    pub const CGROUP_SOCKOPT: u32 = 25;
    pub const TRACING: u32 = 26;
    pub const STRUCT_OPS: u32 = 27;
    pub const EXT: u32 = 28;
    pub const LSM: u32 = 29;
    pub const SK_LOOKUP: u32 = 30;
    pub const NETFILTER: u32 = 32;
}

const PROG_LOAD: i32 = 5;
const PROG_BIND_MAP: i32 = 35;

#[repr(C)]
#[derive(Default)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
    attach_prog_fd: u32,
    core_relo_cnt: u32,
    fd_array: u64,
    core_relos: u64,
    core_relo_rec_size: u32,
    log_true_size: u32,
    prog_token_fd: u32,
    fd_array_cnt: u32,
}

/// What a program is made of.
#[derive(Debug, Default)]
#[must_use]
pub struct ProgSpec<'a> {
    prog_type: u32,
    name: [u8; 16],
    insns: Vec<Insn>,
    attach_type: u32,
    attach_btf_id: u32,
    attach_prog: Option<&'a Object>,
    btf: Option<&'a Object>,
    named: Vec<u32>,
}

impl<'a> ProgSpec<'a> {
    /// A program of a type, from instructions.
    pub fn new(prog_type: u32, name: &str, insns: Vec<Insn>) -> Self {
        Self {
            prog_type,
            name: short_name(name.as_bytes()),
            insns,
            ..Self::default()
        }
    }

    /// With an expected attach type.
    pub fn attach(mut self, attach_type: u32) -> Self {
        self.attach_type = attach_type;
        self
    }

    /// Its main function is [`btf::MAIN`] of this BTF.
    pub fn btf(mut self, btf: &'a Object) -> Self {
        self.btf = Some(btf);
        self
    }

    /// Its loader names these objects besides (`fd_array_cnt`): maps and BTF.
    pub fn naming(mut self, objects: &[&Object]) -> Self {
        self.named = objects.iter().map(|o| o.fd()).collect();
        self
    }

    /// It aims at a function: of the kernel, or of `target` if there is one.
    pub fn aims_at(mut self, function: u32, target: Option<&'a Object>) -> Self {
        self.attach_btf_id = function;
        self.attach_prog = target;
        self
    }

    /// `BPF_PROG_LOAD`
    pub fn load(&self) -> Result<Object> {
        let license = c_string("Dual BSD/GPL")?;
        let func_info: [u32; 2] = [0, btf::MAIN];
        let mut attr = Load {
            prog_type: self.prog_type,
            insn_cnt: self.insns.len() as u32,
            insns: self.insns.as_ptr() as u64,
            license: license.as_ptr() as u64,
            prog_name: self.name,
            expected_attach_type: self.attach_type,
            attach_btf_id: self.attach_btf_id,
            attach_prog_fd: self.attach_prog.map_or(0, Object::fd),
            ..Load::default()
        };
        // Older kernels want zeroes in fields that they do not know.
        if !self.named.is_empty() {
            attr.fd_array = self.named.as_ptr() as u64;
            attr.fd_array_cnt = self.named.len() as u32;
        }
        if let Some(btf) = self.btf {
            attr.prog_btf_fd = btf.fd();
            attr.func_info_rec_size = size_of_val(&func_info) as u32;
            attr.func_info = func_info.as_ptr() as u64;
            attr.func_info_cnt = 1;
        }
        let fd = bpf_fd(PROG_LOAD, &mut attr, "BPF_PROG_LOAD")?;
        Object::from_fd(Kind::Prog, fd)
    }
}

/// A socket filter that does nothing.
pub fn filter(name: &str) -> Result<Object> {
    ProgSpec::new(prog_type::SOCKET_FILTER, name, insn::returns(0)).load()
}

/// A socket filter that uses the given maps.
pub fn filter_using(name: &str, maps: &[&Object]) -> Result<Object> {
    let fds: Vec<_> = maps.iter().map(|m| m.as_raw_fd()).collect();
    let insns = insn::uses_maps(&fds, 0);
    ProgSpec::new(prog_type::SOCKET_FILTER, name, insns).load()
}

/// An iterator program on `iter/TARGET`, such as `bpf_map_elem`.
pub fn iterator(name: &str, target: &str) -> Result<Object> {
    let function = btf::kernel_function(&format!("bpf_iter_{target}"))?;
    ProgSpec::new(prog_type::TRACING, name, insn::returns(0))
        .attach(attach_type::TRACE_ITER)
        .aims_at(function, None)
        .load()
}

/// `BPF_PROG_BIND_MAP`: the program holds the map from now on.
pub fn bind(prog: &Object, map: &Object) -> Result<()> {
    let mut attr: [u32; 3] = [prog.fd(), map.fd(), 0];
    bpf(PROG_BIND_MAP, &mut attr, "BPF_PROG_BIND_MAP").map(drop)
}
