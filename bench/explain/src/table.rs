//! The tables for people.

use crate::LOOKING;
use crate::results::{PeerRun, Results, Scene, Steps};
use bench_sweep::measure::Cost;
use bench_sweep::results::Of;
use bench_sweep::table::{GOALS, Goal, known, load, machine, ms, short, thousands};
use std::fmt::Write as _;

/// All tables, in Markdown.
pub fn markdown(results: &Results) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = head(&mut out, results);
    let _ = goals(&mut out, results);
    let _ = steps(&mut out, results);
    let _ = command(&mut out, results);
    let _ = gaps(&mut out, results);
    let _ = peers(&mut out, results);
    out
}

fn head(out: &mut String, results: &Results) -> std::fmt::Result {
    let host = &results.host;
    writeln!(
        out,
        "# What explain takes, and whether the process feels it, {}, {}\n",
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
        "- Load of the minute before: {}, after: {}.",
        load(results.load_before),
        load(results.load_after)
    )?;
    for note in &results.notes {
        writeln!(out, "- {note}")?;
    }
    Ok(())
}

fn name(scene: &Scene) -> String {
    format!(
        "{}, {} handles on {} maps, {} MiB",
        scene.library,
        thousands(scene.handles),
        thousands(scene.maps),
        thousands(scene.heap_mib)
    )
}

fn of_steps(of: Of, scene: &Scene, what: fn(Steps) -> u64) -> Option<f64> {
    of.of(scene.steps.iter().map(|&steps| what(steps))).map(ms)
}

fn of_costs(of: Of, costs: &[Cost], what: fn(&Cost) -> u64) -> Option<f64> {
    of.of(costs.iter().map(what)).map(ms)
}

fn wall(cost: &Cost) -> u64 {
    cost.wall_ns
}

/// What a run took beyond the time for which it was told to look.
fn beyond(cost: &Cost) -> u64 {
    cost.wall_ns.saturating_sub(LOOKING.as_nanos() as u64)
}

fn goals(out: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(out, "\n## Goals\n\n{GOALS}")?;
    for scene in &results.scenes {
        let mut row = |figure: &str, goal: f64, measured: Option<f64>| {
            let figure = format!("{}: {figure}, median", name(scene));
            writeln!(
                out,
                "{}",
                Goal::AtMost(goal).row(&figure, " ms", measured, 2)
            )
        };
        let memory = of_steps(Of::Median, scene, Steps::memory_ns);
        row("from opening its memory to verdicts", 5.0, memory)?;
        row(
            "the same, with what the kernel lists meanwhile",
            5.0,
            of_steps(Of::Median, scene, Steps::with_lists_ns),
        )?;
        row(
            "the whole command, `--for 0`",
            100.0,
            of_costs(Of::Median, &scene.one_look, wall),
        )?;
        row(
            "the whole command, beyond `--for 2s`",
            100.0,
            of_costs(Of::Median, &scene.looks, beyond),
        )?;
    }
    if let Some((small, large)) = ends(results) {
        let least = |scene| of_steps(Of::Min, scene, Steps::memory_ns);
        let ratio = least(large).zip(least(small)).map(|(l, s)| l / s);
        let figure = format!(
            "from opening its memory to verdicts, {} MiB / {} MiB, least",
            thousands(large.heap_mib),
            small.heap_mib
        );
        writeln!(out, "{}", Goal::AtMost(1.1).row(&figure, "", ratio, 2))?;
    }
    Ok(())
}

/// The smallest and the largest heap of what else is the same.
fn ends(results: &Results) -> Option<(&Scene, &Scene)> {
    let small = results.scenes.first()?;
    let same = |s: &&Scene| (&s.library, s.maps) == (&small.library, small.maps);
    let large = results
        .scenes
        .iter()
        .filter(same)
        .max_by_key(|s| s.heap_mib)?;
    Some((small, large))
}

fn pair(of: impl Fn(Of) -> Option<f64>) -> String {
    match (of(Of::Min), of(Of::Median)) {
        (Some(least), Some(median)) => format!("{} / {}", short(least), short(median)),
        _ => "–".into(),
    }
}

fn steps(out: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(
        out,
        "\n## One look, step by step\n\nMilliseconds, least / median. *Memory to verdicts* is the sum of the three before it, of each run: opening the memory and finding the runtime; who owns the descriptors; what is said of it. Before and after the memory is read, the kernel lists the descriptors once more, so that what moves is left out, and is asked in the end whether each object still is there: that is *listed*, and not in the sum. What comes first does not touch the process: the kernel's walks, its executable and mappings, the accounts of all objects of the host.\n"
    )?;
    writeln!(
        out,
        "| process | resident | walks loaded | described | counted | runtime found | owners | judged | **memory to verdicts** | listed | said |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|"
    )?;
    for scene in &results.scenes {
        let columns: [fn(Steps) -> u64; 8] = [
            |s| s.loaded_ns,
            |s| s.described_ns,
            |s| s.counted_ns,
            |s| s.found_ns,
            |s| s.owned_ns,
            |s| s.judged_ns,
            Steps::memory_ns,
            |s| s.listed_ns,
        ];
        let cells = columns.map(|what| pair(|of| of_steps(of, scene, what)));
        writeln!(
            out,
            "| {} | {} MiB | {} | {} |",
            name(scene),
            thousands(scene.resident_kib >> 10),
            cells.join(" | "),
            scene.said
        )?;
    }
    Ok(())
}

fn command(out: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(
        out,
        "\n## The whole command\n\n`lastref explain PID --json`, output to `/dev/null`, from start to end. Milliseconds, least / median. Processor time is the kernel's.\n"
    )?;
    writeln!(
        out,
        "| process | `--for 0` | processor | beyond `--for 2s` | processor | memory, at its most |\n|---|--:|--:|--:|--:|--:|"
    )?;
    for scene in &results.scenes {
        let (one, looks) = (&scene.one_look, &scene.looks);
        let cpu: fn(&Cost) -> u64 = |cost| cost.cpu_ns;
        let peaks = one.iter().chain(looks).filter_map(|cost| cost.peak_rss_kib);
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {:.1} MiB |",
            name(scene),
            pair(|of| of_costs(of, one, wall)),
            pair(|of| of_costs(of, one, cpu)),
            pair(|of| of_costs(of, looks, beyond)),
            pair(|of| of_costs(of, looks, cpu)),
            peaks.max().unwrap_or(0) as f64 / 1024.0
        )?;
    }
    Ok(())
}

fn gaps(out: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(
        out,
        "\n## Is the process kept from running?\n\nThe process is not stopped: nothing of the program could. A thread of it that never sleeps looks for the largest gap between two turns, in windows as long as the command with one look, in turn with and without it. Milliseconds, least / median / most. A gap is what the host's scheduler makes; with the command there is one more program that wants a processor.\n"
    )?;
    writeln!(
        out,
        "| process | windows | alone | with `lastref explain` |\n|---|--:|--:|--:|"
    )?;
    for scene in &results.scenes {
        writeln!(
            out,
            "| {} | {} | {} | {} |",
            name(scene),
            scene.gaps_alone_ns.len(),
            three(&scene.gaps_alone_ns),
            three(&scene.gaps_explained_ns)
        )?;
    }
    Ok(())
}

fn three(ns: &[u64]) -> String {
    let of = |of: Of| {
        of.of(ns.iter().copied())
            .map_or("–".into(), |ns| short(ms(ns)))
    };
    let most = ns.iter().max().map_or("–".into(), |&ns| short(ms(ns)));
    format!("{} / {} / {most}", of(Of::Min), of(Of::Median))
}

fn peers(out: &mut String, results: &Results) -> std::fmt::Result {
    if results.peers.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n## Others, on the same processes\n\nOne run each, on those with the newest library. *Stood still*: the largest gap of the thread that never sleeps. None of them leads from a descriptor to what owns it, or tells what the last collection said of that; all need debugging information, which these programs have.\n"
    )?;
    writeln!(
        out,
        "| | live data | what | seconds | stood still, seconds | it said |\n|---|--:|---|--:|--:|---|"
    )?;
    let seconds = |ns: u64| format!("{:.2}", ns as f64 / 1e9);
    for run in &results.peers {
        let PeerRun { peer, what, .. } = run;
        writeln!(
            out,
            "| {peer} | {} MiB | {what} | {} | {} | {}{} |",
            thousands(run.heap_mib),
            seconds(run.wall_ns),
            run.stood_ns.map_or("–".into(), seconds),
            if run.ok { "" } else { "failed: " },
            run.said.replace('|', "\\|")
        )?;
    }
    Ok(())
}
