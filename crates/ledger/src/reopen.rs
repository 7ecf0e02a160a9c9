//! A ledger of accounts that were closed before, and come back from a report.

use crate::account::{Ledger, Reading, Sight};
use model::{Object, ObjectId, State};

/// An account of a report whose numbers contradict each other: what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correction {
    /// The object.
    pub id: Option<ObjectId>,
    /// What was written, and what it must be.
    pub says: String,
}

/// What a ledger concluded of one object, and what else is kept of it.
struct Recorded {
    unexplained: Option<i64>,
    settled: bool,
    state: State,
    kept_by: Vec<model::Holder>,
    unreadable: Vec<String>,
}

impl Ledger {
    /// The ledger that the accounts of a report came from: chains and release plans come
    /// out as they did then, as far as the report has every object. `settled`, `state`,
    /// `kept_by` and `unexplained` stay as recorded: they rest on what was seen then, which
    /// may be more than the report has.
    ///
    /// Sums are made again: what contradicts them is put right, and told.
    pub fn reopen(objects: Vec<Object>) -> (Self, Vec<Correction>) {
        let mut corrections = Vec::new();
        let mut readings = Vec::with_capacity(objects.len());
        let mut recorded = Vec::with_capacity(objects.len());
        for mut object in objects {
            for says in correct(&mut object) {
                let id = object.facts.object_id();
                corrections.push(Correction { id, says });
            }
            recorded.push(Recorded {
                unexplained: object.unexplained,
                settled: object.settled,
                state: object.state,
                kept_by: object.kept_by,
                unreadable: object.facts.unreadable.clone(),
            });
            readings.push(Reading {
                facts: object.facts,
                steady: true,
            });
        }
        let mut ledger = Self::close(readings, &Sight::default(), None);
        for (object, recorded) in ledger.objects.iter_mut().zip(recorded) {
            object.unexplained = recorded.unexplained;
            object.settled = recorded.settled;
            object.state = recorded.state;
            object.kept_by = recorded.kept_by;
            object.facts.unreadable = recorded.unreadable;
        }
        (ledger, corrections)
    }
}

/// Makes the sums of an account agree; says what did not.
fn correct(object: &mut Object) -> Vec<String> {
    let mut says = Vec::new();
    let sum = object.facts.explained();
    if object.explained != sum {
        let was = object.explained;
        says.push(format!(
            "explained is {was}, but the references sum to {sum}"
        ));
        object.explained = sum;
    }
    let left = object.facts.refcnt.map(|refcnt| {
        let left = i128::from(refcnt) - i128::from(sum);
        left.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    });
    match (object.unexplained, left) {
        (Some(was), None) => {
            says.push(format!("unexplained is {was}, but there is no refcnt"));
            object.unexplained = None;
        }
        (Some(was), Some(left)) if was != left => {
            says.push(format!(
                "unexplained is {was}, but refcnt and references leave {left}"
            ));
            object.unexplained = Some(left);
        }
        // Nothing is left that could be out of sight.
        (None, Some(left)) if left <= 0 => {
            says.push(format!("unexplained is null, but {left} are left"));
            object.unexplained = Some(left);
        }
        _ => {}
    }
    if object.settled && left.is_some_and(|left| left < 0) {
        says.push("settled, but more references were found than refcnt has".into());
        object.settled = false;
    }
    says
}
