//! Whether a look has seen every owner there may be.

use super::place::descriptor;
use super::queues;
use explain::evidence::{Reading, Why};
use goheap::{Look, State};

/// A cleanup leaves its queue before it is called (`runtime.runCleanups`), and what it was registered on is gone:
/// while it runs, nothing tells which descriptor it closes.
pub fn running_cleanup(look: &Look) -> Option<Why> {
    let runners = look.runners.iter();
    let mut busy = runners.filter(|r| r.cleanups && r.state != State::Idle);
    busy.find_map(|runner| match queues::called(runner, look) {
        Some(function) => {
            let known = libraries::cleanup(&function);
            let closes_none = known.is_some_and(|known| descriptor(known.stands).is_none());
            (!closes_none).then(|| format!("the cleanup {function} runs, and may close it").into())
        }
        None => Some("a cleanup runs, and may close it".into()),
    })
}

pub fn complete(look: &Look) -> Reading<()> {
    let spans = look.unread.len();
    if look.unread_arenas > 0 {
        let arenas = look.unread_arenas;
        return Err(format!("{arenas} arenas of the heap were not read").into());
    }
    if look.goroutines.is_none() {
        return Err("not all goroutines were looked at, and one may run a release".into());
    }
    match (look.unread.first(), look.queue_moved) {
        (None, 0) => Ok(()),
        (Some(first), _) => {
            Err(format!("{spans} spans with specials were not read: {}", first.why).into())
        }
        (None, moved) => {
            Err(format!("{moved} entries of the queue changed while they were read").into())
        }
    }
}
