//! What stands under the list: how much there is, and how much of it adds up.

use crate::screen::{Paint, Screen, safe};
use crate::words::has_account;
use crate::{units, words};
use model::{Detail, Kind, Object, State};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Write};

/// Objects that are named where only a few have it.
const NAMED: usize = 4;
/// Reasons that are told before the rest is only counted.
const REASONS: usize = 4;

pub(super) fn write<W: Write>(
    screen: &mut Screen<'_, W>,
    objects: &[&Object],
    passes: u32,
) -> io::Result<()> {
    screen.labelled("objects", Paint::Dim, &kinds(objects))?;
    screen.labelled("memory", Paint::Dim, &memory(objects))?;
    screen.labelled("state", Paint::Dim, &states(objects))?;
    screen.labelled("references", Paint::Dim, &references(objects))?;
    let moving: Vec<&Object> = objects.iter().copied().filter(|o| moves(o)).collect();
    if !moving.is_empty() {
        let text = format!(
            "~ {} still moved after {} and {} not in this sum{}",
            units::counted(moving.len() as u64, "account", "accounts"),
            units::counted(u64::from(passes), "pass", "passes"),
            if moving.len() == 1 { "is" } else { "are" },
            named(&moving),
        );
        screen.labelled("not settled", Paint::Yellow, &text)?;
    }
    let open: Vec<&Object> = objects.iter().copied().filter(|o| is_open(o)).collect();
    if !open.is_empty() {
        let text = format!(
            "? {}: count not read, or holders out of sight; not in this sum{}",
            units::counted(open.len() as u64, "account", "accounts"),
            named(&open),
        );
        screen.labelled("not closed", Paint::Yellow, &text)?;
    }
    not_read(screen, objects)
}

fn moves(object: &Object) -> bool {
    has_account(object) && !object.settled
}

fn is_open(object: &Object) -> bool {
    has_account(object)
        && object.settled
        && (object.facts.refcnt.is_none() || object.unexplained.is_none())
}

fn kinds(objects: &[&Object]) -> String {
    let mut text = String::new();
    for kind in Kind::ALL {
        let number = objects.iter().filter(|o| o.facts.kind == kind).count();
        if number > 0 {
            let (one, many) = words::nouns(kind);
            let gap = if text.is_empty() { "" } else { ", " };
            let _ = write!(text, "{gap}{}", units::counted(number as u64, one, many));
        }
    }
    text
}

/// Sum of what is known.
fn sum<'a>(objects: impl Iterator<Item = &'a Object>) -> u64 {
    objects
        .filter_map(|o| o.facts.memory_bytes)
        .fold(0, u64::saturating_add)
}

fn memory(objects: &[&Object]) -> String {
    if objects.iter().all(|o| o.facts.memory_bytes.is_none()) {
        return "not known".into();
    }
    let mut text = units::bytes(sum(objects.iter().copied()));
    let parts: Vec<String> = Kind::ALL
        .into_iter()
        .map(|kind| {
            let bytes = sum(objects.iter().copied().filter(|o| o.facts.kind == kind));
            (kind, bytes)
        })
        .filter(|(_, bytes)| *bytes > 0)
        .map(|(kind, bytes)| format!("{} {}", words::nouns(kind).1, units::bytes(bytes)))
        .collect();
    if parts.len() > 1 {
        let _ = write!(text, ": {}", parts.join(", "));
    }
    let missing = objects
        .iter()
        .filter(|o| o.facts.memory_bytes.is_none() && o.facts.kind != Kind::Link)
        .count();
    if missing > 0 {
        let _ = write!(
            text,
            "; and {} of unknown size",
            units::counted(missing as u64, "object", "objects")
        );
    }
    text
}

fn states(objects: &[&Object]) -> String {
    let mut text = String::new();
    for state in State::ALL {
        let these = || objects.iter().copied().filter(|o| o.state == state);
        let number = these().count();
        if number == 0 {
            continue;
        }
        let gap = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{gap}{} {state}", units::count(number as u64));
        if state == State::OrphanPin {
            let _ = write!(text, " ({})", units::bytes(sum(these())));
        }
    }
    text
}

/// Over the accounts that can be added up: settled, and with a known remainder.
fn references(objects: &[&Object]) -> String {
    let (mut refs, mut explained, mut unexplained) = (0_u64, 0_u64, 0_i64);
    let mut odd = vec![];
    for object in objects.iter().filter(|o| o.settled && has_account(o)) {
        let (Some(count), Some(rest)) = (object.facts.refcnt, object.unexplained) else {
            continue;
        };
        refs = refs.saturating_add(count);
        explained = explained.saturating_add(object.explained);
        unexplained = unexplained.saturating_add(rest);
        if rest != 0 {
            odd.push(*object);
        }
    }
    format!(
        "{} = {} explained + {} unexplained{}",
        units::count(refs),
        units::count(explained),
        units::signed(unexplained),
        named(&odd),
    )
}

/// ` (map:17, prog:5)` for a few.
fn named(objects: &[&Object]) -> String {
    if objects.is_empty() || objects.len() > NAMED {
        return if objects.is_empty() {
            String::new()
        } else {
            format!(" (in {} objects)", units::count(objects.len() as u64))
        };
    }
    let names: Vec<String> = objects
        .iter()
        .map(|o| words::id(o.facts.kind, o.facts.id))
        .collect();
    format!(" ({})", names.join(", "))
}

/// What no kernel tells of any object of this sort. `why` says it; in a list it
/// would stand on every host.
fn is_usual(object: &Object, reason: &str) -> bool {
    match &object.facts.detail {
        Detail::Link(_) => reason.starts_with("memory_bytes"),
        Detail::Btf(btf) => btf.kernel_btf,
        _ => false,
    }
}

fn not_read<W: Write>(screen: &mut Screen<'_, W>, objects: &[&Object]) -> io::Result<()> {
    let mut reasons: HashMap<&str, Vec<&Object>> = HashMap::new();
    for object in objects {
        let unusual = |reason: &&String| !is_usual(object, reason);
        for reason in object.facts.unreadable.iter().filter(unusual) {
            reasons.entry(reason).or_default().push(object);
        }
    }
    let mut reasons: Vec<(&str, Vec<&Object>)> = reasons.into_iter().collect();
    reasons.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then_with(|| a.0.cmp(b.0)));
    let mut label = "not read";
    for (reason, objects) in reasons.iter().take(REASONS) {
        let whose = match named(objects) {
            short if objects.len() <= NAMED => short.trim_matches([' ', '(', ')']).to_owned(),
            _ => units::counted(objects.len() as u64, "object", "objects"),
        };
        let text = format!("{whose}: {}", safe(reason));
        screen.labelled(label, Paint::Yellow, &text)?;
        label = "";
    }
    if reasons.len() > REASONS {
        let more = (reasons.len() - REASONS) as u64;
        let text = format!(
            "and {}",
            units::counted(more, "more reason", "more reasons")
        );
        screen.labelled(label, Paint::Yellow, &text)?;
    }
    Ok(())
}
