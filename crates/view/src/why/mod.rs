//! `lastref why`.

mod account;
mod bundle;
mod crowd;
mod head;
mod holder;
mod release;

use crate::screen::{Paint, Screen, Span, plain, safe};
use crate::{Style, footer, units, words};
use model::{Holder, WhyReport};
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
/// Chains that differ only in which of several processes of a name they end share one, and
/// so do those that differ only in a socket.
fn chains<W: Write>(screen: &mut Screen<'_, W>, report: &WhyReport) -> io::Result<()> {
    if report.chains.is_empty() {
        return Ok(());
    }
    screen.heading("kept by")?;
    let facts = &report.object.facts;
    let start = words::id(facts.kind, facts.id);
    let bundles = bundle::bundles(&report.chains);
    for bundle in bundles.iter().take(CHAINS) {
        let mut phrases: Vec<Span> = vec![plain(start.clone())];
        let way = bundle.way.iter().enumerate();
        phrases.extend(way.map(|(at, holder)| match holder {
            Holder::Socket(socket) if at == 0 && bundle.alike > 1 => {
                plain(crowd::sockets(&units::count(bundle.alike), socket))
            }
            other => plain(holder_words(other)),
        }));
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

fn holder_words(holder: &Holder) -> String {
    match holder {
        Holder::Process(process) => words::process_long(process),
        Holder::Pin(pin) => words::pin_short(pin),
        Holder::Map(o) | Holder::Prog(o) | Holder::Link(o) | Holder::Btf(o) => {
            let kind = holder.object().map_or(model::Kind::Map, |(kind, _)| kind);
            words::object(kind, o)
        }
        other => words::kernel_holder(other),
    }
}
