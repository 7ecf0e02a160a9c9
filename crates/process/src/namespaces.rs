//! The mount and network namespaces that processes are in.

use crate::read::{link_at, numbers};
use crate::{BpffsMount, Error, Proc, namespace};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

/// The mount namespaces that were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MountNamespaces {
    /// Each once, by rising inode number.
    pub list: Vec<MountNamespace>,
    /// How many processes did not say which they are in: without `CAP_SYS_PTRACE`
    /// those of other users, with it those that a security module protects. They
    /// may be in others.
    pub unreadable: u32,
}

/// A mount namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MountNamespace {
    /// Its inode number, as in the link `/proc/PID/ns/mnt`.
    pub inode: u64,
    /// A process in it: this one, if it is, else the one with the lowest pid; a
    /// thread's id where there are only processes whose main thread has exited.
    pub pid: u32,
    /// This process is in it.
    pub own: bool,
}

/// The network namespaces that were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetNamespaces {
    /// Each once, by rising inode number.
    pub list: Vec<NetNamespace>,
    /// How many processes did not say which they are in; see [`MountNamespaces`].
    pub unreadable: u32,
}

/// A network namespace, and how to get there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetNamespace {
    /// Its inode number, as in the link `/proc/PID/ns/net`.
    pub inode: u64,
    /// A file that can be opened to enter it.
    pub path: PathBuf,
    /// A process in it, as in [`MountNamespace`]; `None` if the path is that of a mount.
    pub pid: Option<u32>,
    /// This process is in it.
    pub own: bool,
}

/// What one task says.
enum Answer {
    In(u64),
    /// It has exited: no namespace any more.
    None,
    Denied,
}

impl Proc {
    /// The distinct mount namespaces of all processes that `/proc` shows, with
    /// one `readlink` a process.
    ///
    /// Only main threads are asked (a thread can have one of its own), or, behind
    /// a main thread that has exited, the other threads. A namespace that only a
    /// descriptor or a bind mount keeps alive has no process, and is not found.
    ///
    /// # Errors
    /// `/proc` cannot be listed. What one process refuses is counted, no error.
    pub fn mount_namespaces(&self) -> Result<MountNamespaces, Error> {
        let (namespaces, unreadable) = self.namespaces("mnt")?;
        Ok(MountNamespaces {
            list: namespaces
                .map(|(inode, pid, own)| MountNamespace { inode, pid, own })
                .collect(),
            unreadable,
        })
    }

    /// The distinct network namespaces of all processes, found in the same way.
    ///
    /// # Errors
    /// `/proc` cannot be listed.
    pub fn net_namespaces(&self) -> Result<NetNamespaces, Error> {
        let (namespaces, unreadable) = self.namespaces("net")?;
        Ok(NetNamespaces {
            list: namespaces
                .map(|(inode, pid, own)| NetNamespace {
                    inode,
                    path: self.process_path(pid).join("ns/net"),
                    pid: Some(pid),
                    own,
                })
                .collect(),
            unreadable,
        })
    }

    /// The network namespaces that are mounted (`ip netns`) where a process can see them,
    /// with a path through its root directory.
    ///
    /// # Errors
    /// The process is gone, or a zombie.
    pub fn mounted_net_namespaces(&self, pid: u32) -> Result<Vec<NetNamespace>, Error> {
        let mounts = self.mounts_of(pid, b"nsfs")?.mounts.into_iter();
        let root = (pid != std::process::id()).then(|| self.process_path(pid).join("root"));
        let namespace = |mount: BpffsMount| {
            let path = match &root {
                Some(root) => root.join(mount.mount_point.trim_start_matches('/')),
                None => mount.mount_point.into(),
            };
            Some(NetNamespace {
                inode: namespace::inode(mount.root.as_bytes(), "net")?,
                path,
                pid: None,
                own: false,
            })
        };
        Ok(mounts.filter_map(namespace).collect())
    }

    /// The distinct namespaces of one type: inode number, a process, whether it is ours.
    fn namespaces(
        &self,
        kind: &'static str,
    ) -> Result<(impl Iterator<Item = (u64, u32, bool)>, u32), Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(CWD, self.root(), flags, Mode::empty()).map_err(|errno| match errno {
            Errno::NOENT => Error::NotMounted {
                path: self.root().to_owned(),
            },
            errno => Error::from_errno(self.root(), errno),
        })?;
        let processes = numbers(self.root())?;
        if processes.is_empty() {
            return Err(Error::NotMounted {
                path: self.root().to_owned(),
            });
        }
        let own = own_pid(&root);

        // By inode: whether it is a thread's id, and the id; the smallest wins.
        let mut found: BTreeMap<u64, (bool, u32)> = BTreeMap::new();
        let mut unreadable = 0;
        let mut path = String::new();
        for &pid in &processes {
            path.clear();
            let _ = write!(path, "{pid}/ns/{kind}");
            let (answer, thread) = match ask(&root, &path, kind) {
                Answer::None => behind_dead_main_thread(self, &root, pid, kind),
                answer => (answer, None),
            };
            match answer {
                Answer::In(inode) => {
                    let candidate = (thread.is_some(), thread.unwrap_or(pid));
                    let entry = found.entry(inode).or_insert(candidate);
                    *entry = candidate.min(*entry);
                }
                // The kernel says "denied" too if the process exits at this
                // very moment (`proc_ns_readlink`).
                Answer::Denied if self.process_path(pid).exists() => unreadable += 1,
                Answer::Denied | Answer::None => {}
            }
        }
        let own_inode = own.and_then(|pid| match ask(&root, &format!("{pid}/ns/{kind}"), kind) {
            Answer::In(inode) => Some(inode),
            _ => None,
        });
        let namespace = move |(inode, (_, pid))| {
            let own_pid = own.filter(|_| own_inode == Some(inode));
            (inode, own_pid.unwrap_or(pid), own_pid.is_some())
        };
        Ok((found.into_iter().map(namespace), unreadable))
    }
}

/// This process, as this `/proc` counts: the link `self`.
fn own_pid(root: &OwnedFd) -> Option<u32> {
    std::str::from_utf8(&link_at(root, "self").ok()?)
        .ok()?
        .parse()
        .ok()
}

/// The first of the other threads that is in one.
fn behind_dead_main_thread(
    proc: &Proc,
    root: &OwnedFd,
    pid: u32,
    kind: &str,
) -> (Answer, Option<u32>) {
    let Ok(threads) = numbers(&proc.process_path(pid).join("task")) else {
        return (Answer::None, None);
    };
    let mut worst = Answer::None;
    for tid in threads.into_iter().filter(|&tid| tid != pid) {
        match ask(root, &format!("{pid}/task/{tid}/ns/{kind}"), kind) {
            Answer::In(inode) => return (Answer::In(inode), Some(tid)),
            Answer::Denied => worst = Answer::Denied,
            Answer::None => {}
        }
    }
    (worst, None)
}

/// What one task's link says.
fn ask(root: impl AsFd, path: &str, kind: &str) -> Answer {
    match link_at(root, path) {
        Ok(link) => namespace::inode(&link, kind).map_or(Answer::Denied, Answer::In),
        Err(Errno::NOENT | Errno::SRCH) => Answer::None,
        Err(_) => Answer::Denied,
    }
}
