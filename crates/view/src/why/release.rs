//! How to let the object go: what to do, and what that frees.

use crate::screen::{Paint, Screen, plain, safe};
use crate::shell::{break_command, is_command};
use crate::text::width;
use crate::{units, words};
use model::{Kind, ObjectId, ReleaseStep, WhyReport};
use std::io::{self, Write};

/// Objects that are named before they are only counted by kind.
const NAMED: usize = 8;

pub(super) fn write<W: Write>(screen: &mut Screen<'_, W>, report: &WhyReport) -> io::Result<()> {
    if !report.to_release.is_empty() {
        screen.heading("to let it go")?;
        let digits = report.to_release.len().to_string().len();
        for (at, step) in report.to_release.iter().enumerate() {
            write_step(screen, &format!("  {:>digits$}. ", at + 1), step)?;
        }
    }
    if !report.caveats.is_empty() {
        screen.blank()?;
    }
    for (at, caveat) in report.caveats.iter().enumerate() {
        let label = if at == 0 { "note" } else { "" };
        screen.labelled(label, Paint::Yellow, caveat)?;
    }
    Ok(())
}

fn write_step<W: Write>(
    screen: &mut Screen<'_, W>,
    number: &str,
    step: &ReleaseStep,
) -> io::Result<()> {
    let indent = " ".repeat(width(number));
    if is_command(&step.action) {
        // A command is written as it must be typed, never cut.
        let action = safe(&step.action);
        let room = screen.width();
        let below = format!("{indent}  ");
        let lines = break_command(&action, room, width(number), &below);
        for (at, line) in lines.into_iter().enumerate() {
            let number = if at == 0 { number } else { "" };
            screen.line(&[plain(number), (line, Paint::Bold)])?;
        }
    } else {
        screen.paragraph(number, &indent, &step.action)?;
    }
    screen.paragraph(&indent, &indent, &frees(step))
}

/// `frees map:17, prog:5 (8.0 MiB)`
fn frees(step: &ReleaseStep) -> String {
    if step.frees.is_empty() {
        return "frees nothing by itself".into();
    }
    let what = if step.frees.len() <= NAMED {
        let names: Vec<String> = step.frees.iter().map(ObjectId::to_string).collect();
        names.join(", ")
    } else {
        let counts: Vec<String> = Kind::ALL
            .into_iter()
            .map(|kind| (kind, step.frees.iter().filter(|id| id.kind == kind).count()))
            .filter(|(_, number)| *number > 0)
            .map(|(kind, number)| {
                let (one, many) = words::nouns(kind);
                units::counted(number as u64, one, many)
            })
            .collect();
        counts.join(", ")
    };
    if step.bytes == 0 {
        format!("frees {what}")
    } else {
        format!("frees {what} ({})", units::bytes(step.bytes))
    }
}
