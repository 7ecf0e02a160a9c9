//! The matrix: what each test did on each kernel.

use crate::batch::Verdict;
use crate::kernels::LeftOut;
use crate::testrun::KernelRun;
use std::fmt::Write as _;

/// How many lines of a failed test's output are shown.
const OUTPUT_LINES: usize = 40;

/// Sums over all tests and kernels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Tests that held.
    pub passed: usize,
    /// Tests that did not, and kernels' complaints.
    pub failed: usize,
    /// Tests proved impossible.
    pub skipped: usize,
}

/// Counts. A kernel with complaints is one failure more, whatever its tests say.
pub fn totals(runs: &[KernelRun]) -> Totals {
    let mut totals = Totals::default();
    for run in runs {
        for result in &run.results {
            match result.verdict {
                Verdict::Passed => totals.passed += 1,
                Verdict::Impossible(_) => totals.skipped += 1,
                Verdict::Failed(_) => totals.failed += 1,
            }
        }
        totals.failed += usize::from(!run.complaints.is_empty());
    }
    totals
}

/// The whole report as text. Its last line is `N passed, N failed, N skipped`. `left_out` are
/// kernels that could not be had.
pub fn text(runs: &[KernelRun], left_out: &[LeftOut]) -> String {
    let mut out = String::new();
    matrix(&mut out, runs);
    details(&mut out, runs);
    for LeftOut { line, why } in left_out {
        let _ = writeln!(out, "\nLEFT OUT: kernel {line}: {why}");
    }
    let Totals {
        passed,
        failed,
        skipped,
    } = totals(runs);
    let _ = writeln!(out, "\n{passed} passed, {failed} failed, {skipped} skipped");
    out
}

fn matrix(out: &mut String, runs: &[KernelRun]) {
    let mut ids: Vec<&str> = Vec::new();
    for result in runs.iter().flat_map(|run| &run.results) {
        if !ids.contains(&result.id.as_str()) {
            ids.push(&result.id);
        }
    }
    let first = ids.iter().map(|id| id.len()).max().unwrap_or(0).max(10);
    let widths: Vec<usize> = runs.iter().map(|r| r.kernel.len().max(10)).collect();
    let mut row = |name: &str, cells: Vec<&str>| {
        let _ = write!(out, "{name:first$}");
        for (cell, width) in cells.into_iter().zip(&widths) {
            let _ = write!(out, "  {cell:width$}");
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
    };
    row("test", runs.iter().map(|r| r.kernel.as_str()).collect());
    for id in ids {
        let cells = runs.iter().map(|run| {
            let result = run.results.iter().find(|r| r.id == id);
            match result.map(|r| &r.verdict) {
                Some(Verdict::Passed) => "passed",
                Some(Verdict::Impossible(_)) => "impossible",
                Some(Verdict::Failed(_)) => "FAILED",
                None => "-",
            }
        });
        row(id, cells.collect());
    }
    let logs = runs.iter().map(|run| {
        if run.complaints.is_empty() {
            "clean"
        } else {
            "FAILED"
        }
    });
    row("kernel log", logs.collect());
}

fn details(out: &mut String, runs: &[KernelRun]) {
    for run in runs {
        for result in &run.results {
            if let Verdict::Impossible(reason) = &result.verdict {
                let _ = writeln!(
                    out,
                    "\nimpossible on {}: {}: {reason}",
                    run.kernel, result.id
                );
            }
        }
    }
    for run in runs {
        for result in &run.results {
            if let Verdict::Failed(why) = &result.verdict {
                let _ = writeln!(out, "\nFAILED on {}: {}: {why}", run.kernel, result.id);
                let lines: Vec<&str> = result.output.lines().collect();
                let hidden = lines.len().saturating_sub(OUTPUT_LINES);
                if hidden > 0 {
                    let _ = writeln!(out, "    ({hidden} lines before)");
                }
                for line in &lines[hidden..] {
                    let _ = writeln!(out, "    {}", printable(line));
                }
            }
        }
        for complaint in &run.complaints {
            let during = complaint.during.as_deref().unwrap_or("no test");
            let _ = writeln!(out, "\nKERNEL WARNING on {} during {during}:", run.kernel);
            for line in &complaint.lines {
                let _ = writeln!(out, "    {}", printable(line));
            }
        }
    }
}

/// Tests write names with control characters on purpose.
fn printable(line: &str) -> String {
    line.chars()
        .map(|c| {
            if c.is_control() && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testrun::{CaseResult, Complaint};

    fn run(kernel: &str, verdicts: &[(&str, Verdict)]) -> KernelRun {
        KernelRun {
            kernel: kernel.into(),
            results: verdicts
                .iter()
                .map(|(id, verdict)| CaseResult {
                    id: (*id).to_owned(),
                    verdict: verdict.clone(),
                    output: "said\x1b[31m this".into(),
                })
                .collect(),
            complaints: Vec::new(),
        }
    }

    #[test]
    fn the_last_line_stands_alone_and_adds_up() {
        let runs = [
            run(
                "6.1.192-2",
                &[
                    ("m::a", Verdict::Passed),
                    ("m::b", Verdict::Impossible("no tcx before 6.6".into())),
                ],
            ),
            run(
                "6.12.117-1",
                &[
                    ("m::a", Verdict::Passed),
                    ("m::b", Verdict::Failed("failed".into())),
                ],
            ),
        ];
        let left_out = LeftOut {
            line: "5.10".into(),
            why: "no bullseye here".into(),
        };
        let text = text(&runs, &[left_out]);
        assert_eq!(text.lines().last(), Some("2 passed, 1 failed, 1 skipped"));
        assert!(text.contains("\nLEFT OUT: kernel 5.10: no bullseye here\n"));
        assert!(text.contains("m::b        impossible  FAILED\n"), "{text}");
        assert!(text.contains("impossible on 6.1.192-2: m::b: no tcx before 6.6"));
        assert!(text.contains("    said\u{fffd}[31m this"));
        assert!(!runs[1].is_clean() && runs[0].is_clean());
    }

    #[test]
    fn a_kernel_warning_is_a_failure_though_all_tests_passed() {
        let mut run = run("6.1", &[("m::a", Verdict::Passed)]);
        run.complaints.push(Complaint {
            during: Some("m".into()),
            lines: vec!["WARNING: x".into()],
        });
        assert!(!run.is_clean());
        let text = text(&[run], &[]);
        assert!(text.contains("KERNEL WARNING on 6.1 during m:\n    WARNING: x"));
        assert!(text.ends_with("\n1 passed, 1 failed, 0 skipped\n"));
    }
}
