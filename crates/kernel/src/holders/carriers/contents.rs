//! What waits in sockets' queues and stands in rings' tables, and what is in that.

use super::Carriers;
use crate::error::Error;
use crate::rows::{Addr, types};
use crate::walks::{Walk, Walks, until_whole};

/// More carriers than that are not looked into: each costs some 50 µs.
const LOOKED_INTO: usize = 20_000;

impl Walks {
    /// Looks into the queues of sockets and the tables of rings that were not looked into
    /// yet, until no more are found in them.
    pub fn contents(&mut self, carriers: &mut Carriers) -> Result<(), Error> {
        loop {
            let queues = carriers.sockets.iter().filter(|(_, s)| s.queued);
            let queues = queues.map(|(&addr, _)| (addr, None));
            let rings = carriers
                .rings
                .iter()
                .map(|(&addr, &files)| (addr, Some(files)));
            let mut new: Vec<_> = queues.chain(rings).collect();
            let seen = &mut carriers.looked_into;
            new.retain(|&(addr, _)| seen.insert(addr));
            if new.is_empty() {
                return Ok(());
            }
            for (addr, files) in new {
                if carriers.looked_into.len() > LOOKED_INTO {
                    carriers.cut = true;
                    return Ok(());
                }
                let content = until_whole(|| self.content(addr, files), |content| content.cut)?;
                carriers.extend(content);
            }
        }
    }

    /// What is in one queue or table. Messages come and go at any moment.
    fn content(&mut self, carrier: Addr, files: Option<u64>) -> Result<Carriers, Error> {
        let mut content = Carriers::default();
        let mut cursor = types::content_cursor {
            carrier: carrier.0,
            ring: u32::from(files.is_some()),
            count: files.unwrap_or(0),
            ..Default::default()
        };
        // One run may end before the queue does: it has a bounded number of ticks.
        while cursor.done == 0 {
            let before = (cursor.skb, cursor.at);
            self.bss_of(Walk::Contents)?.content_cursor = cursor;
            self.run(Walk::Contents, |rows| {
                for row in rows {
                    content.read(&row);
                }
            })?;
            cursor = self.bss_of(Walk::Contents)?.content_cursor;
            if cursor.done == 0 && before == (cursor.skb, cursor.at) {
                content.cut = true;
                break;
            }
        }
        Ok(content)
    }
}
