//! What waits to be run, and whether it moves.

use explain::evidence::{Doing, Queue, QueueKind, Runner, SecondLook, State as Progress, Taken};
use goheap::{Call, Look, State};
use model::Frame;
use rustc_hash::FxHashMap;

/// The queues as of `last`; `first` is what an earlier look saw, so many seconds before.
/// `reason` has the runtime's word for why a goroutine waits.
pub fn of(
    first: Option<(f64, &Look)>,
    last: &Look,
    reason: &dyn Fn(u8) -> Option<String>,
) -> Vec<Queue> {
    let own = last.cleanups_run.is_some() || last.runners.iter().any(|runner| runner.cleanups);
    let kinds = [QueueKind::Finalizer, QueueKind::Cleanup];
    let kinds = kinds.into_iter().take(if own { 2 } else { 1 });
    let queues = kinds.map(|kind| Queue {
        kind,
        length: entries(last, kind, own).count() as u64 + left(last, kind),
        runners: runners(last, kind)
            .map(|runner| Runner {
                goroutine: runner.id,
                doing: doing(runner, last, reason),
                stands: first.is_some_and(|(_, first)| stands(runner, (first, last), kind, own)),
            })
            .collect(),
        unread_runners: unread_runners(last, kind, own),
        second: first.map(|(seconds, first)| SecondLook {
            seconds,
            moved: moved(first, last, kind, own),
        }),
    });
    queues.collect()
}

/// How far a call in the queue has come.
pub fn state(queued: &goheap::Queued, look: &Look) -> Progress {
    let finalizers = || look.runners.iter().find(|runner| !runner.cleanups);
    let goroutine = queued
        .taken_by
        .or_else(|| queued.running.then(|| finalizers().map(|r| r.id)).flatten());
    match (queued.running, goroutine) {
        (true, Some(goroutine)) => Progress::Running { goroutine },
        (_, Some(goroutine)) => Progress::Queued {
            taken: Taken::By(goroutine),
        },
        (_, None) => {
            let mut busy = look.runners.iter().filter(|r| r.runs_cleanups);
            let of_cleanups = matches!(queued.call, Call::Cleanup { .. });
            let unread = look.unread_goroutines > 0;
            let unknown =
                !queued.held && (unread || of_cleanups && busy.any(|r| r.block.is_none()));
            Progress::Queued {
                taken: if unknown {
                    Taken::Unknown
                } else {
                    Taken::Nobody
                },
            }
        }
    }
}

/// What a queue holds. Without a queue of their own, cleanups are in that of the finalizers.
fn entries(look: &Look, kind: QueueKind, own: bool) -> impl Iterator<Item = &Call> {
    let calls = look.queue.iter().map(|queued| &queued.call);
    calls.filter(move |call| match call {
        Call::Finalizer { .. } => kind == QueueKind::Finalizer,
        Call::Cleanup { .. } => (kind == QueueKind::Cleanup) == own,
    })
}

fn runners(look: &Look, kind: QueueKind) -> impl Iterator<Item = &goheap::Runner> {
    let all = look.runners.iter();
    all.filter(move |runner| runner.cleanups == (kind == QueueKind::Cleanup))
}

/// Goroutines that may run what a queue holds, and were not read. Whoever has set a finalizer has made the goroutine
/// that runs them (`runtime.createfing`).
fn unread_runners(look: &Look, kind: QueueKind, own: bool) -> usize {
    let waits = kind == QueueKind::Finalizer && entries(look, kind, own).next().is_some();
    let missing = waits && runners(look, kind).next().is_none();
    look.unread_goroutines.max(usize::from(missing))
}

/// Calls that have left their queue, and not returned: one of each goroutine.
fn left(look: &Look, kind: QueueKind) -> u64 {
    let left = runners(look, kind).filter(|runner| runner.left_queue);
    left.count() as u64
}

fn doing(runner: &goheap::Runner, look: &Look, reason: &dyn Fn(u8) -> Option<String>) -> Doing {
    match runner.state {
        State::Idle => Doing::Idle,
        // It looks for the next block, or goes to wait for one.
        _ if runner.cleanups && !runner.runs_cleanups => Doing::Idle,
        State::Moving => Doing::Unread("it changed each time it was read".into()),
        State::Waiting { .. } | State::Syscall { .. } | State::Runnable | State::Running => {
            Doing::Running {
                function: called(runner, look).map(Into::into),
                stack: frames(&runner.stack),
                waits: match runner.state {
                    State::Waiting { reason: number, .. } => reason(number).map(Into::into),
                    State::Syscall { .. } => Some("a call of the system, or C".into()),
                    State::Runnable => Some("a processor".into()),
                    State::Idle | State::Running | State::Moving => None,
                },
                waits_seconds: since(runner).and_then(|since| {
                    // Both on the clock of the process. A collection that runs now has seen it wait after the last
                    // one ended.
                    let last = i128::from(look.collector.last?);
                    let ago = look.collector.last_unix.map(super::seconds_ago)?;
                    Some((ago + (last - i128::from(since)) as f64 / 1e9).max(0.0))
                }),
            }
        }
    }
}

/// A goroutine is at the very call that it was at in an earlier look: with the same stack, since the same time, and with
/// the same calls left of the block that it goes along.
fn stands(now: &goheap::Runner, (first, last): (&Look, &Look), kind: QueueKind, own: bool) -> bool {
    let Some(before) = runners(first, kind).find(|before| before.id == now.id) else {
        return false;
    };
    // Whoever waits for a processor waits for no more than that.
    let busy = |runner: &goheap::Runner| match runner.state {
        State::Idle | State::Moving | State::Runnable => false,
        State::Waiting { .. } | State::Syscall { .. } | State::Running => {
            !runner.cleanups || runner.runs_cleanups
        }
    };
    if !busy(before) || !busy(now) || before.stack != now.stack || waits_anew(before, now) {
        return false;
    }
    match (kind, before.block, now.block) {
        (QueueKind::Cleanup, Some(was), Some(is)) => {
            let rest = |look: &Look| {
                let of = look.queue.iter().filter(|queued| queued.block == is);
                of.map(|queued| queued.call.clone()).collect::<Vec<_>>()
            };
            was == is && rest(first) == rest(last)
        }
        // Its stack tells no block, or is not there to be compared: then the whole queue has to stand.
        _ => !moved(first, last, kind, own),
    }
}

/// The finalizer or cleanup that a runner has called: the frame that the runtime's loop called.
pub fn called(runner: &goheap::Runner, look: &Look) -> Option<String> {
    /// The loops of Go 1.18 to 1.27, and what they call through.
    const LOOPS: [&str; 5] = [
        "runtime.runfinq",
        "runtime.runFinalizers",
        "runtime.runCleanups",
        "runtime.cleanupFn",
        "runtime.(*cleanupQueue)",
    ];
    let stack = runner.stack.iter();
    let before = stack.take_while(|f| !LOOPS.iter().any(|name| f.function.starts_with(name)));
    let before: Vec<&goheap::Frame> = before.collect();
    let by_stack = if before.len() < runner.stack.len() {
        // Between the two stand reflectcall and what wraps a cleanup.
        let is_runtime = |f: &&&goheap::Frame| f.function.starts_with("runtime.");
        let called = before.iter().rev().find(|f| !is_runtime(f));
        called.map(|frame| frame.function.clone())
    } else {
        None
    };
    by_stack.or_else(|| {
        // Of one that has taken a block, what runs is in that.
        let its = |taken: Option<u64>| taken.map_or(!runner.cleanups, |id| id == runner.id);
        let running = look.queue.iter().find(|q| q.running && its(q.taken_by))?;
        let (Call::Finalizer { function, .. } | Call::Cleanup { function, .. }) = &running.call;
        Some(function.to_string())
    })
}

/// Something was run or returned between two looks: an entry is gone, what runs is another one, or a goroutine
/// that ran was idle, ran another stack, or was seen to wait anew.
fn moved(first: &Look, last: &Look, kind: QueueKind, own: bool) -> bool {
    let mut left: FxHashMap<Entry<'_>, i64> = FxHashMap::default();
    for now in entries(last, kind, own) {
        *left.entry(entry(now)).or_default() += 1;
    }
    for before in entries(first, kind, own) {
        let left = left.entry(entry(before)).or_default();
        *left -= 1;
        if *left < 0 {
            return true;
        }
    }
    let running = |look: &Look| {
        let running = look.queue.iter().find(|queued| queued.running);
        running.map(|queued| queued.call.clone())
    };
    if kind == QueueKind::Cleanup && first.cleanups_run != last.cleanups_run {
        return true;
    }
    if kind == QueueKind::Finalizer {
        match (running(first), running(last)) {
            (Some(before), Some(now)) if entry(&before) == entry(&now) => {}
            (None, None) => {}
            _ => return true,
        }
    }
    let mut runners = runners(first, kind).filter(|before| before.state != State::Idle);
    runners.any(|before| {
        let now = last.runners.iter().find(|now| now.id == before.id);
        now.is_none_or(|now| {
            now.state == State::Idle || now.stack != before.stack || waits_anew(before, now)
        })
    })
}

/// A collection has seen it wait, and then another wait of it.
fn waits_anew(before: &goheap::Runner, now: &goheap::Runner) -> bool {
    let waits = since(before);
    waits.is_some() && waits != since(now)
}

fn since(runner: &goheap::Runner) -> Option<u64> {
    match runner.state {
        State::Waiting { since, .. } | State::Syscall { since } => since,
        State::Idle | State::Runnable | State::Running | State::Moving => None,
    }
}

/// What makes two entries the same: object, or function and argument.
type Entry<'l> = (Option<u64>, &'l str, Option<u64>);

fn entry(call: &Call) -> Entry<'_> {
    match call {
        Call::Finalizer { object, .. } => (Some(*object), "", None),
        Call::Cleanup { function, argument } => (None, function, *argument),
    }
}

/// Calls in the words of a report.
pub fn frames(stack: &[goheap::Frame]) -> Vec<Frame> {
    let frames = stack.iter().map(|frame| Frame {
        function: frame.function.clone(),
        file: Some(frame.file.clone()).filter(|file| !file.is_empty()),
        line: Some(frame.line).filter(|&line| line > 0),
        inlined: frame.inlined,
    });
    frames.collect()
}
