//! What every process of a scenario does first: it dies with its parent, and has namespaces and a
//! bpffs of its own.

use crate::error::Step;
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::path::Path;
use std::process::exit;

/// A step, and the kernel's answer.
pub type Failure = (Step, i32);

/// Dies with this parent, and leaves the namespaces that are named, the one of mounts among them.
pub fn live_apart(parent: u32, namespaces: UnshareFlags) -> Result<(), Failure> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(or(Step::DieWithParent))?;
    // It may have died before we asked.
    if getppid().map(|pid| Pid::as_raw_pid(pid).cast_unsigned()) != Some(parent) {
        exit(1);
    }
    // SAFETY: of the flags only CLONE_FILES endangers anything, which nobody names.
    unsafe { unshare_unsafe(namespaces | UnshareFlags::NEWNS) }.map_err(or(Step::Unshare))?;
    // Before anything is mounted: a shared mount point would show it to the host.
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).map_err(or(Step::Private))
}

/// An empty bpffs, which goes with the mount namespace.
pub fn mount_bpffs(place: &Path) -> Result<(), Failure> {
    mount("bpf", place, "bpf", HARMLESS, None).map_err(or(Step::Mount))
}

/// For file systems that nothing is started from.
pub const HARMLESS: MountFlags = MountFlags::NOSUID
    .union(MountFlags::NODEV)
    .union(MountFlags::NOEXEC);

fn or(step: Step) -> impl Fn(Errno) -> Failure {
    move |errno| (step, errno.raw_os_error())
}
