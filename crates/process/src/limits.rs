//! Limits that leaks run into.

use crate::read::SMALL;
use crate::stat::number;
use crate::{Error, Proc};
use std::path::{Path, PathBuf};

/// A limit, and how much of it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// The limit, in descriptors, files or bytes.
    pub value: u64,
    /// What is used of it.
    pub used: u64,
}

/// Of a memory cgroup, the one of its line of ancestors that is nearest to its limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryLimit {
    /// The cgroup whose limit it is, as a path in its hierarchy.
    pub cgroup: String,
    /// `memory.max` or `memory.limit_in_bytes`.
    pub file: &'static str,
    /// In bytes.
    pub limit: Limit,
}

/// The first version's way to say that there is no limit: `PAGE_COUNTER_MAX`, in whole pages.
const NO_LIMIT: u64 = 1 << 62;
/// Folders up to the root that are looked at.
const DEEPEST: usize = 64;

impl Proc {
    /// The soft `RLIMIT_NOFILE` of a process, and how many descriptors it has. Needs
    /// `CAP_SYS_PTRACE` for another user's process.
    pub fn open_files(&self, pid: u32) -> Result<Limit, Error> {
        let dir = self.process_dir(pid)?;
        let mut buf = Vec::new();
        dir.read("limits", SMALL, &mut buf)
            .map_err(|errno| dir.error("limits", errno))?;
        let value = soft_limit(&buf, b"Max open files")
            .ok_or_else(|| dir.malformed("limits", "no line on open files"))?;
        let path = self.process_path(pid).join("fd");
        let used = crate::read::numbers(&path)?.len() as u64;
        Ok(Limit { value, used })
    }

    /// `fs.file-max`, and how many files the whole host has open.
    pub fn file_table(&self) -> Result<Limit, Error> {
        let line = self.line("sys/fs/file-nr")?;
        let mut fields = line.split_whitespace();
        let used = fields.next().and_then(|n| n.parse().ok());
        let value = fields.nth(1).and_then(|n| n.parse().ok());
        match (used, value) {
            (Some(used), Some(value)) => Ok(Limit { value, used }),
            _ => Err(Error::Malformed {
                path: self.root().join("sys/fs/file-nr"),
                what: "not three numbers",
            }),
        }
    }

    /// `net.core.bpf_jit_limit`, in bytes: once all programs' machine code takes as much, those of users
    /// without `CAP_BPF` are refused (`bpf_jit_charge_modmem`). How much is used no file tells. Root only.
    pub fn jit_limit(&self) -> Result<u64, Error> {
        let name = "sys/net/core/bpf_jit_limit";
        self.line(name)?.parse().map_err(|_| Error::Malformed {
            path: self.root().join(name),
            what: "not a number",
        })
    }
}

/// The nearest limit of a memory cgroup; `None` if it has none. `mounts` are the places of the two
/// kinds of hierarchy: a cgroup's path is below one of them.
pub fn memory_limit(mounts: &[PathBuf], cgroup: &str) -> Option<MemoryLimit> {
    const FILES: [(&str, &str); 2] = [
        ("memory.max", "memory.current"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ];
    let mut nearest: Option<MemoryLimit> = None;
    for mount in mounts {
        let below: Vec<&str> = cgroup.split('/').filter(|part| !part.is_empty()).collect();
        if below.contains(&"..") {
            return None;
        }
        for depth in (0..=below.len()).rev().take(DEEPEST) {
            let folder = mount.join(below[..depth].join("/"));
            for (max, current) in FILES {
                let (Some(value), Some(used)) = (read(&folder, max), read(&folder, current)) else {
                    continue;
                };
                let left = value.saturating_sub(used);
                let nearer = nearest
                    .as_ref()
                    .is_none_or(|n| left < n.limit.value.saturating_sub(n.limit.used));
                if value < NO_LIMIT && nearer {
                    nearest = Some(MemoryLimit {
                        cgroup: format!("/{}", below[..depth].join("/")),
                        file: max,
                        limit: Limit { value, used },
                    });
                }
            }
        }
    }
    nearest
}

/// A number, or `max`.
fn read(folder: &Path, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(folder.join(name)).ok()?;
    match text.trim_end() {
        "max" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// The first number of a line of `/proc/PID/limits`; `unlimited` is the highest.
fn soft_limit(content: &[u8], name: &[u8]) -> Option<u64> {
    let line = content
        .split(|&b| b == b'\n')
        .find_map(|line| line.strip_prefix(name))?;
    match line.trim_ascii_start().split(|&b| b == b' ').next()? {
        b"unlimited" => Some(u64::MAX),
        digits if !digits.is_empty() => number(digits),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_found_by_their_names() {
        let text =
            b"Limit                     Soft Limit           Hard Limit           Units     \n\
            Max file size             unlimited            unlimited            bytes     \n\
            Max open files            1024                 1048576              files     \n";
        assert_eq!(soft_limit(text, b"Max open files"), Some(1024));
        assert_eq!(soft_limit(text, b"Max file size"), Some(u64::MAX));
        assert_eq!(soft_limit(text, b"Max locks"), None);
        assert_eq!(soft_limit(b"Max open files", b"Max open files"), None);
        assert_eq!(soft_limit(b"Max open files   x 1", b"Max open files"), None);
    }

    #[test]
    fn the_nearest_limit_of_a_line_of_cgroups_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            std::fs::write(path, text).expect("a file");
        };
        write("a/memory.max", "1000\n");
        write("a/memory.current", "900\n");
        write("a/b/memory.max", "500\n");
        write("a/b/memory.current", "100\n");
        write("a/b/c/memory.max", "max\n");
        write("a/b/c/memory.current", "100\n");
        let mounts = [folder.path().to_owned()];
        let found = memory_limit(&mounts, "/a/b/c").expect("there is one");
        assert_eq!((&*found.cgroup, found.file), ("/a", "memory.max"));
        assert_eq!(
            found.limit,
            Limit {
                value: 1000,
                used: 900
            }
        );
        // Version 1 writes a number where there is no limit.
        write("v1/memory.limit_in_bytes", "9223372036854771712\n");
        write("v1/memory.usage_in_bytes", "5\n");
        assert_eq!(memory_limit(&mounts, "/v1"), None);
        assert_eq!(memory_limit(&mounts, "/../a"), None);
        assert_eq!(memory_limit(&[], "/a"), None);
    }

    #[test]
    fn our_own_are_read() {
        let proc = Proc::new();
        let files = proc.open_files(std::process::id()).expect("our own");
        assert!(files.used >= 3 && files.value >= files.used, "{files:?}");
        let table = proc.file_table().expect("the host's");
        assert!(table.used > 0 && table.value > 0, "{table:?}");
    }
}
