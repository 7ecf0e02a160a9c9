//! `lastref explain`: the process in a line, then each group with what it rests on.
//!
//! ```text
//! agent (pid 4242, go1.24.3, github.com/cilium/ebpf v0.16.0)   1,204 handles, 1,200 leaking
//!
//! 1,200 handles on map 17 conn_events (hash, 8.0 MiB)     +2.0/s, RLIMIT_NOFILE 65,536 in 8 h 56 m
//!   retained   the last collection (31 s ago) still reached every one of their owners
//!   owner      *sys.FD, finalizer (*FD).finalize registered, not run
//!   fix        Close each *ebpf.Map when its user stops
//! ```

use crate::screen::{Paint, Screen, Span, plain, safe};
use crate::text::{width, wrap};
use crate::{Style, footer, units, watch, words};
use model::{
    EvidenceKind, ExplainGroup, ExplainReport, Leak, OwnerSummary, Release, ReleaseState, Verdict,
};
use std::fmt::Write as _;
use std::io::{self, Write};

/// Columns of the word before a fact: the longest verdict without a path.
const WORD: usize = 17;

/// Writes why a process still holds its handles.
pub fn explain(report: &ExplainReport, style: &Style, out: &mut impl Write) -> io::Result<()> {
    let screen = &mut Screen::new(style, out);
    two_sides(screen, (process(report), Paint::Bold), &counts(report))?;
    for group in &report.groups {
        screen.blank()?;
        self::group(screen, group)?;
    }
    if !report.cannot_see.is_empty() {
        screen.blank()?;
        footer::blind(screen, &report.cannot_see)?;
    }
    Ok(())
}

/// Text at the left and at the right of a line, or on two lines.
fn two_sides<W: Write>(
    screen: &mut Screen<'_, W>,
    (left, paint): Span,
    right: &str,
) -> io::Result<()> {
    /// Between the two.
    const GAP: usize = 3;
    let (left, right) = (safe(&left).into_owned(), safe(right).into_owned());
    if right.is_empty() || width(&left) + GAP + width(&right) <= screen.width() {
        let gap = if right.is_empty() { 0 } else { GAP };
        return screen.line(&[(left, paint), plain(" ".repeat(gap)), plain(right)]);
    }
    for line in wrap(&left, screen.width()) {
        screen.line(&[(line, paint)])?;
    }
    screen.paragraph("  ", "  ", &right)
}

/// `agent (pid 4242, go1.24.3, github.com/cilium/ebpf v0.16.0)`
fn process(report: &ExplainReport) -> String {
    let process = &report.process;
    let mut text = format!("{} (pid {}", words::comm(&process.comm), process.pid);
    match (&process.runtime, &process.language) {
        (Some(runtime), _) => {
            let _ = write!(text, ", {runtime}");
        }
        (None, Some(language)) => {
            let _ = write!(text, ", {}", self::language(language));
        }
        (None, None) => {}
    }
    for library in &process.libraries {
        let _ = write!(text, ", {}", library.path);
        if let Some(version) = &library.version {
            let _ = write!(text, " {version}");
        }
    }
    text.push(')');
    text
}

/// As people write it.
fn language(code: &str) -> &str {
    match code {
        "c" => "C",
        "c++" => "C++",
        "go" => "Go",
        "rust" => "Rust",
        "python" => "Python",
        other => other,
    }
}

fn counts(report: &ExplainReport) -> String {
    let all: u64 = report.groups.iter().map(|group| group.count).sum();
    if all == 0 {
        return "no handles on BPF objects".into();
    }
    let mut text = units::counted(all, "handle", "handles");
    for (leak, word) in [
        (Leak::Yes, "leaking"),
        (Leak::Suspected, "suspected to leak"),
    ] {
        let of = report.groups.iter().filter(|group| group.leak == leak);
        let count: u64 = of.map(|group| group.count).sum();
        if count > 0 {
            let _ = write!(text, ", {} {word}", units::count(count));
        }
    }
    text
}

fn group<W: Write>(screen: &mut Screen<'_, W>, group: &ExplainGroup) -> io::Result<()> {
    two_sides(screen, (headline(group), Paint::Bold), &growth(group))?;
    let verdict = group.verdict;
    // What establishes the verdict stands beside it.
    let mut lines: Vec<(EvidenceKind, &str)> = group
        .evidence
        .iter()
        .map(|line| (line.kind, line.says.as_str()))
        // The headline has it.
        .filter(|&(kind, _)| kind != EvidenceKind::Growth || growth(group).is_empty())
        .collect();
    let rests_on = match verdict {
        Verdict::Mapped => EvidenceKind::MemoryMap,
        _ => EvidenceKind::GoGc,
    };
    let says = match lines.iter().position(|&(kind, _)| kind == rests_on) {
        Some(at) => lines.remove(at).1,
        None if lines.is_empty() => verdict.title(),
        None => lines.remove(0).1,
    };
    fact(screen, verdict.as_str(), paint(group), says)?;
    // The next line of the collector's books is of the owner, unless they are about its queue; the rest is not.
    let mut of_owner = !matches!(
        verdict,
        Verdict::ReleaseQueued | Verdict::ReleaseBlocked | Verdict::NoOwner
    );
    let has_owner = lines.iter().any(|&(kind, _)| kind == EvidenceKind::GoGc);
    if let Some(owner) = group.owner.as_ref().filter(|_| !has_owner) {
        fact(screen, "owner", Paint::Dim, &self::owner(owner))?;
    }
    let mut above = "";
    for (kind, says) in lines {
        let word = match kind {
            EvidenceKind::GoGc if std::mem::take(&mut of_owner) => "owner",
            _ => label(kind),
        };
        let once = if word == above { "" } else { word };
        fact(screen, once, Paint::Dim, says)?;
        above = word;
    }
    fact(screen, "descriptors", Paint::Dim, &descriptors(group))?;
    fact(screen, "fix", Paint::Cyan, &group.fix)
}

/// A word, and what there is to say of it, wrapped beside it.
fn fact<W: Write>(
    screen: &mut Screen<'_, W>,
    word: &str,
    paint: Paint,
    says: &str,
) -> io::Result<()> {
    if says.is_empty() {
        return Ok(());
    }
    let room = screen.width().saturating_sub(2 + WORD);
    if room < Style::NARROWEST {
        screen.line(&[plain("  "), (word.to_owned(), paint)])?;
        return screen.paragraph("    ", "    ", says);
    }
    for (at, line) in wrap(&safe(says), room).into_iter().enumerate() {
        let word = if at == 0 { word } else { "" };
        screen.line(&[plain("  "), (format!("{word:<WORD$}"), paint), plain(line)])?;
    }
    Ok(())
}

/// `1,200 handles on map:17 conn_events (hash, 8.0 MiB)`
fn headline(group: &ExplainGroup) -> String {
    let mut text = units::counted(group.count, "handle", "handles");
    let fds = group.fds.len() as u64;
    if fds > group.count {
        let _ = write!(text, " by {} descriptors", units::count(fds));
    }
    let _ = write!(text, " on {}", watch::objects(&group.objects));
    if let Some(bytes) = group.memory_bytes.filter(|&bytes| bytes > 0) {
        // Into the parenthesis of the type.
        text.pop();
        let _ = write!(text, ", {})", units::bytes(bytes));
    }
    text
}

/// `+2.0/s, RLIMIT_NOFILE 65,536 in 8 h 56 m`
fn growth(group: &ExplainGroup) -> String {
    let mut text = match group.leak {
        Leak::Yes => "leak, ".to_owned(),
        Leak::Suspected => "suspected leak, ".to_owned(),
        // All such handles together grow, and nothing is known of these: a line of their own says so.
        Leak::No | Leak::Unknown => return String::new(),
    };
    match group.per_second {
        Some(rate) if rate > 0.0 => {
            let _ = write!(text, "+{}", watch::rate(rate));
        }
        _ => {
            text.truncate(text.trim_end_matches(", ").len());
            return text;
        }
    }
    if let Some(limit) = group.exhausts.first() {
        let _ = write!(text, ", {}", watch::limit(limit));
    }
    text
}

fn paint(group: &ExplainGroup) -> Paint {
    match (group.leak, group.verdict) {
        (Leak::Yes, _) => Paint::Red,
        (Leak::Suspected, _) | (_, Verdict::ReleaseBlocked) => Paint::Yellow,
        _ => Paint::Bold,
    }
}

/// `*sys.FD, finalizer (*FD).finalize registered, not run`
fn owner(owner: &OwnerSummary) -> String {
    let mut text = owner
        .type_name
        .clone()
        .unwrap_or_else(|| "a Go object".into());
    let release = match owner.release {
        Release::None => return text + ", with neither finalizer nor cleanup",
        Release::Finalizer => "finalizer",
        Release::Cleanup => "cleanup",
    };
    let _ = write!(text, ", {release}");
    if let Some(function) = &owner.function {
        let _ = write!(text, " {function}");
    }
    text += match owner.release_state {
        Some(ReleaseState::Pending) => " registered, not run",
        Some(ReleaseState::Queued) => " queued",
        Some(ReleaseState::Running) => " running",
        None => "",
    };
    text
}

fn label(kind: EvidenceKind) -> &'static str {
    match kind {
        EvidenceKind::GoGc => "collector",
        EvidenceKind::GoPath => "path",
        EvidenceKind::Stack => "stack",
        EvidenceKind::Libraries => "libraries",
        EvidenceKind::KernelAccount => "kernel",
        EvidenceKind::MemoryMap => "memory",
        EvidenceKind::HeapProfile => "profile",
        EvidenceKind::Growth => "growth",
    }
}

/// `7-9, 12, … 1,200 in all`
fn descriptors(group: &ExplainGroup) -> String {
    /// Runs that are listed.
    const RUNS: usize = 6;
    let runs = group.fds.chunk_by(|a, b| a.checked_add(1) == Some(*b));
    let mut text = String::new();
    for (at, run) in runs.enumerate() {
        if at == RUNS {
            text += " …";
            break;
        }
        if at > 0 {
            text += ", ";
        }
        match run {
            [one] => text += &one.to_string(),
            [first, .., last] => {
                let _ = write!(text, "{first}-{last}");
            }
            [] => {}
        }
    }
    text
}
