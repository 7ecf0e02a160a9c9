//! `lastref explain` on Go programs of every release, library and kind of build, against the
//! programs' own books.
//!
//! `LASTREF_LAB_RELEASES=all`: all of them; `=matrix`, `=releases`, `=kinds` or `=alone`: one part;
//! not set: nothing, as it takes minutes. The program that is asked is `LASTREF_BIN`, or the one that
//! `cargo build --release` has made. `LASTREF_LAB_TABLE` is a file that the table goes to, too.

mod alone;
mod cases;
mod program;
mod table;

use cases::{Case, Part};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use table::Row;

/// Explains beside each other: they look on for two seconds, and mostly wait.
const BESIDE: usize = 4;
/// Builds beside each other.
const BUILDS: usize = 2;
/// Of what ran, so many of a hundred are right.
const RIGHT: usize = 90;

fn main() -> ExitCode {
    // A scenario's program is started by this very program.
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == lab::CHILD_COMMAND) {
        lab::child_main(words);
    }
    let wanted = std::env::var("LASTREF_LAB_RELEASES").unwrap_or_default();
    if wanted.is_empty() {
        eprintln!("SKIPPED: takes minutes; LASTREF_LAB_RELEASES=all runs it");
        return ExitCode::SUCCESS;
    }
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: needs root, for namespaces and BPF");
        return ExitCode::SUCCESS;
    }
    let parts: Vec<Part> = Part::ALL
        .into_iter()
        .filter(|part| wanted == "all" || wanted == part.name())
        .collect();
    let cases: Vec<Case> = parts.iter().flat_map(|part| part.cases()).collect();
    // Beside a compiler nothing keeps its pace. Why one cannot be built is told below.
    side_by_side(BUILDS, &cases, |case| {
        if let Err(error) = lab::prepare(case.scenario, &case.setting.build) {
            eprintln!("{case}: {error}");
        }
    });
    let mut rows: Vec<Row> = side_by_side(BESIDE, &cases, |case| {
        let row = program::score(case);
        eprintln!("{case}: {}{}", row.result, row.because());
        row
    });
    if wanted == "all" || wanted == "alone" {
        rows.extend(alone::all());
    }
    let table = table::markdown(&rows);
    println!("{table}");
    if let Some(path) = std::env::var_os("LASTREF_LAB_TABLE") {
        std::fs::write(path, &table).expect("the table can be written");
    }
    verdict(&rows)
}

/// Nothing is wrong, nearly all is right, and all of it ran.
fn verdict(rows: &[Row]) -> ExitCode {
    let count = |result: &str| rows.iter().filter(|row| row.result == result).count();
    let [right, wrong, unknown] = ["right", "wrong", "unknown"].map(count);
    let ran = right + wrong + unknown;
    let not_run = rows.len() - ran;
    println!("{right} right, {wrong} wrong, {unknown} unknown, {not_run} not run");
    for row in rows.iter().filter(|row| row.result != "right") {
        println!("{}: {}{}", row.title, row.result, row.because());
    }
    if wrong > 0 || not_run > 0 || right * 100 < ran * RIGHT || ran == 0 {
        println!("FAILED");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// What comes of each, in their order; so many at the same time.
fn side_by_side<T: Sync, R: Send>(
    beside: usize,
    all: &[T],
    each: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..beside {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(one) = all.get(at) else {
                        break;
                    };
                    let result = each(one);
                    done.lock().expect("no thread panics").push((at, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no thread panics");
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}
