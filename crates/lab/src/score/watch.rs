//! `lastref watch --json` against the truth of a scenario.

use super::truth::{Against, Leak, classes};
use super::{Judgement, Says};
use crate::books::{Occasion, Said};
use crate::manifest::Manifest;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// One series, as its events tell.
struct Series<'a> {
    most: Leak,
    last: &'a Value,
}

/// Judges the events of a watch that saw the program grow, and that ended while it lived. `books`
/// are the program's own of that time: other programs may have objects of the same name.
pub fn judge(manifest: &Manifest, books: &[Said], events: &[Value]) -> Judgement {
    let mut series: BTreeMap<&str, Series<'_>> = BTreeMap::new();
    for event in events.iter().filter(|event| event["event"] == "leak") {
        let id = event["id"].as_str().unwrap_or_default();
        let series = series.entry(id).or_insert(Series {
            most: Leak::No,
            last: event,
        });
        series.most = series.most.max(Leak::of(event));
        series.last = event;
    }
    let mut against = Against::default();
    if !events.iter().any(|event| event["event"] == "summary") {
        against.unknown.push("it did not come to its end".into());
    }
    let stuck = books
        .last()
        .is_some_and(|said| said.said == Occasion::Stuck);
    let mut says = Leak::No;
    for class in classes(manifest) {
        let name = class.name();
        let ids = class.ids(books);
        let of_class = series.values().filter(|series| {
            let objects = &series.last["objects"];
            class.is_of(objects) && any_of(objects, &ids)
        });
        let (mut most, mut last) = (Leak::No, None);
        for series in of_class {
            most = most.max(series.most);
            last = last.max(Some(Leak::of(series.last)));
        }
        says = says.max(last.unwrap_or(Leak::No));
        match (class.leaks(), last) {
            (true, Some(Leak::Yes | Leak::Suspected)) => {}
            // It can grow no more, and stands still.
            (true, _) if stuck && most >= Leak::Suspected => {}
            (true, _) if class.follows(manifest) => {}
            (true, Some(Leak::No)) => against
                .wrong
                .push(format!("{name}: leaks, and is said not to")),
            (true, _) => against.unknown.push(format!("{name}: leak not found")),
            (false, _) if most == Leak::Yes => against
                .wrong
                .push(format!("{name}: was said to leak, and does not")),
            (false, Some(Leak::Suspected)) => against
                .unknown
                .push(format!("{name}: suspected to the end, and does not leak")),
            (false, _) => {}
        }
    }
    let leaks = classes(manifest).iter().filter(|c| c.leaks()).count();
    let expected = match leaks {
        0 => "no leak".to_owned(),
        1 => "one leak".to_owned(),
        n => format!("{n} leaks, or what they follow from"),
    };
    Judgement::against(against, expected, Says::from(says))
}

/// Some of the listed ids are among these.
fn any_of(objects: &Value, ids: &BTreeSet<u64>) -> bool {
    let listed = objects["ids"].as_array().into_iter().flatten();
    listed.filter_map(Value::as_u64).any(|id| ids.contains(&id))
}
