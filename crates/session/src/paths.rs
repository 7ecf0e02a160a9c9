//! Pins as people name them: the path under which some process sees them.

use crate::privilege::{counted, may_look_at_all};
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
        let hidden = match proc.mount_namespaces() {
            Ok(mut namespaces) => {
                namespaces.list.sort_by_key(|n| !n.own);
                let unreadable = namespaces.unreadable as usize;
                let mut too_long = 0;
                for namespace in namespaces.list {
                    // A process that is gone meanwhile sees nothing.
                    let Ok(table) = proc.bpffs_mounts(namespace.pid) else {
                        continue;
                    };
                    // What was not read may hide what was.
                    too_long += usize::from(table.incomplete);
                    let mounts = table.mounts.into_iter().filter(|_| !table.incomplete);
                    seen.extend(mounts.map(|mount| (namespace, mount)));
                }
                out_of_sight(proc, unreadable, too_long)
            }
            Err(error) => Some(CannotSee {
                what: WHAT.into(),
                why: match error {
                    process::Error::NotMounted { .. } => "no proc file system at /proc".into(),
                    error => error.to_string(),
                },
                needs: "mount -t proc proc /proc".into(),
            }),
        };
        Self { seen, hidden }
    }

    /// A pin, by the first path that leads to it. One that another mount hides is none: it leads
    /// to what is there instead, which may be another pin.
    pub fn pin(&self, inode: &PinnedInode) -> Pin {
        let (major, minor) = inode.device;
        let inside = |p: &String| format!("(bpffs {major}:{minor}){p}");
        let names = inode.paths.len();
        let mut found: Option<(&MountNamespace, &BpffsMount)> = None;
        let mut most = 0;
        for (namespace, mount) in &self.seen {
            if mount.device != inode.device {
                continue;
            }
            // A bind mount may show only some of the names.
            let shown = inode.paths.iter().filter(|p| under(mount, p).is_some());
            let shown = shown.count();
            if shown > most {
                (found, most) = (Some((namespace, mount)), shown);
            }
            if most == names {
                break;
            }
        }
        let (mut paths, mount_namespace, enter_pid) = if let Some((namespace, mount)) = found {
            let enter = (!namespace.own).then_some(namespace.pid);
            let mut paths: Vec<_> = inode.paths.iter().filter_map(|p| under(mount, p)).collect();
            // The others keep it too.
            let others = inode.paths.iter().filter(|p| under(mount, p).is_none());
            paths.extend(others.map(inside));
            (paths, Some(namespace.inode), enter)
        } else {
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

/// Mount namespaces that could not be looked into.
fn out_of_sight(proc: &Proc, unreadable: usize, too_long: usize) -> Option<CannotSee> {
    let (why, needs) = if proc.hides_processes() {
        let why = "/proc does not show all processes (mounted with hidepid)";
        (why.into(), None)
    } else if unreadable > 0 {
        let processes = counted(unreadable, "process", "processes");
        let why = format!("the mount namespace of {processes} may not be read");
        (why, None)
    } else if too_long > 0 {
        let namespaces = counted(too_long, "mount namespace", "mount namespaces");
        let why = format!("the table of mounts of {namespaces} is too long");
        (why, Some("fewer mounts"))
    } else {
        return None;
    };
    let needs = needs.unwrap_or(if may_look_at_all() {
        "a security module that allows it"
    } else {
        "CAP_SYS_PTRACE"
    });
    Some(CannotSee {
        what: WHAT.into(),
        why,
        needs: needs.into(),
    })
}

/// Where a path inside a bpffs appears under one of its mounts. Of one that is not whole (`…/x`)
/// that cannot be told.
fn under(mount: &BpffsMount, path: &str) -> Option<String> {
    if !path.starts_with('/') {
        return None;
    }
    let rest = if mount.root == "/" {
        path
    } else {
        path.strip_prefix(&mount.root)
            .filter(|rest| rest.starts_with('/'))?
    };
    let path = format!("{}{rest}", mount.mount_point.trim_end_matches('/'));
    let folders = path.match_indices('/').map(|(at, _)| &path[..at]);
    let is_covered = folders
        .chain([path.as_str()])
        .any(|place| mount.covered.contains(place));
    (!is_covered).then_some(path)
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
            covered: [].into(),
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
        assert_eq!(under(&whole, "…/a/x"), None);
    }

    #[test]
    fn what_another_mount_covers_has_no_path() {
        let whole = BpffsMount {
            covered: ["/b/a".into(), "/b/x".into()].into(),
            ..mount("/", "/b")
        };
        for hidden in ["/a", "/a/x", "/a/b/c", "/x"] {
            assert_eq!(under(&whole, hidden), None, "{hidden}");
        }
        assert_eq!(under(&whole, "/ab/x").as_deref(), Some("/b/ab/x"));
        let inode = |path: &str| PinnedInode {
            object: kernel::Addr(1),
            device: (0, 39),
            ino: 7,
            paths: vec![path.into()],
            unlinked: false,
        };
        let namespace = MountNamespace {
            inode: 9,
            pid: 1,
            own: true,
        };
        let mounts = Mounts {
            seen: vec![(namespace, whole)],
            hidden: None,
        };
        let hidden = mounts.pin(&inode("/a/x"));
        assert_eq!(hidden.path, "(bpffs 0:39)/a/x");
        assert_eq!(hidden.mount_namespace, None);
        let seen = mounts.pin(&inode("/y"));
        assert_eq!((&*seen.path, seen.mount_namespace), ("/b/y", Some(9)));
        let two = PinnedInode {
            paths: vec!["/a/x".into(), "/y".into()],
            ..inode("/y")
        };
        let two = mounts.pin(&two);
        let also = vec!["(bpffs 0:39)/a/x".to_owned()];
        assert_eq!((&*two.path, two.also), ("/b/y", also));
    }
}
