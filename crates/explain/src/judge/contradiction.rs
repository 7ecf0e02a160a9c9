//! Readings that cannot both be right. Each says both.

use super::owner::Look;
use super::queue::queue_of;
use crate::evidence::{Doing, Gc, Mark, QueueKind, RegisteredRelease, State};

/// A fact that excludes another, with the sentence that says so.
type Check = fn(&Look<'_>) -> Option<String>;

/// All that are known. None may be left out of a verdict that says more than `unknown`.
const CHECKS: &[Check] = &[
    another_number,
    nothing_there,
    marked_before_the_first,
    unswept_while_marking,
    queued_and_not_queued,
    queued_and_judged,
    called_by_nobody,
];

pub(super) fn contradiction(look: &Look<'_>) -> Option<String> {
    CHECKS.iter().find_map(|check| check(look))
}

/// The number in it is not that of the descriptor. A function that runs may have taken it out
/// already.
fn another_number(look: &Look<'_>) -> Option<String> {
    let number = look.owner.number?;
    let runs = matches!(
        look.owner.release,
        Some(RegisteredRelease {
            state: State::Running { .. },
            ..
        })
    );
    if runs || number == i64::from(look.fd) {
        return None;
    }
    let what = match number {
        ..0 => "is closed by what it says itself".to_owned(),
        _ => format!("has descriptor {number} in a second look"),
    };
    Some(format!(
        "its owner {what}, and descriptor {} is open",
        look.fd
    ))
}

/// A special on a slot where no object is, or on one whose cleanup alone is left.
fn nothing_there(look: &Look<'_>) -> Option<String> {
    let gone = match look.owner.mark {
        Mark::Free => "no object stands at its address",
        Mark::Gone => "only its cleanup is left",
        _ => return None,
    };
    match &look.owner.release {
        None => Some(format!("an owner was found, and {gone}")),
        Some(release) if release.state == State::Pending => Some(format!(
            "its {} is still registered, and {gone}",
            name(release.kind)
        )),
        Some(_) => None,
    }
}

fn marked_before_the_first(look: &Look<'_>) -> Option<String> {
    let before = look.gc()?.cycles == 0;
    let judged = matches!(look.owner.mark, Mark::Survived | Mark::DeadUnswept);
    (before && judged).then(|| "a collection has judged it, and none has completed".to_owned())
}

fn unswept_while_marking(look: &Look<'_>) -> Option<String> {
    let Gc { marking, .. } = look.gc()?;
    (*marking && look.owner.mark == Mark::DeadUnswept).then(|| {
        "its span is not swept, and the next mark phase runs, which begins when all are".to_owned()
    })
}

/// An entry of an empty queue.
fn queued_and_not_queued(look: &Look<'_>) -> Option<String> {
    let release = look.owner.release.as_ref()?;
    let queue = queue_of(look.go, release.kind)?;
    (release.state != State::Pending && queue.length == 0).then(|| {
        format!(
            "its {} was found in a queue, and the queue is empty",
            name(release.kind)
        )
    })
}

/// The sweeper marks an object whose finalizer it queues, and queues a cleanup once its object is
/// freed (runtime/mgcsweep.go, sweepLocked.sweep; mheap.go, freeSpecial).
fn queued_and_judged(look: &Look<'_>) -> Option<String> {
    let release = look.owner.release.as_ref()?;
    if release.state == State::Pending {
        return None;
    }
    let is = match (release.kind, &look.owner.mark) {
        (QueueKind::Finalizer, Mark::New) => "its object is newer than the last collection",
        (QueueKind::Finalizer, Mark::DeadUnswept) => "its span is not swept",
        (QueueKind::Finalizer, Mark::Free | Mark::Gone) => "no object stands at its address",
        (QueueKind::Cleanup, Mark::Survived | Mark::New | Mark::DeadUnswept) => {
            "its object is still there"
        }
        _ => return None,
    };
    Some(format!("its {} is queued, and {is}", name(release.kind)))
}

/// A function that runs, and no goroutine that runs it.
fn called_by_nobody(look: &Look<'_>) -> Option<String> {
    let release = look.owner.release.as_ref()?;
    let State::Running { goroutine } = release.state else {
        return None;
    };
    let queue = queue_of(look.go, release.kind)?;
    let runs = |doing: &Doing| !matches!(doing, Doing::Idle);
    let mut runners = queue.runners.iter();
    (!runners.any(|r| r.goroutine == goroutine && runs(&r.doing))).then(|| {
        format!(
            "its {} runs, and goroutine {goroutine} runs none",
            name(release.kind)
        )
    })
}

fn name(kind: QueueKind) -> &'static str {
    match kind {
        QueueKind::Finalizer => "finalizer",
        QueueKind::Cleanup => "cleanup",
    }
}
