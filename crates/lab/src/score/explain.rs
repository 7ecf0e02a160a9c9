//! `lastref explain --json` against the truth of a scenario.

use super::fates::{self, Called};
use super::truth::{Against, Class, Leak, classes};
use super::{Judgement, Says};
use crate::books::Said;
use crate::manifest::Manifest;
use serde_json::Value;

/// Judges what was said of all processes of a program: `books` are the program's own, from before
/// the look to after it.
pub fn judge(manifest: &Manifest, books: &[Said], reports: &[Value]) -> Judgement {
    let classes = classes(manifest);
    let groups = reports
        .iter()
        .filter_map(|report| report["groups"].as_array())
        .flatten();
    let mut against = Against::default();
    let mut of_class: Vec<Vec<&Value>> = vec![Vec::new(); classes.len()];
    let mut says = Leak::No;
    for group in groups {
        says = says.max(leak(group));
        match classes.iter().position(|c| c.is_of(&group["objects"])) {
            Some(at) => of_class[at].push(group),
            None if leak(group) == Leak::Yes => {
                let objects = &group["objects"];
                let what = format!("{} {}", objects["kind"], objects["name"]);
                against.wrong.push(format!(
                    "{what} is said to leak, and is none of its objects"
                ));
            }
            None => {}
        }
    }
    for (class, said) in classes.iter().zip(&of_class) {
        verdicts(class, said, books, &mut against);
        leaks(class, said, &mut against);
    }
    let explained = classes.iter().filter(|class| is_explained(class)).count();
    let expected = format!("{explained} groups with their verdicts and counts");
    Judgement::against(against, expected, Says::from(says))
}

/// Of the process, or of all processes of its program together.
fn leak(group: &Value) -> Leak {
    let own = Leak::of(group);
    match group.get("program") {
        Some(program) if program.is_object() => own.max(Leak::of(program)),
        _ => own,
    }
}

/// Something of it is held by descriptors or mappings: that is what there are verdicts for.
fn is_explained(class: &Class<'_>) -> bool {
    class.groups.iter().any(|group| !group.verdicts.is_empty())
}

fn verdicts(class: &Class<'_>, said: &[&Value], books: &[Said], against: &mut Against) {
    if !is_explained(class) {
        return;
    }
    let name = class.name();
    let ids = class.ids(books);
    let acceptable: Vec<&str> = class
        .groups
        .iter()
        .flat_map(|group| group.verdicts.iter().map(String::as_str))
        .collect();
    let [least, most] = handles(class, books);
    let begin = class.ids(books.get(..1).unwrap_or_default());
    let is_new = |group: &Value| {
        let ids = group["objects"]["ids"].as_array();
        let mut ids = ids
            .into_iter()
            .flatten()
            .filter_map(Value::as_u64)
            .peekable();
        ids.peek().is_some() && ids.all(|id| !begin.contains(&id))
    };
    let mut called = Vec::new();
    for group in said {
        let listed = group["objects"]["ids"].as_array().into_iter().flatten();
        let strange = listed
            .filter_map(Value::as_u64)
            .find(|id| !ids.contains(id));
        if let Some(id) = strange {
            against.wrong.push(format!("{name}: {id} is none of them"));
        }
        let origin = group["origin"].as_str().unwrap_or("unknown");
        let origins: Vec<&String> = class.groups.iter().flat_map(|g| &g.origin).collect();
        if origin != "unknown" && !origins.is_empty() && !origins.iter().any(|o| *o == origin) {
            against.wrong.push(format!("{name}: origin {origin}"));
        }
        let verdict = group["verdict"].as_str().unwrap_or("unknown");
        // Before the look a collection was forced: what was made since then it has not seen.
        let since = group["count"].as_u64() <= Some(most - least) || is_new(group);
        let any = verdict == "unknown" || (verdict == "not-judged" && since);
        // A handle that an ancestor shares is counted there.
        if group["origin"] != "inherited" {
            let ids = group["objects"]["ids"].as_array().into_iter().flatten();
            called.push(Called {
                verdict,
                count: group["count"].as_u64().unwrap_or_default(),
                ids: ids.filter_map(Value::as_u64).collect(),
                any,
            });
        }
        match verdict {
            "unknown" => against.unknown.push(format!("{name}: verdict unknown")),
            _ if any => {}
            verdict if acceptable.contains(&verdict) => {}
            verdict => against.wrong.push(format!(
                "{name}: {verdict}, not {}",
                acceptable.join(" or ")
            )),
        }
    }
    fates::check(class, &called, books, against);
    let count: u64 = called.iter().map(|one| one.count).sum();
    if !(least..=most).contains(&count) {
        against
            .unknown
            .push(format!("{name}: {count} handles, not {least} to {most}"));
    }
}

/// Handles that there were: at least and at most, at any time in these books.
fn handles(class: &Class<'_>, books: &[Said]) -> [u64; 2] {
    let explained = (0..class.groups.len()).filter(|&at| !class.groups[at].verdicts.is_empty());
    fates::sizes(class, &explained.collect::<Vec<_>>(), books)
}

fn leaks(class: &Class<'_>, said: &[&Value], against: &mut Against) {
    let name = class.name();
    let most = said.iter().map(|group| leak(group)).max();
    match (class.leaks() && is_explained(class), most) {
        (true, Some(Leak::Yes | Leak::Suspected)) => {}
        (true, Some(Leak::No)) => against
            .wrong
            .push(format!("{name}: leaks, and is said not to")),
        (true, _) => against
            .unknown
            .push(format!("{name}: not known whether it leaks")),
        (false, Some(Leak::Yes)) if !class.leaks() => against
            .wrong
            .push(format!("{name}: is said to leak, and does not")),
        (false, Some(Leak::Suspected)) if !class.leaks() => against
            .unknown
            .push(format!("{name}: is suspected, and does not leak")),
        (false, _) => {}
    }
}
