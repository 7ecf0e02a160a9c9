//! The tables for people.

use crate::results::{Large, Results};
use bench_sweep::crowd::Size;
use bench_sweep::measure::Cost;
use bench_sweep::results::Of;
use bench_sweep::table::{known, load, machine, ms, programs, short, thousands};
use std::fmt::Write as _;

/// Goal of the large host.
const GOAL_MS: f64 = 300.0;

/// All tables, in Markdown.
pub fn markdown(results: &Results) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = head(&mut out, results);
    let _ = large(&mut out, results);
    let _ = scenes(&mut out, results);
    let _ = walks(&mut out, results);
    let _ = asked(&mut out, results);
    out
}

fn head(out: &mut String, results: &Results) -> std::fmt::Result {
    let host = &results.host;
    writeln!(
        out,
        "# Every kind of holder, {}, {}\n",
        results.date, host.kernel
    )?;
    writeln!(
        out,
        "- Machine: {}. {}.",
        machine(host),
        known(&host.lastref)
    )?;
    writeln!(
        out,
        "- Load of the minute before: {}, after: {}. Times are least / median, in milliseconds.",
        load(results.load_before),
        load(results.load_after)
    )?;
    for note in &results.notes {
        writeln!(out, "- {note}")?;
    }
    Ok(())
}

fn both(values: impl IntoIterator<Item = u64>) -> String {
    let values: Vec<u64> = values.into_iter().collect();
    let one = |of: Of| {
        of.of(values.iter().copied())
            .map_or("–".into(), |v| short(ms(v)))
    };
    format!("{} / {}", one(Of::Min), one(Of::Median))
}

fn wall(costs: &[Cost]) -> impl Iterator<Item = u64> {
    costs.iter().map(|cost| cost.wall_ns)
}

fn large(out: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(out, "\n## A large host\n")?;
    writeln!(
        out,
        "| | processes | maps | descriptors | bare pass | called again | `ls` | `ls --json` | sweep | peak memory |"
    )?;
    writeln!(out, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")?;
    for host in &results.large {
        let sum = |of: fn(&Size) -> u64| host.sizes.iter().map(of).sum::<u64>();
        let peak = host
            .text
            .iter()
            .chain(&host.json)
            .filter_map(|c| c.peak_rss_kib);
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {:.1} MiB |",
            host.name,
            thousands(sum(|s| s.processes)),
            thousands(sum(|s| s.processes * s.maps)),
            thousands(sum(|s| s.processes * (s.maps + s.files))),
            both(host.bare_ns.iter().copied()),
            host.calls_again.iter().max().copied().unwrap_or_default(),
            both(wall(&host.text)),
            both(wall(&host.json)),
            short(host.look.sweep_seconds * 1e3),
            peak.max().unwrap_or_default() as f64 / 1024.0
        )?;
    }
    writeln!(
        out,
        "\nAll that these processes hold was found. Descriptors: those of the processes that the benchmark made, without their standard streams."
    )?;
    if let Some(first) = results.large.first() {
        goals(out, first)?;
    }
    Ok(())
}

fn goals(out: &mut String, host: &Large) -> std::fmt::Result {
    let sum = |of: fn(&Size) -> u64| thousands(host.sizes.iter().map(of).sum());
    writeln!(
        out,
        "\n| {} maps, {} processes | goal | measured | met |\n|---|---|---|---|",
        sum(|s| s.processes * s.maps),
        sum(|s| s.processes)
    )?;
    for (words, costs) in [("ls", &host.text), ("ls --json", &host.json)] {
        for (of, which) in [(Of::Min, "least"), (Of::Median, "median")] {
            let Some(measured) = of.of(wall(costs)).map(ms) else {
                continue;
            };
            let met = if measured <= GOAL_MS { "yes" } else { "**no**" };
            let (measured, cpu) = (short(measured), of.of(costs.iter().map(|c| c.cpu_ns)));
            writeln!(
                out,
                "| `{words}`, {which} | ≤ {GOAL_MS} ms | {measured} ms; {} ms of processor time | {met} |",
                short(ms(cpu.unwrap_or_default()))
            )?;
        }
    }
    Ok(())
}

fn scenes(out: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(out, "\n## `ls` with holders of all kinds\n")?;
    writeln!(
        out,
        "| host | `ls` | `ls --json` | sweep | passes | peak memory | unexplained |"
    )?;
    writeln!(out, "|---|--:|--:|--:|--:|--:|--:|")?;
    for scene in &results.scenes {
        let sweeps = scene.looks.iter().map(|l| (l.sweep_seconds * 1e9) as u64);
        let peak = scene
            .text
            .iter()
            .chain(&scene.json)
            .filter_map(|c| c.peak_rss_kib);
        let passes: Vec<u32> = scene.looks.iter().map(|l| l.passes).collect();
        let open = scene.looks.iter().map(|l| l.unexplained.len());
        writeln!(
            out,
            "| {} | {} | {} | {} | {}–{} | {:.1} MiB | {} |",
            scene.name,
            both(wall(&scene.text)),
            both(wall(&scene.json)),
            both(sweeps),
            passes.iter().min().copied().unwrap_or_default(),
            passes.iter().max().copied().unwrap_or_default(),
            peak.max().unwrap_or_default() as f64 / 1024.0,
            open.min().unwrap_or_default(),
        )?;
    }
    let median = |at: usize| {
        let scene = results.scenes.get(at)?;
        Of::Median.of(wall(&scene.text))
    };
    if let (Some(without), Some(with)) = (median(0), median(1)) {
        writeln!(
            out,
            "\nWith all of them, `ls` takes {:.1} times as long (medians).",
            with as f64 / without as f64
        )?;
    }
    Ok(())
}

fn walks(out: &mut String, results: &Results) -> std::fmt::Result {
    let costs = &results.walks;
    let sweep = Of::Median.of(costs.every_sweep_run_ns.iter().copied());
    let ratio = |run: &[u64]| {
        let run = Of::Median.of(run.iter().copied());
        match (run, sweep) {
            (Some(run), Some(sweep)) if sweep > 0 => format!("{:.2}", run as f64 / sweep as f64),
            _ => "–".into(),
        }
    };
    writeln!(
        out,
        "\n## What a walk costs\n\nWith holders of all kinds on the host. Walks of one group are loaded together, when the first of them is wanted.\n"
    )?;
    writeln!(
        out,
        "| walk | loading its group | a run | a run / bare sweep |"
    )?;
    writeln!(out, "|---|--:|--:|--:|")?;
    writeln!(
        out,
        "| bare sweep: objects, descriptors, objects | {} | {} | 1 |",
        both(costs.every_sweep_load_ns.iter().copied()),
        both(costs.every_sweep_run_ns.iter().copied())
    )?;
    for walk in &costs.staged {
        writeln!(
            out,
            "| {} | {} | {} | {} |",
            walk.name,
            both(walk.load_ns.iter().copied()),
            both(walk.run_ns.iter().copied()),
            ratio(&walk.run_ns)
        )?;
    }
    writeln!(
        out,
        "\nA pass over descriptors by a program that returns at once: {}.",
        both(results.bare_pass_ns.iter().copied())
    )?;
    writeln!(out)?;
    programs(out, &costs.programs)
}

fn asked(out: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(
        out,
        "\n## Which walks a holder asks for\n\nThose that ran in `ls` at every look, with one such holder on the host. *BTF by id* is no walk, and always made.\n"
    )?;
    writeln!(
        out,
        "| holder | walks on demand | `ls --json` | unexplained |\n|---|---|--:|---|"
    )?;
    for asked in &results.asked {
        let walks: Vec<&str> = asked.walks.iter().map(String::as_str).collect();
        let walks: Vec<&str> = walks.into_iter().filter(|w| *w != "BTF by id").collect();
        let or_none = |text: String| if text.is_empty() { "none".into() } else { text };
        writeln!(
            out,
            "| {} | {} | {} | {} |",
            asked.kind,
            or_none(walks.join("; ")),
            both(asked.wall_ns.iter().copied()),
            or_none(asked.unexplained.join(", "))
        )?;
    }
    Ok(())
}
