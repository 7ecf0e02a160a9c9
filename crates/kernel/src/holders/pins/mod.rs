//! Pins: every inode of every bpffs, found from the kernel's own list of super
//! blocks, whichever mount namespace has it mounted, if any.
//!
//! A pin is one reference per inode: a hard link adds a name, not a reference.
//! A pin that was unlinked while a file has it open (`O_PATH`) keeps its
//! reference without a name. No pin is opened.

use crate::error::Error;
use crate::rows::{Addr, types};
use crate::walks::{Walk, Walks, until_whole};
use model::decode;
use rustc_hash::FxHashMap;

/// An inode in a bpffs that stands for an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedInode {
    /// The map, program or link; something else if no object has this address.
    pub object: Addr,
    /// Device of the bpffs, as in mountinfo: major, minor.
    pub device: (u32, u32),
    /// Inode number, as stat(2) tells it.
    pub ino: u64,
    /// Its names, as paths from the root of the bpffs, such as `/maps/x`; `…/x` where the way to
    /// the root is longer than what is followed, or was not read.
    pub paths: Vec<String>,
    /// No name leads to it any more; `paths` has the last one.
    pub unlinked: bool,
}

/// What a walk over all bpffs found.
#[derive(Debug, Default)]
pub struct Pins {
    /// Inodes that stand for objects.
    pub inodes: Vec<PinnedInode>,
    /// The lists changed during the walk, so that it may have missed some.
    pub cut: bool,
}

impl Walks {
    /// Walks all bpffs instances of the host.
    pub fn pins(&mut self) -> Result<Pins, Error> {
        until_whole(|| self.pins_once(), |pins| pins.cut)
    }

    fn pins_once(&mut self) -> Result<Pins, Error> {
        let fs_type = self.sockfs_type();
        if fs_type == 0 {
            return Err(Error::Calibration("its own socket was not among them"));
        }
        self.bss_of(Walk::Pins)?.pin_cursor = types::pin_cursor {
            fs_type,
            ..Default::default()
        };
        let mut tree = Tree::default();
        self.run(Walk::Pins, |rows| {
            for row in rows {
                tree.read(&row);
            }
        })?;
        let cursor = self.bss_of(Walk::Pins)?.pin_cursor;
        if cursor.fs_type == 0 {
            return Err(Error::Calibration(
                "bpffs is not in the list of file systems",
            ));
        }
        let mut pins = tree.finish();
        pins.cut |= cursor.done == 0;
        Ok(pins)
    }
}

/// Inodes and names as they come, before paths can be told.
#[derive(Default)]
struct Tree {
    inodes: Vec<Inode>,
    names: FxHashMap<u64, Name>,
    device: (u32, u32),
    root: u64,
    cut: bool,
}

struct Inode {
    object: u64,
    ino: u64,
    mode: u32,
    device: (u32, u32),
    root: u64,
    dentries: Vec<u64>,
}

struct Name {
    parent: u64,
    unhashed: bool,
    text: String,
}

/// So many components of a path in a bpffs are followed.
const DEPTH: usize = 128;

impl Tree {
    fn read(&mut self, row: &crate::rows::Row<'_>) {
        use types::row_kind as kind;
        match kind(u32::from(row.head.kind)) {
            kind::ROW_SUPER_BLOCK => {
                let sb: types::row_super_block = row.as_type();
                // The kernel's dev_t: 12 bits major, 20 bits minor (include/linux/kdev_t.h).
                self.device = (sb.dev >> 20, sb.dev & 0xf_ffff);
                self.root = sb.root;
            }
            kind::ROW_INODE => {
                let inode: types::row_inode = row.as_type();
                self.inodes.push(Inode {
                    object: inode.object,
                    ino: inode.ino,
                    mode: inode.row.n,
                    device: self.device,
                    root: self.root,
                    dentries: Vec::new(),
                });
            }
            kind::ROW_DENTRY => {
                let dentry: types::row_dentry = row.as_type();
                if let Some(inode) = self.inodes.last_mut() {
                    inode.dentries.push(dentry.dentry);
                }
                self.names.insert(
                    dentry.dentry,
                    Name {
                        parent: dentry.parent,
                        unhashed: dentry.row.n != 0,
                        text: String::new(),
                    },
                );
            }
            kind::ROW_TEXT => {
                let text: types::row_text = row.as_type();
                if let Some(name) = self.names.get_mut(&text.of) {
                    name.text = decode(row.text());
                }
            }
            kind::ROW_CUT => self.cut = true,
            _ => {}
        }
    }

    fn path(&self, dentry: u64, root: u64) -> String {
        let mut parts = Vec::new();
        let mut at = dentry;
        while at != root && parts.len() < DEPTH {
            let Some(name) = self.names.get(&at).filter(|name| !name.text.is_empty()) else {
                break;
            };
            parts.push(name.text.as_str());
            if name.parent == at {
                break;
            }
            at = name.parent;
        }
        // Without its beginning it would be the path of another.
        let top = if at == root { "" } else { "…" };
        parts
            .iter()
            .rev()
            .fold(top.to_owned(), |path, part| path + "/" + part)
    }

    fn finish(self) -> Pins {
        const S_IFMT: u32 = 0o170_000;
        const S_IFREG: u32 = 0o100_000;
        let inodes = self
            .inodes
            .iter()
            .filter(|i| i.object != 0 && i.mode & S_IFMT == S_IFREG)
            .map(|inode| {
                let hashed = |d: &&u64| self.names.get(d).is_some_and(|n| !n.unhashed);
                let mut named: Vec<_> = inode.dentries.iter().filter(hashed).collect();
                let unlinked = named.is_empty();
                if unlinked {
                    named = inode.dentries.iter().take(1).collect();
                }
                let mut paths: Vec<_> = named
                    .into_iter()
                    .map(|&d| self.path(d, inode.root))
                    .collect();
                paths.sort();
                PinnedInode {
                    object: Addr(inode.object),
                    device: inode.device,
                    ino: inode.ino,
                    paths,
                    unlinked,
                }
            })
            .collect();
        Pins {
            inodes,
            cut: self.cut,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chain of folders below a root, 1; each is named after its number.
    fn chain(depth: u64) -> Tree {
        let mut tree = Tree::default();
        for dentry in 2..2 + depth {
            let name = Name {
                parent: dentry - 1,
                unhashed: false,
                text: dentry.to_string(),
            };
            tree.names.insert(dentry, name);
        }
        tree
    }

    #[test]
    fn a_path_that_is_not_whole_says_so() {
        assert_eq!(chain(3).path(4, 1), "/2/3/4");
        let deepest = chain(DEPTH as u64).path(1 + DEPTH as u64, 1);
        assert!(deepest.starts_with("/2/3/"), "{deepest}");
        let deeper = chain(DEPTH as u64 + 1).path(2 + DEPTH as u64, 1);
        assert!(deeper.starts_with("…/3/4/"), "{deeper}");
        // A folder that was not read, or whose name was not.
        let mut gap = chain(4);
        gap.names.remove(&3);
        assert_eq!(gap.path(5, 1), "…/4/5");
        let mut nameless = chain(4);
        nameless
            .names
            .get_mut(&3)
            .expect("it is there")
            .text
            .clear();
        assert_eq!(nameless.path(5, 1), "…/4/5");
        // It stands on nothing, as what is not connected to a root does.
        let mut loose = chain(4);
        loose.names.get_mut(&3).expect("it is there").parent = 3;
        assert_eq!(loose.path(5, 1), "…/3/4/5");
    }
}
