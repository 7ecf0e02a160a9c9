//! `lastref ls --diff BEFORE AFTER`.

mod changed;
mod growth;

use crate::list::table;
use crate::screen::{Paint, Screen, plain};
use crate::{Grouping, ListOptions, Style, footer, units};
use model::{CannotSee, DiffReport, Object, ObjectId, Snapshot};
use std::io::{self, Write};

/// Lines of what grew or changed that are shown before the rest is only counted.
const LINES: usize = 40;
/// Objects that are named where there may be more.
const NAMED: usize = 4;

/// Writes what grew, appeared, vanished and changed, and both reports in a line each.
/// Alike objects share a line unless the user wants each.
pub fn diff(
    report: &DiffReport,
    options: &ListOptions,
    style: &Style,
    out: &mut impl Write,
) -> io::Result<()> {
    let screen = &mut Screen::new(style, out);
    let (before, after) = (&report.before, &report.after);
    if !report.same_boot {
        let boots = if before.boot_id.is_some() && after.boot_id.is_some() {
            "The reports are of different boots"
        } else {
            "Whether the reports are of one boot is not known"
        };
        let text = format!("{boots}: ids mean nothing across them, so only groups are compared.");
        screen.paragraph("", "", &text)?;
    }
    if report.appeared.is_empty()
        && report.vanished.is_empty()
        && report.changed.is_empty()
        && report.growth.is_empty()
    {
        let text = match (report.same_boot, options.filtered) {
            (false, _) => "no group grew",
            (true, false) => "nothing changed",
            (true, true) => "nothing changed in what was asked for",
        };
        screen.line(&[plain(text)])?;
        screen.blank()?;
        return foot(screen, report);
    }
    let mut first = report.same_boot;
    if !report.growth.is_empty() {
        section(screen, "grew", &mut first)?;
        growth::write(screen, &report.growth)?;
    }
    let options = ListOptions {
        grouped: match options.grouped {
            Grouping::Never => Grouping::Never,
            Grouping::Auto | Grouping::Always => Grouping::Always,
        },
        ..*options
    };
    for (title, objects) in [
        ("appeared", &report.appeared),
        ("vanished", &report.vanished),
    ] {
        if !objects.is_empty() {
            section(screen, title, &mut first)?;
            let objects: Vec<&Object> = objects.iter().collect();
            table(screen, &objects, options)?;
        }
    }
    if !report.changed.is_empty() {
        section(screen, "changed", &mut first)?;
        changed::write(screen, &report.changed, options.grouped)?;
    }
    screen.blank()?;
    foot(screen, report)
}

/// A title; the first line of the screen needs no blank one before.
fn section<W: Write>(screen: &mut Screen<'_, W>, title: &str, first: &mut bool) -> io::Result<()> {
    if std::mem::take(first) {
        screen.line(&[(title.to_owned(), Paint::Bold)])
    } else {
        screen.heading(title)
    }
}

fn foot<W: Write>(screen: &mut Screen<'_, W>, report: &DiffReport) -> io::Result<()> {
    let totals = &report.totals;
    for (label, objects, references, memory, snapshot) in [
        (
            "before",
            totals.objects_before,
            totals.references_before,
            totals.memory_bytes_before,
            &report.before,
        ),
        (
            "after",
            totals.objects_after,
            totals.references_after,
            totals.memory_bytes_after,
            &report.after,
        ),
    ] {
        let text = format!(
            "{}, {}, {}; kernel {}, {}",
            units::counted(objects, "object", "objects"),
            units::counted(references, "reference", "references"),
            units::bytes(memory),
            snapshot.kernel,
            snapshot.time
        );
        screen.labelled(label, Paint::Dim, &text)?;
    }
    let mut parts = vec![];
    if report.same_boot {
        parts.push(format!(
            "{} appeared, {} vanished, {} changed",
            units::count(totals.appeared),
            units::count(totals.vanished),
            units::count(totals.changed)
        ));
    }
    parts.push(if totals.grown == 1 {
        "1 group grew".into()
    } else {
        format!("{} groups grew", units::count(totals.grown))
    });
    screen.labelled("difference", Paint::Dim, &parts.join(", "))?;
    if totals.new_orphans > 0 {
        let number = units::counted(totals.new_orphans, "orphan pin", "orphan pins");
        let text = format!("{number}{}", named(&report.orphans));
        screen.labelled("new orphans", Paint::Yellow, &text)?;
    }
    if totals.new_unexplained > 0 {
        let number = units::counted(totals.new_unexplained, "reference", "references");
        let text = format!("{number}{}", named(&report.unexplained));
        screen.labelled("unexplained", Paint::Red, &text)?;
    }
    footer::cannot_see(screen, &blind(&report.before, &report.after))
}

/// ` (map:17, prog:5, and 3 more)`
fn named(ids: &[ObjectId]) -> String {
    if ids.is_empty() {
        return String::new();
    }
    let mut words: Vec<String> = ids.iter().take(NAMED).map(ToString::to_string).collect();
    if ids.len() > NAMED {
        let more = units::count((ids.len() - NAMED) as u64);
        words.push(format!("and {more} more"));
    }
    format!(" ({})", words.join(", "))
}

/// What one of both could not see; where only one could not, which.
fn blind(before: &Snapshot, after: &Snapshot) -> Snapshot {
    let note = |blind: &CannotSee, note: &str| CannotSee {
        what: format!("{} ({note} only)", blind.what),
        ..blind.clone()
    };
    let mut cannot_see = vec![];
    for blind in &before.cannot_see {
        cannot_see.push(if after.cannot_see.contains(blind) {
            blind.clone()
        } else {
            note(blind, "before")
        });
    }
    let new = after.cannot_see.iter();
    let new = new.filter(|blind| !before.cannot_see.contains(blind));
    cannot_see.extend(new.map(|blind| note(blind, "after")));
    Snapshot {
        cannot_see,
        ..after.clone()
    }
}
