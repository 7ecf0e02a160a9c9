//! Each handle its verdict.

mod contradiction;
mod owner;
mod queue;
mod reason;

use owner::Look;
pub(crate) use owner::known_type;
pub(crate) use queue::{Behind, queue_of};
pub(crate) use reason::Reason;

use crate::evidence::{Descriptor, Evidence, Handle, Owner, Ownership, Runtime};
use model::Verdict;

/// What was found of one handle.
#[derive(Debug, Clone)]
pub(crate) struct Judged<'e> {
    pub verdict: Verdict,
    /// The owner that the verdict is about.
    pub owner: Option<&'e Owner>,
    /// Go objects that have the same number as that owner, itself too.
    pub owners: usize,
    /// Why nothing is established.
    pub reason: Option<Reason>,
    /// The release that does not return.
    pub behind: Option<Behind>,
}

impl<'e> Judged<'e> {
    pub fn plain(verdict: Verdict) -> Self {
        Self {
            verdict,
            owner: None,
            owners: 0,
            reason: None,
            behind: None,
        }
    }

    pub fn unknown(reason: Reason) -> Self {
        Self {
            reason: Some(reason),
            ..Self::plain(Verdict::Unknown)
        }
    }

    pub fn of(self, owner: &'e Owner) -> Self {
        Self {
            owner: Some(owner),
            owners: 1,
            ..self
        }
    }
}

/// Which of two keeps a handle open longer. What certainly keeps it stands above what is not known,
/// which stands above what the collector has called for, or may yet.
fn lasts(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Unmanaged => 9,
        Verdict::NoOwner => 8,
        Verdict::NoRelease => 7,
        // Light mode makes none of the others of this arm.
        Verdict::Retained
        | Verdict::RetainedByGlobal
        | Verdict::RetainedByGoroutine
        | Verdict::RetainedByTinyBlock
        | Verdict::RetainedByFinalizer
        | Verdict::ReleaseCycle => 6,
        Verdict::Unknown => 5,
        Verdict::ReleaseBlocked => 4,
        Verdict::NotJudged => 3,
        Verdict::Dropped => 2,
        Verdict::ReleaseQueued => 1,
        Verdict::SweepPending | Verdict::Mapped => 0,
    }
}

/// The verdict on a handle: that of the descriptor that keeps it longest.
pub(crate) fn judge<'e>(evidence: &'e Evidence<'_>, handle: &'e Handle) -> Judged<'e> {
    if handle.descriptors.is_empty() {
        return if handle.mapped {
            Judged::plain(Verdict::Mapped)
        } else {
            Judged::unknown(Reason::NowhereOpen)
        };
    }
    longest(handle.descriptors.iter().map(|fd| descriptor(evidence, fd)))
        .unwrap_or_else(|| Judged::unknown(Reason::NowhereOpen))
}

fn longest<'e>(all: impl Iterator<Item = Judged<'e>>) -> Option<Judged<'e>> {
    all.reduce(|kept, next| {
        if lasts(next.verdict) > lasts(kept.verdict) {
            next
        } else {
            kept
        }
    })
}

fn descriptor<'e>(evidence: &'e Evidence<'_>, descriptor: &'e Descriptor) -> Judged<'e> {
    let go = match (&evidence.process.runtime, &descriptor.ownership) {
        (Runtime::NotGo(_), Ownership::NotGo) => return Judged::plain(Verdict::Unmanaged),
        (Runtime::NotGo(_), _) => return Judged::unknown(Reason::OwnerWithoutGo),
        (Runtime::GoUnread { why, .. }, _) => {
            return Judged::unknown(Reason::Runtime(why.clone()));
        }
        (Runtime::Unread { why, .. }, _) => {
            return Judged::unknown(Reason::Program(why.clone()));
        }
        (Runtime::Go(go), _) => go,
    };
    match &descriptor.ownership {
        Ownership::NotGo => Judged::unknown(Reason::OwnerWithoutGo),
        Ownership::Unread(why) => Judged::unknown(Reason::Owner(why.clone())),
        Ownership::None(Ok(())) => Judged::plain(Verdict::NoOwner),
        Ownership::None(Err(why)) => Judged::unknown(Reason::Incomplete(why.clone())),
        Ownership::Owned(owners) => {
            let judged = owners.iter().map(|owner| {
                let look = Look {
                    go,
                    libraries: &evidence.process.libraries,
                    fd: descriptor.fd,
                    owner,
                };
                look.judge()
            });
            match longest(judged) {
                Some(judged) => Judged {
                    owners: owners.len(),
                    ..judged
                },
                None => Judged::unknown(Reason::Owner("none was told".into())),
            }
        }
    }
}
