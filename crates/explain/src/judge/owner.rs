//! The verdict on an owner: a table of what establishes each, the most specific first.

use super::contradiction::contradiction;
use super::queue::{Behind, blocked_by, may_be_blocked, queue_of};
use super::{Judged, Reason};
use crate::evidence::{Gc, Go, Mark, Owner, Queue, State};
use libraries::{Library, OwnerType, Registers};
use model::Verdict;

/// One owner, with all that a verdict on it may rest on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look<'e> {
    pub go: &'e Go,
    pub libraries: &'e [Library],
    pub fd: u32,
    pub owner: &'e Owner,
}

/// A verdict, and the evidence that establishes it.
struct Row {
    verdict: Verdict,
    /// All of it is there.
    established: fn(&Look<'_>) -> bool,
}

/// The first that is established is the verdict; nothing that contradicts itself comes here. Each
/// row asks for every fact it rests on: taking one away leaves a row below, or none.
const ROWS: &[Row] = &[
    // Two looks, a second apart, found a function that runs not to have returned, and it waits behind that. The process went
    // on meanwhile.
    Row {
        verdict: Verdict::ReleaseBlocked,
        established: |look| look.is_called() && look.behind().is_some(),
    },
    // It stands in a queue that was read, and not behind what may be one of those.
    Row {
        verdict: Verdict::ReleaseQueued,
        established: |look| {
            look.is_called()
                && look.queue_length().is_some_and(|n| n > 0)
                && look.may_be_behind().is_none()
        },
    },
    // A completed collection did not reach it. Spans are swept before the next may begin
    // (runtime/mgc.go, gcStart).
    Row {
        verdict: Verdict::SweepPending,
        established: |look| {
            look.is_pending() && look.owner.mark == Mark::DeadUnswept && look.cycles() > 0
        },
    },
    // Its type never registers anything, and nothing is there.
    Row {
        verdict: Verdict::NoRelease,
        established: |look| look.owner.release.is_none() && look.never_registers(),
    },
    // It was allocated since.
    Row {
        verdict: Verdict::NotJudged,
        established: |look| look.is_pending() && look.owner.mark == Mark::New,
    },
    // A completed collection reached it.
    Row {
        verdict: Verdict::Retained,
        established: |look| {
            look.is_pending() && look.owner.mark == Mark::Survived && look.cycles() > 0
        },
    },
];

impl<'e> Look<'e> {
    pub fn judge(&self) -> Judged<'e> {
        if let Some(says) = contradiction(self) {
            return Judged::unknown(Reason::Contradiction(says)).of(self.owner);
        }
        let row = ROWS.iter().find(|row| (row.established)(self));
        let judged = match row {
            Some(row) => Judged::plain(row.verdict),
            None => Judged::unknown(self.lacks()),
        };
        Judged {
            behind: match judged.verdict {
                Verdict::ReleaseBlocked => self.behind(),
                _ => None,
            },
            ..judged.of(self.owner)
        }
    }

    /// What is registered, and not called for.
    fn is_pending(&self) -> bool {
        let release = self.owner.release.as_ref();
        release.is_some_and(|release| release.state == State::Pending)
    }

    /// The collector has called for it.
    fn is_called(&self) -> bool {
        let release = self.owner.release.as_ref();
        release.is_some_and(|release| release.state != State::Pending)
    }

    pub fn gc(&self) -> Option<&'e Gc> {
        self.go.gc.as_ref().ok()
    }

    /// Completed collections; 0 if that was not read.
    fn cycles(&self) -> u64 {
        self.gc().map_or(0, |gc| gc.cycles)
    }

    fn queue_length(&self) -> Option<u64> {
        let release = self.owner.release.as_ref()?;
        queue_of(self.go, release.kind).map(|queue| queue.length)
    }

    /// Its queue, and how far it has come in it. Of a process that is paused, nothing moves, and that says nothing.
    fn place(&self) -> Option<(&'e Queue, State)> {
        if self.go.paused.is_some() {
            return None;
        }
        let release = self.owner.release.as_ref()?;
        Some((queue_of(self.go, release.kind)?, release.state))
    }

    fn behind(&self) -> Option<Behind> {
        let (queue, state) = self.place()?;
        blocked_by(queue, state)
    }

    fn may_be_behind(&self) -> Option<Reason> {
        let (queue, state) = self.place()?;
        may_be_blocked(queue, state)
    }

    /// What the table of libraries says of its type.
    pub fn known_type(&self) -> Option<&'static OwnerType> {
        known_type(self.owner, self.libraries)
    }

    fn never_registers(&self) -> bool {
        let known = self.known_type();
        known.is_some_and(|known| known.registers == Registers::Never)
    }

    /// What no row was established for.
    fn lacks(&self) -> Reason {
        let Some(release) = &self.owner.release else {
            let name = self.owner.type_name.as_deref().unwrap_or("its owner");
            return match self.known_type() {
                Some(_) => Reason::ReleaseMissing(name.to_owned()),
                None => Reason::UnknownType(name.to_owned()),
            };
        };
        if let (State::Queued { .. } | State::Running { .. }, Err(why)) =
            (release.state, &self.go.queues)
        {
            return Reason::Queues(why.clone());
        }
        if let Some(why) = self.may_be_behind() {
            return why;
        }
        match (&self.owner.mark, &self.go.gc) {
            (Mark::Unread(why), _) => Reason::Mark(why.clone()),
            (_, Err(why)) => Reason::Gc(why.clone()),
            _ => Reason::Queues("it has none for what is queued".into()),
        }
    }
}

/// What the table of libraries says of an owner's type.
pub(crate) fn known_type(owner: &Owner, libraries: &[Library]) -> Option<&'static OwnerType> {
    let of_function = || {
        let release = owner.release.as_ref()?;
        libraries::cleanup(release.function.as_deref()?)
    };
    let by_name = || {
        let (name, package) = (owner.type_name.as_deref()?, owner.package.as_deref()?);
        let of = |l: &&Library| {
            let rest = package.strip_prefix(l.path.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let library = libraries.iter().find(of);
        libraries::owner(name, package, library.and_then(|l| l.version.as_deref()))
    };
    by_name().or_else(of_function)
}
