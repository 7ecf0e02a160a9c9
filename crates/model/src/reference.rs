//! References: the units of an object's kernel reference count.

use crate::Holder;
use serde::{Deserialize, Serialize};

/// How a reference is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// An open file that stands in at least one descriptor table. One reference
    /// per `struct file`: dup, fork and `SCM_RIGHTS` share it.
    Fd,
    /// An open file with no descriptor left, kept by a memory mapping.
    Mmap,
    /// An inode in a bpffs.
    Pin,
    /// A program that uses the map (`aux->used_maps`).
    Prog,
    /// A slot of an array or hash of maps.
    OuterMap,
    /// A slot of a program array.
    ProgArray,
    /// A link: on its program, or on the map it was made for.
    Link,
    /// An open iterator file, on its program or on the map it walks.
    Iterator,
    /// A registered `struct_ops` map, by its link.
    StructOps,
    /// A map or program whose types the BTF describes.
    BtfUser,
    /// A program that another aims at (freplace, fentry on a program).
    Target,
}

/// References of one kind that have exactly the same holders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// How they are held.
    pub by: By,
    /// How many units of the reference count they are. A file shared by two
    /// processes is one reference with two holders.
    pub count: u64,
    /// Who holds them, all together.
    pub holders: Vec<Holder>,
}
