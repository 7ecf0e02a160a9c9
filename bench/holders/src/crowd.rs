//! Many processes, each with maps of its own and with ordinary files.
//!
//! A process of its own forks them, so that they are small. They end with it (`PR_SET_PDEATHSIG`), and
//! it with its standard input or its parent.

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Resource, Rlimit, Signal};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, IntoRawFd as _};
use std::process::{Child, Command, Stdio};

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

/// Running processes. Dropping it ends them.
pub struct Crowd(Child);

impl Crowd {
    /// Starts them, and waits until all are there.
    pub fn start(size: Size) -> Result<Self> {
        let numbers = [
            std::process::id().into(),
            size.processes,
            size.maps,
            size.files,
        ];
        let mut child = Command::new(std::env::current_exe()?)
            .arg("crowd")
            .args(numbers.map(|n: u64| n.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the crowd does not start")?;
        let mut ready = [0];
        let read = child.stdout.as_mut().map(|out| out.read_exact(&mut ready));
        let crowd = Self(child);
        read.context("a pipe was asked for")?
            .with_context(|| format!("not all of {size:?} got ready"))?;
        Ok(crowd)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // It ends with the pipe, and takes its children along.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// The part of the process that forks.
pub fn run(parent: u32, size: Size) -> Result<()> {
    end_with(parent)?;
    let hard = rustix::process::getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: hard,
        maximum: hard,
    };
    rustix::process::setrlimit(Resource::Nofile, limit)?;
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
    io::stdout().write_all(b".")?;
    io::stdout().flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
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

fn end_with(parent: u32) -> Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    if rustix::process::getppid().is_none_or(|p| p.as_raw_pid().cast_unsigned() != parent) {
        bail!("the parent died before one could ask to die with it");
    }
    Ok(())
}

/// One of the crowd: makes its maps, says so, and sleeps until it is killed.
fn stand(parent: u32, maps: u64, mut report: &io::PipeWriter) -> Result<()> {
    end_with(parent)?;
    for i in 0..maps {
        let map = bench_sweep::bpf::create_array(&format!("crowd_{i}"))?;
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
