//! The table for people: figure, goal, measured, met or not.

use crate::host::Host;
use crate::peers::Peer;
use crate::results::{Of, Results, Span, cpu, wall};
use crate::verifier::Program;
use std::fmt::Write as _;

/// A goal: at most or at least this.
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Goal {
    AtMost(f64),
    AtLeast(f64),
    Below(f64),
}

impl Goal {
    fn met(self, measured: f64) -> bool {
        match self {
            Self::AtMost(goal) => measured <= goal,
            Self::AtLeast(goal) => measured >= goal,
            Self::Below(goal) => measured < goal,
        }
    }

    fn words(self, unit: &str) -> String {
        match self {
            Self::AtMost(goal) => format!("≤ {goal}{unit}"),
            Self::AtLeast(goal) => format!("≥ {goal}{unit}"),
            Self::Below(goal) => format!("< {goal}{unit}"),
        }
    }

    /// A line of the table that begins with [`GOALS`].
    pub fn row(self, figure: &str, unit: &str, measured: Option<f64>, digits: usize) -> String {
        let (value, met) = match measured {
            Some(m) => (
                format!("{m:.digits$}{unit}"),
                if self.met(m) { "yes" } else { "**no**" },
            ),
            None => ("not measured".into(), "**no**"),
        };
        format!("| {figure} | {} | {value} | {met} |", self.words(unit))
    }
}

/// The head of a table of goals.
pub const GOALS: &str = "| figure | goal | measured | met |\n|---|---|---|---|";

/// The whole table, in Markdown. `span`: the points between which slopes are taken.
pub fn markdown(results: &Results, points: &[u64], span: Span) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = head(&mut out, results);
    let _ = goals(&mut out, results, span);
    let _ = slopes(&mut out, results, span);
    let _ = runs(&mut out, results, points);
    let _ = own_words(&mut out, results, points);
    let _ = verifier(&mut out, results);
    out
}

fn head(out: &mut String, results: &Results) -> std::fmt::Result {
    let host = &results.host;
    let (before, after) = (load(results.load_before), load(results.load_after));
    writeln!(
        out,
        "# Cost of a sweep, {}, {}\n",
        results.date, host.kernel
    )?;
    writeln!(out, "- Machine: {}.", machine(host))?;
    let features = known(&host.bpftool_features);
    writeln!(
        out,
        "- {}; {} (features: {features}); lsof {}.",
        known(&host.lastref),
        known(&host.bpftool),
        known(&host.lsof)
    )?;
    if !features.contains("skeletons") {
        writeln!(
            out,
            "- This bpftool is built without skeletons: it shows maps but no holders, so its time does not grow with descriptors."
        )?;
    }
    writeln!(
        out,
        "- Load of the minute before: {before}, after: {after}. Processes that hold the extra descriptors: {}; each descriptor is a file of its own on one of 10 maps.",
        results.holders
    )?;
    for note in &results.notes {
        writeln!(out, "- {note}")?;
    }
    Ok(())
}

fn goals(out: &mut String, results: &Results, span: Span) -> std::fmt::Result {
    writeln!(out, "\n## Goals\n")?;
    writeln!(out, "{GOALS}")?;
    let mut row = |figure: &str, goal: Goal, unit: &str, measured: Option<f64>, digits: usize| {
        writeln!(out, "{}", goal.row(figure, unit, measured, digits))
    };
    let ratio = |of, what, above, below| {
        let above = results.slope(of, what, above, span)?;
        let below = results.slope(of, what, below, span)?;
        // Less than nothing is noise.
        (above > 0.0 && below > 0.0).then(|| above / below)
    };
    for (of, words) in [(Of::Min, "minima"), (Of::Median, "medians")] {
        for peer in [Peer::LastrefJson, Peer::LastrefText] {
            row(
                &format!(
                    "one more descriptor, `{}` / bare pass, {words}",
                    peer.name()
                ),
                Goal::AtMost(1.6),
                "",
                ratio(of, wall, peer, Peer::BarePass),
                2,
            )?;
        }
        row(
            &format!("one more descriptor, /proc walk / `lastref ls --json`, {words}"),
            Goal::AtLeast(35.0),
            "",
            ratio(of, wall, Peer::ProcWalk, Peer::LastrefJson),
            1,
        )?;
    }
    for peer in [Peer::LastrefJson, Peer::LastrefText] {
        let costs = results.costs(peer, span.to);
        let peak = costs.filter_map(|cost| cost.peak_rss_kib).max();
        row(
            &format!(
                "peak memory, `{}`, {} descriptors",
                peer.name(),
                thousands(span.to)
            ),
            Goal::Below(64.0),
            " MiB",
            peak.map(|kib| kib as f64 / 1024.0),
            1,
        )?;
    }
    for peer in [Peer::LastrefJson, Peer::LastrefText] {
        let first = || {
            let ours = results.first_bytes.iter().filter(|f| f.peer == peer);
            ours.map(|f| f.first_byte_ns)
        };
        for (of, words) in [(Of::Min, "least"), (Of::Median, "median")] {
            row(
                &format!(
                    "start to first byte, `{}`, nothing extra, {words}",
                    peer.name()
                ),
                Goal::Below(50.0),
                " ms",
                of.of(first()).map(ms),
                1,
            )?;
        }
    }
    Ok(())
}

fn slopes(out: &mut String, results: &Results, span: Span) -> std::fmt::Result {
    writeln!(
        out,
        "\n## What one more descriptor costs\n\nNanoseconds, from {} to {} descriptors.\n",
        thousands(span.from),
        thousands(span.to)
    )?;
    writeln!(
        out,
        "| | wall, minima | wall, medians | processor, minima | processor, medians |\n|---|--:|--:|--:|--:|"
    )?;
    for peer in Peer::ALL {
        write!(out, "| {} |", peer.name())?;
        for what in [wall, cpu] {
            for of in [Of::Min, Of::Median] {
                match results.slope(of, what, peer, span) {
                    Some(slope) => write!(out, " {slope:.0} |")?,
                    None => write!(out, " – |")?,
                }
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

fn runs(out: &mut String, results: &Results, points: &[u64]) -> std::fmt::Result {
    writeln!(
        out,
        "\n## Runs\n\nMilliseconds of wall time, least / median, of the whole command (bare pass: its reading alone), and peak memory.\n"
    )?;
    write!(out, "| extra descriptors |")?;
    for &point in points {
        write!(out, " {} |", thousands(point))?;
    }
    writeln!(out, "\n|---|{}", "--:|".repeat(points.len()))?;
    for peer in Peer::ALL {
        write!(out, "| {} |", peer.name())?;
        for &point in points {
            let least = results.at(Of::Min, wall, peer, point);
            let median = results.at(Of::Median, wall, peer, point);
            match (least, median) {
                (Some(least), Some(median)) => {
                    write!(out, " {} / {}", short(ms(least)), short(ms(median)))?;
                }
                _ => write!(out, " –")?,
            }
            let peak = results.costs(peer, point).filter_map(|c| c.peak_rss_kib);
            match peak.max() {
                Some(kib) => write!(out, ", {:.1} MiB |", kib as f64 / 1024.0)?,
                None => write!(out, " |")?,
            }
        }
        writeln!(out)?;
    }
    if let Some(floor) = results.rss_floor_kib {
        writeln!(
            out,
            "\nThe kernel hands the peak of the process that starts a command on to it: no peak here can be below {:.1} MiB.",
            floor as f64 / 1024.0
        )?;
    }
    Ok(())
}

fn own_words(out: &mut String, results: &Results, points: &[u64]) -> std::fmt::Result {
    writeln!(
        out,
        "\n## Where the time of `lastref ls --json` goes\n\nMedians, the output read by the benchmark. The sweep is what lastref says of itself; the rest is starting, loading the walks, sorting and printing.\n"
    )?;
    writeln!(
        out,
        "| extra descriptors | whole, ms | sweep, ms | passes | staged walks | objects | JSON, KiB |\n|--:|--:|--:|--:|---|--:|--:|"
    )?;
    for &point in points {
        let ours = || results.own_words.iter().filter(|w| w.descriptors == point);
        let whole = Of::Median.of(ours().map(|w| w.wall_ns));
        let sweep = Of::Median.of(ours().map(|w| (w.sweep_seconds * 1e9) as u64));
        let bytes = Of::Median.of(ours().map(|w| w.output_bytes as u64));
        let (Some(whole), Some(sweep), Some(bytes)) = (whole, sweep, bytes) else {
            continue;
        };
        let objects = ours().map(|w| w.objects).max().unwrap_or_default();
        let least = ours().map(|w| w.passes).min().unwrap_or_default();
        let most = ours().map(|w| w.passes).max().unwrap_or_default();
        let passes = if least == most {
            least.to_string()
        } else {
            format!("{least}–{most}")
        };
        let mut staged: Vec<&str> = ours()
            .flat_map(|w| w.staged_walks.iter().map(String::as_str))
            .collect();
        staged.sort_unstable();
        staged.dedup();
        let staged = match staged.as_slice() {
            [] => "none".into(),
            some => some.join(", "),
        };
        writeln!(
            out,
            "| {} | {} | {} | {passes} | {staged} | {objects} | {} |",
            thousands(point),
            short(ms(whole)),
            short(ms(sweep)),
            bytes.div_ceil(1024)
        )?;
    }
    Ok(())
}

fn verifier(out: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(out, "\n## The walks' programs\n")?;
    programs(out, &results.programs)
}

/// What the verifier and the compiler made of programs.
pub fn programs(out: &mut String, programs: &[Program]) -> std::fmt::Result {
    writeln!(
        out,
        "| program | verifier instructions | BPF, bytes | machine code, bytes |\n|---|--:|--:|--:|"
    )?;
    for program in programs {
        writeln!(
            out,
            "| {} | {} | {} | {} |",
            program.name,
            thousands(program.verified_insns.into()),
            thousands(program.xlated_bytes.into()),
            thousands(program.jited_bytes.into())
        )?;
    }
    Ok(())
}

/// The machine in one line.
pub fn machine(host: &Host) -> String {
    let mut words = vec![known(&host.cpu)];
    words.extend(host.cpus.map(|cpus| format!("{cpus} processors")));
    words.extend(host.memory_mib.map(|memory| format!("{memory} MiB")));
    words.extend((host.virtual_machine == Some(true)).then(|| "a virtual machine".into()));
    format!("{}; {}", words.join(", "), host.architecture)
}

/// What may not have been found out.
pub fn known(text: &Option<String>) -> String {
    text.clone().unwrap_or_else(|| "not to be had".into())
}

/// The load of a minute.
pub fn load(load: Option<f64>) -> String {
    load.map_or_else(|| "unknown".into(), |load| format!("{load:.2}"))
}

/// Nanoseconds as milliseconds.
pub fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

/// Three digits that mean something.
pub fn short(value: f64) -> String {
    match value {
        v if v < 10.0 => format!("{v:.2}"),
        v if v < 100.0 => format!("{v:.1}"),
        v => thousands(v.round() as u64),
    }
}

/// 100,000
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(thousands(100_000), "100,000");
        assert_eq!(thousands(999), "999");
        assert_eq!(short(0.456), "0.46");
        assert_eq!(short(1234.5), "1,235");
    }

    #[test]
    fn a_goal_is_met_or_not() {
        assert!(Goal::AtMost(1.6).met(1.6));
        assert!(!Goal::Below(64.0).met(64.0));
        assert!(!Goal::AtLeast(35.0).met(34.9));
    }
}
