//! Perf events, and functions to probe.

use crate::bpf::Object;
use crate::files::mount;
use crate::sys::{Result, check, check_fd, io};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// `PERF_TYPE_SOFTWARE`
pub const SOFTWARE: u32 = 1;
/// `PERF_TYPE_TRACEPOINT`
pub const TRACEPOINT: u32 = 2;
/// `PERF_COUNT_SW_DUMMY`: never fires.
pub const DUMMY: u64 = 9;

/// A disabled perf event on this process.
pub fn event(event_type: u32, config: u64) -> Result<OwnedFd> {
    open(event_type, config, DISABLED)
}

/// The same, which children inherit: each gets an event of its own, which no file leads to.
pub fn inherited_event(event_type: u32, config: u64) -> Result<OwnedFd> {
    open(event_type, config, DISABLED | INHERIT)
}

/// Bits of `struct perf_event_attr`.
const DISABLED: u64 = 1;
const INHERIT: u64 = 1 << 1;

fn open(event_type: u32, config: u64, bits: u64) -> Result<OwnedFd> {
    // `struct perf_event_attr`, its first version (PERF_ATTR_SIZE_VER0).
    let size = 64_u64;
    let attr: [u64; 8] = [
        u64::from(event_type) | size << 32,
        config,
        1, // sample_period
        0,
        0,
        bits,
        0,
        0,
    ];
    // SAFETY: `attr` is a live perf_event_attr that states its own size.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            attr.as_ptr(),
            0,
            -1,
            -1,
            1 << 3, // PERF_FLAG_FD_CLOEXEC
        )
    };
    check_fd("perf_event_open", fd)
}

/// Threads of this process, until it ends: each inherits its events.
pub fn threads(count: usize) -> Result<()> {
    for _ in 0..count {
        let sleeper = std::thread::Builder::new().stack_size(64 << 10);
        let forever = || {
            loop {
                std::thread::park();
            }
        };
        sleeper.spawn(forever).map_err(io("a thread"))?;
    }
    Ok(())
}

/// `PERF_EVENT_IOC_SET_BPF`: the event holds the program.
pub fn attach(event: &impl AsRawFd, prog: &Object) -> Result<()> {
    const SET_BPF: libc::Ioctl = 0x4004_2408;
    // SAFETY: integers only.
    let result = unsafe { libc::ioctl(event.as_raw_fd(), SET_BPF, prog.fd()) };
    check("PERF_EVENT_IOC_SET_BPF", i64::from(result)).map(drop)
}

/// The number of a tracepoint, such as `sched/sched_kthread_stop`. Mounts tracefs
/// where it is not: call `files::private_mounts` first.
pub fn tracepoint_number(name: &str) -> Result<u64> {
    let root = Path::new("/sys/kernel/tracing");
    if !root.join("events").exists() {
        mount("tracefs", root)?;
    }
    let path = root.join("events").join(name).join("id");
    let what = path.display().to_string();
    let text = std::fs::read_to_string(&path).map_err(io(&what))?;
    text.trim().parse().map_err(|_| crate::sys::Error {
        what,
        errno: libc::EINVAL,
    })
}

/// Called by nobody: something to put a uprobe on.
#[inline(never)]
pub extern "C" fn probe_target(value: u64) -> u64 {
    std::hint::black_box(value) + 1
}

/// Where [`probe_target`] lies in the file of the running program.
pub fn probe_target_offset() -> Result<u64> {
    let address = probe_target as *const () as u64;
    let path = "/proc/self/maps";
    let maps = std::fs::read_to_string(path).map_err(io(path))?;
    maps.lines()
        .find_map(|line| {
            // start-end permissions offset …
            let mut words = line.split_ascii_whitespace();
            let (start, end) = words.next()?.split_once('-')?;
            let hex = |text| u64::from_str_radix(text, 16).ok();
            let (start, end) = (hex(start)?, hex(end)?);
            let offset = hex(words.nth(1)?)?;
            (start..end)
                .contains(&address)
                .then(|| address - start + offset)
        })
        .ok_or_else(|| crate::sys::Error {
            what: path.into(),
            errno: libc::ENOENT,
        })
}
