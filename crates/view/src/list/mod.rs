//! `lastref ls`.

mod columns;
mod order;
mod rows;
mod totals;

pub(crate) use columns::state_paint;
pub use order::{ParseSortError, Sort, sort};

use crate::screen::{Screen, plain};
use crate::{Style, footer, units};
use model::{ListReport, Object};
use std::io::{self, Write};

/// Whether objects that are alike in kind, type, name and holder share a line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Grouping {
    /// Above 60 objects.
    #[default]
    Auto,
    /// Also where there are few.
    Always,
    /// One line per object, however many.
    Never,
}

/// What the user wants of the list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// Whether alike objects share a line.
    pub grouped: Grouping,
    /// The order of the lines. Without one: by kind and id, and groups by memory.
    pub sort: Option<Sort>,
    /// Also lastref's own objects.
    pub show_own: bool,
    /// The report holds only what was asked for (`--name`, `--pid` …): decides
    /// what an empty list says.
    pub filtered: bool,
}

/// Writes the table alone, without totals.
pub(crate) fn table<W: Write>(
    screen: &mut Screen<'_, W>,
    objects: &[&Object],
    options: ListOptions,
) -> io::Result<()> {
    let (rows, grouped) = rows::rows(objects, options);
    let several = rows.iter().any(|row| row.objects.len() > 1);
    columns::write(screen, &rows, grouped && several)
}

/// Writes the list, its totals, what could not be seen, and the sweep.
pub fn list(
    report: &ListReport,
    options: &ListOptions,
    style: &Style,
    out: &mut impl Write,
) -> io::Result<()> {
    let screen = &mut Screen::new(style, out);
    let objects: Vec<&Object> = report
        .objects
        .iter()
        .filter(|object| options.show_own || !object.facts.own)
        .collect();
    if objects.is_empty() {
        let text = if options.filtered {
            "no BPF objects match"
        } else if report.snapshot.cannot_see.is_empty() {
            "no BPF objects on this host"
        } else {
            "no BPF objects in sight"
        };
        screen.line(&[plain(text)])?;
    } else {
        table(screen, &objects, *options)?;
        screen.blank()?;
        totals::write(screen, &objects, report.snapshot.passes)?;
    }
    footer::cannot_see(screen, &report.snapshot)?;
    let hidden = (report.objects.len() - objects.len()) as u64;
    let own = (hidden > 0).then(|| {
        format!(
            "{} of lastref's own not shown (--own)",
            units::counted(hidden, "object", "objects")
        )
    });
    footer::sweep(screen, &report.snapshot, own)
}
