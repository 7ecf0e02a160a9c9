//! Growth as a watch recorded it.

use super::looks::{Course, Who};
use super::target::Target;
use explain::evidence::{Growth, GrowthSource};
use model::{CannotSee, SweepSample};
use process::Proc;

/// What a watch recorded of growth.
#[derive(Debug, Default)]
pub struct RecordedSweeps {
    /// Its sweeps.
    pub sweeps: Vec<SweepSample>,
    /// Growth through so many seconds is a leak.
    pub window: f64,
    /// `/proc/sys/kernel/random/boot_id`: pids and start times mean something only within one boot.
    pub boot_id: Option<String>,
}

/// What a recording says of the growth of this process.
pub fn growth(
    recording: &RecordedSweeps,
    proc: &Proc,
    target: &Target,
    cannot_see: &mut Vec<CannotSee>,
) -> Vec<Growth> {
    let mut course = Course::new(recording.window);
    for sweep in &recording.sweeps {
        course.observe(sweep);
    }
    let boot_id = proc.boot_id().ok();
    let other_boot =
        recording.boot_id.is_some() && boot_id.is_some() && recording.boot_id != boot_id;
    let mut grown = vec![];
    // Of one whose start is not known any process may have had the pid.
    if !other_boot && target.start_ticks.is_some() {
        let seconds = course.seconds();
        grown = course.grown(&Who::of(target), GrowthSource::Recording { seconds });
    }
    if grown.is_empty() {
        let why = if other_boot {
            "the recording is of another host, or of before this one was started"
        } else {
            "the recording has nothing of this process"
        };
        cannot_see.push(CannotSee {
            what: "how its handles grow".into(),
            why: why.into(),
            needs: "a recording of it".into(),
        });
    }
    grown.into_iter().map(|(growth, _)| growth).collect()
}
