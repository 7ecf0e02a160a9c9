//! `lastref lab`

use crate::args::{
    LabAllArgs, LabArgs, LabChildArgs, LabCleanArgs, LabCommand, LabListArgs, LabRunArgs,
    LabScoreArgs, LabVaryArgs,
};
use crate::exit::{Answer, Usage};
use crate::output;
use anyhow::Context as _;
use lab::score::{Score, Setting};
use lab::{BUILT_IN, Scenario};
use serde_json::json;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

pub fn run(args: &LabArgs) -> anyhow::Result<Answer> {
    // Of a folder that the user names, all may be wrong. To clean up takes no scenarios.
    if !matches!(args.command, LabCommand::Clean(_)) {
        lab::load()?;
    }
    match &args.command {
        LabCommand::List(args) => list(args),
        LabCommand::Run(args) => run_one(args),
        LabCommand::All(args) => all(args),
        LabCommand::Score(args) => score(args),
        LabCommand::Vary(args) => vary(args),
        LabCommand::Clean(args) => clean(args),
    }
}

/// The process that a scenario runs in; does not return.
pub fn child(args: &LabChildArgs) -> anyhow::Result<Answer> {
    lab::child_main(args.rest.clone())
}

fn list(args: &LabListArgs) -> anyhow::Result<Answer> {
    let scenarios = lab::scenarios();
    if let Some(name) = &args.name {
        return describe(find(name)?, args.json);
    }
    if args.json {
        let programs = scenarios.iter().map(|s| {
            json!({"name": s.name, "title": s.manifest.title, "shows": s.manifest.shows,
                   "language": s.manifest.language.name(), "modules": s.manifest.modules,
                   "leaks": s.leaks(), "missing": lab::missing(&s.manifest)})
        });
        let built_in = json!({"name": BUILT_IN.name, "title": BUILT_IN.title, "shows": BUILT_IN.shows,
                              "language": null, "modules": [], "leaks": true, "missing": null});
        let all: Vec<_> = std::iter::once(built_in).chain(programs).collect();
        output::json(&json!({"schema": "lastref.lab-list/0", "scenarios": all}))?;
        return Ok(Answer::Clean);
    }
    output::print(|out| {
        let width = output::style().width;
        let names = scenarios.iter().map(|s| s.name.len());
        let column = names.max().unwrap_or(0).max(BUILT_IN.name.len()) + 2;
        let line = |name: &str, title: &str| format!("{name:column$}{title}");
        let indent = " ".repeat(column);
        let mut show = |name: &str, title: &str, missing: Option<String>| {
            let title = match missing {
                Some(what) => format!("{title} (needs {what})"),
                None => title.to_owned(),
            };
            let mut text = Vec::new();
            view::paragraph(&title, &indent, width, &mut text)?;
            // The name stands in the indent of the first line.
            let text = String::from_utf8_lossy(&text).into_owned();
            let first = text.strip_prefix(&indent).unwrap_or(&text);
            out.write_all(line(name, first).as_bytes())
        };
        show(BUILT_IN.name, BUILT_IN.title, None)?;
        for scenario in scenarios {
            let missing = lab::missing(&scenario.manifest);
            show(scenario.name, &scenario.manifest.title, missing)?;
        }
        Ok(())
    })?;
    Ok(Answer::Clean)
}

/// A scenario by its name.
fn find(name: &str) -> anyhow::Result<&'static Scenario> {
    let found = lab::scenarios().iter().find(|s| s.name == name);
    found.ok_or_else(|| Usage(format!("no scenario `{name}`; lastref lab list lists them")).into())
}

fn describe(scenario: &Scenario, as_json: bool) -> anyhow::Result<Answer> {
    let manifest = &scenario.manifest;
    if as_json {
        output::json(
            &json!({"schema": "lastref.lab-scenario/0", "name": scenario.name,
                             "scenario": manifest}),
        )?;
        return Ok(Answer::Clean);
    }
    output::print(|out| {
        let width = output::style().width;
        writeln!(out, "{}: {}", scenario.name, manifest.title)?;
        writeln!(out)?;
        view::paragraph(&manifest.shows, "", width, out)?;
        writeln!(out)?;
        for group in &manifest.groups {
            view::paragraph(&group.to_string(), "  ", width, out)?;
        }
        let mut field =
            |name: &str, value: &str| -> io::Result<()> { writeln!(out, "{name:<12}{value}") };
        field("language", manifest.language.name())?;
        if !manifest.modules.is_empty() {
            field("modules", &manifest.modules.join(", "))?;
        }
        if let Some(missing) = lab::missing(manifest) {
            field("needs", &missing)?;
        }
        for (name, parameter) in &manifest.parameters {
            field(
                "parameter",
                &format!("{name}={}: {}", parameter.default, parameter.help),
            )?;
        }
        for report in &manifest.reports {
            field("report", report)?;
        }
        Ok(())
    })?;
    Ok(Answer::Clean)
}

fn all(args: &LabAllArgs) -> anyhow::Result<Answer> {
    let part = part(args.part.as_deref())?;
    let width = lab::scenarios()
        .iter()
        .map(|s| s.name.len())
        .max()
        .unwrap_or(0);
    lab::sweep();
    let mut failed = None;
    let score = lab::score::score(
        &|name| name.contains(part),
        &Setting::default(),
        &["ls"],
        &mut |case| {
            let left = match case.left_behind.as_slice() {
                [] => String::new(),
                left => format!("; left behind: {}", left.join(", ")),
            };
            let line = format!(
                "{:width$}  {}{}{left}\n",
                case.scenario,
                case.judgement.result,
                case.judgement.because()
            );
            if let Err(error) = io::stdout().write_all(line.as_bytes()) {
                failed.get_or_insert(error);
            }
        },
    );
    if let Some(error) = failed.filter(|e| e.kind() != io::ErrorKind::BrokenPipe) {
        return Err(error.into());
    }
    scored(&score)
}

fn score(args: &LabScoreArgs) -> anyhow::Result<Answer> {
    let part = part(args.part.as_deref())?;
    lab::sweep();
    let setting = Setting {
        build: args.build.build(),
        parameters: args.parameters.clone(),
    };
    // Long work shows progress.
    let mut commands = lab::score::COMMANDS.to_vec();
    commands.retain(|command| {
        args.commands.is_empty() || args.commands.iter().any(|named| named == command)
    });
    let score = lab::score::score(
        &|name| name.contains(part),
        &setting,
        &commands,
        &mut |case| {
            if case.judgement.result != lab::score::Verdict::NotRun {
                let (command, result) = (case.command, case.judgement.result);
                eprintln!("{command} {}: {result}", case.scenario);
            }
        },
    );
    if args.json {
        output::json(
            &json!({"schema": "lastref.score/0", "totals": score.totals(),
                             "cases": score.cases}),
        )?;
    } else {
        output::print(|out| {
            out.write_all(
                score
                    .markdown("What `lastref` says of each scenario, against what is true of it.")
                    .as_bytes(),
            )
        })?;
    }
    scored(&score)
}

/// Where nothing ran, there is no answer, and the error says what it takes.
fn scored(score: &Score) -> anyhow::Result<Answer> {
    let totals = score.totals();
    let left_behind = |case: &lab::score::Case| !case.left_behind.is_empty();
    if totals.wrong + totals.unknown > 0 || score.cases.iter().any(left_behind) {
        return Ok(Answer::Found);
    }
    if totals.ran() > 0 {
        return Ok(Answer::Clean);
    }
    let why = score.cases.first();
    let why = why.map(|case| format!("{}: {}", case.scenario, case.judgement.why));
    let why = why.unwrap_or_else(|| "there was nothing to run".into());
    Err(lab::Error::NothingRan(why).into())
}

/// The part of a name that some scenario has.
fn part(named: Option<&str>) -> anyhow::Result<&str> {
    let part = named.unwrap_or_default();
    if lab::scenarios().iter().any(|s| s.name.contains(part)) {
        return Ok(part);
    }
    Err(Usage(format!("no scenario has `{part}` in its name")).into())
}

fn vary(args: &LabVaryArgs) -> anyhow::Result<Answer> {
    let scenario = find(&args.scenario)?;
    let axes = args.axes.iter().map(|(name, values)| lab::Axis {
        name: name.clone(),
        values: values.split(',').map(str::to_owned).collect(),
    });
    let axes: Vec<lab::Axis> = axes.collect();
    let titles = axes.iter().map(|axis| axis.name.as_str());
    let titles: Vec<&str> = titles.chain(["steps", "made", "open", "open/s"]).collect();
    let width = |at: usize| {
        let values = axes.get(at).into_iter().flat_map(|axis| &axis.values);
        values
            .map(String::len)
            .chain([titles[at].len(), 6])
            .max()
            .unwrap_or(0)
    };
    let line = |cells: &[String]| {
        let cells = cells
            .iter()
            .enumerate()
            .map(|(at, cell)| format!("{cell:>0$}", width(at)));
        cells.collect::<Vec<_>>().join("  ")
    };
    let show = |text: &str| writeln!(io::stdout(), "{text}");
    if !args.json {
        show(&line(
            &titles.iter().map(|&t| t.to_owned()).collect::<Vec<_>>(),
        ))?;
    }
    let mut failed = None;
    let rows = lab::vary(scenario, &axes, args.duration, &mut |row| {
        let numbers = [row.steps, row.made, row.open].map(|n| n.to_string());
        let mut cells: Vec<String> = row.values.iter().cloned().chain(numbers).collect();
        cells.push(format!("{:.0}", row.open_per_second()));
        // Of many errors that a program joins, one line each, the first says enough.
        let first = row.stuck.as_ref().and_then(|error| error.lines().next());
        let stuck = first.map(|error| format!("  stuck: {error}"));
        if !args.json {
            failed = show(&format!("{}{}", line(&cells), stuck.unwrap_or_default())).err();
        }
    })?;
    if let Some(error) = failed.filter(|e| e.kind() != io::ErrorKind::BrokenPipe) {
        return Err(error.into());
    }
    if args.json {
        let names: Vec<&str> = axes.iter().map(|axis| axis.name.as_str()).collect();
        output::json(
            &json!({"schema": "lastref.lab-vary/0", "scenario": scenario.name,
                             "parameters": names, "rows": rows}),
        )?;
    }
    if let Some(file) = &args.svg {
        let title = format!("{}: {}", scenario.name, scenario.manifest.title);
        let picture = lab::svg(&title, &axes, &rows).map_err(anyhow::Error::msg)?;
        std::fs::write(file, picture).with_context(|| file.display().to_string())?;
    }
    Ok(Answer::Clean)
}

fn clean(args: &LabCleanArgs) -> anyhow::Result<Answer> {
    let mut all = vec![lab::clean()?];
    if args.cache {
        all.push(lab::clean_cache()?);
    }
    for path in all.iter().flat_map(|cleaned| &cleaned.removed) {
        writeln!(io::stdout(), "removed {}", shown(path))?;
    }
    for path in all.iter().flat_map(|cleaned| &cleaned.in_use) {
        eprintln!("lastref: {}: a lab that runs uses it", shown(path));
    }
    let mut answer = Answer::Clean;
    for (path, error) in all.iter().flat_map(|cleaned| &cleaned.failed) {
        eprintln!("lastref: {}: {error}", shown(path));
        answer = Answer::Found;
    }
    let touched = |cleaned: &lab::Cleaned| {
        !(cleaned.removed.is_empty() && cleaned.in_use.is_empty() && cleaned.failed.is_empty())
    };
    if !all.iter().any(touched) {
        writeln!(io::stdout(), "nothing to remove")?;
    }
    Ok(answer)
}

fn shown(path: &Path) -> String {
    model::escape_controls(&path.display().to_string())
}

fn run_one(args: &LabRunArgs) -> anyhow::Result<Answer> {
    if args.scenario != BUILT_IN.name {
        return run_program(find(&args.scenario)?, args);
    }
    if !args.parameters.is_empty() || args.build.build() != lab::Build::default() {
        let text = format!("{} has no parameters and no modules", BUILT_IN.name);
        return Err(Usage(text).into());
    }
    if args.gc.is_some() {
        return Err(no_collector(BUILT_IN.name));
    }
    lab::sweep();
    let options = lab::RawFd {
        rate: args.rate,
        count: args.count,
        duration: args.duration,
        in_place: io::stdout().is_terminal(),
        ..Default::default()
    };
    if args.json {
        let outcome = lab::run_raw_fd(&options, &mut io::sink())?;
        output::json(&json!({
            "schema": "lastref.lab-run/0",
            "scenario": args.scenario,
            "leaked": outcome.leaked,
            "object": format!("map:{}", outcome.map_id),
            "gone": outcome.gone,
        }))?;
        return Ok(answer(outcome.gone));
    }
    let mut out = view::Wrapped::new(io::stdout(), output::style().width);
    let outcome = lab::run_raw_fd(&options, &mut out)?;
    Ok(answer(outcome.gone))
}

fn no_collector(name: &str) -> anyhow::Error {
    Usage(format!(
        "--gc: {name} is not in Go, and has no garbage collector"
    ))
    .into()
}

fn run_program(scenario: &'static Scenario, args: &LabRunArgs) -> anyhow::Result<Answer> {
    if args.gc.is_some() && scenario.manifest.language.name() != "Go" {
        return Err(no_collector(scenario.name));
    }
    let options = lab::Options {
        rate: args.rate,
        count: args.count,
        gc: args.gc,
        duration: args.duration,
        build: args.build.build(),
        parameters: args.parameters.clone(),
        log: if args.json {
            lab::Log::Kept
        } else {
            lab::Log::Shown
        },
    };
    let outcome = if args.json {
        let outcome = lab::run(scenario, &options, &mut io::sink())?;
        let mut value = serde_json::to_value(&outcome)?;
        value["schema"] = "lastref.lab-run/0".into();
        output::json(&value)?;
        outcome
    } else {
        let mut out = view::Wrapped::new(io::stdout(), output::style().width);
        lab::run(scenario, &options, &mut out)?
    };
    Ok(if outcome.is_met() {
        Answer::Clean
    } else {
        Answer::Found
    })
}

/// The scenario's truth: when its process is gone, so is the map.
fn answer(gone: bool) -> Answer {
    if gone { Answer::Clean } else { Answer::Found }
}
