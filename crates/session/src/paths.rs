//! Pins as people name them: the path under which some process sees them.

use kernel::holders::pins::{PinnedInode, Pins};
use model::{CannotSee, Pin};
use process::{BpffsMount, MountNamespace, Proc};

const WHAT: &str = "under which paths processes see pins";

/// Where each bpffs is mounted, in every mount namespace that a process is in.
pub struct Mounts {
    /// Our own namespace first, then by rising inode number.
    seen: Vec<(MountNamespace, BpffsMount)>,
    /// What could not be read, which matters if a pin stays without a path.
    hidden: Option<CannotSee>,
}

impl Mounts {
    /// Reads the mount tables; only called if there is a pin.
    pub fn read(proc: &Proc) -> Self {
        let mut seen = Vec::new();
        let mut hidden = None;
        match proc.mount_namespaces() {
            Ok(mut namespaces) => {
                namespaces.list.sort_by_key(|n| !n.own);
                if namespaces.unreadable > 0 {
                    let root = crate::people::may_look_at_all();
                    hidden = Some(CannotSee {
                        what: WHAT.into(),
                        why: format!(
                            "the mount namespace of {} may not be read",
                            match namespaces.unreadable {
                                1 => "1 process".into(),
                                n => format!("{n} processes"),
                            }
                        ),
                        needs: if root {
                            "a security module that allows it"
                        } else {
                            "CAP_SYS_PTRACE"
                        }
                        .into(),
                    });
                }
                for namespace in namespaces.list {
                    // A process that is gone meanwhile sees nothing.
                    if let Ok(table) = proc.bpffs_mounts(namespace.pid) {
                        seen.extend(table.mounts.into_iter().map(|mount| (namespace, mount)));
                    }
                }
            }
            Err(error) => {
                hidden = Some(CannotSee {
                    what: WHAT.into(),
                    why: match error {
                        process::Error::NotMounted { .. } => "no proc file system at /proc".into(),
                        error => error.to_string(),
                    },
                    needs: "mount -t proc proc /proc".into(),
                });
            }
        }
        Self { seen, hidden }
    }

    /// A pin, by the first path that leads to it.
    pub fn pin(&self, inode: &PinnedInode) -> Pin {
        let mut found: Option<(&MountNamespace, Vec<String>)> = None;
        for (namespace, mount) in &self.seen {
            if mount.device != inode.device {
                continue;
            }
            let paths: Vec<_> = inode.paths.iter().filter_map(|p| under(mount, p)).collect();
            match &found {
                // A bind mount may show only some of the names.
                Some((_, best)) if best.len() >= paths.len() => {}
                _ if paths.is_empty() => {}
                _ => found = Some((namespace, paths)),
            }
            if found
                .as_ref()
                .is_some_and(|(_, p)| p.len() == inode.paths.len())
            {
                break;
            }
        }
        let (major, minor) = inode.device;
        let (mut paths, mount_namespace, enter_pid) = if let Some((namespace, paths)) = found {
            let enter = (!namespace.own).then_some(namespace.pid);
            (paths, Some(namespace.inode), enter)
        } else {
            let inside = |p: &String| format!("(bpffs {major}:{minor}){p}");
            (inode.paths.iter().map(inside).collect(), None, None)
        };
        let path = if paths.is_empty() {
            format!("(bpffs {major}:{minor}) inode {}", inode.ino)
        } else {
            paths.remove(0)
        };
        Pin {
            path,
            mount_namespace,
            enter_pid,
            also: paths,
            unlinked: inode.unlinked,
        }
    }
}

/// Where a path inside a bpffs appears under one of its mounts.
fn under(mount: &BpffsMount, path: &str) -> Option<String> {
    let rest = if mount.root == "/" {
        path
    } else {
        path.strip_prefix(&mount.root)
            .filter(|rest| rest.starts_with('/'))?
    };
    Some(format!("{}{rest}", mount.mount_point.trim_end_matches('/')))
}

/// All pins with their names, in the order of the walk.
pub fn name_all(pins: &Pins, proc: &Proc, cannot_see: &mut Vec<CannotSee>) -> Vec<Pin> {
    if pins.inodes.is_empty() {
        return Vec::new();
    }
    let mounts = Mounts::read(proc);
    let names: Vec<Pin> = pins.inodes.iter().map(|inode| mounts.pin(inode)).collect();
    if names.iter().any(|pin| pin.mount_namespace.is_none()) {
        let elsewhere = || CannotSee {
            what: WHAT.into(),
            why: "processes outside this pid namespace may have them mounted".into(),
            needs: "hostPID".into(),
        };
        let child = matches!(proc.in_host_pid_namespace(), Ok(false));
        cannot_see.extend(mounts.hidden.or_else(|| child.then(elsewhere)));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(root: &str, mount_point: &str) -> BpffsMount {
        BpffsMount {
            device: (0, 39),
            mount_point: mount_point.into(),
            root: root.into(),
        }
    }

    #[test]
    fn a_bind_mount_shows_what_is_below_its_root() {
        let whole = mount("/", "/sys/fs/bpf");
        let part = mount("/pods/a", "/run/bpf");
        assert_eq!(
            under(&whole, "/pods/a/x").as_deref(),
            Some("/sys/fs/bpf/pods/a/x")
        );
        assert_eq!(under(&part, "/pods/a/x").as_deref(), Some("/run/bpf/x"));
        assert_eq!(under(&part, "/pods/ab/x"), None);
        assert_eq!(under(&mount("/", "/"), "/x").as_deref(), Some("/x"));
    }
}
