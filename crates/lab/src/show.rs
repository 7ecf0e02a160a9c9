//! What a person is shown of a run.

use crate::books::Said;
use crate::catalog::Scenario;
use crate::error::Error;
use crate::manifest::Language;
use crate::program::Running;
use crate::run::{Options, count};
use crate::{holder, own};
use std::io::Write;

/// What runs, and what is true of it.
pub fn begin(
    scenario: &Scenario,
    options: &Options,
    running: &Running,
    out: &mut impl Write,
) -> Result<(), Error> {
    let Scenario { name, manifest } = scenario;
    let module = options
        .build
        .module
        .as_deref()
        .or(manifest.modules.first().map(String::as_str));
    let module = module
        .map(|module| format!(", {module}"))
        .unwrap_or_default();
    let pid = running.pid();
    writeln!(
        out,
        "{name}: pid {pid}, {} steps a second ({}{module})",
        options.rate,
        manifest.language.name()
    )?;
    writeln!(out)?;
    writeln!(out, "{}", manifest.shows)?;
    writeln!(out)?;
    for group in &manifest.groups {
        writeln!(out, "  {group}")?;
        if let Some(site) = &group.site {
            let line = scenario.line(&site.file, &site.mark);
            let line = line.map(|line| format!(":{line}")).unwrap_or_default();
            writeln!(out, "      made in {}, {}{line}", site.function, site.file)?;
        }
    }
    writeln!(out)?;
    Ok(out.flush()?)
}

/// What to look at, with the process that holds it. False if none holds anything yet, and one will: then nothing is shown.
pub fn look_at(
    scenario: &Scenario,
    options: &Options,
    running: &Running,
    out: &mut impl Write,
) -> Result<bool, Error> {
    let manifest = &scenario.manifest;
    let pid = match holder::of(scenario, running) {
        Some(pid) => pid,
        None if manifest
            .groups
            .iter()
            .any(|group| group.held_by.iter().any(|by| by == "fd")) =>
        {
            return Ok(false);
        }
        None => running.pid(),
    };
    writeln!(out, "Look at it from another terminal:")?;
    writeln!(out, "  lastref ls --pid {pid}")?;
    // Of what only pins hold, for instance, no process tells.
    if manifest
        .groups
        .iter()
        .any(|group| !group.verdicts.is_empty())
    {
        writeln!(out, "  lastref explain {pid}")?;
    }
    let first = manifest.groups.iter().find_map(|group| {
        let id = *running.said().book(&group.name).held.first()?;
        Some(format!("{}:{id}", group.object.kind.as_str()))
    });
    if let Some(object) = first {
        writeln!(out, "  lastref why {object}")?;
    }
    if manifest.language == Language::Go && options.gc.is_none() {
        let why = if manifest.collects {
            "it makes little garbage, so that minutes may pass until the next"
        } else {
            "none runs by itself"
        };
        writeln!(
            out,
            "What it made since its last collection is not-judged, and {why}: with --gc 5s one runs every five seconds."
        )?;
    }
    writeln!(out)?;
    out.flush()?;
    Ok(true)
}

/// How far it came.
pub fn tell(
    scenario: &Scenario,
    said: &Said,
    steps: u64,
    out: &mut impl Write,
) -> Result<(), Error> {
    let numbers = count(scenario, said)
        .into_iter()
        .map(|(name, counted)| match counted.dropped {
            0 => format!("{name} {}", counted.held),
            dropped => format!("{name} {} and {dropped} dropped", counted.held),
        });
    let numbers: Vec<String> = numbers.collect();
    writeln!(
        out,
        "{}: {steps} steps; {}",
        scenario.name,
        numbers.join(", ")
    )?;
    Ok(out.flush()?)
}

/// What people have today, and what it answers.
pub fn todays_commands(scenario: &Scenario, running: &Running) -> Vec<(String, String)> {
    let mut commands = Vec::new();
    if crate::needs::bpftool().is_some() {
        let mut seen = Vec::new();
        for object in scenario.manifest.groups.iter().map(|group| &group.object) {
            let kind = object.kind.as_str();
            let name = object.name.trim_end_matches('*');
            let command = match name {
                "" => format!("bpftool {kind} show | grep -c '^[0-9]'"),
                name => format!("bpftool {kind} show | grep -c {}", model::shell_quote(name)),
            };
            if !seen.contains(&command) {
                seen.push(command);
            }
        }
        commands.extend(seen);
    }
    let pid = holder::of(scenario, running).unwrap_or(running.pid());
    commands.push(format!("ls -l /proc/{pid}/fd | grep -c bpf"));
    let answers = commands.into_iter().map(|command| {
        let answer = own::shell(&command);
        (command, answer)
    });
    answers.collect()
}
