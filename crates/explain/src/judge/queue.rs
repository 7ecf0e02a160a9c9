//! What waits behind a release that does not return.

use crate::evidence::{Doing, Go, Queue, QueueKind, Runner, State};
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

/// The release that an entry waits for, or is itself: two looks at least a second apart found the
/// queue not to move, and what runs is known. Where several goroutines run entries and nobody has
/// taken this one, all of them must be at it.
pub(crate) fn blocked_by(queue: &Queue, state: State) -> Option<Behind> {
    let second = queue.second?;
    let stands = second.seconds.is_finite() && second.seconds >= APART && !second.moved;
    if !stands || queue.length == 0 {
        return None;
    }
    let by_id = |id: u64| queue.runners.iter().find(|r| r.goroutine == id);
    match state {
        State::Pending => None,
        State::Running { goroutine }
        | State::Queued {
            taken_by: Some(goroutine),
        } => by_id(goroutine).and_then(runs),
        State::Queued { taken_by: None } => {
            let all: Option<Vec<Behind>> = queue.runners.iter().map(runs).collect();
            all?.into_iter().next()
        }
    }
}

fn runs(runner: &Runner) -> Option<Behind> {
    match &runner.doing {
        Doing::Running {
            function: Some(function),
            ..
        } => Some(Behind {
            goroutine: runner.goroutine,
            function: function.clone(),
        }),
        Doing::Running { function: None, .. } | Doing::Idle | Doing::Unread(_) => None,
    }
}
