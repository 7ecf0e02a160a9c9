//! Which mounts a path leads to. One that was mounted later, at the same place or at a folder
//! above it, hides a mount; the table lists both.

use crate::mountinfo::Mount;
use std::collections::{HashMap, HashSet};

/// The mounts of a table, as they stand on each other.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    parents: HashMap<u32, u32>,
    /// Mount points, still escaped, and what is mounted there, by the mount that they are in.
    inside: HashMap<u32, Vec<(Vec<u8>, u32)>>,
}

impl Tree {
    pub fn add(&mut self, mount: &Mount<'_>) {
        self.parents.insert(mount.id, mount.parent);
        // The root of all may be its own parent.
        if mount.parent != mount.id {
            let inside = self.inside.entry(mount.parent).or_default();
            inside.push((mount.mount_point.to_vec(), mount.id));
        }
    }

    /// All are added.
    pub fn finish(mut self) -> Reach {
        let mut hidden = HashSet::new();
        let mut root_is_covered = false;
        for (parent, inside) in &mut self.inside {
            // What is below a folder comes right after it.
            inside.sort_by(|(a, _), (b, _)| components(a).cmp(components(b)));
            let mut above: Option<&[u8]> = None;
            for (mount_point, id) in &*inside {
                if mount_point == b"/" {
                    root_is_covered |= self.parents.contains_key(parent);
                } else if above.is_some_and(|above| is_below(mount_point, above)) {
                    hidden.insert(*id);
                } else {
                    above = Some(mount_point);
                }
            }
        }
        Reach {
            tree: self,
            hidden,
            root_is_covered,
            known: HashMap::new(),
        }
    }
}

/// Which of them are in reach.
#[derive(Debug)]
pub(crate) struct Reach {
    tree: Tree,
    /// By others in the same mount.
    hidden: HashSet<u32>,
    /// Something is mounted over the root directory. The process still has what is below, and
    /// whoever enters its namespace comes to what is above (`mntns_install`).
    root_is_covered: bool,
    /// What was found out of mounts and those that they stand on.
    known: HashMap<u32, bool>,
}

impl Reach {
    /// The mount points inside a mount, still escaped: what lies there or below is hidden by others.
    /// `None` if no path leads to the mount itself.
    pub fn covered(&mut self, id: u32, mount_point: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
        if self.root_is_covered || !self.is_reached(id) {
            return None;
        }
        let inside = self.tree.inside.get(&id).map_or(&[][..], Vec::as_slice);
        let points = inside.iter().map(|(point, _)| point.as_slice());
        let is_below_another = points.clone().any(|point| point == mount_point);
        (!is_below_another).then_some(points)
    }

    fn is_reached(&mut self, id: u32) -> bool {
        let mut climbed = Vec::new();
        let mut at = id;
        let reached = loop {
            if let Some(&known) = self.known.get(&at) {
                break known;
            }
            // Should a table that changed under us lead in a circle, it ends here.
            self.known.insert(at, false);
            climbed.push(at);
            if self.hidden.contains(&at) {
                break false;
            }
            // Of the root directory's own mount the parent is out of sight.
            match self.tree.parents.get(&at) {
                Some(&parent) if parent != at && self.tree.parents.contains_key(&parent) => {
                    at = parent;
                }
                _ => break true,
            }
        };
        self.known
            .extend(climbed.into_iter().map(|id| (id, reached)));
        reached
    }
}

fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&b| b == b'/')
}

fn is_below(path: &[u8], above: &[u8]) -> bool {
    path.strip_prefix(above)
        .is_some_and(|rest| rest.first() == Some(&b'/'))
}

#[cfg(test)]
mod tests {
    use crate::mountinfo::bpffs_mounts;

    /// Mount points of the bpffs that a path leads to, and what is mounted inside them.
    fn found(table: &str) -> Vec<(String, Vec<String>)> {
        let mounts = bpffs_mounts(table.as_bytes()).expect("memory can be read");
        let mounts = mounts.mounts.into_iter();
        mounts
            .map(|m| (m.mount_point, m.covered.into_iter().collect()))
            .collect()
    }

    fn line(id: u32, parent: u32, device: u32, mount_point: &str, fs_type: &str) -> String {
        format!("{id} {parent} 0:{device} / {mount_point} rw - {fs_type} none rw\n")
    }

    fn points(table: &str) -> Vec<String> {
        found(table).into_iter().map(|(point, _)| point).collect()
    }

    #[test]
    fn only_the_uppermost_of_several_at_one_place() {
        let root = line(20, 1, 1, "/", "ext4");
        let (lower, upper) = (line(30, 20, 39, "/b", "bpf"), line(31, 30, 40, "/b", "bpf"));
        let mounts = bpffs_mounts(format!("{root}{lower}{upper}").as_bytes());
        let devices: Vec<_> = mounts.expect("memory").mounts;
        let devices: Vec<_> = devices.iter().map(|m| m.device).collect();
        assert_eq!(devices, [(0, 40)]);
        // Whatever it is, and however the table is sorted.
        let tmpfs = line(31, 30, 40, "/b", "tmpfs");
        assert_eq!(points(&format!("{tmpfs}{root}{lower}")), [""; 0]);
    }

    #[test]
    fn what_is_mounted_above_hides_all_below() {
        let root = line(20, 1, 1, "/", "ext4");
        let bpf = line(30, 20, 39, "/sys/fs/bpf", "bpf");
        let above = |at| line(31, 20, 40, at, "tmpfs");
        assert_eq!(points(&format!("{root}{bpf}{}", above("/sys"))), [""; 0]);
        // A name that only begins alike, and one that sorts between.
        for beside in ["/sy", "/sys-x", "/sys/fs/bp", "/sys/fs/bpf-x", "/t"] {
            let table = format!("{root}{bpf}{}", above(beside));
            assert_eq!(points(&table), ["/sys/fs/bpf"], "{beside}");
        }
        // The folder is a mount itself, and the bpffs stands on that.
        let sysfs = line(25, 20, 2, "/sys", "sysfs");
        let bpf = line(30, 25, 39, "/sys/fs/bpf", "bpf");
        assert_eq!(points(&format!("{root}{sysfs}{bpf}")), ["/sys/fs/bpf"]);
        let over = line(31, 25, 40, "/sys", "tmpfs");
        assert_eq!(points(&format!("{root}{sysfs}{bpf}{over}")), [""; 0]);
        let again = line(32, 31, 41, "/sys/fs/bpf", "bpf");
        let table = format!("{root}{sysfs}{bpf}{over}{again}");
        assert_eq!(points(&table), ["/sys/fs/bpf"]);
    }

    #[test]
    fn what_is_mounted_inside_is_told() {
        let root = line(20, 1, 1, "/", "ext4");
        let (outer, inner) = (
            line(30, 20, 39, "/b", "bpf"),
            line(31, 30, 40, r"/b/a\040b", "bpf"),
        );
        let expected = [
            ("/b".to_owned(), vec!["/b/a b".to_owned()]),
            ("/b/a b".to_owned(), vec![]),
        ];
        assert_eq!(found(&format!("{root}{outer}{inner}")), expected);
    }

    #[test]
    fn below_a_covered_root_directory_nothing_is_reached() {
        let root = line(20, 1, 1, "/", "ext4");
        let bpf = line(30, 20, 39, "/b", "bpf");
        assert_eq!(points(&format!("{root}{bpf}")), ["/b"]);
        let over = line(31, 20, 2, "/", "tmpfs");
        let on_that = line(32, 31, 40, "/b", "bpf");
        assert_eq!(points(&format!("{root}{bpf}{over}{on_that}")), [""; 0]);
        // Its own parent, as where nothing was mounted over the first root.
        let first = line(1, 1, 1, "/", "rootfs");
        let bpf = line(30, 1, 39, "/b", "bpf");
        assert_eq!(points(&format!("{first}{bpf}")), ["/b"]);
        // Of a process below a root directory of its own, that has no line.
        assert_eq!(points(&bpf), ["/b"]);
    }

    #[test]
    fn a_table_that_leads_in_a_circle() {
        let (a, b) = (line(30, 31, 1, "/a", "bpf"), line(31, 30, 2, "/b", "bpf"));
        assert_eq!(points(&format!("{a}{b}")), [""; 0]);
    }
}
