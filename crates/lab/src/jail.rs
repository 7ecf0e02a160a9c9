//! Where a scenario's program lives: in a pid, mount and network namespace of its own, with an
//! empty bpffs. Its parent there is this process, which dies with the lab, and with it everything:
//! the kernel kills all of a pid namespace when its first process ends.

use crate::apart::{Failure, HARMLESS, live_apart, mount_bpffs};
use crate::error::Step;
use crate::signals::leave_ctrl_c_to_parent;
use rustix::mount::mount;
use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::UnshareFlags;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, exit};

/// The first word after [`crate::CHILD_COMMAND`]; then the parent's pid, the program, its arguments.
pub const WORD: &str = "program";
/// Where programs expect it.
const BPFFS: &str = "/sys/fs/bpf";

/// Starts the program, says its pid on a line of its own, and exits as it does.
pub fn jail(words: &[OsString]) -> ! {
    leave_ctrl_c_to_parent();
    let [parent, program, arguments @ ..] = words else {
        exit(2);
    };
    let Some(parent) = parent.to_str().and_then(|text| text.parse().ok()) else {
        exit(2);
    };
    match enter(parent).and_then(|()| start(Path::new(program), arguments)) {
        Ok(status) => exit(status),
        Err((step, errno)) => {
            println!("{{\"refused\":\"{}\",\"errno\":{errno}}}", step.code());
            exit(1)
        }
    }
}

fn enter(parent: u32) -> Result<(), Failure> {
    live_apart(parent, UnshareFlags::NEWNET | UnshareFlags::NEWPID)?;
    mount_bpffs(Path::new(BPFFS))
}

fn start(program: &Path, arguments: &[OsString]) -> Result<i32, Failure> {
    let mut command = Command::new(program);
    command.args(arguments);
    // SAFETY: between fork and exec only system calls are made, with constants.
    unsafe {
        command.pre_exec(|| {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // Its own pids, not the host's.
            mount(c"proc", c"/proc", c"proc", HARMLESS, None)?;
            Ok(())
        });
    }
    let failed = |error: io::Error| (Step::Start, error.raw_os_error().unwrap_or(libc::EIO));
    let mut child = command.spawn().map_err(failed)?;
    let line = format!("{{\"pid\":{}}}\n", child.id());
    if io::stdout().write_all(line.as_bytes()).is_err() {
        exit(1);
    }
    let status = child.wait().map_err(failed)?;
    Ok(status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}
