//! Of programs in Go, with cilium/ebpf: what the collector says of their handles, wherever they run.

use super::contract::keeps_contract;
use super::moving::{looking, traced, without_a_touch};
use super::{arguments, errors, explain, group, groups, look, needs, parsed, verdict};
use crate::refused;
use e2e::confine::{CAP_BPF, CAP_PERFMON, as_nobody};
use e2e::files::{self, Folder, private_mounts};
use e2e::process::unshare;
use e2e::{here, lastref};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

/// The newest module of the lab, whose handles have cleanups, and one whose have finalizers.
pub(crate) const CLEANUPS: &str = "ebpf-v0.22.0";
const FINALIZERS: &str = "ebpf-v0.19.0";

/// The program in `fixtures/explain`, built with a module of the lab's. `None`: there is no Go here, which
/// has then been said.
pub(crate) fn built(test: &str, module: &'static str) -> Option<PathBuf> {
    static BUILT: Mutex<BTreeMap<&str, Option<PathBuf>>> = Mutex::new(BTreeMap::new());
    if !e2e::needs_root(test) {
        return None;
    }
    let mut all = BUILT
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let program = all.entry(module).or_insert_with(|| build(module)).clone();
    if program.is_none() {
        e2e::impossible(test, "there is no Go toolchain to build its program with");
    }
    program
}

fn build(module: &str) -> Option<PathBuf> {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("explain")
        .join(module);
    // A machine that is made for tests has neither sources nor compilers.
    match Command::new("go").arg("version").output() {
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        output => assert!(output.is_ok_and(|o| o.status.success()), "go version"),
    }
    std::fs::create_dir_all(&folder).expect("a folder");
    let source = crate_folder.join("fixtures/explain/main.go");
    let modules = crate_folder.join("../../lab/modules").join(module);
    for file in [source, modules.join("go.mod"), modules.join("go.sum")] {
        let name = file.file_name().expect("a file");
        std::fs::copy(&file, folder.join(name))
            .unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    }
    let output = Command::new("go")
        .args(["build", "-o", "program", "."])
        .current_dir(&folder)
        .envs([
            ("CGO_ENABLED", "0"),
            ("GOFLAGS", "-mod=readonly"),
            ("GOWORK", "off"),
        ])
        .output()
        .expect("go");
    assert!(output.status.success(), "go build: {}", errors(&output));
    Some(folder.join("program"))
}

/// A running one, killed when dropped.
pub(crate) struct Program {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Program {
    /// With these words, which it has done.
    fn start(program: &Path, words: &str) -> Self {
        Self::with(program, words, &[])
    }

    pub(crate) fn with(program: &Path, words: &str, env: &[(&str, &str)]) -> Self {
        let mut command = Command::new(program);
        command.env_remove("GOGC").env_remove("GOMEMLIMIT");
        // As many goroutines run cleanups as processors have it: here one.
        command.env("GOMAXPROCS", "2").envs(env.iter().copied());
        let command = command.args(words.split(' '));
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = piped.spawn().expect("it starts");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let mut started = Self { child, output };
        assert_eq!(started.answer(), "");
        started
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn tell(&mut self, words: &str) {
        let stdin = self.child.stdin.as_mut().expect("piped");
        writeln!(stdin, "{words}").expect("it reads");
    }

    /// What it says until it has done a line.
    fn answer(&mut self) -> String {
        let mut all = String::new();
        loop {
            let mut line = String::new();
            let read = self.output.read_line(&mut line).expect("text");
            assert!(
                read > 0 && !line.starts_with("failed"),
                "it ended: {all}{line}"
            );
            if line == "done\n" {
                return all;
            }
            all += &line;
        }
    }

    pub(crate) fn does(&mut self, words: &str) -> String {
        self.tell(words);
        self.answer()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The verdict of each group, by the name of its objects.
fn verdicts(report: &Value) -> BTreeMap<&str, &str> {
    let all = groups(report).iter();
    let one = |group: &'_ Value| group["objects"]["name"].as_str().map(str::len);
    all.filter(|group| one(group) > Some(0))
        .map(|group| {
            let name = group["objects"]["name"].as_str().expect("a name");
            (name, verdict(report, name))
        })
        .collect()
}

#[test]
fn what_the_collector_says() {
    let Some(program) = built(here!(), CLEANUPS) else {
        return;
    };
    let words = "keep kept 3 gc keep new 2 drop dropped 2 raw raw";
    let mut program = Program::start(&program, words);
    let report = look(program.pid());
    keeps_contract(&report);
    let expected = [
        ("dropped", "not-judged"),
        ("kept", "retained"),
        ("new", "not-judged"),
        ("raw", "no-owner"),
    ];
    assert_eq!(verdicts(&report), expected.into());
    let process = &report["process"];
    assert!(
        process["runtime"]
            .as_str()
            .is_some_and(|go| go.starts_with("go1.")),
        "{process}"
    );
    assert_eq!(process["language"], "go");
    let library = json!([{"path": "github.com/cilium/ebpf", "version": "v0.22.0"}]);
    assert_eq!(process["libraries"], library);
    assert!(process["gc"]["cycles"].as_u64() >= Some(2), "{process}");
    assert!(
        process["gc"]["last_seconds_ago"].as_f64() < Some(60.0),
        "{process}"
    );
    let kept = group(&report, "kept");
    assert_eq!(
        (&kept["count"], &kept["leak"]),
        (&json!(3), &json!("unknown"))
    );
    let owner = &kept["owner"];
    assert_eq!(owner["type"], "*sys.FD", "{owner}");
    assert_eq!(owner["release"], "cleanup");
    assert_eq!(owner["release_state"], "pending");
    assert!(
        kept["fix"]
            .as_str()
            .is_some_and(|fix| fix.contains("*ebpf.Map")),
        "{kept:#}"
    );
    assert_eq!(group(&report, "raw")["owner"], Value::Null);

    // The next collection judges what was new, and lets go of what was dropped.
    program.does("gc gc");
    let (report, code) = explain(program.pid(), &["--for", "1s"]);
    keeps_contract(&report);
    assert_eq!(code, Some(0));
    let expected = [
        ("kept", "retained"),
        ("new", "retained"),
        ("raw", "no-owner"),
    ];
    assert_eq!(verdicts(&report), expected.into(), "{report:#}");
    assert!(
        groups(&report).iter().all(|group| group["leak"] == "no"),
        "{report:#}"
    );

    // By a thread's number, and while another traces it.
    let threads = std::fs::read_dir(format!("/proc/{}/task", program.pid())).expect("it lives");
    let threads = threads
        .flatten()
        .filter_map(|t| t.file_name().to_str()?.parse().ok());
    let thread: u32 = threads.max().expect("a thread");
    assert_eq!(verdicts(&look(thread)), expected.into());
    traced(program.pid(), |how| {
        assert_eq!(verdicts(&look(program.pid())), expected.into(), "{how}");
    });

    // In words.
    let pid = program.pid().to_string();
    for columns in [80, 160] {
        let text = lastref::text(&["explain", &pid, "--for", "0"], columns);
        let line = |words: &[&str]| text.lines().any(|l| words.iter().all(|w| l.contains(w)));
        assert!(
            line(&["github.com/cilium/ebpf v0.22.0", "6 handles"]) || columns == 80,
            "{text}"
        );
        assert!(line(&["3 handles on 3 maps kept"]), "{text}");
        assert!(line(&["retained", "the last collection ("]), "{text}");
        assert!(
            line(&["no-owner"]) && line(&["fix", "Close each *ebpf.Map"]),
            "{text}"
        );
    }
}

/// A descriptor is there before what owns it. That nobody does is not said before that had its time.
#[test]
fn an_owner_that_is_still_to_come() {
    let Some(program) = built(here!(), CLEANUPS) else {
        return;
    };
    let program = Program::start(&program, "late late gc");
    let mut unknown = 0;
    for _ in 0..8 {
        let report = look(program.pid());
        for group in groups(&report) {
            assert_ne!(group["verdict"], "no-owner", "{group:#}");
            unknown += usize::from(group["verdict"] == "unknown");
        }
        // Or it was left out, as it came or went meanwhile.
        let unseen = report["cannot_see"].to_string();
        unknown += usize::from(unseen.contains("came, went"));
    }
    assert!(unknown > 0, "it was never looked at in between");
}

/// Where wrappers are allocated: as the runtime has it, or a profile that was taken.
#[test]
fn a_heap_profile() {
    let Some(file) = built(here!(), CLEANUPS) else {
        return;
    };
    let folder = Folder::new(here!());
    let [before, after] = ["before", "after"].map(|name| folder.path(name));
    // Each allocation is in it.
    let all = [("GODEBUG", "memprofilerate=1")];
    let words = format!("profile {before} keep kept 300 gc profile {after}");
    let program = Program::with(&file, &words, &all);
    let profiled = |more: &[&str]| {
        let (report, code) = explain(program.pid(), &[&["--for", "0"], more].concat());
        keeps_contract(&report);
        assert_eq!(code, Some(0));
        let lines = group(&report, "kept")["evidence"].as_array().cloned();
        let lines = lines.into_iter().flatten();
        let of_it = lines.filter(|line| line["kind"] == "heap-profile");
        of_it
            .map(|line| line["says"].to_string())
            .collect::<String>()
    };
    for says in [profiled(&[]), profiled(&["--profile", &after])] {
        let wrapped = says.contains("300 objects") && says.contains("github.com/cilium/ebpf");
        assert!(wrapped, "{says}");
    }
    // Of another process: of the same program, of another build of it, of another program.
    std::thread::sleep(Duration::from_secs(3));
    let last = Program::with(&file, "keep kept 3 gc", &all);
    let (report, _) = explain(last.pid(), &["--for", "0", "--profile", &after]);
    let says = group(&report, "kept")["evidence"].to_string();
    assert!(says.contains("before this process began"), "{says}");
    let (report, _) = explain(program.pid(), &["--for", "0", "--profile", &after]);
    let says = group(&report, "kept")["evidence"].to_string();
    assert!(!says.contains("before this process began"), "{says}");
    drop(last);
    if let Some(other) = built(here!(), FINALIZERS) {
        let other = Program::start(&other, "keep kept 3 gc");
        let pid = other.pid().to_string();
        let output = lastref::run(&["explain", &pid, "--for", "0", "--profile", &after]);
        refused(&output, 2, &[&after, "another build of"]);
    }
    let me = std::process::id().to_string();
    let output = lastref::run(&["explain", &me, "--for", "0", "--profile", &after]);
    refused(&output, 2, &[&after, "this process runs"]);
    // One that was taken before there was anything has nothing of it, only what the library makes at its start.
    let says = profiled(&["--profile", &before]);
    assert!(!says.contains("300 objects"), "{says}");
}

#[test]
fn without_collections() {
    let Some(program) = built(here!(), CLEANUPS) else {
        return;
    };
    let program = Program::with(&program, "keep kept 1 drop dropped 2", &[("GOGC", "off")]);
    let report = look(program.pid());
    let expected = [("dropped", "not-judged"), ("kept", "not-judged")];
    assert_eq!(verdicts(&report), expected.into());
    assert_eq!(
        report["process"]["gc"],
        json!({"cycles": 0, "last_seconds_ago": null})
    );
    let dropped = group(&report, "dropped");
    let [says, fix] = ["evidence", "fix"].map(|field| dropped[field].to_string());
    assert!(says.contains("no collection has run yet"), "{says}");
    assert!(fix.contains("GOGC=off"), "{fix}");
}

/// Behind a release that does not return.
#[test]
fn a_release_that_does_not_return() {
    for (module, how, function) in [
        (FINALIZERS, "finalizer", "main.(*session).end"),
        (CLEANUPS, "cleanup", "main.endSession"),
    ] {
        let Some(program) = built(here!(), module) else {
            return;
        };
        let words = format!("keep kept 1 stall {how} gc drop dropped 3 gc");
        let program = Program::start(&program, &words);
        // One look does not tell whether the queue moves.
        let report = look(program.pid());
        assert_eq!(verdict(&report, "kept"), "retained");
        assert_eq!(
            verdict(&report, "dropped"),
            "release-queued",
            "{how}: {report:#}"
        );
        let (report, code) = explain(program.pid(), &["--for", "1500ms"]);
        assert_eq!(code, Some(0));
        keeps_contract(&report);
        let dropped = group(&report, "dropped");
        assert_eq!(dropped["verdict"], "release-blocked", "{how}: {report:#}");
        assert_eq!(dropped["count"], 3);
        assert_eq!(dropped["owner"]["release"], how);
        assert_eq!(dropped["owner"]["release_state"], "queued");
        let [says, fix] = ["evidence", "fix"].map(|field| dropped[field].to_string());
        assert!(
            says.contains(function) && fix.contains(function),
            "{says} {fix}"
        );
        assert_eq!(verdict(&report, "kept"), "retained");
    }
}

/// Nothing returns while the process is stopped: no release is to blame for that.
#[test]
fn a_process_that_is_stopped() {
    let Some(program) = built(here!(), CLEANUPS) else {
        return;
    };
    let program = Program::start(&program, "keep kept 1 stall cleanup gc drop dropped 3 gc");
    // SAFETY: the process is a child of ours, and not waited for yet.
    let stopped = unsafe { libc::kill(program.pid().cast_signed(), libc::SIGSTOP) };
    assert_eq!(stopped, 0);
    let (report, code) = explain(program.pid(), &["--for", "1500ms"]);
    assert_eq!(code, Some(0));
    let dropped = group(&report, "dropped");
    assert_eq!(dropped["verdict"], "release-queued", "{report:#}");
    let [says, fix] = ["evidence", "fix"].map(|field| dropped[field].to_string());
    assert!(
        says.contains("the process is paused: a signal has stopped it"),
        "{says}"
    );
    assert!(fix.contains("Let the process go on"), "{fix}");
    assert_eq!(verdict(&report, "kept"), "retained");
}

/// It allocates and collects all the while, and is neither stopped, nor signalled, nor written to.
#[test]
fn a_busy_program_does_not_notice() {
    let Some(program) = built(here!(), CLEANUPS) else {
        return;
    };
    // The signals that a runtime sends itself, so that those of others can be counted.
    let quiet = [("GODEBUG", "asyncpreemptoff=1")];
    let mut program = Program::with(&program, "keep kept 3 raw raw gc wait busy", &quiet);
    for _ in 0..3 {
        let (report, code) = without_a_touch(program.pid(), &["--for", "300ms"]);
        assert_eq!(code, Some(0), "{report:#}");
        let expected = [("kept", "retained"), ("raw", "no-owner")];
        assert_eq!(verdicts(&report), expected.into(), "{report:#}");
    }
    let count = program.does("count");
    let mut count = count
        .split_whitespace()
        .map(|n| n.parse::<u64>().expect("a number"));
    assert_eq!(count.next(), Some(0), "calls were interrupted");
    assert!(count.next() > Some(10));
}

/// The same executable anew: what was read of the old one's memory says nothing of the new one's.
#[test]
fn becomes_itself_anew_meanwhile() {
    let Some(program) = built(here!(), CLEANUPS) else {
        return;
    };
    let mut program = Program::start(&program, "keep kept 3 raw raw gc");
    let looking = looking(program.pid());
    // "kept" closes on exec; its dup does not.
    program.does("exec keep anew 2");
    let (report, code) = parsed(&looking.wait_with_output().expect("it ends"));
    keeps_contract(&report);
    assert_eq!(code, Some(0));
    let expected = [("anew", "unknown"), ("raw", "unknown")];
    assert_eq!(verdicts(&report), expected.into(), "{report:#}");
    let report = look(program.pid());
    let expected = [("anew", "not-judged"), ("raw", "no-owner")];
    assert_eq!(verdicts(&report), expected.into(), "{report:#}");
}

/// In namespaces of its own, with an executable that is on no path of the host's, and removed.
#[test]
fn in_a_container_and_deleted() {
    let Some(program) = built(here!(), CLEANUPS) else {
        return;
    };
    let folder = Folder::new(here!());
    let image = PathBuf::from(folder.path("image"));
    std::fs::create_dir(&image).expect("a folder");
    let in_it = image.join("agent");
    // Namespaces are of a thread.
    let starting = std::thread::spawn(move || {
        private_mounts().expect("mounts of its own");
        files::mount("tmpfs", &image).expect("a tmpfs");
        std::fs::copy(program, &in_it).expect("a copy");
        unshare(libc::CLONE_NEWPID).expect("pids of its own");
        let started = Program::start(&in_it, "keep kept 2 raw raw gc");
        std::fs::remove_file(&in_it).expect("it is there");
        started
    });
    let program = starting.join().expect("it starts");
    let report = look(program.pid());
    keeps_contract(&report);
    let expected = [("kept", "retained"), ("raw", "no-owner")];
    assert_eq!(verdicts(&report), expected.into());
    let exe = report["process"]["exe"].as_str().expect("an executable");
    assert!(exe.contains("agent"), "{exe}");
}

#[test]
fn with_less_than_root_has() {
    let Some(file) = built(here!(), CLEANUPS) else {
        return;
    };
    let program = Program::start(&file, "keep kept 3 gc");
    let run = |capabilities: &[u32], pid: u32| {
        let output = as_nobody(capabilities, &arguments(pid, &["--for", "0"])).output();
        parsed(&output.expect("it runs"))
    };
    // Another's: what the kernel tells.
    let (report, code) = run(&[CAP_BPF, CAP_PERFMON], program.pid());
    keeps_contract(&report);
    assert_eq!(code, Some(0));
    assert_eq!(verdicts(&report), [("kept", "unknown")].into());
    assert_eq!(group(&report, "kept")["count"], 3);
    assert_eq!(
        needs(&report, "what the process runs"),
        Some("CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH")
    );
    drop(program);

    // Of one's own, with and without what it takes to count: the collector's books.
    let program = Program::start(&file, "keep kept 3 raw raw gc nobody");
    let (report, code) = run(&[CAP_BPF, CAP_PERFMON], program.pid());
    assert_eq!(code, Some(0));
    let expected = [("kept", "retained"), ("raw", "no-owner")];
    assert_eq!(verdicts(&report), expected.into(), "{report:#}");
    let (report, code) = run(&[], program.pid());
    keeps_contract(&report);
    assert_eq!(code, Some(0));
    let mut found: Vec<_> = groups(&report)
        .iter()
        .map(|g| (&g["verdict"], &g["count"]))
        .collect();
    found.sort_by_key(|(_, count)| count.as_u64());
    // Names take more.
    let expected = [
        (&json!("no-owner"), &json!(1)),
        (&json!("retained"), &json!(3)),
    ];
    assert_eq!(found, expected, "{report:#}");
}

/// The linker leaves out what runs cleanups where a program has none: who runs finalizers is found all the same.
#[test]
fn a_finalizer_that_does_not_return_in_a_program_without_cleanups() {
    // There is a toolchain.
    if built(here!(), CLEANUPS).is_none() {
        return;
    }
    let folder = Folder::new(here!());
    let program = folder.path("bare");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/explain_bare/main.go");
    let output = Command::new("go")
        .args(["build", "-o", &program])
        .arg(source)
        .env("CGO_ENABLED", "0")
        .output()
        .expect("go");
    assert!(output.status.success(), "go build: {}", errors(&output));
    let program = Program::start(Path::new(&program), "");
    let (report, _) = explain(program.pid(), &["--for", "1s"]);
    keeps_contract(&report);
    let found = &groups(&report)[0];
    assert_eq!(found["verdict"], "release-blocked", "{report:#}");
    assert!(
        found["evidence"].to_string().contains("main.stuck"),
        "{report:#}"
    );
}
