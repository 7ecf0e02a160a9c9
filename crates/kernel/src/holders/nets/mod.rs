//! Network namespaces and devices: XDP, tcx, netkit and flow dissector programs.
//!
//! The namespaces come from the kernel's own list, so one that no process is in
//! (kept by a bind mount, a socket, an open file) is seen like any other, and none
//! is entered.

use super::hold::{Hold, What};
use crate::core_btf::has_function;
use crate::error::Error;
use crate::rows::{Addr, types};
use crate::walks::{Walk, Walks, until_whole};
use model::decode;
use rustc_hash::FxHashMap;

/// What all namespaces and devices hold.
#[derive(Debug, Default)]
pub struct Nets {
    /// The holders are devices or namespaces.
    pub holds: Vec<Hold>,
    /// Names of the devices among them.
    pub devices: FxHashMap<Addr, String>,
    /// Inode numbers of all namespaces.
    pub namespaces: Vec<u32>,
    /// The kernel has an XDP dispatcher (`kernel/bpf/dispatcher.c`, with the JIT), which
    /// holds every program that runs by XDP once. Only asked if one does.
    pub has_dispatcher: bool,
    /// A list changed during the walk, which may have missed some.
    pub cut: bool,
}

impl Walks {
    /// Walks all network namespaces of the host and their devices.
    pub fn nets(&mut self) -> Result<Nets, Error> {
        until_whole(|| self.nets_once(), |nets| nets.cut)
    }

    fn nets_once(&mut self) -> Result<Nets, Error> {
        let mut nets = Nets::default();
        self.bss_of(Walk::Nets)?.net_cursor = types::net_cursor::default();
        self.run(Walk::Nets, |rows| {
            for row in rows {
                match types::row_kind(u32::from(row.head.kind)) {
                    types::row_kind::ROW_TEXT => {
                        let text: types::row_text = row.as_type();
                        nets.devices.insert(Addr(text.of), decode(row.text()));
                    }
                    types::row_kind::ROW_HOLD => nets.holds.extend(Hold::from_row(&row.as_type())),
                    types::row_kind::ROW_NET => nets.namespaces.push(row.head.n),
                    types::row_kind::ROW_CUT => nets.cut = true,
                    _ => {}
                }
            }
        })?;
        nets.has_dispatcher = nets.holds.iter().any(|hold| hold.what == What::Xdp)
            && *self
                .has_dispatcher
                .get_or_insert_with(|| has_function("bpf_dispatcher_change_prog"));
        nets.cut |= self.bss_of(Walk::Nets)?.net_cursor.done == 0;
        Ok(nets)
    }
}
