//! The tables for people.

use crate::results::{Churn, Cost, Results, Told};
use crate::tax::{Beside, Block, Loop};
use crate::work::How;
use bench_sweep::results::Of;
use bench_sweep::table::{GOALS, Goal, known, load, machine, short, thousands};
use std::fmt::Write as _;

/// After so many seconds of churn, memory is to grow no more.
const SETTLED: usize = 10;

/// All tables, in Markdown.
pub fn markdown(results: &Results) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = head(&mut out, results);
    let _ = goals(&mut out, results);
    let _ = tax(&mut out, results);
    let _ = cost(&mut out, results);
    let _ = told(&mut out, results);
    let _ = churn(&mut out, results);
    out
}

fn head(out: &mut String, results: &Results) -> std::fmt::Result {
    let host = &results.host;
    writeln!(
        out,
        "# What a watch costs, and how soon it tells, {}, {}\n",
        results.date, host.kernel
    )?;
    writeln!(
        out,
        "- Machine: {}. {}; {}.",
        machine(host),
        known(&host.lastref),
        known(&results.bpftrace)
    )?;
    writeln!(
        out,
        "- Load of the minute before: {}, after: {}.",
        load(results.load_before),
        load(results.load_after)
    )?;
    for note in &results.notes {
        writeln!(out, "- {note}")?;
    }
    Ok(())
}

fn goals(out: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(out, "\n## Goals\n\n{GOALS}")?;
    let mut row = |figure: &str, goal: Goal, unit: &str, measured: Option<f64>, digits: usize| {
        writeln!(out, "{}", goal.row(figure, unit, measured, digits))
    };
    for of in Loop::ALL {
        for (what, words) in WAYS {
            row(
                &format!("{}, with a watch / without, {words}", of.name()),
                Goal::AtMost(1.02),
                "",
                ratio(results, of, Beside::Watch, what),
                3,
            )?;
        }
    }
    for maps in scenes(results) {
        let costs = || results.cost.iter().filter(move |c| c.maps == maps);
        let figure = |words: &str| format!("{}, {words}", scene(results, maps));
        let most = |values: &mut dyn Iterator<Item = f64>| values.reduce(f64::max);
        row(
            &figure("share of a core, by its own words, the most"),
            Goal::AtMost(0.3),
            " %",
            most(&mut costs().map(|c| c.summary.cost.share * 100.0)),
            2,
        )?;
        row(
            &figure("share of a core, by `/proc/PID/stat`, the most"),
            Goal::AtMost(0.3),
            " %",
            most(&mut costs().map(|c| share(c) * 100.0)),
            2,
        )?;
        row(
            &figure("memory at its most"),
            Goal::AtMost(30.0),
            " MiB",
            most(&mut costs().map(|c| c.memory_kib.peak as f64 / 1024.0)),
            1,
        )?;
    }
    for leak in leaks(results, "suspected") {
        let figure = |words: &str| format!("suspected, {}, {words}", leak_words(leak));
        let told = told_of(results, leak, "suspected");
        let all = told.clone().all(|t| t.sweeps.is_some());
        let seconds = told.clone().filter_map(|t| t.seconds).reduce(f64::max);
        let sweeps = told.filter_map(|t| t.sweeps).max();
        row(
            &figure("seconds, the most (five sweeps at one a second)"),
            Goal::AtMost(5.0),
            " s",
            seconds.filter(|_| all),
            1,
        )?;
        row(
            &figure("sweeps, the most"),
            Goal::AtMost(5.0),
            "",
            sweeps.filter(|_| all).map(|sweeps| sweeps as f64),
            0,
        )?;
    }
    for churn in &results.churn {
        let figure = |words: &str| {
            let rate = churn.true_acquired as f64 / churn.seconds;
            format!(
                "{}, {} a second, {words}",
                churn.how.name(),
                thousands(rate.round() as u64)
            )
        };
        row(
            &figure("memory at its most after the first ten seconds, above what it was then"),
            Goal::AtMost(1.0),
            " MiB",
            grown(churn),
            2,
        )?;
        row(
            &figure("`acquired` / the true number"),
            Goal::AtMost(1.0),
            "",
            Some(churn.acquired as f64 / churn.true_acquired as f64),
            4,
        )?;
        if churn.how == How::NewMap {
            row(
                &figure("`created` / the true number"),
                Goal::AtMost(1.0),
                "",
                Some(churn.summary.created.map as f64 / churn.true_acquired as f64),
                6,
            )?;
        }
    }
    Ok(())
}

/// What is taken of a loop's blocks.
type What = fn(&[&Block]) -> Option<u64>;

const WAYS: [(What, &str); 2] = [
    (
        |blocks| Of::Median.of(blocks.iter().map(|b| b.mean_ps())),
        "medians of blocks",
    ),
    (
        |blocks| Of::Median.of(blocks.iter().map(|b| b.batch_ns)),
        "medians of batches",
    ),
];

fn blocks(results: &Results, of: Loop, beside: Beside) -> Vec<&Block> {
    let ours = |b: &&Block| b.of == of && b.beside == beside;
    results.tax.iter().filter(ours).collect()
}

fn ratio(results: &Results, of: Loop, beside: Beside, what: What) -> Option<f64> {
    let with = what(&blocks(results, of, beside))?;
    let without = what(&blocks(results, of, Beside::Nothing))?;
    Some(with as f64 / without as f64)
}

fn tax(out: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(
        out,
        "\n## A system call of another program\n\nNanoseconds a turn, one processor, in turn with nothing else; {} sweeps were made meanwhile. Blocks: the mean of one, least / median of all. Batch: the middle one of a block's batches of 1,000 turns, median of all blocks.\n",
        results.tax_sweeps
    )?;
    writeln!(
        out,
        "| loop | beside | blocks | batch | blocks / nothing | batch / nothing |\n|---|---|--:|--:|--:|--:|"
    )?;
    for of in Loop::ALL {
        for beside in Beside::ALL {
            let ours = blocks(results, of, beside);
            let one = |which: Of| which.of(ours.iter().map(|b| b.mean_ps()));
            let (Some(least), Some(median)) = (one(Of::Min), one(Of::Median)) else {
                continue;
            };
            let batch = Of::Median.of(ours.iter().map(|b| b.batch_ns));
            let ratios = WAYS.map(|(what, _)| ratio(results, of, beside, what).unwrap_or_default());
            writeln!(
                out,
                "| {} | {} | {:.1} / {:.1} | {:.1} | {:.3} | {:.3} |",
                of.name(),
                beside.name(),
                least as f64 / 1e3,
                median as f64 / 1e3,
                batch.unwrap_or_default() as f64 / 1e3,
                ratios[0],
                ratios[1]
            )?;
        }
    }
    Ok(())
}

/// Numbers of maps, in the order in which they were measured.
fn scenes(results: &Results) -> Vec<u64> {
    let mut maps: Vec<u64> = results.cost.iter().map(|c| c.maps).collect();
    maps.dedup();
    maps
}

fn scene(results: &Results, maps: u64) -> String {
    let handles = results.cost.iter().find(|c| c.maps == maps);
    let handles = handles.map_or(0, |c| c.handles);
    format!("{} handles on {} maps", thousands(handles), thousands(maps))
}

fn share(cost: &Cost) -> f64 {
    cost.proc_cpu_seconds / cost.proc_seconds
}

fn cost(out: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(
        out,
        "\n## The watch itself\n\nOne process holds the handles, and nothing moves. By its own words: from its second sweep on. By `/proc`: without its first second; its clock ticks 100 times a second.\n"
    )?;
    writeln!(
        out,
        "| | seconds | sweeps | processor, own words | share | processor, `/proc` | share | a sweep | memory, at its most |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|"
    )?;
    for c in &results.cost {
        let own = c.summary.cost;
        let sweeps = c.summary.sweeps.saturating_sub(1).max(1);
        writeln!(
            out,
            "| {} | {:.1} | {} | {:.0} ms | {:.2} % | {:.0} ms | {:.2} % | {} ms | {:.1} MiB, now {:.1} |",
            scene(results, c.maps),
            c.summary.t,
            c.summary.sweeps,
            own.cpu_seconds * 1e3,
            own.share * 100.0,
            c.proc_cpu_seconds * 1e3,
            share(c) * 100.0,
            short(own.cpu_seconds * 1e3 / sweeps as f64),
            c.memory_kib.peak as f64 / 1024.0,
            c.memory_kib.now as f64 / 1024.0
        )?;
    }
    Ok(())
}

/// How handles are acquired, and the seconds between two sweeps where nothing moves.
type Leak = (How, u32);

fn told_of<'a>(
    results: &'a Results,
    leak: Leak,
    what: &'a str,
) -> impl Iterator<Item = &'a Told> + Clone {
    let ours = move |t: &&Told| (t.how, t.interval) == leak && t.what == what;
    results.told.iter().filter(ours)
}

/// In the order in which they were measured.
fn leaks(results: &Results, what: &str) -> Vec<Leak> {
    let ours = results.told.iter().filter(|t| t.what == what);
    let mut leaks: Vec<Leak> = ours.map(|t| (t.how, t.interval)).collect();
    leaks.dedup();
    leaks
}

fn leak_words((how, interval): Leak) -> String {
    match interval {
        1 => how.name().to_owned(),
        longer => format!("{}, `--interval {longer}s`", how.name()),
    }
}

fn told(out: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(
        out,
        "\n## From the first leaked handle to what is said\n\nOne handle a second, beginning at another part of a second each time. Least / median / most. The first sweep that finds a leaked handle is the first. While something moves, there are two sweeps a second, with `--interval 2s` one.\n"
    )?;
    writeln!(
        out,
        "| leaked by | said | rounds | told | seconds | sweeps |\n|---|---|--:|--:|--:|--:|"
    )?;
    for what in ["suspected", "yes"] {
        for leak in leaks(results, what) {
            let rounds = told_of(results, leak, what);
            let seconds = rounds.clone().filter_map(|t| t.seconds);
            let milliseconds = seconds.map(|s| (s * 1e3) as u64).collect();
            let sweeps: Vec<u64> = rounds.clone().filter_map(|t| t.sweeps).collect();
            writeln!(
                out,
                "| {} | {what} | {} | {} | {} | {} |",
                leak_words(leak),
                rounds.count(),
                sweeps.len(),
                three(milliseconds, |ms| format!("{:.1}", ms as f64 / 1e3)),
                three(sweeps, |n| n.to_string())
            )?;
        }
    }
    Ok(())
}

/// Least, median and most.
fn three(mut values: Vec<u64>, show: fn(u64) -> String) -> String {
    values.sort_unstable();
    match values.as_slice() {
        [] => "–".into(),
        [least, .., most] => {
            let median = values[values.len() / 2];
            format!("{} / {} / {}", show(*least), show(median), show(*most))
        }
        [one] => show(*one),
    }
}

/// MiB that memory grew by once it had settled.
fn grown(churn: &Churn) -> Option<f64> {
    let (settled, after) = churn.rss_kib.split_at_checked(SETTLED)?;
    let (before, most) = (settled.last()?, after.iter().max()?);
    Some(most.saturating_sub(*before) as f64 / 1024.0)
}

fn churn(out: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(
        out,
        "\n## Very many acquisitions\n\nFour threads, each with eight handles at a time. Memory: of the watch, after one second, after ten, and at its most.\n"
    )?;
    writeln!(
        out,
        "| by | seconds | true number | a second | `acquired` | `released` | `created`, maps | memory, MiB | share of a core | said of it |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|---|"
    )?;
    for c in &results.churn {
        let mib = |kib: Option<&u64>| {
            kib.map_or("–".into(), |kib| format!("{:.1}", *kib as f64 / 1024.0))
        };
        writeln!(
            out,
            "| {} | {:.1} | {} | {} | {} | {} | {} | {} / {} / {} | {:.2} % | {} |",
            c.how.name(),
            c.seconds,
            thousands(c.true_acquired),
            thousands((c.true_acquired as f64 / c.seconds).round() as u64),
            thousands(c.acquired),
            thousands(c.released),
            thousands(c.summary.created.map),
            mib(c.rss_kib.first()),
            mib(c.rss_kib.get(SETTLED - 1)),
            mib(c.rss_kib.iter().max()),
            c.summary.cost.share * 100.0,
            if c.said.is_empty() {
                "nothing".into()
            } else {
                c.said.join(", ")
            }
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn least_median_and_most() {
        let show = |n: u64| n.to_string();
        assert_eq!(three(vec![], show), "–");
        assert_eq!(three(vec![7], show), "7");
        assert_eq!(three(vec![5, 1, 9], show), "1 / 5 / 9");
    }
}
