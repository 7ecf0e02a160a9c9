//! `/proc/PID/cgroup`, and what a cgroup's path says about systemd units and
//! containers.
//!
//! All of it is what a path claims: whoever may make cgroups can make one that
//! looks like a container's.

mod container;
mod unit;

use model::{Container, decode};

/// Where a process belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The cgroup's path, as the kernel wrote it: below the root of the reader's
    /// cgroup namespace (`/../x` if it lies outside), and with ` (deleted)` if it
    /// has been removed.
    pub path: String,
    /// The systemd unit that the path names, as `systemctl` takes it.
    pub unit: Option<String>,
    /// The container that the path names.
    pub container: Option<Container>,
}

/// Parses the content of `/proc/PID/cgroup`; `None` if no line of it is in that
/// format.
///
/// A process is in one cgroup of each hierarchy. One path is chosen, looking
/// through the unified hierarchy, then `memory`, `pids`, `name=systemd` and the
/// other hierarchies of v1 in the order of the file:
/// 1. the first that names a container (where both versions are in use, runtimes
///    may leave the unified one alone, which then names the runtime's service);
/// 2. else the first that is not `/`;
/// 3. else `/`.
///
/// The unit comes from the chosen path, or, where that names neither unit nor
/// container, from the `name=systemd` hierarchy.
pub fn parse(content: &[u8]) -> Option<Membership> {
    let mut lines: Vec<Line> = content
        .split(|&b| b == b'\n')
        .filter_map(parse_line)
        .collect();
    lines.sort_by_key(|line| line.rank);

    let contained = |line: &Line| {
        let components = components(&line.path);
        Some(Membership {
            container: Some(container::find(&components)?),
            unit: unit::find(&components, true),
            path: line.path.clone(),
        })
    };
    if let Some(membership) = lines.iter().find_map(contained) {
        return Some(membership);
    }
    let chosen = lines
        .iter()
        .find(|line| line.path != "/")
        .or(lines.first())?;
    let systemd = lines.iter().find(|line| line.rank == Rank::Systemd);
    let unit = [Some(chosen), systemd]
        .into_iter()
        .flatten()
        .find_map(|line| unit::find(&components(&line.path), false));
    Some(Membership {
        path: chosen.path.clone(),
        unit,
        container: None,
    })
}

/// Hierarchies, the one to look at first being the smallest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Unified,
    Memory,
    Pids,
    Systemd,
    Other,
}

struct Line {
    rank: Rank,
    path: String,
}

/// `HIERARCHY:CONTROLLERS:PATH`; the path may hold colons, but no newline
/// (`cgroup_mkdir` refuses those).
fn parse_line(line: &[u8]) -> Option<Line> {
    let mut parts = line.splitn(3, |&b| b == b':');
    let hierarchy = parts.next()?;
    let controllers = parts.next()?;
    let path = parts.next()?;
    if !path.starts_with(b"/") {
        return None;
    }
    let has = |name: &[u8]| controllers.split(|&b| b == b',').any(|c| c == name);
    let rank = match controllers {
        b"" if hierarchy == b"0" => Rank::Unified,
        _ if has(b"memory") => Rank::Memory,
        _ if has(b"pids") => Rank::Pids,
        b"name=systemd" => Rank::Systemd,
        _ => Rank::Other,
    };
    Some(Line {
        rank,
        path: decode(path),
    })
}

/// The names in a path, without the mark of a removed cgroup.
fn components(path: &str) -> Vec<&str> {
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    path.split('/').filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests;
