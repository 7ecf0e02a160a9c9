//! `lastref ls --json` against the truth of a scenario.

use super::{Judgement, Verdict};
use crate::books::Said;
use crate::manifest::{Group, Manifest, ObjectTruth};
use crate::own::objects_of;
use model::Kind;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// What all groups together say of one object.
struct Truth<'a> {
    group: &'a Group,
    held_by: BTreeSet<&'a str>,
    /// Handles of the program's own: at least, and at most.
    handles: [u64; 2],
}

/// Judges a report that was made while the program stood still after it had said this. `ours`
/// tells the processes of the scenario.
pub fn judge(
    manifest: &Manifest,
    said: &Said,
    report: &Value,
    ours: &dyn Fn(u64) -> bool,
) -> Judgement {
    let objects = objects_of(report);
    let mut unknown = Vec::new();
    let mut wrong = Vec::new();
    let truths = truths(manifest, said);
    for (&(kind, id), truth) in &truths {
        let name = format!("{}:{id}", kind.as_str());
        let Some(object) = objects.get(&(kind, id)) else {
            wrong.push(format!("{name} ({}) is not listed", truth.group.name));
            continue;
        };
        let says = against(truth, object, ours);
        wrong.extend(says.wrong.into_iter().map(|what| format!("{name}: {what}")));
        unknown.extend(
            says.unknown
                .into_iter()
                .map(|what| format!("{name}: {what}")),
        );
    }
    let expected = format!(
        "{} accounts that close, holders and states as built",
        truths.len()
    );
    let (result, why) = match (wrong.is_empty(), unknown.is_empty()) {
        (true, true) => (Verdict::Right, String::new()),
        (false, _) => (Verdict::Wrong, first(&wrong)),
        (true, false) => (Verdict::Unknown, first(&unknown)),
    };
    let got = match result {
        Verdict::Right => "the same".into(),
        _ => format!("{} wrong, {} not known", wrong.len(), unknown.len()),
    };
    Judgement {
        result,
        expected,
        got,
        why,
    }
}

fn first(all: &[String]) -> String {
    const SHOWN: usize = 3;
    let more = all.len().saturating_sub(SHOWN);
    let mut text = all[..all.len() - more].join("; ");
    if more > 0 {
        let _ = write!(text, "; and {more} more");
    }
    text
}

fn truths<'a>(manifest: &'a Manifest, said: &Said) -> BTreeMap<(Kind, u32), Truth<'a>> {
    let mut truths = BTreeMap::new();
    for group in &manifest.groups {
        let book = said.book(&group.name);
        let by_fd = group.held_by.iter().any(|by| by == "fd");
        for id in book.held {
            let truth = truths.entry((group.object.kind, id)).or_insert(Truth {
                group,
                held_by: BTreeSet::new(),
                handles: [0, 0],
            });
            truth
                .held_by
                .extend(group.held_by.iter().map(String::as_str));
            if by_fd {
                truth.handles = truth.handles.map(|n| n + 1);
            }
        }
    }
    // What is dropped may be closed already: it is nothing that must be there.
    for group in &manifest.groups {
        for id in said.book(&group.name).dropped {
            if let Some(truth) = truths.get_mut(&(group.object.kind, id)) {
                truth.handles[1] += 1;
            }
        }
    }
    truths
}

#[derive(Default)]
struct Says {
    wrong: Vec<String>,
    unknown: Vec<String>,
}

fn against(truth: &Truth, object: &Value, ours: &dyn Fn(u64) -> bool) -> Says {
    let mut says = Says::default();
    let ObjectTruth {
        name, type_name, ..
    } = &truth.group.object;
    let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
    let fits = glob::Pattern::new(name).is_ok_and(|glob| glob.matches(&text("name")));
    if !fits {
        says.wrong
            .push(format!("it is called {:?}, not {name:?}", text("name")));
    }
    if text("type") != *type_name {
        says.wrong
            .push(format!("type {}, not {type_name}", text("type")));
    }
    match (object["settled"].as_bool(), object["unexplained"].as_i64()) {
        (Some(true), Some(0)) => {}
        (Some(true), Some(left)) => says.wrong.push(format!("{left} references unexplained")),
        (Some(true), None) => says
            .unknown
            .push("what is left of the account is out of sight".into()),
        _ => says.unknown.push("its account did not settle".into()),
    }
    if object["refcnt"] != object["explained"] && says.unknown.is_empty() && says.wrong.is_empty() {
        says.wrong.push(format!(
            "refcnt {}, explained {}",
            object["refcnt"], object["explained"]
        ));
    }
    let references: Vec<&Value> = object["references"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    let by: BTreeSet<&str> = references.iter().filter_map(|r| r["by"].as_str()).collect();
    if by != truth.held_by {
        says.wrong
            .push(format!("held by {by:?}, not {:?}", truth.held_by));
    }
    let of_ours = |reference: &&&Value| {
        reference["by"] == "fd"
            && reference["holders"].as_array().is_some_and(|holders| {
                holders
                    .iter()
                    .any(|h| h["type"] == "process" && h["pid"].as_u64().is_some_and(ours))
            })
    };
    let handles: u64 = references
        .iter()
        .filter(of_ours)
        .filter_map(|r| r["count"].as_u64())
        .sum();
    let [least, most] = truth.handles;
    if !(least..=most).contains(&handles) {
        says.wrong
            .push(format!("{handles} handles of the program, not {least}"));
    }
    match text("state") {
        state if state == truth.group.state => {}
        state if state == "unknown" => says.unknown.push("its state".into()),
        state => says
            .wrong
            .push(format!("state {state}, not {}", truth.group.state)),
    }
    says
}
