//! Reports as text for people: `lastref ls`, `lastref ls --diff`, `lastref why`, `lastref watch` and
//! `lastref explain`.
//!
//! ```text
//! list/  ls:  rows (grouped or not) ──► columns that fit ──► totals and footer
//! diff/  ls --diff: what grew, the tables of what appeared and vanished, what changed
//! why/   why: headline, the account as a tree, chains, how to let it go
//! watch  watch: a line, wrapped, for each event
//! explain  explain: each group of handles with its verdict, and what that rests on
//!             └── all write through Screen: it alone knows width and colour
//! metrics/  watch --metrics: `OpenMetrics` text, which is for machines
//! ```
//!
//! Three promises hold for every screen, whatever the names in the report are:
//! no line is wider than [`Style::width`]; no control character that came with
//! a name comes out; nothing is said by colour alone.
//!
//! The column layout is the crate's own. A table crate lays out cells that are
//! already text, while here a cell is written for the room it gets (`prog:5,
//! pin /sys/fs/bpf/x, +3`), columns leave by rank, and the promise about width must
//! also hold for what a name may bring along: wide and combining characters,
//! variation selectors.

mod diff;
mod explain;
mod footer;
mod held_by;
mod list;
mod metrics;
mod screen;
mod shell;
mod text;
mod watch;
mod why;
mod words;
mod wrapped;

pub use diff::diff;
pub use explain::explain;
pub use list::{Grouping, ListOptions, ParseSortError, Sort, list, sort};
pub use metrics::{METRICS_TYPE, metrics};
pub use model::units;
pub use watch::watch;
pub use why::why;
pub use wrapped::Wrapped;

use std::io::{self, Write};

/// Writes a text in lines of at most `width` columns, each after `indent`.
pub fn paragraph(text: &str, indent: &str, width: usize, out: &mut impl Write) -> io::Result<()> {
    let room = width.saturating_sub(indent.len()).max(Style::NARROWEST);
    for line in text::wrap(&screen::safe(text), room) {
        writeln!(out, "{indent}{line}")?;
    }
    Ok(())
}

/// What the caller knows of the place the text goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Columns. Below [`Style::NARROWEST`] it counts as that.
    pub width: usize,
    /// Whether ANSI colours are welcome.
    pub colour: bool,
}

impl Style {
    /// The narrowest width that is honoured: less has no room for an id and a number.
    pub const NARROWEST: usize = 20;
}

impl Default for Style {
    fn default() -> Self {
        Self {
            width: 80,
            colour: false,
        }
    }
}
