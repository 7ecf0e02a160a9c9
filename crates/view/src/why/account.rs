//! The account as a tree: every reference, and whose it is.

use super::crowd::{crowd_phrases, crowds};
use super::holder::holder_phrases;
use crate::screen::{Paint, Screen, Span, plain};
use crate::text::width;
use crate::{units, words};
use model::{By, Holder, Reference, WhyReport};
use std::cmp::Reverse;
use std::io::{self, Write};

/// References of one kind that have a line each before the rest is summed up.
const LINES: usize = 20;
/// Holders of one shared reference that have a line each.
const SHARERS: usize = 8;

/// One branch of the tree.
struct Branch {
    /// How many units, as text.
    count: String,
    by: &'static str,
    says: Vec<Span>,
    /// Who shares it, where several do.
    twigs: Vec<Vec<Span>>,
}

pub(super) fn write<W: Write>(screen: &mut Screen<'_, W>, report: &WhyReport) -> io::Result<()> {
    screen.heading("held by")?;
    let branches = branches(report, screen.width());
    if branches.is_empty() {
        return screen.line(&[plain("  nothing that was found")]);
    }
    let count_width = branches.iter().map(|b| width(&b.count)).max().unwrap_or(0);
    let by_width = branches.iter().map(|b| b.by.len()).max().unwrap_or(0);
    let indent = 3 + count_width + 2 + by_width + 2;
    for (at, branch) in branches.iter().enumerate() {
        let last = at + 1 == branches.len();
        let (fork, trunk) = if last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        let pad = " ".repeat(count_width - width(&branch.count));
        let rest = format!("{trunk}{}", " ".repeat(indent - 3));
        let first = [
            (fork.to_owned(), Paint::Dim),
            (format!("{pad}{}", branch.count), Paint::Bold),
            plain(format!("  {:<by_width$}  ", branch.by)),
        ];
        screen.phrases(&first, &rest, "  ", &branch.says)?;
        for (at, twig) in branch.twigs.iter().enumerate() {
            let last = at + 1 == branch.twigs.len();
            let (fork, trunk) = if last {
                ("└─ ", "   ")
            } else {
                ("├─ ", "│  ")
            };
            let first = [(format!("{rest}{fork}"), Paint::Dim)];
            screen.phrases(&first, &format!("{rest}{trunk}"), "  ", twig)?;
        }
    }
    Ok(())
}

fn branches(report: &WhyReport, columns: usize) -> Vec<Branch> {
    let object = &report.object;
    let mut kinds: Vec<(By, Vec<&Reference>)> = vec![];
    for reference in &object.facts.references {
        match kinds.iter_mut().find(|(by, _)| *by == reference.by) {
            Some((_, references)) => references.push(reference),
            None => kinds.push((reference.by, vec![reference])),
        }
    }
    let sum = |references: &[&Reference]| {
        references
            .iter()
            .fold(0_u64, |sum, r| sum.saturating_add(r.count))
    };
    kinds.sort_by_key(|(by, references)| (Reverse(sum(references)), *by));
    let mut branches = vec![];
    for (by, references) in kinds {
        let (crowds, mut references) = crowds(references);
        let mut lines: Vec<(u64, Branch)> = crowds
            .iter()
            .map(|crowd| {
                let branch = Branch {
                    count: units::count(sum(crowd)),
                    by: words::by(by),
                    says: crowd_phrases(crowd, columns),
                    twigs: vec![],
                };
                (sum(crowd), branch)
            })
            .collect();
        references.sort_by(|a, b| {
            b.count
                .cmp(&a.count)
                .then_with(|| a.holders.cmp(&b.holders))
        });
        // A line that only says "1 more" would not be shorter.
        let shown = if references.len() > LINES + 1 {
            LINES
        } else {
            references.len()
        };
        let each = references[..shown].iter();
        lines.extend(each.map(|r| (r.count, branch(r, columns))));
        lines.sort_by_key(|(count, _)| Reverse(*count));
        branches.extend(lines.into_iter().map(|(_, branch)| branch));
        let rest = &references[shown..];
        if !rest.is_empty() {
            branches.push(Branch {
                count: "…".into(),
                by: words::by(by),
                says: vec![plain(and_more(by, rest, sum(rest)))],
                twigs: vec![],
            });
        }
    }
    branches.extend(remainder(report));
    branches
}

/// `and 4,980 more processes with 9,960 references`
fn and_more(by: By, rest: &[&Reference], references: u64) -> String {
    let (one, many) = words::holder_nouns(by, rest.iter().flat_map(|r| &r.holders));
    let holders = holders(rest);
    format!(
        "and {} more {} with {}",
        units::count(holders),
        if holders == 1 { one } else { many },
        units::counted(references, "reference", "references")
    )
}

/// How many different holders these references have.
pub(super) fn holders(references: &[&Reference]) -> u64 {
    let mut all: Vec<_> = references
        .iter()
        .flat_map(|r| &r.holders)
        .map(|holder| match holder {
            Holder::Process(p) => (Some((p.pid, p.tid)), None),
            other => (None, Some(other)),
        })
        .collect();
    all.sort_unstable();
    all.dedup();
    all.len() as u64
}

/// What no holder explains.
fn remainder(report: &WhyReport) -> Option<Branch> {
    let object = &report.object;
    let (count, says) = if !object.settled {
        let passes = units::counted(u64::from(report.snapshot.passes), "pass", "passes");
        ("~".into(), format!("the count still moved after {passes}"))
    } else if object.facts.refcnt.is_none() {
        ("?".into(), "the count could not be read".into())
    } else {
        match object.unexplained {
            Some(0) => return None,
            Some(n) => (units::signed(n), "unexplained: no holder found".into()),
            None => ("?".into(), "holders may stand out of sight".into()),
        }
    };
    Some(Branch {
        count,
        by: "?",
        says: vec![(says, Paint::Red)],
        twigs: vec![],
    })
}

fn branch(reference: &Reference, columns: usize) -> Branch {
    let mut twigs = vec![];
    let says = match &reference.holders[..] {
        [] => vec![plain("nobody in sight")],
        [holder] => holder_phrases(holder, columns),
        several => {
            for holder in several.iter().take(SHARERS) {
                twigs.push(holder_phrases(holder, columns));
            }
            if several.len() > SHARERS {
                let more = units::count((several.len() - SHARERS) as u64);
                twigs.push(vec![plain(format!("… and {more} more"))]);
            }
            let sharers = several.len() as u64;
            let (one, many) = words::holder_nouns(reference.by, several);
            let sharers = units::counted(sharers, one, many);
            vec![plain(match reference.by {
                By::Fd | By::Mmap | By::Iterator | By::InFlight | By::IoUring => format!(
                    "{}, shared by {sharers}:",
                    units::counted(reference.count, "open file", "open files"),
                ),
                _ => format!("shared by {sharers}:"),
            })]
        }
    };
    Branch {
        count: units::count(reference.count),
        by: words::by(reference.by),
        says,
        twigs,
    }
}
