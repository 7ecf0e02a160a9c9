//! Processes that hold the extra descriptors. One process may not open as many as
//! the benchmark needs (`RLIMIT_NOFILE`), so they are spread.

use crate::bpf;
use crate::part::{self, Part};
use anyhow::{Context as _, Result};
use rustix::process::Resource;
use std::fmt::Write as _;
use std::io;
use std::os::fd::{IntoRawFd as _, OwnedFd};

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
    _parts: Vec<Part>,
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
        let ids = maps.ids.iter().fold(String::new(), |mut list, id| {
            let _ = write!(list, "{id},");
            list
        });
        let mut parts = Vec::new();
        for i in 0..processes {
            let count = descriptors / processes + u64::from(i < descriptors % processes);
            parts.push(Part::start("hold", &[count.to_string(), ids.clone()])?);
        }
        for part in &mut parts {
            part.ready()
                .context("a holder could not open its descriptors")?;
        }
        Ok(Self { _parts: parts })
    }
}

/// The holder's own part: opens `count` descriptors on the maps in turn, says so, and waits.
pub fn hold(parent: u32, count: usize, ids: &str) -> Result<()> {
    part::end_with(parent)?;
    part::raise_descriptors()?;
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
    part::say_ready()?;
    part::wait_for_end()
}
