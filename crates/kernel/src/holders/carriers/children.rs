//! Perf events that so many children inherited that one look does not count them.

use super::Carriers;
use crate::error::Error;
use crate::rows::{Addr, types};
use crate::walks::{Walk, Walks, until_whole};

/// In the place of a number in rows; `CHILDREN_MORE` in `events.h`.
pub(crate) const MORE: u32 = u32::MAX;

impl Walks {
    /// How many children's events hold the program of this one too; `None` if that could not be
    /// counted.
    pub(crate) fn children(&mut self, event: Addr) -> Option<u32> {
        until_whole(|| self.children_once(event), Option::is_none).unwrap_or(None)
    }

    fn children_once(&mut self, event: Addr) -> Result<Option<u32>, Error> {
        self.bss_of(Walk::Children)?.child_cursor = types::child_cursor {
            event: event.0,
            ..Default::default()
        };
        let mut cut = false;
        // Its only row says that it is cut.
        self.run(Walk::Children, |rows| cut |= rows.count() > 0)?;
        let cursor = self.bss_of(Walk::Children)?.child_cursor;
        Ok((!cut && cursor.done != 0).then_some(cursor.count))
    }

    /// Counts what the walk over carriers left uncounted.
    pub fn inherited(&mut self, carriers: &mut Carriers) {
        let events = carriers.events.iter_mut();
        for (&addr, event) in events.filter(|(_, event)| event.uncounted) {
            if let Some(children) = self.children(addr) {
                event.references = 1 + u64::from(children);
                event.uncounted = false;
            }
        }
    }
}
