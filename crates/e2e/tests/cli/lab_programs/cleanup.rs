//! What the lab leaves when it is killed, what it has built, and who removes that.

use super::{lab, processes_in};
use crate::{errors, refused};
use e2e::files::Folder;
use e2e::{here, lastref};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

/// Looks until it is so, also on an emulated processor.
fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !so() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn send(pid: u32, signal: i32) {
    // SAFETY: kill takes numbers only.
    let result = unsafe { libc::kill(pid.cast_signed(), signal) };
    assert_eq!(result, 0, "signal {signal} to {pid}");
}

/// A machine without a compiler, library or hierarchy cannot run it, and says so.
fn can_run(output: &Output) -> bool {
    if output.status.code() == Some(3) {
        refused(output, 3, &["needs "]);
        return false;
    }
    true
}

/// `lab run NAME`, once it has begun; the scenario's pid.
fn started(folder: &Folder, scenario: &str) -> (Child, u32) {
    let mut process = lab(folder, &["run", scenario, "--rate", "20"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
    let first = lines.next().expect("a line").expect("text");
    let pid = first
        .split_once("pid ")
        .and_then(|(_, rest)| rest.split_once(','));
    let pid: u32 = pid.and_then(|(pid, _)| pid.parse().ok()).expect("a pid");
    lines.find(|line| line.as_ref().is_ok_and(|line| line.contains(" steps; ")));
    // What it writes from now on is nobody's: read on, so that it does not end for that.
    std::thread::spawn(move || lines.count());
    (process, pid)
}

fn cgroup_of(lab: u32) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("/proc is there");
    let root = mounts.lines().find_map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        (words.get(2) == Some(&"cgroup2")).then(|| PathBuf::from(words[1]))
    })?;
    let mark = format!("lastref-lab-{lab}-");
    let mut entries = fs::read_dir(root).expect("a hierarchy").flatten();
    let found = entries.find(|entry| entry.file_name().to_string_lossy().starts_with(&mark));
    found.map(|entry| entry.path())
}

/// Kills a scenario and its lab, so that neither removes the scenario's cgroup, and gives that.
/// `None` where it cannot run.
fn left_cgroup(folder: &Folder) -> Option<PathBuf> {
    const NAME: &str = "k-cgroup-outlives";
    let built = lab(folder, &["run", NAME, "--count", "1", "--json"]).output();
    if !can_run(&built.expect("it runs")) {
        return None;
    }
    let (mut process, pid) = started(folder, NAME);
    let cgroup = cgroup_of(process.id()).expect("it has a cgroup");
    let namespace = fs::read_link(format!("/proc/{pid}/ns/pid")).expect("it lives");
    // A lab that stands still is there, so that other labs leave its cgroup alone.
    send(process.id(), libc::SIGSTOP);
    send(pid, libc::SIGKILL);
    eventually("the program dies", || processes_in(&namespace) == 0);
    assert!(cgroup.exists(), "it goes by itself");
    let other = lab(folder, &["clean"]).output().expect("it runs");
    assert!(other.status.success(), "{}", errors(&other));
    assert!(cgroup.exists(), "that of a lab that runs is removed");
    process.kill().expect("it lives");
    process.wait().expect("it ends");
    Some(cgroup)
}

#[test]
fn what_a_killed_lab_leaves_is_cleaned() {
    let folder = Folder::new(here!());
    let Some(cgroup) = left_cgroup(&folder) else {
        return;
    };
    let output = lab(&folder, &["clean"]).output().expect("it runs");
    assert!(output.status.success(), "{}", errors(&output));
    assert!(!cgroup.exists(), "{}", errors(&output));
}

#[test]
fn the_next_run_removes_what_a_killed_lab_leaves() {
    let folder = Folder::new(here!());
    let Some(cgroup) = left_cgroup(&folder) else {
        return;
    };
    let arguments = ["run", "raw-fd", "--count", "1", "--for", "1ms"];
    let output = lab(&folder, &arguments).output().expect("it runs");
    assert!(output.status.success(), "{}", errors(&output));
    assert!(!cgroup.exists(), "{}", errors(&output));
}

#[test]
fn a_scenario_that_can_do_no_more_ends() {
    let folder = Folder::new(here!());
    let arguments = ["run", "k-cgroup-outlives", "--rate", "1000", "--json"];
    let arguments = [&arguments[..], &["--count", "1000"]].concat();
    let output = lab(&folder, &arguments).output().expect("it runs");
    if !can_run(&output) {
        return;
    }
    let outcome = lastref::json(&output);
    // A cgroup takes 64 programs.
    assert_eq!(outcome["steps"], 65, "{outcome}");
    assert_eq!(outcome["groups"]["devices"]["held"], 64, "{outcome}");
}

#[test]
fn only_what_was_built_goes_with_the_cache() {
    let folder = Folder::new(here!());
    let cache = PathBuf::from(folder.path("cache"));
    fs::create_dir_all(cache.join("photos")).expect("a folder");
    fs::write(cache.join("photos/cat"), "meow").expect("a file");
    let clean = || {
        lab(&folder, &["clean", "--cache"])
            .output()
            .expect("it runs")
    };
    let built = || {
        let entries = fs::read_dir(&cache).expect("it is there").flatten();
        entries
            .filter(|entry| entry.path().join("c-error-path").exists())
            .count()
    };
    let run = lab(&folder, &["run", "c-error-path", "--count", "1", "--json"]).output();
    let run = run.expect("it runs");
    if can_run(&run) {
        assert!(
            errors(&run).contains("building c-error-path"),
            "{}",
            errors(&run)
        );
        let (mut process, _) = started(&folder, "c-error-path");
        let output = clean();
        assert!(errors(&output).contains("uses it"), "{}", errors(&output));
        assert_eq!((output.status.code(), built()), (Some(0), 1));
        send(process.id(), libc::SIGTERM);
        process.wait().expect("it ends");
    }
    let output = clean();
    assert!(output.status.success(), "{}", errors(&output));
    assert_eq!(built(), 0);
    assert!(cache.join("photos/cat").exists());
}

/// What is being built is not waited for by who presses Ctrl-C, and does not go on without him.
#[test]
fn a_build_ends_with_its_lab() {
    let folder = Folder::new(here!());
    let Some(sh) = ["/bin/sh", "/usr/bin/sh"]
        .into_iter()
        .find(|sh| Path::new(sh).exists())
    else {
        assert!(std::env::var_os("LASTREF_VM").is_some());
        return;
    };
    let tools = PathBuf::from(folder.path("tools"));
    let said = tools.join("pid");
    fs::create_dir_all(&tools).expect("a folder");
    // Asked for its version it answers; asked to build it takes its time.
    let text = format!(
        "#!{sh}\ncase \"$*\" in *partial*) echo $$ >{0}.new; mv {0}.new {0}; exec sleep 600;; esac\n",
        said.display()
    );
    fs::write(tools.join("cc"), text).expect("a file");
    let all = fs::Permissions::from_mode(0o755);
    fs::set_permissions(tools.join("cc"), all).expect("it is ours");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut process = lab(&folder, &["run", "c-error-path"])
        .env("PATH", format!("{}:{path}", tools.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let lines = BufReader::new(process.stderr.take().expect("piped")).lines();
    // It may clean up first.
    let mut told = lines.map_while(Result::ok);
    let told = told.find(|line| line.contains("building ") || line.contains("needs "));
    let told = told.expect("it says what it does");
    if told.contains("needs ") {
        process.wait().expect("it ends");
        return;
    }
    eventually("the compiler starts", || said.exists());
    let compiler = fs::read_to_string(&said).expect("it is whole");
    fs::remove_file(&said).expect("it is there");
    let compiler = Path::new("/proc").join(compiler.trim()).join("ns/pid");
    assert!(fs::read_link(&compiler).is_ok(), "it does not live");
    send(process.id(), libc::SIGTERM);
    let status = process.wait().expect("it ends");
    assert_eq!(status.signal(), Some(libc::SIGTERM), "{status}");
    // One that has ended has no namespaces, also if nobody has waited for it.
    eventually("it ends, too", || fs::read_link(&compiler).is_err());
}

#[test]
fn nothing_that_ran_is_no_answer() {
    let folder = Folder::new(here!());
    for command in ["all", "score"] {
        let output = lab(&folder, &[command, "c-error-path"])
            .env("PATH", folder.path("no-tools"))
            .output()
            .expect("it runs");
        assert_eq!(output.status.code(), Some(3), "{}", errors(&output));
        let said = errors(&output);
        for part in ["nothing was run", "c-error-path", "needs C"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}

#[test]
fn sources_that_are_wrong_are_told() {
    let folder = Folder::new(here!());
    let sources = PathBuf::from(folder.path("sources"));
    let list = || {
        let mut command = lab(&folder, &["list"]);
        command.env("LASTREF_LAB_SOURCES", &sources);
        command.output().expect("it runs")
    };
    refused(&list(), 2, &["LASTREF_LAB_SOURCES", "sources"]);
    fs::create_dir_all(sources.join("mine")).expect("a folder");
    fs::write(sources.join("mine/scenario.toml"), "tilte = \"a typo\"\n").expect("a file");
    refused(&list(), 2, &["lab/mine/scenario.toml", "tilte"]);
    let truth = "title = \"t\"\nshows = \"s\"\nlanguage = \"c\"\ngroup = []\n";
    fs::write(sources.join("mine/scenario.toml"), truth).expect("a file");
    std::os::unix::fs::symlink("..", sources.join("mine/up")).expect("a link");
    let output = list();
    assert!(output.status.success(), "{}", errors(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("mine"));
}
