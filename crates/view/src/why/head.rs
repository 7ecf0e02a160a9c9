//! The headline: what the object is, its count, its state.

use crate::list::state_paint;
use crate::screen::{Paint, Screen, Span, plain, safe};
use crate::text::{cut_end, cut_middle, width};
use crate::words::has_account;
use crate::{units, words};
use model::{Detail, Kind, MemorySource, Object, WhyReport};
use std::io::{self, Write};

/// Maps of a program that are named before the rest is only counted.
const MAPS: usize = 12;

pub(super) fn write<W: Write>(screen: &mut Screen<'_, W>, report: &WhyReport) -> io::Result<()> {
    let object = &report.object;
    screen.phrases(&[], "  ", "   ", &title(object, screen.width()))?;
    let mut count: Vec<Span> = refcnt(object)
        .into_iter()
        .map(|text| (text, Paint::Bold))
        .collect();
    if has_account(object) {
        let state = match words::state_meaning(object.state) {
            Some(meaning) => format!("  {}: {meaning}", object.state),
            None => format!("  {}", object.state),
        };
        count.push((state, state_paint(object.state)));
    }
    screen.phrases(&[], "  ", " ", &count)?;
    let details = details(object);
    if !details.is_empty() {
        screen.phrases(&[], "  ", "   ", &details)?;
    }
    Ok(())
}

/// `map 17 conn_events (hash, 8.0 MiB)`: a long name is cut, never what follows it.
fn title(object: &Object, room: usize) -> Vec<Span> {
    let facts = &object.facts;
    let mut name = match facts.id {
        Some(id) => format!("{} {id}", facts.kind),
        None => format!("{} without an id", facts.kind),
    };
    if !facts.name.is_empty() {
        name.push(' ');
        name.push_str(&safe(&facts.name));
    }
    let memory = match (facts.memory_bytes, facts.kind) {
        (Some(bytes), _) => format!(", {}", units::bytes(bytes)),
        (None, Kind::Link) => String::new(),
        (None, _) => ", ? B".into(),
    };
    let what = format!(" ({}{memory})", cut_end(&safe(&facts.type_name), 24));
    let name = cut_middle(&name, room.saturating_sub(width(&what)).max(12)).into_owned();
    let mut phrases = vec![(name + &what, Paint::Bold)];
    if let Some(path) = &facts.charged_to {
        phrases.push(plain(format!("charged to {}", safe(path))));
    }
    phrases
}

/// `refcnt 7`, `= 7 explained`, `+ 0 unexplained`: no part of it is ever cut.
fn refcnt(object: &Object) -> Vec<String> {
    if !has_account(object) {
        return vec!["the kernel's own BTF: listed, not accounted for".into()];
    }
    let explained = format!("{} explained", units::count(object.explained));
    let Some(count) = object.facts.refcnt.map(units::count) else {
        return vec!["refcnt ?,".into(), explained];
    };
    if !object.settled {
        return vec![
            format!("refcnt ~{count},"),
            format!("{explained},"),
            "not settled".into(),
        ];
    }
    let unexplained = match object.unexplained {
        Some(rest) => format!("+ {} unexplained", units::signed(rest)),
        None => "+ ?".into(),
    };
    vec![
        format!("refcnt {count}"),
        format!("= {explained}"),
        unexplained,
    ]
}

fn details(object: &Object) -> Vec<Span> {
    let facts = &object.facts;
    let mut phrases = vec![];
    match (facts.entries, facts.max_entries) {
        (Some(n), Some(max)) => phrases.push(plain(format!(
            "{} of {} entries",
            units::count(n),
            units::count(u64::from(max))
        ))),
        (None, Some(max)) => phrases.push(plain(format!(
            "room for {}",
            units::counted(u64::from(max), "entry", "entries")
        ))),
        (Some(n), None) => phrases.push(plain(units::counted(n, "entry", "entries"))),
        (None, None) => {}
    }
    if let Some(n) = facts.usercnt {
        phrases.push(plain(format!("usercnt {}", units::count(n))));
    }
    match &facts.detail {
        Detail::Prog(prog) => {
            let attached = if prog.attached {
                "attached"
            } else {
                "not attached"
            };
            phrases.push(plain(attached));
            if !prog.maps.is_empty() {
                phrases.push(plain(format!("uses {}", maps(&prog.maps))));
            }
            phrases.push((format!("tag {}", safe(&prog.tag)), Paint::Dim));
        }
        Detail::Link(link) => {
            if link.detached {
                phrases.push(("detached: it does nothing any more".into(), Paint::Yellow));
            }
            if let Some(target) = &link.target {
                phrases.push(plain(format!("attached to {}", safe(target))));
            }
            if let Some(attach_type) = &link.attach_type {
                phrases.push(plain(format!("as {}", safe(attach_type))));
            }
            if let Some(id) = link.prog_id {
                phrases.push(plain(format!("runs prog:{id}")));
            }
        }
        Detail::Btf(_) | Detail::Map(_) => {}
    }
    if facts.memory_source == Some(MemorySource::Computed) {
        phrases.push(("size computed from its attributes".into(), Paint::Dim));
    }
    if facts.own {
        phrases.push(("made by this lastref in order to look".into(), Paint::Dim));
    }
    phrases
}

fn maps(ids: &[u32]) -> String {
    let shown: Vec<String> = ids
        .iter()
        .take(MAPS)
        .map(|id| format!("map:{id}"))
        .collect();
    let more = match ids.len().saturating_sub(MAPS) {
        0 => String::new(),
        n => format!(", … {} more", units::count(n as u64)),
    };
    shown.join(", ") + &more
}
