//! The floor: an `iter/task_file` program that returns at once, read to its end.

use crate::bpf;
use crate::measure::{Cost, elapsed, thread_cpu};
use anyhow::{Context as _, Result};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::time::Instant;

/// The loaded program with its link.
pub struct Bare {
    link: OwnedFd,
}

impl Bare {
    /// `target`: type id of `bpf_iter_task_file` in the kernel's BTF.
    pub fn load(target: u32) -> Result<Self> {
        let program = bpf::load_empty_iterator("bench_bare", target)
            .context("the bare iterator does not load: CAP_BPF and CAP_PERFMON are needed")?;
        let link = bpf::link_iterator(&program).context("the bare iterator does not attach")?;
        Ok(Self { link })
    }

    /// One pass over all descriptors of all processes. The reading alone is timed.
    pub fn pass(&self) -> Result<Cost> {
        self.pass_counted().map(|(cost, _)| cost)
    }

    /// The same, and how often the kernel wanted to be called again: after a million elements
    /// without output (`MAX_ITER_OBJECTS`).
    pub fn pass_counted(&self) -> Result<(Cost, u32)> {
        let mut again = 0;
        let mut file = File::from(bpf::create_iterator(&self.link)?);
        let mut buffer = vec![0; 64 * 1024];
        let (begun, cpu) = (Instant::now(), thread_cpu());
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => again += 1,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e).context("the bare iterator cannot be read"),
            }
        }
        let cost = Cost {
            wall_ns: elapsed(begun),
            cpu_ns: thread_cpu() - cpu,
            peak_rss_kib: None,
        };
        Ok((cost, again))
    }
}
