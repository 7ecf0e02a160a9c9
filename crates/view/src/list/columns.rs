//! The columns of the list: what stands in each, and which fit.

use super::rows::Row;
use crate::held_by::HeldBy;
use crate::screen::{Paint, Screen, Span, plain, safe};
use crate::text::{cut_end, cut_middle, cut_path, width};
use crate::words::has_account;
use crate::{units, words};
use model::{Detail, Kind, State};
use std::io::{self, Write};

/// Between two columns.
const GAP: usize = 2;

/// A column in the making.
struct Column {
    title: &'static str,
    right: bool,
    /// Text and look, one per row. For the last column what it would like to be.
    cells: Vec<Span>,
    /// What it would need to lose nothing.
    natural: usize,
    /// What it is not worth having below.
    least: usize,
    /// What it gets once every column has its least, and then once every column has that.
    better: [usize; 2],
    /// The columns with the lowest rank leave first. The highest stays.
    rank: u8,
}

/// The widest of the cells and the title.
fn natural(title: &str, cells: &[Span]) -> usize {
    let widest = cells.iter().map(|(text, _)| width(text)).max();
    widest.unwrap_or(0).max(title.len())
}

pub(super) fn write<W: Write>(
    screen: &mut Screen<'_, W>,
    rows: &[Row<'_>],
    grouped: bool,
) -> io::Result<()> {
    let held_by: Vec<HeldBy> = rows.iter().map(|row| HeldBy::of(&row.objects)).collect();
    let mut columns = columns(rows, grouped, screen.width());
    let wishes: Vec<Span> = held_by.iter().map(|h| plain(h.natural())).collect();
    columns.push(Column {
        title: "HELD BY",
        right: false,
        natural: natural("HELD BY", &wishes),
        cells: wishes,
        least: if screen.width() < 72 { 12 } else { 16 },
        better: [26, 56],
        rank: 8,
    });
    let widths = lay_out(&mut columns, screen.width());
    let header: Vec<Span> = columns
        .iter()
        .map(|column| (column.title.to_owned(), Paint::Dim))
        .collect();
    line(screen, &columns, &widths, &header)?;
    for (at, held_by) in held_by.iter().enumerate() {
        let cells: Vec<Span> = columns
            .iter()
            .zip(&widths)
            .map(|(column, &room)| match column.title {
                "HELD BY" => plain(held_by.fit(room)),
                _ => column.cells[at].clone(),
            })
            .collect();
        line(screen, &columns, &widths, &cells)?;
    }
    Ok(())
}

fn columns(rows: &[Row<'_>], grouped: bool, total: usize) -> Vec<Column> {
    let (wide, narrow) = (total >= 120, total < 72);
    // The lines under the table say the word in full.
    let odd_title = if total < 100 { "?" } else { "UNEXPL" };
    let column = |title, sizes: [usize; 3], rank, cell: &dyn Fn(&Row<'_>) -> Span| {
        let cells: Vec<Span> = rows.iter().map(cell).collect();
        Column {
            title,
            right: matches!(title, "REFS" | "UNEXPL" | "?" | "MEMORY"),
            natural: natural(title, &cells),
            cells,
            least: sizes[0],
            better: [sizes[1], sizes[2]],
            rank,
        }
    };
    // Half a number is none.
    let whole = [usize::MAX; 3];
    let mut columns = vec![
        column("OBJECT", whole, 9, &object),
        column("TYPE", [8, 14, 14], 3, &|row| {
            plain(safe(&row.first().facts.type_name))
        }),
        column("NAME", [if narrow { 8 } else { 11 }, 15, 32], 7, &|row| {
            plain(name(row))
        }),
        column("REFS", whole, 9, &|row| plain(refs(row))),
    ];
    let odd = |row: &Row<'_>| {
        row.unexplained.known.is_some_and(|n| n != 0) || row.unexplained.missing || row.unsettled
    };
    if rows.iter().any(odd) {
        columns.push(column(odd_title, whole, 8, &unexplained));
    }
    columns.push(column("MEMORY", whole, 4, &memory));
    columns.push(column("STATE", whole, 6, &|row| state(row.state())));
    if grouped && wide {
        columns.push(column("IDS", whole, 2, &|row| plain(ids(row))));
    }
    let charged = |row: &Row<'_>| row.objects.iter().any(|o| o.facts.charged_to.is_some());
    if wide && rows.iter().any(charged) {
        columns.push(column("CHARGED TO", [18, 18, 28], 1, &|row| {
            (charged_to(row), Paint::Dim)
        }));
    }
    columns
}

/// Drops the columns that have no room, and gives the others theirs.
fn lay_out(columns: &mut Vec<Column>, total: usize) -> Vec<usize> {
    let least = |column: &Column| column.least.min(column.natural);
    while columns.len() > 1 {
        let needed: usize = columns.iter().map(least).sum::<usize>() + GAP * (columns.len() - 1);
        if needed <= total {
            break;
        }
        let lowest = columns.iter().map(|c| c.rank).min();
        let at = columns.iter().rposition(|c| Some(c.rank) == lowest);
        columns.remove(at.unwrap_or(0));
    }
    let mut widths: Vec<usize> = columns.iter().map(least).collect();
    let mut left = total.saturating_sub(widths.iter().sum::<usize>() + GAP * (columns.len() - 1));
    let mut by_rank: Vec<usize> = (0..columns.len()).collect();
    by_rank.sort_by_key(|&at| std::cmp::Reverse(columns[at].rank));
    for round in 0..3 {
        for &at in &by_rank {
            let better = columns[at].better.get(round).copied();
            let wanted = columns[at].natural.min(better.unwrap_or(usize::MAX));
            let more = wanted.saturating_sub(widths[at]).min(left);
            widths[at] += more;
            left -= more;
        }
    }
    widths
}

fn line<W: Write>(
    screen: &mut Screen<'_, W>,
    columns: &[Column],
    widths: &[usize],
    cells: &[Span],
) -> io::Result<()> {
    let mut spans = vec![];
    for (at, ((column, &room), (text, paint))) in columns.iter().zip(widths).zip(cells).enumerate()
    {
        let text = match column.title {
            "CHARGED TO" => cut_path(text, room),
            // Of a short piece the beginning tells most.
            "NAME" | "TYPE" if room < 16 => cut_end(text, room),
            _ => cut_middle(text, room),
        };
        let pad = " ".repeat(room - width(&text).min(room));
        let gap = if at + 1 < columns.len() { GAP } else { 0 };
        if column.right {
            spans.push(plain(pad));
            spans.push((text.into_owned(), *paint));
            spans.push(plain(" ".repeat(gap)));
        } else {
            spans.push((text.into_owned(), *paint));
            spans.push(plain(pad + &" ".repeat(gap)));
        }
    }
    screen.line(&spans)
}

/// `map:17`, or `220 maps`.
fn object(row: &Row<'_>) -> Span {
    let text = match row.objects.len() as u64 {
        1 => words::id(row.kind(), row.first().facts.id),
        n if row.kind() == Kind::Btf => format!("{} btf", units::count(n)),
        n => format!("{} {}s", units::count(n), row.kind()),
    };
    (text, Paint::Bold)
}

/// The first and the last id of several: `17..204`.
fn ids(row: &Row<'_>) -> String {
    let last = row.objects.iter().rev().find_map(|o| o.facts.id);
    match (row.first().facts.id, last) {
        (Some(a), Some(b)) if a != b => format!("{a}..{b}"),
        (Some(a), _) => a.to_string(),
        (None, _) => "-".into(),
    }
}

/// The name; a link has none, so what it is attached to, after an arrow.
fn name(row: &Row<'_>) -> String {
    let facts = &row.first().facts;
    if !has_account(row.first()) && row.objects.len() > 1 {
        return "(the kernel's own)".into();
    }
    let Detail::Link(link) = &facts.detail else {
        return safe(&facts.name).into_owned();
    };
    let target_of = |o: &model::Object| match &o.facts.detail {
        Detail::Link(link) => link.target.clone(),
        _ => None,
    };
    let arrow = if link.detached { "detached" } else { "→" };
    let mut targets: Vec<_> = row.objects.iter().map(|o| target_of(o)).collect();
    targets.sort_unstable();
    targets.dedup();
    match &targets[..] {
        [Some(target)] => format!("{arrow} {}", safe(target)),
        [None] if link.detached => arrow.into(),
        [None] => link
            .prog_id
            .map_or(String::new(), |id| format!("{arrow} prog:{id}")),
        several => format!("{arrow} {} targets", units::count(several.len() as u64)),
    }
}

/// `7`; `~7` where the account still moves; `7+?` where one of several was not read.
fn refs(row: &Row<'_>) -> String {
    let mark = if row.unsettled { "~" } else { "" };
    match row.refs.known {
        Some(n) if row.refs.missing => format!("{mark}{}+?", units::count(n)),
        Some(n) => format!("{mark}{}", units::count(n)),
        None if row.refs.missing => "?".into(),
        None => "-".into(),
    }
}

fn unexplained(row: &Row<'_>) -> Span {
    match row.unexplained.known {
        Some(n) if n != 0 => {
            let more = if row.unexplained.missing { "+?" } else { "" };
            (format!("{}{more}", units::signed(n)), Paint::Red)
        }
        _ if row.unsettled => ("~".into(), Paint::Yellow),
        _ if row.unexplained.missing => ("?".into(), Paint::Yellow),
        Some(_) => ("0".into(), Paint::Dim),
        None => ("-".into(), Paint::Dim),
    }
}

fn memory(row: &Row<'_>) -> Span {
    plain(match row.memory.known {
        Some(n) if row.memory.missing => format!("{}+?", units::bytes(n)),
        Some(n) => units::bytes(n),
        // A link is a small struct; nobody accounts for it.
        None if row.kind() == Kind::Link => "-".into(),
        None => "?".into(),
    })
}

/// A state in its colour.
pub(super) fn state(state: State) -> Span {
    (state.as_str().to_owned(), state_paint(state))
}

/// The look of a state: what needs a look stands out.
pub(crate) fn state_paint(state: State) -> Paint {
    match state {
        State::InUse => Paint::Plain,
        State::OrphanPin => Paint::Yellow,
        State::HeldByKernel => Paint::Cyan,
        State::Unreferenced => Paint::Dim,
        State::Unknown => Paint::Red,
    }
}

fn charged_to(row: &Row<'_>) -> String {
    let mut groups = row.objects.iter().map(|o| o.facts.charged_to.as_deref());
    let first = groups.next().flatten();
    if groups.any(|other| other != first) {
        return "several".into();
    }
    first.map_or("-".into(), |path| safe(path).into_owned())
}
