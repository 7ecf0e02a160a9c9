//! `lastref watch`: one line, wrapped, for each event.

use crate::screen::{Paint, Screen, plain};
use crate::text::wrap;
use crate::{Style, footer, units, words};
use model::{By, Exhaustion, Holder, Leak, LeakEvent, Trend, WatchEvent, WatchStart, WatchSummary};
use std::fmt::Write as _;
use std::io::{self, Write};

/// Columns of the time, and of the word after it.
const TIME: usize = 8;
const WORD: usize = 14;

/// Writes what an event says.
pub fn watch(event: &WatchEvent, style: &Style, out: &mut impl Write) -> io::Result<()> {
    let screen = &mut Screen::new(style, out);
    match event {
        WatchEvent::Start(start) => begin(screen, start),
        WatchEvent::Leak(leak) => line(screen, leak.t, word(leak), &told(leak)),
        WatchEvent::OpenAtExit(open) => {
            let text = format!(
                "{} at the exit of {}, on {}",
                units::counted(open.count, "handle was open", "handles were open"),
                holder(&open.holder, 1, None),
                objects(&open.objects)
            );
            line(screen, open.t, ("open at exit", Paint::Red), &text)
        }
        WatchEvent::LeftBehind(left) => {
            let facts = &left.object.facts;
            let mut text = words::id(facts.kind, facts.id);
            if !facts.name.is_empty() {
                let _ = write!(text, " {}", facts.name);
            }
            let _ = write!(text, " ({})", facts.type_name);
            if let Some(by) = &left.holder {
                let _ = write!(text, ", kept by {}", holder(by, 1, None));
            }
            line(screen, left.t, ("left behind", Paint::Red), &text)
        }
        WatchEvent::Command(end) => {
            let how = match (end.exit_code, end.signal) {
                (Some(code), _) => format!("exited with {code}"),
                (_, Some(signal)) => format!("ended by signal {signal}"),
                _ => "ended".into(),
            };
            let text = format!("{} {how}", end.argv.join(" "));
            line(screen, end.t, ("command", Paint::Plain), &text)
        }
        WatchEvent::Summary(summary) => self::summary(screen, summary),
    }
}

fn begin<W: Write>(screen: &mut Screen<'_, W>, start: &WatchStart) -> io::Result<()> {
    let end = if start.source == "sweep" {
        "; Ctrl-C ends the watch"
    } else {
        ""
    };
    let text = format!(
        "watching by sweeps: {}. Growth through {} is called a leak{end}.",
        start.cost,
        units::duration(start.window_seconds)
    );
    screen.paragraph("", "", &text)?;
    footer::blind(screen, &start.cannot_see)?;
    screen.blank()
}

/// Time, word, and text that goes on below itself.
fn line<W: Write>(
    screen: &mut Screen<'_, W>,
    t: f64,
    (word, paint): (&str, Paint),
    text: &str,
) -> io::Result<()> {
    let room = screen.width().saturating_sub(TIME + WORD).max(1);
    let narrow = room < Style::NARROWEST;
    let room = if narrow { screen.width() - 2 } else { room };
    let time = format!("{:<1$} ", clock(t), TIME - 1);
    let mut first = vec![(time, Paint::Dim), (format!("{word:<WORD$}"), paint)];
    if narrow {
        screen.line(&first)?;
        first = vec![plain("  ")];
    }
    let indent = if narrow { 2 } else { TIME + WORD };
    for (at, text) in wrap(&crate::screen::safe(text), room)
        .into_iter()
        .enumerate()
    {
        let mut spans = if at == 0 {
            std::mem::take(&mut first)
        } else {
            vec![plain(" ".repeat(indent))]
        };
        spans.push(plain(text));
        screen.line(&spans)?;
    }
    Ok(())
}

/// Minutes and seconds since the beginning: `1:05`, `2:00:07`.
fn clock(t: f64) -> String {
    let seconds = t.max(0.0) as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

fn word(leak: &LeakEvent) -> (&'static str, Paint) {
    match (leak.state, leak.leak) {
        (Trend::Growing, Leak::Yes) => ("leak", Paint::Red),
        (Trend::Growing, _) => ("suspected", Paint::Yellow),
        (Trend::LateRelease, _) => ("late release", Paint::Cyan),
        (Trend::Plateau, _) => ("plateau", Paint::Plain),
        (Trend::Over, _) => ("over", Paint::Plain),
    }
}

/// `agent (pid 4242): 17 handles on maps conn_events (hash), +2.0/s; RLIMIT_NOFILE 65,536 in 8 h`
fn told(leak: &LeakEvent) -> String {
    let mut text = format!("{} ", leak.id);
    let who = holder(&leak.holder, leak.holders, leak.pattern.as_deref());
    let what = match leak.by {
        By::Fd => ("handle", "handles"),
        By::Mmap => ("mapping", "mappings"),
        By::Pin => ("pin", "pins"),
        _ => ("reference", "references"),
    };
    let _ = write!(text, "{who}: ");
    if leak.state == Trend::Over {
        let _ = write!(text, "nothing left of its {}", what.1);
    } else {
        text += &units::counted(leak.open, what.0, what.1);
        if !matches!(leak.by, By::Fd | By::Mmap | By::Pin) {
            let _ = write!(text, " ({})", words::by(leak.by));
        }
        if leak.by == By::Fd && leak.open_fds > leak.open {
            let fds = units::counted(leak.open_fds, "descriptor", "descriptors");
            let _ = write!(text, " by {fds}");
        }
    }
    let _ = write!(text, " on {}", objects(&leak.objects));
    match leak.state {
        Trend::Growing => {
            let _ = write!(text, ", +{}", rate(leak.per_second));
            if let Some(collections) = leak.collections.filter(|&n| n > 0) {
                let collections = units::counted(collections.into(), "collection", "collections");
                let _ = write!(text, ", through {collections}");
            }
        }
        Trend::LateRelease if leak.open == 0 => text.push_str(
            ": all of it went as a garbage collection ended; was it left to that to close it?",
        ),
        Trend::LateRelease => text
            .push_str(": it grows and falls again; something releases late what should be closed"),
        Trend::Plateau => text.push_str(": it has stopped growing"),
        Trend::Over => {}
    }
    for limit in leak.exhausts.iter().take(2) {
        let _ = write!(text, "; {}", self::limit(limit));
    }
    text
}

/// `RLIMIT_NOFILE 65,536 in 8 h 56 m`
pub(crate) fn limit(limit: &Exhaustion) -> String {
    let value = match limit.limit.as_str() {
        "RLIMIT_NOFILE" | "fs.file-max" => units::count(limit.value),
        _ => units::bytes(limit.value),
    };
    let time = units::duration(limit.in_seconds as f64);
    format!("{} {value} in {time}", limit.limit)
}

/// `2.0/s`, `3.1 a minute`, `1.5 an hour`
pub(crate) fn rate(per_second: f64) -> String {
    if per_second >= 0.095 {
        format!("{per_second:.1}/s")
    } else if per_second * 60.0 >= 0.95 {
        format!("{:.1} a minute", per_second * 60.0)
    } else {
        format!("{:.1} an hour", per_second * 3600.0)
    }
}

pub(crate) fn objects(group: &model::ObjectGroup) -> String {
    let (one, many) = words::nouns(group.kind);
    let mut text = match group.count {
        1 => {
            let id = group.ids.first().copied();
            words::id(group.kind, id)
        }
        0 => one.to_owned(),
        n => format!("{} {many}", units::count(n)),
    };
    if !group.name.is_empty() {
        let _ = write!(text, " {}", group.name);
    }
    let _ = write!(text, " ({})", group.type_name);
    text
}

fn holder(holder: &Holder, holders: u64, pattern: Option<&str>) -> String {
    match holder {
        Holder::Pin(pin) => match pattern {
            Some(pattern) => format!("pins {pattern}"),
            None => words::pin_short(pin),
        },
        Holder::Process(process) if holders > 1 => {
            let comm = words::comm(pattern.unwrap_or(&process.comm));
            format!("{} processes {comm}", units::count(holders))
        }
        Holder::Process(process) => {
            let mut text = words::process_long(process);
            if let Some(unit) = &process.unit {
                let _ = write!(text, ", {unit}");
            }
            if let Some(container) = &process.container {
                let name = container.pod.as_ref().or(container.name.as_ref());
                let name = name.unwrap_or(&container.id);
                let _ = write!(text, ", container {name}");
            }
            text
        }
        other => match other.object() {
            Some((kind, object)) => words::object(kind, object),
            None => words::kernel_holder(other),
        },
    }
}

fn summary<W: Write>(screen: &mut Screen<'_, W>, summary: &WatchSummary) -> io::Result<()> {
    screen.blank()?;
    let leaks = match summary.leaks {
        0 => "nothing grows at the end".to_owned(),
        n => units::counted(n, "series grows at the end", "series grow at the end"),
    };
    let created = &summary.created;
    let text = format!(
        "{leaks}; {} in {}; at least {}, {} and {} were made meanwhile",
        units::counted(summary.sweeps, "sweep", "sweeps"),
        units::duration(summary.t),
        units::counted(created.map, "map", "maps"),
        units::counted(created.prog, "program", "programs"),
        units::counted(created.link, "link", "links"),
    );
    screen.labelled("watch", Paint::Dim, &text)?;
    let cost = &summary.cost;
    let text = format!(
        "{:.2} % of one processor, {} of memory",
        cost.share * 100.0,
        units::bytes(cost.rss_bytes)
    );
    screen.labelled("own cost", Paint::Dim, &text)?;
    if summary.lost_events > 0 {
        let lost = units::counted(summary.lost_events, "event was lost", "events were lost");
        let text = format!("{lost} for want of room: what was told is less than there was");
        screen.labelled("lost", Paint::Yellow, &text)?;
    }
    footer::blind(screen, &summary.cannot_see)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_rates_are_short() {
        assert_eq!(clock(5.9), "0:05");
        assert_eq!(clock(3_605.0), "1:00:05");
        assert_eq!(rate(2.04), "2.0/s");
        assert_eq!(rate(0.05), "3.0 a minute");
        assert_eq!(rate(1.0 / 3600.0), "1.0 an hour");
    }
}
