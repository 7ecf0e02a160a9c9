//! Whether a look has seen every owner there may be.

use super::place::descriptor;
use super::queues;
use explain::evidence::{Reading, Why};
use goheap::Look;

/// From Go 1.26 on, a cleanup leaves its queue before it is called (`runtime.runCleanups`), and what it was registered on is
/// gone: while it runs, nothing tells which descriptor it closes.
pub fn running_cleanup(look: &Look) -> Option<Why> {
    let mut left = look.runners.iter().filter(|runner| runner.left_queue);
    left.find_map(|runner| match queues::called(runner, look) {
        Some(function) => {
            let known = libraries::cleanup(&function);
            let closes_none = known.is_some_and(|known| descriptor(known.stands).is_none());
            (!closes_none).then(|| format!("the cleanup {function} runs, and may close it").into())
        }
        None => Some("a cleanup runs, and may close it".into()),
    })
}

/// Parts of the heap that may have owners, and were not read.
pub fn unread(look: &Look) -> Option<Why> {
    if look.unread_arenas > 0 {
        let arenas = look.unread_arenas;
        return Some(format!("{arenas} arenas of the heap were not read").into());
    }
    let (spans, first) = (look.unread.len(), look.unread.first()?);
    Some(format!("{spans} spans with specials were not read: {}", first.why).into())
}

/// Nothing that may own a descriptor, or run a release, was passed over; else what was.
pub fn complete(look: &Look) -> Reading<()> {
    if let Some(why) = unread(look) {
        return Err(why);
    }
    if look.unread_goroutines > 0 {
        let count = look.unread_goroutines;
        return Err(format!("{count} goroutines were not read, and one may run a release").into());
    }
    if look.cleanups_unread {
        return Err("where cleanups are queued was not found".into());
    }
    match look.queue_moved {
        0 => Ok(()),
        moved => Err(format!("{moved} entries of the queue changed while they were read").into()),
    }
}
