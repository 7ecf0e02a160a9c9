//! What one run costs: wall time, processor time, memory.

use anyhow::{Context as _, Result, bail};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use std::io::Read as _;
use std::mem::zeroed;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// The cost of one run.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Cost {
    /// Monotonic time from before the start to after the end.
    pub wall_ns: u64,
    /// User and system time.
    pub cpu_ns: u64,
    /// Peak resident memory; null for what is no process of its own.
    pub peak_rss_kib: Option<u64>,
}

/// Nanoseconds since `begun`.
pub fn elapsed(begun: Instant) -> u64 {
    begun.elapsed().as_nanos() as u64
}

/// Processor time of this thread, in nanoseconds.
pub fn thread_cpu() -> u64 {
    clock(ClockId::ThreadCPUTime)
}

/// Monotonic time in nanoseconds: the same for all processes.
pub fn monotonic() -> u64 {
    clock(ClockId::Monotonic)
}

fn clock(which: ClockId) -> u64 {
    let time = clock_gettime(which);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Runs a command whose output nobody reads.
pub fn command(command: &mut Command) -> Result<Cost> {
    let begun = Instant::now();
    let child = start(command.stdout(Stdio::null()))?;
    finish(&child, begun, command)
}

/// Runs a command and reads its output. The first number is the time from the start
/// to the first byte on standard output, in nanoseconds.
pub fn output(command: &mut Command) -> Result<(u64, Vec<u8>, Cost)> {
    let begun = Instant::now();
    let mut child = start(command.stdout(Stdio::piped()))?;
    let mut stdout = child.stdout.take().context("a pipe was asked for")?;
    let mut text = vec![0];
    stdout
        .read_exact(&mut text)
        .with_context(|| format!("{command:?} printed nothing"))?;
    let first = elapsed(begun);
    stdout.read_to_end(&mut text)?;
    let cost = finish(&child, begun, command)?;
    Ok((first, text, cost))
}

fn start(command: &mut Command) -> Result<Child> {
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command
        .spawn()
        .with_context(|| format!("{command:?} does not start"))
}

fn finish(child: &Child, begun: Instant, command: &Command) -> Result<Cost> {
    let mut status = 0;
    // SAFETY: `rusage` is integers, for which zero is a value; wait4 writes no more
    // than the two structures, and the child is ours and nobody else waits for it.
    let (waited, usage) = unsafe {
        let mut usage: libc::rusage = zeroed();
        let pid = child.id().cast_signed();
        (libc::wait4(pid, &raw mut status, 0, &raw mut usage), usage)
    };
    let wall_ns = elapsed(begun);
    if waited < 0 {
        return Err(std::io::Error::last_os_error()).context("wait4");
    }
    if !libc::WIFEXITED(status) || libc::WEXITSTATUS(status) != 0 {
        bail!("{command:?} failed (wait status {status:#x})");
    }
    let nanoseconds = |t: libc::timeval| t.tv_sec as u64 * 1_000_000_000 + t.tv_usec as u64 * 1_000;
    Ok(Cost {
        wall_ns,
        cpu_ns: nanoseconds(usage.ru_utime) + nanoseconds(usage.ru_stime),
        peak_rss_kib: Some(usage.ru_maxrss as u64),
    })
}
