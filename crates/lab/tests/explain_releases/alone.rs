//! What no scenario's books judge: heaps that move while they are read, releases that are not
//! understood, a cleanup that is called and has not returned.

use crate::cases::find;
use crate::program::ask;
use crate::table::Row;
use lab::{Build, Log, Program, Running, prepare};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

const PART: &str = "alone";

/// All of them, one after the other.
pub fn all() -> Vec<Row> {
    let busy = BUSY
        .iter()
        .map(|case| row("go-busy-heap", case.title, busy(case)));
    let mut rows: Vec<Row> = busy.collect();
    rows.push(row("go-cache-grows", "go1.17", older()));
    rows.push(row(
        "go-cache-grows",
        "go1.99",
        newer(&["-ldflags=-s -w"], true),
    ));
    rows.push(row(
        "go-cache-grows",
        "go1.99 with DWARF",
        newer(&[], false),
    ));
    for (module, go) in [("ebpf-v0.22.0", None), ("ebpf-v0.20.0", Some("1.24.11"))] {
        let column = format!("owns=handle {}", go.unwrap_or_default());
        rows.push(row(
            "go-cleanup-blocked",
            column.trim(),
            cleanup(module, go),
        ));
    }
    rows
}

fn row(scenario: &str, column: &str, result: Result<String, String>) -> Row {
    let row = Row {
        part: PART,
        scenario: scenario.to_owned(),
        column: column.to_owned(),
        title: format!("{scenario} {column}"),
        result: if result.is_ok() { "right" } else { "wrong" }.into(),
        why: result.unwrap_or_else(|why| why),
    };
    eprintln!("{}: {}{}", row.title, row.result, row.because());
    row
}

/// A heap that is busy.
struct Busy {
    title: &'static str,
    module: &'static str,
    go: Option<&'static str>,
    mib: u32,
    goroutines: u32,
}

const BUSY: [Busy; 5] = [
    Busy {
        title: "1 GiB, 10,000 goroutines",
        module: "ebpf-v0.22.0",
        go: None,
        mib: 1024,
        goroutines: 10_000,
    },
    Busy {
        title: "v0.22.0",
        module: "ebpf-v0.22.0",
        go: None,
        mib: 16,
        goroutines: 100,
    },
    Busy {
        title: "v0.9.1",
        module: "ebpf-v0.9.1",
        go: None,
        mib: 16,
        goroutines: 100,
    },
    Busy {
        title: "v0.16.0, Go 1.21",
        module: "ebpf-v0.16.0",
        go: Some("1.21.13"),
        mib: 16,
        goroutines: 100,
    },
    Busy {
        title: "v0.19.0, Go 1.24",
        module: "ebpf-v0.19.0",
        go: Some("1.24.11"),
        mib: 16,
        goroutines: 100,
    },
];

/// Verdicts that may be true of maps of these names at any moment. All but `busy_foreign` have an
/// owner; those that are dropped may have been reached by the last collection, or be new.
const MAY_BE: [(&str, &[&str]); 5] = [
    ("flow_shard", &["retained"]),
    (
        "flow_scratch",
        &["retained", "not-judged", "sweep-pending", "release-queued"],
    ),
    ("busy_closed", &["retained", "not-judged"]),
    (
        "busy_dropped",
        &["retained", "not-judged", "sweep-pending", "release-queued"],
    ),
    ("busy_foreign", &["no-owner"]),
];

/// Looks at it again and again while it allocates and its collector runs. What is not known may be
/// one verdict of twenty.
fn busy(case: &Busy) -> Result<String, String> {
    const LOOKS: Duration = Duration::from_secs(8);
    let build = Build {
        module: Some(case.module.to_owned()),
        go: case.go.map(str::to_owned),
        flags: vec![],
    };
    let parameters = [
        ("mib".to_owned(), case.mib.to_string()),
        ("goroutines".to_owned(), case.goroutines.to_string()),
        ("workers".to_owned(), "3".to_owned()),
    ];
    let mut running = start("go-busy-heap", &build, &parameters, Ok)?;
    running.tell("step", None).map_err(text)?;
    running.tell("gc", None).map_err(text)?;
    let pid = running.pid().to_string();
    let (mut looks, mut cycles) = (0, [u64::MAX, 0]);
    let mut said: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut wrong = None;
    let until = Instant::now() + LOOKS;
    while Instant::now() < until && wrong.is_none() {
        let report = ask(&["explain", &pid, "--for", "0", "--json"])?;
        looks += 1;
        if let Some(cycle) = report["process"]["gc"]["cycles"].as_u64() {
            cycles = [cycles[0].min(cycle), cycles[1].max(cycle)];
        }
        for group in report["groups"].as_array().into_iter().flatten() {
            let name = group["objects"]["name"].as_str().unwrap_or_default();
            let verdict = group["verdict"].as_str().unwrap_or_default();
            let known = MAY_BE.iter().find(|(known, _)| *known == name);
            let may_be = known.map_or(&[] as &[&str], |(_, may_be)| may_be);
            if verdict != "unknown" && !may_be.contains(&verdict) {
                wrong = Some(format!(
                    "look {looks}: {name} is {verdict}: {}",
                    group["evidence"]
                ));
            }
            let count = group["count"].as_u64().unwrap_or(0);
            *said
                .entry((name.to_owned(), verdict.to_owned()))
                .or_default() += count;
        }
    }
    running.end().map_err(text)?;
    if let Some(wrong) = wrong {
        return Err(wrong);
    }
    let sum = |verdict: Option<&str>| -> u64 {
        let of = said
            .iter()
            .filter(|((_, said), _)| verdict.is_none_or(|v| said == v));
        of.map(|(_, count)| count).sum()
    };
    let (unknown, all) = (sum(Some("unknown")), sum(None));
    let of = format!(
        "{looks} looks, collections {} to {}, {unknown} of {all} verdicts unknown",
        cycles[0], cycles[1]
    );
    let moves = cycles[0] < cycles[1];
    if looks < 10 || !moves || unknown * 20 > all || all == 0 {
        return Err(format!("{of}: {said:?}"));
    }
    Ok(of)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn start(
    name: &str,
    build: &Build,
    parameters: &[(String, String)],
    change: impl FnOnce(Program) -> Result<Program, String>,
) -> Result<Running, String> {
    let scenario = find(name);
    let program = change(prepare(scenario, build).map_err(text)?)?;
    let env = lab::environment(scenario, parameters).map_err(text)?;
    Running::start(&program, &env, Log::Kept, None).map_err(text)
}

/// All that is said of a program: the release, each verdict, and what could not be seen.
fn said(running: Running) -> Result<(String, Vec<Value>, String), String> {
    let report = ask(&["explain", &running.pid().to_string(), "--json"])?;
    running.end().map_err(text)?;
    let runtime = report["process"]["runtime"].as_str().unwrap_or_default();
    let groups = report["groups"].as_array().cloned().unwrap_or_default();
    Ok((runtime.to_owned(), groups, report["cannot_see"].to_string()))
}

/// Nothing is claimed, and the release is named.
fn refused(running: Running, release: &str) -> Result<String, String> {
    let (runtime, groups, cannot_see) = said(running)?;
    let claimed = groups.iter().find(|group| group["verdict"] != "unknown");
    if let Some(claimed) = claimed {
        return Err(format!("{} is said of {release}", claimed["verdict"]));
    }
    if !runtime.contains(release) || !cannot_see.contains(release) || groups.is_empty() {
        return Err(format!("it runs {runtime:?}, and cannot see {cannot_see}"));
    }
    Ok(format!("unknown: {cannot_see}"))
}

/// A release before those that are understood.
fn older() -> Result<String, String> {
    let build = Build {
        module: Some("ebpf-v0.9.1".into()),
        go: Some("1.17.13".into()),
        flags: vec![],
    };
    refused(start("go-cache-grows", &build, &[], Ok)?, "go1.17")
}

/// One that is newer: a program of the machine's Go that says so.
fn newer(flags: &[&str], is_refused: bool) -> Result<String, String> {
    let build = Build {
        flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
        ..Build::default()
    };
    let folder = std::env::temp_dir().join(format!("lastref-newer-{}", std::process::id()));
    let changed = |mut program: Program| {
        let mut bytes = fs::read(&program.path).map_err(text)?;
        // Of `go1.26.8`, in the build info and wherever else: the same length.
        let is_release = |at: &[u8]| {
            at.starts_with(b"go1.") && at[4..6].iter().all(u8::is_ascii_digit) && at[6] == b'.'
        };
        let places: Vec<usize> = (0..bytes.len().saturating_sub(8))
            .filter(|&at| is_release(&bytes[at..at + 8]))
            .collect();
        for at in places {
            bytes[at + 4..at + 6].copy_from_slice(b"99");
        }
        fs::create_dir_all(&folder).map_err(text)?;
        program.path = folder.join("agent");
        fs::write(&program.path, bytes).map_err(text)?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&program.path, mode).map_err(text)?;
        Ok(program)
    };
    let mut running = start("go-cache-grows", &build, &[], changed)?;
    running.tell("step", None).map_err(text)?;
    running.tell("gc", None).map_err(text)?;
    let result = if is_refused {
        refused(running, "go1.99")
    } else {
        let (_, groups, _) = said(running)?;
        let fits = |verdict: &Value| verdict == "retained" || verdict == "unknown";
        match groups.iter().find(|group| !fits(&group["verdict"])) {
            Some(group) => Err(format!("{} is said", group["verdict"])),
            None => Ok(groups
                .iter()
                .map(|g| g["verdict"].to_string())
                .collect::<Vec<_>>()
                .join(", ")),
        }
    };
    fs::remove_dir_all(&folder).map_err(text)?;
    result
}

/// A cleanup that was called and waits will close a descriptor: that nobody owns it is not said.
fn cleanup(module: &str, go: Option<&str>) -> Result<String, String> {
    let build = Build {
        module: Some(module.to_owned()),
        go: go.map(str::to_owned),
        flags: vec![],
    };
    let parameters = [("owns".to_owned(), "handle".to_owned())];
    let mut running = start("go-cleanup-blocked", &build, &parameters, Ok)?;
    for _ in 0..4 {
        running.tell("step", None).map_err(text)?;
    }
    running.tell("gc", None).map_err(text)?;
    let (_, groups, _) = said(running)?;
    let verdict = |name: &str| {
        let mut of = groups.iter().filter(|g| g["objects"]["name"] == name);
        let of = of.next().map(|g| g["verdict"].to_string());
        of.unwrap_or_default()
    };
    match [verdict("session_own"), verdict("scan_hosts")] {
        [own, scans] if own == "\"unknown\"" && scans == "\"release-blocked\"" => {
            Ok("unknown".into())
        }
        [own, scans] => Err(format!("session_own is {own}, scan_hosts {scans}")),
    }
}
