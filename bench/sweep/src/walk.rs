//! What one would write without lastref: every process's `fd` folder, every link in
//! it, and `fdinfo` of those that name a BPF object.
//!
//! It is written to be fast: paths relative to an open folder, one buffer for all
//! links and one for all files, nothing read that is not needed.

use anyhow::{Context as _, Result};
use rustix::fs::{CWD, Dir, Mode, OFlags, openat, readlinkat_raw};
use rustix::io::{Errno, read};
use std::collections::HashMap;
use std::os::fd::OwnedFd;

/// How many descriptors refer to an object, by the object.
pub type Found = HashMap<(Kind, u32), u64>;

/// Kinds of BPF object that `fdinfo` gives an id for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A map.
    Map,
    /// A program.
    Prog,
    /// A link.
    Link,
    /// Type information.
    Btf,
}

/// The kind that the target of a link in `/proc/PID/fd` names, and the key of its id in `fdinfo`.
fn kind(target: &[u8]) -> Option<(Kind, &'static [u8])> {
    match target.strip_prefix(b"anon_inode:")? {
        b"bpf-map" => Some((Kind::Map, b"map_id:")),
        b"bpf-prog" => Some((Kind::Prog, b"prog_id:")),
        b"bpf_link" | b"bpf-link" => Some((Kind::Link, b"link_id:")),
        b"btf" => Some((Kind::Btf, b"btf_id:")),
        _ => None,
    }
}

fn id(fdinfo: &[u8], key: &[u8]) -> Option<u32> {
    let line = fdinfo
        .split(|&b| b == b'\n')
        .find_map(|line| line.strip_prefix(key))?;
    str::from_utf8(line).ok()?.trim().parse().ok()
}

/// Walks all processes. What vanishes on the way is passed over.
pub fn walk() -> Result<Found> {
    let mut found = Found::new();
    let proc = folder(CWD, "/proc").context("/proc cannot be opened")?;
    for entry in Dir::read_from(&proc)? {
        let entry = entry?;
        if entry
            .file_name()
            .to_bytes()
            .first()
            .is_some_and(u8::is_ascii_digit)
        {
            // A process that ended since, or a kernel thread.
            if let Ok(process) = folder(&proc, entry.file_name()) {
                let _ = descriptors(&process, &mut found);
            }
        }
    }
    Ok(found)
}

fn folder(at: impl std::os::fd::AsFd, path: impl rustix::path::Arg) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(at, path, flags, Mode::empty())
}

fn descriptors(process: &OwnedFd, found: &mut Found) -> Result<(), Errno> {
    let (links, infos) = (folder(process, "fd")?, folder(process, "fdinfo")?);
    // Longer targets are no BPF object's.
    let mut target = [0_u8; 64];
    let mut text = [0_u8; 4096];
    for entry in Dir::read_from(&links)? {
        let entry = entry?;
        let name = entry.file_name();
        // "." and ".." are no links.
        let Ok(length) = readlinkat_raw(&links, name, &mut target[..]) else {
            continue;
        };
        let Some((kind, key)) = kind(&target[..length]) else {
            continue;
        };
        let Ok(info) = openat(
            &infos,
            name,
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        ) else {
            continue;
        };
        let length = read(&info, &mut text)?;
        if let Some(id) = id(&text[..length], key) {
            *found.entry((kind, id)).or_default() += 1;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        let info = b"pos:\t0\nflags:\t02000002\nmap_type:\t2\nmap_id:\t17\nfrozen:\t0\n";
        assert_eq!(id(info, b"map_id:"), Some(17));
        assert_eq!(id(info, b"prog_id:"), None);
        assert_eq!(kind(b"anon_inode:bpf-map").map(|k| k.0), Some(Kind::Map));
        assert_eq!(kind(b"anon_inode:bpf_iter"), None);
        assert_eq!(kind(b"/dev/bpf-map"), None);
    }
}
