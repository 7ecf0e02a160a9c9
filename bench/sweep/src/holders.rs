//! Processes that hold the extra descriptors. One process may not open as many as
//! the benchmark needs (`RLIMIT_NOFILE`), so they are spread.
//!
//! A holder ends when it is killed, when its parent dies however that happens
//! (`PR_SET_PDEATHSIG`), or when its standard input closes.

use crate::bpf;
use anyhow::{Context as _, Result, bail};
use rustix::process::{Resource, Rlimit, Signal};
use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{IntoRawFd as _, OwnedFd};
use std::process::{Child, Command, Stdio};

/// Maps that the extra descriptors refer to, in turn.
const MAPS: usize = 10;
/// Descriptors that a holder has anyhow: standard streams and some of the runtime.
const SPARE: u64 = 100;
/// No more in one process than this, even where the limit is higher.
const MOST: u64 = 19_000;

/// The maps.
pub struct Maps {
    /// Their ids.
    pub ids: Vec<u32>,
    _fds: Vec<OwnedFd>,
}

impl Maps {
    /// Makes them. They live as long as this process and its holders.
    pub fn create() -> Result<Self> {
        let fds = (0..MAPS).map(|i| bpf::create_array(&format!("bench_{i}")));
        let fds: Vec<OwnedFd> = fds
            .collect::<io::Result<_>>()
            .context("no BPF map can be made: CAP_BPF is needed")?;
        let ids = fds.iter().map(bpf::map_id).collect::<io::Result<_>>()?;
        Ok(Self { ids, _fds: fds })
    }
}

/// Running holders. Dropping them ends them.
pub struct Holders {
    children: Vec<Child>,
}

/// How many processes `most` descriptors need.
pub fn processes_for(most: u64) -> u64 {
    let hard = rustix::process::getrlimit(Resource::Nofile).maximum;
    let each = hard
        .map_or(MOST, |hard| hard.saturating_sub(SPARE))
        .clamp(1, MOST);
    most.div_ceil(each).max(1)
}

impl Holders {
    /// `processes` processes that hold `descriptors` between them, each a file of its own.
    pub fn start(maps: &Maps, processes: u64, descriptors: u64) -> Result<Self> {
        let program = std::env::current_exe().context("where is this program?")?;
        let ids = maps.ids.iter().fold(String::new(), |mut list, id| {
            let _ = write!(list, "{id},");
            list
        });
        let parent = std::process::id().to_string();
        let mut holders = Self {
            children: Vec::new(),
        };
        for i in 0..processes {
            let count = descriptors / processes + u64::from(i < descriptors % processes);
            let child = Command::new(&program)
                .args(["hold", &parent, &count.to_string(), &ids])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .context("a holder does not start")?;
            holders.children.push(child);
        }
        for child in &mut holders.children {
            let mut ready = [0];
            let stdout = child.stdout.as_mut().context("a pipe was asked for")?;
            stdout
                .read_exact(&mut ready)
                .context("a holder could not open its descriptors")?;
        }
        Ok(holders)
    }
}

impl Drop for Holders {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
        }
        for child in &mut self.children {
            let _ = child.wait();
        }
    }
}

/// The holder's own part: opens `count` descriptors on the maps in turn, says so, and waits.
pub fn hold(parent: u32, count: usize, ids: &str) -> Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    if rustix::process::getppid().is_none_or(|p| p.as_raw_pid().cast_unsigned() != parent) {
        bail!("the benchmark died before its holder could ask to die with it");
    }
    let hard = rustix::process::getrlimit(Resource::Nofile).maximum;
    rustix::process::setrlimit(
        Resource::Nofile,
        Rlimit {
            current: hard,
            maximum: hard,
        },
    )?;
    let ids: Vec<u32> = ids
        .split_terminator(',')
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    for id in ids.iter().cycle().take(count) {
        // Held until this process ends.
        let _ = bpf::map_by_id(*id)
            .with_context(|| format!("BPF_MAP_GET_FD_BY_ID {id}"))?
            .into_raw_fd();
    }
    io::stdout().write_all(b".")?;
    io::stdout().flush()?;
    // Ends with the pipe, too.
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
