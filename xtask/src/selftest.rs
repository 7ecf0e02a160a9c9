//! The test of the test harness: a machine in which every kind of end happens for real. A harness
//! that cannot fail would be worthless.

use crate::batch::Verdict;
use crate::guest::{Guest, SEARCH};
use crate::kernels::Kernel;
use crate::report;
use crate::testrun::{self, KernelRun, Options, Suite};
use crate::workspace::{Built, Workspace};
use anyhow::{Result, bail};
use std::path::Path;
use std::time::Duration;

const PROGRAM: &str = "/lastref-vm/fake-tests";

/// The fake tests, and how the verdict on each begins. The order matters: the program and the
/// machine die in between.
const EXPECTED: [(&str, &str); 11] = [
    (
        "empty::asked_for",
        "Failed(\"exit status 0, 0 of 1 tests passed",
    ),
    ("fake::passes", "Passed"),
    ("fake::fails", "Failed(\"failed"),
    (
        "fake::proves_impossible",
        "Impossible(\"this kernel is too old\")",
    ),
    ("fake::hangs", "Failed(\"timed out"),
    ("fake::leaves_a_process", "Passed"),
    ("fake::sees_a_host", "Passed"),
    ("fake::warns", "Passed"),
    ("fake::dies_by_signal", "Failed(\"killed by signal 11"),
    ("fake::panics_the_kernel", "Failed(\"the machine died: ["),
    ("fake::runs_after_the_panic", "Passed"),
];

/// Runs the fake tests on a kernel and compares.
pub fn run(workspace: &Workspace, built: &Built, kernel: &Kernel) -> Result<()> {
    let mut guest = Guest::new(workspace, built, kernel)?;
    guest
        .files
        .bytes(PROGRAM, include_bytes!("fake-tests.sh").to_vec(), 0o755);
    let suites = ["empty", "fake"].map(|suite| Suite {
        name: suite.into(),
        argv: vec![PROGRAM.into(), suite.into()],
        cwd: "/".into(),
        tests: EXPECTED
            .iter()
            .filter_map(|(id, _)| id.strip_prefix(suite)?.strip_prefix("::"))
            .map(str::to_owned)
            .collect(),
        skipped: Vec::new(),
        ignored: Vec::new(),
    });
    let _lock = workspace.lock_scratch()?;
    let scratch = workspace.scratch()?.join("self-test");
    std::fs::create_dir_all(&scratch)?;
    let options = Options {
        silence: Duration::from_secs(5),
        env: vec![("PATH".into(), SEARCH.into())],
        scratch: Path::new(&scratch),
        name: kernel.release.clone(),
    };
    let run = testrun::run(kernel, &mut guest, &suites, &options)?;
    let wrong = differences(&run);
    if !wrong.is_empty() {
        print!("{}", report::text(&[run], &[]));
        bail!("the harness judged wrongly:\n  {}", wrong.join("\n  "));
    }
    println!(
        "self-test on {}: all {} ends of a test told apart",
        run.kernel,
        EXPECTED.len()
    );
    Ok(())
}

fn differences(run: &KernelRun) -> Vec<String> {
    let mut wrong = Vec::new();
    for ((name, expected), result) in EXPECTED.iter().zip(&run.results) {
        if result.id != *name {
            wrong.push(format!("{name}: expected here, got {}", result.id));
        }
        let got = format!("{:?}", result.verdict);
        if !got.starts_with(expected) {
            wrong.push(format!("{name}: expected {expected}…, got {got}"));
        }
        if let Verdict::Failed(why) = &result.verdict
            && *name == "fake::panics_the_kernel"
            && !why.contains("Kernel panic")
        {
            wrong.push(format!("{name}: the panic is not told: {why}"));
        }
    }
    let warned = run
        .complaints
        .iter()
        .filter(|c| c.during.as_deref() == Some("fake") && c.lines[0].contains("WARNING: CPU"));
    if warned.count() != 1 {
        wrong.push("the kernel's warning was not laid at the tests that ran".into());
    }
    if run.is_clean() {
        wrong.push("a run with failures was called clean".into());
    }
    wrong
}
