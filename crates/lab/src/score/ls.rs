//! `lastref ls --json` against the truth of a scenario.

use super::Judgement;
use super::truth::{Against, classes};
use crate::books::Said;
use crate::manifest::{Group, Manifest, ObjectTruth};
use crate::own::objects_of;
use model::Kind;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What all groups together say of one object.
struct Truth<'a> {
    group: &'a Group,
    held_by: BTreeSet<&'a str>,
    /// Handles of the program's own: at least, and at most.
    handles: [u64; 2],
    /// Nobody can reach it any more: it may be gone.
    dropped: bool,
}

/// Judges a report that was made while the program stood still after it had said this. `ours`
/// tells the processes of the scenario. `None` if there was nothing to be right about.
pub fn judge(
    manifest: &Manifest,
    said: &Said,
    report: &Value,
    ours: &dyn Fn(u64) -> bool,
) -> Option<Judgement> {
    let objects = objects_of(report);
    let mut against = Against::default();
    let truths = truths(manifest, said);
    // What is dropped and not closed yet may hold what the books say is held by others only.
    let dropping = said.groups.values().any(|book| !book.dropped.is_empty());
    let mut judged = 0;
    for (&(kind, id), truth) in &truths {
        let name = format!("{}:{id}", kind.as_str());
        let Some(object) = objects.get(&(kind, id)) else {
            if !truth.dropped {
                judged += 1;
                let group = &truth.group.name;
                against
                    .wrong
                    .push(format!("{name} ({group}) is not listed"));
            }
            continue;
        };
        judged += 1;
        let says = self::against(truth, object, dropping, ours);
        let named = |what: String| format!("{name}: {what}");
        against.wrong.extend(says.wrong.into_iter().map(named));
        against.unknown.extend(says.unknown.into_iter().map(named));
    }
    against
        .wrong
        .extend(invented(manifest, &truths, report, ours));
    let expected = format!("{judged} accounts that close, holders and states as built");
    (judged > 0 || !against.wrong.is_empty()).then(|| Judgement::against(against, expected, None))
}

fn truths<'a>(manifest: &'a Manifest, said: &Said) -> BTreeMap<(Kind, u32), Truth<'a>> {
    let mut truths = BTreeMap::new();
    // What is held comes first: it says more of an object than that it was dropped too.
    for dropped in [false, true] {
        for group in &manifest.groups {
            let book = said.book(&group.name);
            let by_fd = group.held_by.iter().any(|by| by == "fd");
            for id in if dropped { book.dropped } else { book.held } {
                let truth = truths.entry((group.object.kind, id)).or_insert(Truth {
                    group,
                    held_by: BTreeSet::new(),
                    handles: [0, 0],
                    dropped,
                });
                if truth.dropped || !dropped {
                    truth
                        .held_by
                        .extend(group.held_by.iter().map(String::as_str));
                }
                if by_fd {
                    truth.handles[0] += u64::from(!dropped);
                    truth.handles[1] += 1;
                }
            }
        }
    }
    truths
}

/// Objects as the program has them, held by the program, and yet not in its books.
fn invented(
    manifest: &Manifest,
    truths: &BTreeMap<(Kind, u32), Truth<'_>>,
    report: &Value,
    ours: &dyn Fn(u64) -> bool,
) -> Vec<String> {
    let classes = classes(manifest);
    let objects = objects_of(report).into_iter();
    let strange = objects.filter(|(id, object)| {
        let held = || {
            let references = object["references"].as_array().into_iter().flatten();
            references.flat_map(processes).any(ours)
        };
        !truths.contains_key(id) && classes.iter().any(|class| class.is_of(object)) && held()
    });
    strange
        .map(|((kind, id), _)| format!("{kind}:{id}: is in no book of the program"))
        .collect()
}

/// Pids of the processes that hold a reference.
fn processes(reference: &Value) -> impl Iterator<Item = u64> {
    let holders = reference["holders"].as_array().into_iter().flatten();
    let processes = holders.filter(|holder| holder["type"] == "process");
    processes.filter_map(|holder| holder["pid"].as_u64())
}

/// What besides the program's own books may hold what it holds, as long as something dropped is
/// not closed.
const OF_DROPPED: [&str; 5] = ["fd", "link", "prog", "driver", "attachment"];

fn against(truth: &Truth, object: &Value, dropping: bool, ours: &dyn Fn(u64) -> bool) -> Against {
    let mut says = Against::default();
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
    let references: Vec<&Value> = object["references"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    let whole = account(object, &references, &mut says);
    // Who is out of sight is no lie.
    let missing = |says: &mut Against, what: String| {
        if whole {
            says.wrong.push(what);
        } else {
            says.unknown.push(what);
        }
    };
    let by: BTreeSet<&str> = references.iter().filter_map(|r| r["by"].as_str()).collect();
    let mut more = by.difference(&truth.held_by);
    if more.any(|by| !dropping || !OF_DROPPED.contains(by)) {
        says.wrong
            .push(format!("held by {by:?}, not {:?}", truth.held_by));
    } else if !truth.held_by.is_subset(&by) {
        let what = format!("held by {by:?}, not {:?}", truth.held_by);
        missing(&mut says, what);
    }
    let mut handles = 0;
    for reference in references.iter().filter(|r| r["by"] == "fd") {
        if processes(reference).any(ours) {
            handles += reference["count"].as_u64().unwrap_or_default();
        } else {
            says.wrong
                .push("a descriptor of a process that never had one".into());
        }
    }
    let [least, most] = truth.handles;
    if handles > most {
        says.wrong
            .push(format!("{handles} handles of the program, not {most}"));
    } else if handles < least {
        let what = format!("{handles} handles of the program, not {least}");
        missing(&mut says, what);
    }
    match text("state") {
        state if state == truth.group.state => {}
        state if state == "unknown" => says.unknown.push("its state".into()),
        _ if dropping && truth.dropped => {}
        state => says
            .wrong
            .push(format!("state {state}, not {}", truth.group.state)),
    }
    says
}

/// Whether the account closes, and all of it is in sight.
fn account(object: &Value, references: &[&Value], says: &mut Against) -> bool {
    let explained = object["explained"].as_u64();
    let counts = references.iter().filter_map(|r| r["count"].as_u64());
    let sum: u64 = counts.sum();
    if explained != Some(sum) {
        says.wrong.push(format!(
            "explained {}, and its references are {sum}",
            object["explained"]
        ));
    }
    match (object["settled"].as_bool(), object["unexplained"].as_i64()) {
        (Some(true), Some(0)) if object["refcnt"].as_u64() == explained => true,
        (Some(true), Some(0)) => {
            says.wrong.push(format!(
                "refcnt {}, explained {}, and nothing unexplained",
                object["refcnt"], object["explained"]
            ));
            true
        }
        (Some(true), Some(left)) => {
            says.wrong.push(format!("{left} references unexplained"));
            true
        }
        (Some(true), None) => {
            says.unknown
                .push("what is left of the account is out of sight".into());
            false
        }
        _ => {
            says.unknown.push("its account did not settle".into());
            false
        }
    }
}
