//! Pins: every inode of every bpffs, found from the kernel's own list of super
//! blocks, whichever mount namespace has it mounted, if any.
//!
//! A pin is one reference per inode: a hard link adds a name, not a reference.
//! A pin that was unlinked while a file has it open (`O_PATH`) keeps its
//! reference without a name. No pin is opened.

use crate::error::Error;
use crate::rows::{Addr, types};
use crate::walks::{Walk, Walks};
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
    /// Its names, as paths from the root of the bpffs, such as `/maps/x`.
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
        let fs_type = self.sockfs_type();
        if fs_type == 0 {
            return Err(Error::Calibration("its own socket was not among them"));
        }
        self.staged_bss()?.pin_cursor = types::pin_cursor {
            fs_type,
            ..Default::default()
        };
        let mut tree = Tree::default();
        self.run(Walk::Pins, |rows| {
            for row in rows {
                tree.read(&row);
            }
        })?;
        let cursor = self.staged_bss()?.pin_cursor;
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

/// A path in bpffs has at most this many components; deeper ones end here.
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
            let Some(name) = self.names.get(&at) else {
                break;
            };
            parts.push(name.text.as_str());
            if name.parent == at {
                break;
            }
            at = name.parent;
        }
        parts
            .iter()
            .rev()
            .fold(String::new(), |path, part| path + "/" + part)
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
