//! `cargo xtask test-kernels`: the same tests on every kernel.

use crate::guest::{Guest, SEARCH};
use crate::kernels::{self, Kernel, LeftOut};
use crate::parts::{self, Job};
use crate::report;
use crate::testrun::{KernelRun, Options, Suite};
use crate::workspace::{Built, E2E, PROGRAM, Workspace};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is asked for.
pub struct Request {
    /// Kernels as [`kernels::get`] takes them; none means the matrix.
    pub kernels: Vec<String>,
    /// Packages whose tests run; none means the tests from outside.
    pub packages: Vec<String>,
    /// Only tests whose `suite::name` contains this.
    pub filter: Option<String>,
    /// Only every so-many-th test, for a quick look; 1: all.
    pub every: usize,
    /// A test is ended when it wrote nothing for so long.
    pub silence: Duration,
    /// Take the result of an earlier clean run of the very same files.
    pub reuse: bool,
    /// How many machines run at a time. Each keeps one processor of the host busy.
    pub machines: usize,
}

/// Tests everywhere, prints the matrix, and says whether all is well.
pub fn run(workspace: &Workspace, request: &Request) -> Result<bool> {
    let mut packages = request.packages.clone();
    if packages.is_empty() {
        packages.push(E2E.to_owned());
    }
    // Fetched first: a kernel that cannot be had is told before the long work.
    let (kernels, left_out) = kernels::all(&request.kernels, &workspace.kernel_cache())?;
    for LeftOut { line, why } in &left_out {
        eprintln!("kernel {line} is left out: {why}");
    }
    let built = workspace.build_tests(&packages)?;
    let mut suites = Vec::new();
    for program in &built.tests {
        let mut suite = Suite::list(program)?;
        if let Some(filter) = &request.filter {
            suite.filter(filter);
        }
        suite.thin(request.every);
        suites.push(suite);
    }
    suites.retain(|suite| !suite.tests.is_empty() || !suite.ignored.is_empty());
    ensure!(
        !suites.is_empty(),
        "no test of {} fits: nothing would be tested",
        packages.join(", ")
    );
    let _lock = workspace.lock_scratch()?;
    let scratch = workspace.scratch()?;
    let env = environment(&built)?;
    let mut runs = Vec::new();
    let mut jobs = Vec::new();
    for kernel in &kernels {
        let guest = guest(workspace, &built, kernel)?;
        let saved = Saved {
            file: scratch.join(format!("{}.json", kernel.release)),
            digest: format!(
                "{:016x} {} {:?}",
                guest.files.digest()?,
                kernel.version,
                suites
            ),
        };
        let earlier = if request.reuse { saved.load() } else { None };
        if earlier.is_some() {
            eprintln!(
                "{}: same files as in an earlier run, result reused",
                kernel.version
            );
        } else {
            jobs.push(Job {
                kernel,
                guest,
                suites: &suites,
                options: Options {
                    silence: request.silence,
                    env: env.clone(),
                    scratch: &scratch,
                    name: kernel.release.clone(),
                },
            });
        }
        runs.push((saved, earlier));
    }
    let mut done = parts::run(&jobs, request.machines)?.into_iter();
    let runs = runs.into_iter().map(|(saved, earlier)| {
        if let Some(run) = earlier {
            return Ok(run);
        }
        let run = done.next().context("a kernel without a run")?;
        saved.store(&run)?;
        Ok(run)
    });
    let runs: Vec<KernelRun> = runs.collect::<Result<_>>()?;
    print!("{}", report::text(&runs, &left_out));
    Ok(runs.iter().all(KernelRun::is_clean))
}

/// All that the tests need in a machine.
fn guest(workspace: &Workspace, built: &Built, kernel: &Kernel) -> Result<Guest> {
    let mut guest = Guest::new(workspace, built, kernel)?;
    for test in &built.tests {
        guest.files.program(&test.path)?;
        guest.files.folder(&test.folder);
    }
    for program in built.programs.values() {
        guest.files.program(program)?;
    }
    for folder in &built.out_folders {
        guest.files.host(folder)?;
    }
    if let Some(fixtures) = fixtures(built)? {
        guest.files.host(&fixtures)?;
    }
    Ok(guest)
}

/// The tests' environment in a machine.
fn environment(built: &Built) -> Result<Vec<(String, String)>> {
    let mut env = vec![
        ("PATH".to_owned(), SEARCH.to_owned()),
        ("HOME".to_owned(), "/root".to_owned()),
        ("TMPDIR".to_owned(), "/tmp".to_owned()),
        // Reading debug information takes long on an emulated processor.
        ("RUST_BACKTRACE".to_owned(), "0".to_owned()),
        // Tells a test that nobody else lives here.
        ("LASTREF_VM".to_owned(), "1".to_owned()),
    ];
    if let Some(path) = built.programs.get(PROGRAM) {
        env.push(("LASTREF_BIN".to_owned(), text(path)?));
    }
    for (name, path) in &built.programs {
        env.push((format!("CARGO_BIN_EXE_{name}"), text(path)?));
    }
    for (name, value) in &built.build_env {
        env.push((name.clone(), value.clone()));
    }
    if let Some(fixtures) = fixtures(built)? {
        env.retain(|(name, _)| name != FIXTURES);
        env.push((FIXTURES.to_owned(), text(&fixtures)?));
    }
    Ok(env)
}

const FIXTURES: &str = "LASTREF_E2E_FIXTURES";

/// The folder of prebuilt BPF objects: as the environment says, else as the build script says,
/// else what the build script wrote.
fn fixtures(built: &Built) -> Result<Option<PathBuf>> {
    let named = std::env::var_os(FIXTURES)
        .map(PathBuf::from)
        .or_else(|| built.build_env.get(FIXTURES).map(PathBuf::from))
        .or_else(|| built.out_folders.first().cloned());
    named
        .map(|path| {
            path.canonicalize()
                .with_context(|| format!("{FIXTURES}: no folder {}", path.display()))
        })
        .transpose()
}

fn text(path: &Path) -> Result<String> {
    let text = path.to_str().map(str::to_owned);
    text.with_context(|| format!("{} is not UTF-8", path.display()))
}

/// The result of an earlier run, kept with what tells its files from any others.
struct Saved {
    file: PathBuf,
    digest: String,
}

#[derive(Serialize, Deserialize)]
struct SavedRun {
    digest: String,
    run: KernelRun,
}

impl Saved {
    /// The result, if it was clean and of the same files.
    fn load(&self) -> Option<KernelRun> {
        let saved: SavedRun = serde_json::from_slice(&fs::read(&self.file).ok()?).ok()?;
        (saved.digest == self.digest && saved.run.is_clean()).then_some(saved.run)
    }

    fn store(&self, run: &KernelRun) -> Result<()> {
        let saved = SavedRun {
            digest: self.digest.clone(),
            run: run.clone(),
        };
        fs::write(&self.file, serde_json::to_vec(&saved)?)
            .with_context(|| format!("cannot write {}", self.file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Verdict;
    use crate::testrun::CaseResult;

    #[test]
    fn only_a_clean_run_of_the_same_files_is_reused() {
        let folder = tempfile::tempdir().unwrap();
        let saved = |digest: &str| Saved {
            file: folder.path().join("x.json"),
            digest: digest.into(),
        };
        let mut run = KernelRun {
            kernel: "6.1".into(),
            results: vec![CaseResult {
                id: "a".into(),
                verdict: Verdict::Passed,
                output: String::new(),
            }],
            complaints: Vec::new(),
        };
        assert!(saved("1").load().is_none());
        saved("1").store(&run).unwrap();
        assert!(saved("1").load().is_some());
        assert!(saved("2").load().is_none());
        run.results[0].verdict = Verdict::Failed("x".into());
        saved("1").store(&run).unwrap();
        assert!(saved("1").load().is_none());
    }
}
