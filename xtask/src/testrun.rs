//! Runs test programs on one kernel, and goes on after a test that ended its program or machine.

use crate::batch::{self, End, Verdict};
use crate::command;
use crate::guest::Guest;
use crate::kernel_log;
use crate::kernels::Kernel;
use crate::plan::{Command, Plan};
use crate::stream::Event;
use crate::vm::{Ending, Machine};
use crate::workspace::TestProgram;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Duration;

/// Of a program's output, the end is kept.
const OUTPUT_KEPT: usize = 8 << 20;

/// A test program and those of its tests that shall run.
#[derive(Clone, Debug)]
pub struct Suite {
    /// Its name.
    pub name: String,
    /// The program, and arguments before those that every test program understands.
    pub argv: Vec<String>,
    /// Its working directory.
    pub cwd: String,
    /// The tests to run.
    pub tests: Vec<String>,
    /// Tests that must not run.
    pub skipped: Vec<String>,
    /// Tests marked `#[ignore]`.
    pub ignored: Vec<String>,
}

/// What came of one test.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CaseResult {
    /// `suite::name`.
    pub id: String,
    /// The result.
    pub verdict: Verdict,
    /// What it wrote.
    pub output: String,
}

/// A complaint of the kernel, with whom it is laid at.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Complaint {
    /// The suite that ran.
    pub during: Option<String>,
    /// The lines.
    pub lines: Vec<String>,
}

/// What came of all tests on one kernel.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KernelRun {
    /// The kernel's version.
    pub kernel: String,
    /// In the order of suites and tests.
    pub results: Vec<CaseResult>,
    /// What the kernel complained about.
    pub complaints: Vec<Complaint>,
}

impl KernelRun {
    /// Nothing failed and the kernel is content.
    pub fn is_clean(&self) -> bool {
        self.complaints.is_empty()
            && !self
                .results
                .iter()
                .any(|r| matches!(r.verdict, Verdict::Failed(_)))
    }
}

/// How tests are run.
#[derive(Clone)]
pub struct Options<'a> {
    /// A test is ended when it wrote nothing for so long.
    pub silence: Duration,
    /// The environment of the tests.
    pub env: Vec<(String, String)>,
    /// Where the initramfs and the kernel's log are written …
    pub scratch: &'a Path,
    /// … under this name, which no other machine that runs now has.
    pub name: String,
}

impl Suite {
    /// Asks a test program which tests it has.
    pub fn list(program: &TestProgram) -> Result<Self> {
        let names = |args: &[&str]| -> Result<Vec<String>> {
            let text = command::text(
                std::process::Command::new(&program.path)
                    .args(args)
                    .current_dir(&program.folder),
            )?;
            Ok(listed(&text))
        };
        let ignored = names(&["--list", "--ignored"])?;
        let mut tests = names(&["--list"])?;
        tests.retain(|name| !ignored.contains(name));
        Ok(Self {
            name: program.name.clone(),
            argv: vec![program.path.to_string_lossy().into_owned()],
            cwd: program.folder.to_string_lossy().into_owned(),
            tests,
            skipped: Vec::new(),
            ignored,
        })
    }

    /// Leaves only tests with this in `suite::name`.
    pub fn filter(&mut self, part: &str) {
        let suite = self.name.clone();
        let fits = |name: &str| format!("{suite}::{name}").contains(part);
        self.keep(|_, name| fits(name));
        self.ignored.retain(|name| fits(name));
    }

    /// Leaves every so-many-th test, the same ones each time.
    pub fn thin(&mut self, every: usize) {
        self.keep(|place, _| place % every.max(1) == 0);
    }

    /// Leaves the tests that are wanted, by their place and name; the others must not run.
    pub fn keep(&mut self, wanted: impl Fn(usize, &str) -> bool) {
        for (place, test) in std::mem::take(&mut self.tests).into_iter().enumerate() {
            let list = if wanted(place, &test) {
                &mut self.tests
            } else {
                &mut self.skipped
            };
            list.push(test);
        }
    }

    fn command(&self, left: &[String], silence: Duration) -> Command {
        let mut argv = self.argv.clone();
        for argument in [
            "--exact",
            "--nocapture",
            "--test-threads=1",
            "--color=never",
        ] {
            argv.push(argument.to_owned());
        }
        let decided = self.tests.iter().filter(|name| !left.contains(name));
        for name in self.skipped.iter().chain(decided) {
            argv.extend(["--skip".to_owned(), name.clone()]);
        }
        Command {
            argv,
            cwd: self.cwd.clone(),
            timeout: silence * (left.len() as u32 + 1),
            silence,
        }
    }

    /// `suite::name` of all its tests, those marked `#[ignore]` last.
    pub fn ids(&self) -> impl Iterator<Item = String> {
        let all = self.tests.iter().chain(&self.ignored);
        all.map(|test| self.id(test))
    }

    fn id(&self, test: &str) -> String {
        format!("{}::{test}", self.name)
    }
}

fn listed(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .map(str::to_owned)
        .collect()
}

/// Runs the suites on a kernel.
pub fn run(
    kernel: &Kernel,
    guest: &mut Guest,
    suites: &[Suite],
    options: &Options,
) -> Result<KernelRun> {
    let mut run = KernelRun {
        kernel: kernel.version.clone(),
        results: suites.iter().flat_map(without_result).collect(),
        complaints: Vec::new(),
    };
    ensure!(!run.results.is_empty(), "there are no tests to run");
    let mut left: Vec<Vec<String>> = suites.iter().map(|s| s.tests.clone()).collect();
    // Every boot decides at least one test, so this ends.
    while left.iter().any(|tests| !tests.is_empty()) {
        boot(kernel, guest, suites, &mut left, options, &mut run)?;
    }
    Ok(run)
}

fn without_result(suite: &Suite) -> Vec<CaseResult> {
    let result = |test: &String, why: &str| CaseResult {
        id: suite.id(test),
        verdict: Verdict::Failed(why.into()),
        output: String::new(),
    };
    let ignored = "is marked #[ignore]: a test runs, or proves that it cannot";
    let tests = suite.tests.iter().map(|test| result(test, "did not run"));
    let ignored = suite.ignored.iter().map(|test| result(test, ignored));
    tests.chain(ignored).collect()
}

/// One boot: what is left of every suite, until all is done or the machine dies.
fn boot(
    kernel: &Kernel,
    guest: &mut Guest,
    suites: &[Suite],
    left: &mut [Vec<String>],
    options: &Options,
    run: &mut KernelRun,
) -> Result<()> {
    // Which suite a command of this boot runs.
    let running: Vec<usize> = (0..suites.len()).filter(|&i| !left[i].is_empty()).collect();
    let mut plan = Plan {
        modules: Vec::new(),
        env: options.env.clone(),
        commands: running
            .iter()
            .map(|&i| suites[i].command(&left[i], options.silence))
            .collect(),
    };
    let initrd = options.scratch.join(format!("{}.initrd", options.name));
    let nonce = guest.write(&mut plan, &initrd)?;
    let machine = Machine {
        kernel,
        initrd: &initrd,
        plan: &plan,
        nonce: &nonce,
        log: options.scratch.join(format!("{}.log", options.name)),
    };
    // The first until one begins: a machine that dies before that is laid at its door.
    let mut current = running.first().copied();
    let mut output = Output::default();
    let mut decide = |suite: usize, end: &End, output: &[u8]| {
        let names: Vec<&str> = left[suite].iter().map(String::as_str).collect();
        let output = String::from_utf8_lossy(output);
        let decided = batch::read(&names, end, &output);
        for (name, (verdict, output)) in &decided {
            let id = suites[suite].id(name);
            if let Some(result) = run.results.iter_mut().find(|result| result.id == id) {
                result.verdict = verdict.clone();
                result.output.clone_from(output);
            }
            if let Verdict::Failed(why) = verdict {
                eprintln!("{}  {id}: FAILED: {why}", kernel.version);
            }
        }
        left[suite].retain(|name| !decided.contains_key(name));
    };
    let ending = machine.run(|event| match event {
        Event::Begin(command) => {
            current = running.get(command).copied();
            output = Output::default();
        }
        Event::Output(bytes) => {
            let suite = current.map_or("", |i| &suites[i].name);
            output.push(&bytes, |test| {
                eprintln!("{}  {suite}::{test}", kernel.version);
            });
        }
        Event::End(_, outcome, _) => {
            if let Some(suite) = current.take() {
                decide(suite, &End::Process(outcome), &output.kept);
            }
        }
        Event::Note(note) => eprintln!("{}: {note}", kernel.version),
        Event::Ready | Event::Done => {}
    })?;
    if let Ending::Died(why) = ending {
        // The next machine writes its log to the same place.
        let kept = options.scratch.join(format!("{}.died.log", options.name));
        std::fs::write(&kept, machine.kernel_log())?;
        eprintln!("{}: its log is {}", kernel.version, kept.display());
        if let Some(suite) = current {
            decide(suite, &End::Machine(why), &output.kept);
        }
    }
    for complaint in kernel_log::complaints(&machine.kernel_log()) {
        let suite = complaint.during.and_then(|command| running.get(command));
        run.complaints.push(Complaint {
            during: suite.map(|&i| suites[i].name.clone()),
            lines: complaint.lines,
        });
    }
    Ok(())
}

/// What a program wrote.
#[derive(Default)]
struct Output {
    kept: Vec<u8>,
    /// Where the line begins that is not complete.
    line: usize,
}

impl Output {
    /// Adds to it, and tells which tests begin.
    fn push(&mut self, bytes: &[u8], mut begins: impl FnMut(&str)) {
        self.kept.extend_from_slice(bytes);
        while let Some(length) = self.kept[self.line..].iter().position(|&b| b == b'\n') {
            let line = String::from_utf8_lossy(&self.kept[self.line..self.line + length]);
            if let Some(test) = batch::begins(&line) {
                begins(test);
            }
            self.line += length + 1;
        }
        if self.kept.len() > 2 * OUTPUT_KEPT {
            let dropped = self.kept.len() - OUTPUT_KEPT;
            self.kept.drain(..dropped);
            self.line = self.line.saturating_sub(dropped);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite() -> Suite {
        Suite {
            name: "m".into(),
            argv: vec!["/m".into()],
            cwd: "/".into(),
            tests: vec!["a::one".into(), "a::two".into(), "b".into()],
            skipped: Vec::new(),
            ignored: vec!["c".into()],
        }
    }

    #[test]
    fn a_list_of_tests_is_read() {
        let text =
            "pins::two: test\nbench_it: benchmark\nmaps::one: test\n\n2 tests, 1 benchmark\n";
        assert_eq!(listed(text), ["pins::two", "maps::one"]);
    }

    #[test]
    fn a_test_without_a_result_has_failed() {
        let results = without_result(&suite());
        assert_eq!(results.len(), 4);
        assert!(
            results
                .iter()
                .all(|r| matches!(r.verdict, Verdict::Failed(_)))
        );
    }

    #[test]
    fn what_is_decided_or_not_wanted_is_skipped() {
        let mut suite = suite();
        suite.filter("a::");
        assert!(suite.ignored.is_empty());
        let command = suite.command(&["a::two".to_owned()], Duration::from_secs(9));
        assert_eq!(command.argv[5..], ["--skip", "b", "--skip", "a::one"]);
    }

    #[test]
    fn every_second_test_is_left() {
        let mut suite = suite();
        suite.thin(2);
        assert_eq!(suite.tests, ["a::one", "b"]);
        assert_eq!(suite.skipped, ["a::two"]);
        suite.thin(1);
        assert_eq!(suite.tests.len(), 2);
    }

    #[test]
    fn tests_are_told_as_they_begin() {
        let mut seen = Vec::new();
        let mut output = Output::default();
        for bytes in [&b"test a"[..], b"::one ... o", b"k\ntest b ... ok\nx\n"] {
            output.push(bytes, |test| seen.push(test.to_owned()));
        }
        assert_eq!(seen, ["a::one", "b"]);
    }
}
