//! What there is more of, as a table: `12  1,212  hash map conn_events  agent[4242]`.

use super::LINES;
use crate::held_by::cut_item;
use crate::screen::{Paint, Screen, plain, safe};
use crate::text::{cut_middle, width};
use crate::{units, words};
use model::{Growth, GrowthOf, Holder};
use std::io::{self, Write};

const GAP: &str = "  ";

/// One line each.
struct Row {
    before: String,
    after: String,
    what: String,
    held_by: String,
}

pub(super) fn write<W: Write>(screen: &mut Screen<'_, W>, growth: &[Growth]) -> io::Result<()> {
    let title = Row {
        before: "BEFORE".into(),
        after: "AFTER".into(),
        what: "WHAT".into(),
        held_by: "HELD BY".into(),
    };
    let mut rows = vec![title];
    rows.extend(growth.iter().take(LINES).map(row));
    let widest = |cell: fn(&Row) -> &str| rows.iter().map(|row| width(cell(row))).max();
    let before = widest(|row| &row.before).unwrap_or(0);
    let after = widest(|row| &row.after).unwrap_or(0);
    let whats = widest(|row| &row.what).unwrap_or(0);
    let holders = widest(|row| &row.held_by).unwrap_or(0);
    // What is left goes to both; the holder has its path's end, which says most.
    let room = screen
        .width()
        .saturating_sub(before + after + 3 * GAP.len());
    let what = whats.min((room / 2).max(room.saturating_sub(holders)));
    let holder = room.saturating_sub(what);
    for (at, row) in rows.iter().enumerate() {
        let paint = |usual| if at == 0 { Paint::Dim } else { usual };
        let held_by = if width(&row.held_by) <= holder {
            row.held_by.clone()
        } else {
            cut_item(&row.held_by, holder)
        };
        let text = cut_middle(&row.what, what);
        let pad = " ".repeat(what.saturating_sub(width(&text)));
        screen.line(&[
            (format!("{:>before$}{GAP}", row.before), paint(Paint::Plain)),
            (format!("{:>after$}{GAP}", row.after), paint(Paint::Bold)),
            (format!("{text}{pad}{GAP}"), paint(Paint::Plain)),
            (held_by, paint(Paint::Plain)),
        ])?;
    }
    let more = growth.len().saturating_sub(LINES) as u64;
    if more > 0 {
        screen.line(&[plain(format!("… and {} more (--json)", units::count(more)))])?;
    }
    Ok(())
}

fn row(growth: &Growth) -> Row {
    Row {
        before: units::count(growth.before),
        after: units::count(growth.after),
        what: what(growth),
        held_by: held_by(growth),
    }
}

/// `hash map conn_events`, `fd references to map:17 conn_events`.
fn what(growth: &Growth) -> String {
    let name = safe(&growth.name);
    let mut text = match growth.of {
        GrowthOf::Objects => {
            // `hash map`, but not `array_of_maps map`, nor `user btf`.
            let kind = match growth.kind {
                model::Kind::Btf => "BTF",
                kind => kind.as_str(),
            };
            format!("{} {kind}", safe(&growth.type_name))
        }
        GrowthOf::References => {
            let by = growth.by.map_or("", words::by);
            let object = match growth.object {
                Some(id) => id.to_string(),
                None => growth.kind.to_string(),
            };
            format!("{by} references to {object}")
        }
    };
    if !name.is_empty() {
        text.push(' ');
        text.push_str(&name);
    }
    text
}

fn held_by(growth: &Growth) -> String {
    let many = growth.holders > 1;
    let number = units::count(growth.holders);
    match (&growth.holder, &growth.pattern) {
        (None, _) => "nobody known".into(),
        (Some(Holder::Process(p)), _) if many => format!("{number} × {}", words::comm(&p.comm)),
        (Some(Holder::Process(p)), _) => words::process_short(p),
        (Some(Holder::Pin(_)), Some(pattern)) if many => {
            format!("{number} pins {}", safe(pattern))
        }
        (Some(Holder::Pin(pin)), _) => words::pin_short(pin),
        (Some(holder), _) => match holder.object() {
            Some((kind, object)) => words::object(kind, object),
            None => words::kernel_holder(holder),
        },
    }
}
