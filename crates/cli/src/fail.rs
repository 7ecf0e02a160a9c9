//! `--fail-on`: when an answer is exit code 1.

use crate::args::FailOn;
use crate::exit::Usage;
use model::{DiffReport, Object, State};

/// Growth is what two reports show.
pub fn check_one_report(conditions: &[FailOn]) -> Result<(), Usage> {
    if conditions.contains(&FailOn::Growth) {
        let text = "--fail-on growth compares two reports: \
                    lastref ls --diff BEFORE AFTER --fail-on growth";
        return Err(Usage(text.into()));
    }
    Ok(())
}

/// Says on standard error how many accounts a condition could not be asked of.
pub fn warn_unjudged<'a>(conditions: &[FailOn], objects: impl Iterator<Item = &'a Object>) {
    if !conditions.contains(&FailOn::Unexplained) {
        return;
    }
    let (mut unseen, mut moving) = (0, 0);
    for object in objects.filter(|o| o.facts.refcnt.is_some()) {
        unseen += usize::from(object.unexplained.is_none());
        moving += usize::from(!object.settled && object.unexplained.is_some_and(|left| left != 0));
    }
    if unseen > 0 {
        eprintln!(
            "lastref: --fail-on unexplained: {unseen} accounts could not be judged, as holders \
             may be out of sight; --strict makes that an error"
        );
    }
    if moving > 0 {
        eprintln!(
            "lastref: --fail-on unexplained: {moving} accounts could not be judged, as they still \
             moved; look again"
        );
    }
}

/// Whether an object meets any condition of `--fail-on`.
pub fn fails_any(conditions: &[FailOn], object: &Object) -> bool {
    conditions.iter().any(|&c| fails(c, object))
}

/// Whether an object meets a condition of `--fail-on`. What has not settled is
/// not unexplained.
pub fn fails(condition: FailOn, object: &Object) -> bool {
    match condition {
        FailOn::Orphan => object.state == State::OrphanPin,
        // Of two reports.
        FailOn::Growth => false,
        FailOn::Unexplained => object.settled && object.unexplained.is_some_and(|n| n > 0),
    }
}

/// Whether the difference of two reports meets any condition.
pub fn fails_diff(conditions: &[FailOn], report: &DiffReport) -> bool {
    conditions.iter().any(|condition| match condition {
        FailOn::Growth => !report.growth.is_empty(),
        FailOn::Orphan => report.totals.new_orphans > 0,
        FailOn::Unexplained => report.totals.new_unexplained > 0,
    })
}
