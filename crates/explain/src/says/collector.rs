//! What Go's collector has in its books, and what its queues wait for.

use super::{Context, Line, last_collection};
use crate::evidence::{Doing, Gc, Mark, Owner, Queue, QueueKind, Runtime, State};
use crate::group::Group;
use crate::judge::{Reason, queue_of};
use model::units::{count, counted, duration};
use model::{EvidenceKind, Verdict};

/// Functions of a stack that are told.
const FRAMES: usize = 8;

/// What the verdict rests on.
pub(super) fn say<'e>(context: &Context<'e>, group: &Group<'e>, lines: &mut Vec<Line>) {
    let gc = context.gc();
    let mut say = |says: String| lines.push((EvidenceKind::GoGc, says));
    let (one, all) = (group.count() == 1, count(group.count()));
    match group.verdict {
        Verdict::Retained => {
            let last = last_collection(gc);
            match (group.owners().filter(|o| o.tiny).count() as u64, one) {
                (0, true) => say(format!("{last} still reached its owner")),
                (0, false) => say(format!("{last} still reached every one of their owners")),
                (shared, _) => say(format!(
                    "{last} still reached the 16-byte block of {}, in which others may lie that it reached instead",
                    of_owners(shared, group.count())
                )),
            }
            say(format!(
                "{}; {}",
                registered(group),
                reached(gc, &all, one, group)
            ));
        }
        Verdict::NotJudged => {
            say(match gc {
                Some(gc) if gc.cycles == 0 => {
                    "no collection has run yet: none has judged it".into()
                }
                _ => format!(
                    "allocated since {}, which has not judged it",
                    last_collection(gc)
                ),
            });
            say(registered(group));
            gc.map(next_collection).into_iter().for_each(&mut say);
        }
        Verdict::SweepPending => {
            let they = if one {
                "its owner"
            } else {
                "any of their owners"
            };
            say(format!("{} did not reach {they}", last_collection(gc)));
            say(format!(
                "{}; the span is not swept yet, which will queue it",
                registered(group)
            ));
        }
        Verdict::ReleaseQueued | Verdict::ReleaseBlocked => {
            say(queued(group));
            queues(context, group, lines);
        }
        Verdict::NoRelease => say(format!(
            "{} was found with neither finalizer nor cleanup on it",
            group
                .owners()
                .find_map(|o| o.type_name.as_deref())
                .unwrap_or("the owner")
        )),
        Verdict::NoOwner => say(
            "all finalizers, cleanups and queues were read: no object of theirs has the number"
                .into(),
        ),
        Verdict::Unknown => {
            let reason = group.reason();
            let kind = match reason {
                Some(Reason::Program(_)) => EvidenceKind::Libraries,
                _ => EvidenceKind::GoGc,
            };
            let says = reason.map_or_else(|| "nothing was read".into(), ToString::to_string);
            lines.push((kind, says));
            say_what_was_read(group, lines);
        }
        _ => {}
    }
    several_owners(group, lines);
}

fn of_owners(some: u64, all: u64) -> String {
    match (some, all) {
        (1, 1) => "its owner".into(),
        (some, all) if some == all => "every owner".into(),
        (some, all) => format!("{} of {} owners", count(some), count(all)),
    }
}

/// `*sys.FD, finalizer (*FD).finalize registered, not run`
fn registered(group: &Group<'_>) -> String {
    let owner = group.owners().next();
    let text = owner.map_or_else(|| "a release".into(), release);
    format!("{text} registered, not run")
}

/// `*sys.FD, finalizer (*FD).finalize`
fn release(owner: &Owner) -> String {
    let mut text = match owner.type_name.as_deref() {
        Some(name) => format!("{name}, "),
        None => String::new(),
    };
    match &owner.release {
        None => text.push_str("no finalizer or cleanup"),
        Some(release) => {
            text.push_str(kind(release.kind));
            if let Some(function) = &release.function {
                text.push(' ');
                text.push_str(without_package(function));
            }
        }
    }
    text
}

fn kind(kind: QueueKind) -> &'static str {
    match kind {
        QueueKind::Finalizer => "finalizer",
        QueueKind::Cleanup => "cleanup",
    }
}

/// `(*FD).finalize` of `github.com/cilium/ebpf/internal/sys.(*FD).finalize`.
fn without_package(function: &str) -> &str {
    // The runtime's names of generic functions have paths in brackets.
    let head = function.split('[').next().unwrap_or(function);
    let from = head.rfind('/').map_or(0, |slash| slash + 1);
    match head[from..].find('.') {
        Some(dot) if !head.starts_with("runtime.") => &function[from + dot + 1..],
        _ => function,
    }
}

/// An object that is made while a collection marks is marked, too (`runtime.mallocgc`, `gcmarknewobject`).
fn reached(gc: Option<&Gc>, all: &str, one: bool, group: &Group<'_>) -> String {
    let cycles = gc.map_or(0, |gc| gc.cycles);
    let so_far = format!("{} so far", counted(cycles, "collection", "collections"));
    let marking = gc.is_some_and(|gc| gc.marking);
    let last = if marking {
        "the last that completed"
    } else {
        "the last"
    };
    let blocks = group.owners().any(|owner| owner.tiny);
    match (blocks, one) {
        (true, true) => format!("{so_far}, {last} marked its block"),
        (true, false) => format!("{so_far}, {last} marked the blocks of all {all}"),
        (false, true) => {
            format!("{so_far}, {last} reached it, or it was made while that marked")
        }
        (false, false) => {
            format!("{so_far}, {last} reached all {all}, or they were made while it marked")
        }
    }
}

/// When the next collection comes without a call of `runtime.GC`.
fn next_collection(gc: &Gc) -> String {
    match (gc.gogc_off, gc.memory_limit, gc.forced_in_seconds) {
        _ if gc.marking => "a collection runs now".into(),
        (true, None, _) => "GOGC=off: no collection comes by itself".into(),
        (true, Some(limit), _) => format!(
            "GOGC=off: a collection comes when memory nears GOMEMLIMIT, {}",
            model::units::bytes(limit)
        ),
        (false, _, Some(seconds)) => format!(
            "the next collection is forced in {} at most",
            duration(seconds)
        ),
        (false, _, None) => {
            "the next collection comes once the heap has grown: none is forced before the first"
                .into()
        }
    }
}

fn queued(group: &Group<'_>) -> String {
    let releases = || group.owners().filter_map(|o| o.release.as_ref());
    let running = releases()
        .filter(|r| matches!(r.state, State::Running { .. }))
        .count() as u64;
    let waiting = group.count().saturating_sub(running);
    let what = group
        .owners()
        .next()
        .map_or_else(|| "their release".into(), release);
    match (waiting, running) {
        (0, _) => format!("{what}: called, and not returned"),
        (waiting, 0) => format!("{what}: {} queued", count(waiting)),
        (waiting, running) => format!(
            "{what}: {} queued, {} called and not returned",
            count(waiting),
            count(running)
        ),
    }
}

/// The queue, and who runs it.
fn queues<'e>(context: &Context<'e>, group: &Group<'e>, lines: &mut Vec<Line>) {
    let Runtime::Go(go) = &context.evidence.process.runtime else {
        return;
    };
    let release = group.owners().find_map(|o| o.release.as_ref());
    let Some(queue) = release.and_then(|release| queue_of(go, release.kind)) else {
        return;
    };
    lines.push((EvidenceKind::GoGc, length(queue)));
    if let Some(why) = &go.paused {
        let says =
            format!("the process is paused: {why}; nothing of it runs, and no release can return");
        lines.push((EvidenceKind::GoGc, says));
    }
    for runner in &queue.runners {
        let says = match &runner.doing {
            Doing::Idle => format!("goroutine {} waits for entries", runner.goroutine),
            Doing::Unread(why) => format!("goroutine {} was not read: {why}", runner.goroutine),
            Doing::Running {
                function,
                stack,
                waits,
                waits_seconds,
            } => {
                let function = function
                    .as_deref()
                    .unwrap_or("what its stack does not tell");
                let mut says = format!("goroutine {} runs {function}", runner.goroutine);
                if !stack.is_empty() {
                    let names: Vec<&str> = stack
                        .iter()
                        .take(FRAMES)
                        .map(|f| f.function.as_str())
                        .collect();
                    says = format!("{says}: {}", names.join(" ← "));
                }
                let long =
                    waits_seconds.map(|seconds| format!("for {} at least", duration(seconds)));
                // Of a queue that does not move, that is told of all of it.
                let beside = runner.stands && queue.second.is_some_and(|second| second.moved);
                let and = if beside {
                    "; it has not returned since the look before"
                } else {
                    ""
                };
                match (waits, long) {
                    (Some(waits), Some(long)) => format!("{says}; waits: {waits}, {long}{and}"),
                    (Some(waits), None) => format!("{says}; waits: {waits}{and}"),
                    (None, Some(long)) => format!("{says}; waits {long}{and}"),
                    (None, None) => says + and,
                }
            }
        };
        lines.push((EvidenceKind::Stack, says));
    }
}

fn length(queue: &Queue) -> String {
    let entries = counted(queue.length, "entry waits or runs", "entries wait or run");
    let of = match queue.kind {
        QueueKind::Finalizer => "the queue of finalizers",
        QueueKind::Cleanup => "the queue of cleanups",
    };
    let moves = match queue.second {
        None => "it was looked at once: whether it moves is not known".into(),
        Some(second) if second.moved => format!("it moved within {}", duration(second.seconds)),
        Some(second) => format!("it did not move in {}", duration(second.seconds)),
    };
    format!("{of}: {entries}; {moves}")
}

/// What is known of an owner all the same.
fn say_what_was_read(group: &Group<'_>, lines: &mut Vec<Line>) {
    let Some(owner) = group.owners().next() else {
        return;
    };
    let mark = match &owner.mark {
        Mark::Survived => "reached by the last collection",
        Mark::New => "allocated since the last collection",
        Mark::DeadUnswept => "not reached by the last collection",
        Mark::Free => "no object there",
        Mark::Gone => "the object is gone",
        Mark::Unread(_) => "the mark was not read",
    };
    let state = match owner.release.as_ref().map(|release| release.state) {
        Some(State::Pending) => "registered, not run",
        Some(State::Queued { .. }) => "queued",
        Some(State::Running { .. }) => "running",
        None => "nothing registered",
    };
    let says = format!("what was found: {}: {state}; {mark}", release(owner));
    lines.push((EvidenceKind::GoGc, says));
}

fn several_owners(group: &Group<'_>, lines: &mut Vec<Line>) {
    let several = group
        .members
        .iter()
        .filter(|(_, judged)| judged.owners > 1)
        .count() as u64;
    if several > 0 {
        let says = format!(
            "{} {} more than one Go object as owner: the first to be released closes it under the other",
            counted(several, "descriptor", "descriptors"),
            if several == 1 { "has" } else { "have" }
        );
        lines.push((EvidenceKind::GoGc, says));
    }
}
