//! What waits behind a release that does not return.

use super::reason::Reason;
use crate::evidence::{Doing, Go, Queue, QueueKind, Runner, State, Taken};
use std::sync::Arc;

/// Looks that are closer than this say nothing of a queue that does not move.
const APART: f64 = 1.0;

/// A release that does not return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Behind {
    /// Who runs it.
    pub goroutine: u64,
    /// What it runs.
    pub function: Arc<str>,
}

/// The queue that a release waits in. Up to Go 1.24 cleanups wait in that of the finalizers.
pub(crate) fn queue_of(go: &Go, kind: QueueKind) -> Option<&Queue> {
    let queues = go.queues.as_ref().ok()?;
    let of = |kind| queues.iter().find(|queue| queue.kind == kind);
    of(kind).or_else(|| of(QueueKind::Finalizer))
}

/// The release that an entry waits for, or is itself: it is known what runs, and two looks at least a second apart found it
/// to be the same call. Where several goroutines run entries and nobody is known to have taken this one, all of them must
/// be at theirs, and the queue must not move.
pub(crate) fn blocked_by(queue: &Queue, state: State) -> Option<Behind> {
    if !is_apart(queue) || queue.length == 0 {
        return None;
    }
    let by_id = |id: u64| queue.runners.iter().find(|r| r.goroutine == id);
    match state {
        State::Pending => None,
        State::Running { goroutine }
        | State::Queued {
            taken: Taken::By(goroutine),
        } => by_id(goroutine).and_then(stands),
        State::Queued {
            taken: Taken::Nobody | Taken::Unknown,
        } => {
            let moved = queue.second.is_none_or(|second| second.moved) || queue.unread_runners > 0;
            let all: Option<Vec<Behind>> = queue.runners.iter().map(stands).collect();
            all.filter(|_| !moved)?.into_iter().next()
        }
    }
}

/// Why an entry may wait behind a release that does not return, or behind others that do, if nothing tells.
pub(crate) fn may_be_blocked(queue: &Queue, state: State) -> Option<Reason> {
    let State::Queued { taken } = state else {
        return None;
    };
    let stands = || queue.runners.iter().any(|runner| runner.stands);
    if matches!(taken, Taken::By(_)) || !is_apart(queue) {
        None
    } else if queue.unread_runners > 0 {
        Some(Reason::Runners)
    } else {
        (taken == Taken::Unknown && stands()).then_some(Reason::Behind)
    }
}

/// Two looks, far enough apart.
fn is_apart(queue: &Queue) -> bool {
    let seconds = queue.second.map_or(0.0, |second| second.seconds);
    seconds.is_finite() && seconds >= APART
}

/// What a goroutine runs that stands at it.
fn stands(runner: &Runner) -> Option<Behind> {
    match &runner.doing {
        Doing::Running {
            function: Some(function),
            ..
        } if runner.stands => Some(Behind {
            goroutine: runner.goroutine,
            function: function.clone(),
        }),
        Doing::Running { .. } | Doing::Idle | Doing::Unread(_) => None,
    }
}
