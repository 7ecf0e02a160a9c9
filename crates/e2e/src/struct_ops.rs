//! A TCP congestion control made of programs, registered with or without a link.

use crate::bpf::{self, LinkDetail, MapSpec, Object, ProgSpec, attach_type, map_type, prog_type};
use crate::scene::{Cannot, OrImpossible, Outcome};
use crate::{btf, insn, sys};

/// The programs without which the kernel registers none.
const MEMBERS: [&str; 3] = ["ssthresh", "undo_cwnd", "cong_avoid"];

/// A congestion control. Dropping it takes it off the kernel's list: without a
/// link it would stay there for good.
#[derive(Debug)]
pub struct CongestionControl {
    /// The map of type `struct_ops`.
    pub map: Object,
    /// Its programs.
    pub progs: Vec<Object>,
}

impl Drop for CongestionControl {
    fn drop(&mut self) {
        // Fails if it is off already, or was registered by a link.
        let _ = bpf::take_out(&self.map, 0);
    }
}

/// A name as `TCP_CONGESTION` takes it.
pub fn name(text: &str) -> [u8; 16] {
    let mut name = [0; 16];
    let length = text.len().min(15);
    name[..length].copy_from_slice(&text.as_bytes()[..length]);
    name
}

/// Loads it. Without `BPF_F_LINK` in `flags` this registers it, for all network
/// namespaces; the name must be the test's own.
pub fn load(called: &str, flags: u32) -> Outcome<CongestionControl> {
    remove_left_over(called)?;
    let refused = [libc::EPERM, sys::ENOTSUPP, libc::EOPNOTSUPP].map(|errno| Cannot {
        errno,
        since: None,
        why: "this kernel cannot run struct_ops programs",
    });
    let btf = bpf::load_btf(&btf::blob())?;
    let ops = btf::kernel_struct("tcp_congestion_ops")?;
    let value_type = btf::kernel_struct("bpf_struct_ops_tcp_congestion_ops")?;
    let (_, data) = value_type.member("data")?;
    let (_, name_at) = ops.member("name")?;
    let (_, flags_at) = ops.member("flags")?;
    let mut value = vec![0; value_type.size];
    value[data + name_at..][..16].copy_from_slice(&name(called));
    // TCP_CONG_NON_RESTRICTED: other network namespaces than the first may have it by default.
    value[data + flags_at] = 1;
    let mut progs = Vec::new();
    for member in MEMBERS {
        let (index, offset) = ops.member(member)?;
        let prog = ProgSpec::new(prog_type::STRUCT_OPS, member, insn::returns(2))
            .attach(index as u32)
            .aims_at(ops.id, None)
            .load()
            .or_impossible(&refused)?;
        // In the place of the function's address stands the program's descriptor.
        let fd = u64::from(prog.fd());
        value[data + offset..][..8].copy_from_slice(&fd.to_ne_bytes());
        progs.push(prog);
    }
    let mut spec = MapSpec::new(map_type::STRUCT_OPS, called).flags(flags);
    spec.value_size = value.len() as u32;
    spec.max_entries = 1;
    spec.btf_fd = btf.fd();
    spec.btf_vmlinux_value_type_id = value_type.id;
    let map = spec.create().or_impossible(&[Cannot {
        errno: libc::EINVAL,
        since: Some((6, 4)),
        why: "no struct_ops links before Linux 6.4",
    }])?;
    let control = CongestionControl { map, progs };
    bpf::put_bytes(&control.map, 0, &value)?;
    Ok(control)
}

/// Unregisters what a scene that was killed left under this name.
fn remove_left_over(called: &str) -> Outcome {
    for map in bpf::maps_named(called)? {
        let _ = bpf::take_out(&map, 0);
    }
    Ok(())
}

/// Takes one without a link off the list: who uses it goes on.
pub fn unregister(control: &CongestionControl) -> Outcome {
    Ok(bpf::take_out(&control.map, 0)?)
}

/// Registers one that was loaded with `BPF_F_LINK`.
pub fn link(control: &CongestionControl) -> Outcome<Object> {
    let detail = LinkDetail::default();
    let kind = attach_type::STRUCT_OPS;
    Ok(bpf::link(&control.map, 0, kind, 0, detail)?)
}
