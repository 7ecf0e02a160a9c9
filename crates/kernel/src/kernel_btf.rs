//! BTF that no iterated object leads to: modules', and what only an unusual holder keeps.

use crate::sys;
use model::decode;
use std::io;
use std::os::fd::AsFd;

/// A BTF object as its own info tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelBtf {
    /// Its id.
    pub id: u32,
    /// `vmlinux` or the module's name.
    pub name: String,
    /// Bytes of type data.
    pub data_size: u32,
    /// vmlinux's or a module's.
    pub kernel_btf: bool,
}

/// Every BTF object whose id is not `known`. Each is opened, asked and closed
/// at once: there is no BTF iterator in any kernel so far. Needs `CAP_SYS_ADMIN`.
pub fn kernel_btfs(known: impl Fn(u32) -> bool) -> io::Result<Vec<KernelBtf>> {
    let mut found = Vec::new();
    let mut id = 0;
    while let Some(next) = sys::btf_next_id(id)? {
        id = next;
        if known(id) {
            continue;
        }
        let btf = match sys::btf_by_id(id) {
            Ok(btf) => btf,
            // It went away between the two calls.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let info = sys::btf_info(btf.as_fd())?;
        found.push(KernelBtf {
            id,
            name: decode(&info.name),
            data_size: info.size,
            kernel_btf: info.kernel,
        });
    }
    Ok(found)
}
