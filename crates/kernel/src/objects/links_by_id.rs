//! Links where the kernel has no iterator over them (before 5.19).
//!
//! `BPF_OBJ_GET_INFO_BY_FD` tells no count, so each link is opened by its id, read
//! through our own descriptor (`link_by_fd` in `objects.bpf.c`), and closed at
//! once: one at a time. The reference that our descriptor is has the place of the
//! one that an iterator would hold, and is subtracted as that is. A link whose
//! last other holder lets go meanwhile ends with our descriptor, some 10 µs later.

use crate::error::Error;
use crate::rows::Rows;
use crate::sys;
use crate::walks::{Walk, Walks};
use model::{Kind, ObjectId};
use std::io;
use std::os::fd::{AsFd, AsRawFd};

impl Walks {
    /// Reads every link, but those of our own iterators. Needs `CAP_SYS_ADMIN`; that
    /// it is not there is no error, but noted.
    pub(crate) fn links_by_id(&mut self, mut each: impl FnMut(Rows<'_>)) -> Result<(), Error> {
        let fail = |source| Error::Walk {
            walk: Walk::LinkByFd.name(),
            source,
        };
        let first = match sys::link_next_id(0) {
            Ok(Some(first)) => first,
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.note_links_unseen(format!("links by id: {error}"));
                return Ok(());
            }
            Err(error) => return Err(fail(error)),
        };
        let reader = self.link_reader().map_err(fail)?;
        let mut next = Some(first);
        while let Some(id) = next {
            if !self.own().contains(&ObjectId {
                kind: Kind::Link,
                id,
            }) {
                match sys::link_by_id(id) {
                    Ok(link) => {
                        self.set_link_fd(link.as_raw_fd().cast_unsigned());
                        Self::read(reader.as_fd(), &mut each).map_err(fail)?;
                    }
                    Err(error) if is_gone(&error) => {}
                    Err(error) => return Err(fail(error)),
                }
            }
            next = sys::link_next_id(id).map_err(fail)?;
        }
        Ok(())
    }
}

/// It went away between two calls, or is only being made (`bpf_link_by_id`).
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::EAGAIN)
}
