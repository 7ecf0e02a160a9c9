//! Whether any object was made since a walk.

use super::Objects;
use crate::sys;
use std::io;

/// The highest id of each kind that a walk over objects found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Newest {
    map: u32,
    prog: u32,
    link: u32,
}

impl Objects {
    /// The highest ids that there are.
    pub fn newest(&self) -> Newest {
        Newest {
            map: self.maps.iter().map(|map| map.id).max().unwrap_or(0),
            prog: self.progs.iter().map(|prog| prog.id).max().unwrap_or(0),
            link: self.links.iter().map(|link| link.id).max().unwrap_or(0),
        }
    }
}

impl Newest {
    /// There is no object that has been made since: what is there now has been there, and an address leads to the same
    /// object. Ids are handed out in rising order (`idr_alloc_cyclic`), and begin anew after 2,147,483,647 of a kind.
    ///
    /// # Errors
    /// Without `CAP_SYS_ADMIN`; for links before 5.8.
    pub fn is_still(self) -> io::Result<bool> {
        Ok(sys::map_next_id(self.map)?.is_none()
            && sys::prog_next_id(self.prog)?.is_none()
            && sys::link_next_id(self.link)?.is_none())
    }
}
