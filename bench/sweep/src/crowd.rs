//! Many processes, each with maps of its own and with ordinary files.
//!
//! A process of its own forks them, so that they are small. They end with it (`PR_SET_PDEATHSIG`), and
//! it with its standard input or its parent.

use crate::bpf;
use crate::part::{self, Part, end_with};
use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, IntoRawFd as _};

/// How many, and with what.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Size {
    /// Processes.
    pub processes: u64,
    /// Maps that each of them makes, with one descriptor each.
    pub maps: u64,
    /// Descriptors on `/dev/null` that each has besides.
    pub files: u64,
}

/// Running processes. Dropping it ends them: it ends with its pipe, and takes its children along.
pub struct Crowd {
    _part: Part,
}

impl Crowd {
    /// Starts them, and waits until all are there.
    pub fn start(size: Size) -> Result<Self> {
        let numbers = [size.processes, size.maps, size.files];
        let mut part = Part::start("crowd", &numbers.map(|n| n.to_string()))?;
        part.ready()
            .with_context(|| format!("not all of {size:?} got ready"))?;
        Ok(Self { _part: part })
    }
}

/// The part of the process that forks.
pub fn run(parent: u32, size: Size) -> Result<()> {
    end_with(parent)?;
    part::raise_descriptors()?;
    let null = File::open("/dev/null")?;
    for _ in 0..size.files {
        let _ = null.try_clone().context("/dev/null")?.into_raw_fd();
    }
    let (mut reports, report) = io::pipe()?;
    let myself = std::process::id();
    let mut children = Children(Vec::new());
    for _ in 0..size.processes {
        // SAFETY: this process has one thread; the child goes on with its copy.
        match unsafe { libc::fork() } {
            0 => {
                let done = stand(myself, size.maps, &report);
                // Only a child that cannot do its part gets here.
                let _ = (&report).write_all(b"!");
                // SAFETY: ends it, without what the parent wanted to do at its own end.
                unsafe { libc::_exit(i32::from(done.is_err())) }
            }
            pid => children.0.push(Pid::from_raw(pid).context("fork")?),
        }
    }
    drop(report);
    let mut all = vec![0; size.processes as usize];
    reports.read_exact(&mut all)?;
    ensure!(
        all.iter().all(|&b| b == b'.'),
        "a process could not do its part"
    );
    part::say_ready()?;
    part::wait_for_end()
}

struct Children(Vec<Pid>);

impl Drop for Children {
    fn drop(&mut self) {
        for &child in &self.0 {
            let _ = rustix::process::kill_process(child, Signal::KILL);
        }
        for &child in &self.0 {
            let _ = rustix::process::waitpid(Some(child), rustix::process::WaitOptions::empty());
        }
    }
}

/// One of the crowd: makes its maps, says so, and sleeps until it is killed.
fn stand(parent: u32, maps: u64, mut report: &io::PipeWriter) -> Result<()> {
    end_with(parent)?;
    for i in 0..maps {
        let map = bpf::create_array(&format!("crowd_{i}"))?;
        let _ = map.into_raw_fd();
    }
    report.write_all(b".")?;
    // SAFETY: the child's copy of a descriptor that nothing else of the child uses.
    unsafe { libc::close(report.as_raw_fd()) };
    loop {
        // SAFETY: no arguments.
        unsafe { libc::pause() };
    }
}
