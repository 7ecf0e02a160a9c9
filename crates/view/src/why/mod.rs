//! `lastref why`.

mod account;
mod head;
mod release;

use crate::screen::{Paint, Screen, Span, plain, safe};
use crate::{Style, footer, units, words};
use model::{Holder, WhyReport};
use std::collections::HashMap;
use std::io::{self, Write};

/// Chains that are shown before the rest is only counted.
const CHAINS: usize = 20;

/// Writes the account of one object: who holds it, what keeps it in the end, and
/// how to let it go.
pub fn why(report: &WhyReport, style: &Style, out: &mut impl Write) -> io::Result<()> {
    let screen = &mut Screen::new(style, out);
    head::write(screen, report)?;
    if words::has_account(&report.object) {
        account::write(screen, report)?;
        chains(screen, report)?;
        release::write(screen, report)?;
    }
    screen.blank()?;
    for (at, reason) in report.object.facts.unreadable.iter().enumerate() {
        let label = if at == 0 { "not read" } else { "" };
        screen.labelled(label, Paint::Yellow, reason)?;
    }
    footer::cannot_see(screen, &report.snapshot)?;
    footer::sweep(screen, &report.snapshot, None)
}

/// Each chain on a line: `map:17 ← prog:5 on_exec ← link:3 ← pin /sys/fs/bpf/x`.
/// Chains that differ only in which of several processes of a name they end share one.
fn chains<W: Write>(screen: &mut Screen<'_, W>, report: &WhyReport) -> io::Result<()> {
    if report.chains.is_empty() {
        return Ok(());
    }
    screen.heading("kept by")?;
    let facts = &report.object.facts;
    let start = words::id(facts.kind, facts.id);
    let bundles = bundles(&report.chains);
    for bundle in bundles.iter().take(CHAINS) {
        let mut phrases: Vec<Span> = vec![plain(start.clone())];
        phrases.extend(bundle.way.iter().map(|holder| plain(holder_words(holder))));
        if let Some(end) = bundle.end {
            let text = match (end, &bundle.pids[..]) {
                (Holder::Process(process), [_, _, ..]) => {
                    let pids = words::ranges("pid", &bundle.pids, screen.width() / 3);
                    format!("{} ({pids})", safe(&process.comm))
                }
                _ => holder_words(end),
            };
            phrases.push((text, Paint::Bold));
        }
        screen.phrases(&[plain("  ")], "      ", " ← ", &phrases)?;
    }
    let more = bundles.len().saturating_sub(CHAINS) as u64;
    let note = match (more, report.chains_cut) {
        (0, false) => return Ok(()),
        (0, true) => "  … and more that were not followed".into(),
        (n, false) => format!("  … and {}", units::counted(n, "more", "more")),
        (n, true) => format!("  … and {} more, and others not followed", units::count(n)),
    };
    screen.line(&[(note, Paint::Dim)])
}

/// Chains that are the same up to their end, and end in processes of one name.
struct Bundle<'a> {
    way: &'a [Holder],
    end: Option<&'a Holder>,
    /// Of the processes at the end.
    pids: Vec<u32>,
}

fn bundles(chains: &[Vec<Holder>]) -> Vec<Bundle<'_>> {
    let mut places: HashMap<(&[Holder], &str), usize> = HashMap::new();
    let mut bundles: Vec<Bundle<'_>> = vec![];
    for chain in chains {
        let (end, way) = match chain.split_last() {
            Some((end, way)) => (Some(end), way),
            None => (None, &chain[..]),
        };
        let mut pids = vec![];
        if let Some(Holder::Process(process)) = end
            && process.tid.is_none()
        {
            let at = *places.entry((way, &*process.comm)).or_insert(bundles.len());
            if let Some(bundle) = bundles.get_mut(at) {
                bundle.pids.push(process.pid);
                continue;
            }
            pids.push(process.pid);
        }
        bundles.push(Bundle { way, end, pids });
    }
    bundles
}

fn holder_words(holder: &Holder) -> String {
    match holder {
        Holder::Process(process) => words::process_long(process),
        Holder::Pin(pin) => words::pin_short(pin),
        Holder::Map(o) | Holder::Prog(o) | Holder::Link(o) | Holder::Btf(o) => {
            let kind = holder.object().map_or(model::Kind::Map, |(kind, _)| kind);
            words::object(kind, o)
        }
    }
}
