//! The XDP dispatcher, of which a host has one for all network namespaces.

use crate::sys::{Result, check, io};
use std::env::temp_dir;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::OnceLock;

/// How a scene has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Dispatcher {
    /// There is room for the programs of others.
    Shared = libc::LOCK_SH,
    /// It will be full: nobody else runs XDP now.
    Full = libc::LOCK_EX,
}

/// Waits until it may be had so, until this process ends. What was asked for first, counts.
pub fn dispatcher(how: Dispatcher) -> Result<()> {
    static OURS: OnceLock<File> = OnceLock::new();
    if OURS.get().is_some() {
        return Ok(());
    }
    let path = temp_dir().join("lastref-e2e-xdp.lock");
    let file = File::create(path).map_err(io("the lock on the XDP dispatcher"))?;
    // SAFETY: integers only.
    let locked = unsafe { libc::flock(file.as_raw_fd(), how as i32) };
    check("flock", i64::from(locked))?;
    let _ = OURS.set(file);
    Ok(())
}
