//! Running the program, and reading what it says.

use crate::bpf::Kind;
use serde_json::Value;
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::process::{CommandExt, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The program under test: `LASTREF_BIN`, or the `lastref` beside this test
/// program's folder.
pub fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("LASTREF_BIN") {
        return path.into();
    }
    // …/target/debug/deps/matrix-0123456789abcdef
    let me = std::env::current_exe().expect("/proc is mounted");
    let folder = me.parent().and_then(std::path::Path::parent);
    let path = folder.expect("a target folder").join("lastref");
    assert!(
        path.exists(),
        "{} does not exist: build it first (cargo build -p lastref), or set LASTREF_BIN",
        path.display()
    );
    path
}

/// A command that would run the program, free of the environment that changes its output.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command
        .args(arguments)
        .env_remove("NO_COLOR")
        .env_remove("COLUMNS")
        .env_remove("CLICOLOR_FORCE");
    command
}

/// Runs it to its end.
pub fn run(arguments: &[&str]) -> Output {
    let mut command = command(arguments);
    let output = command.output();
    output.unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"))
}

/// Runs it in the mount namespace of process `pid`.
pub fn run_in_mounts_of(pid: u32, arguments: &[&str]) -> Output {
    let path = format!("/proc/{pid}/ns/mnt");
    let namespace = std::fs::File::open(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut command = command(arguments);
    // SAFETY: between fork and exec only one system call is made, on a descriptor
    // that the closure owns.
    unsafe {
        command.pre_exec(move || {
            if libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNS) < 0 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
    let output = command.output();
    output.unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"))
}

/// The JSON that it printed.
pub fn json(output: &Output) -> Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "lastref failed ({}): {errors}",
        output.status
    );
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| {
        panic!(
            "lastref's output is not JSON ({e}): {}",
            String::from_utf8_lossy(&output.stdout)
        )
    })
}

/// Runs it to its end with this on standard input.
pub fn run_with_input(arguments: &[&str], input: &[u8]) -> Output {
    use std::io::Write as _;
    let mut command = command(arguments);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn();
    let mut child = child.unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
    let mut stdin = child.stdin.take().expect("it is piped");
    std::thread::scope(|scope| {
        // It may end before it has read all.
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().expect("it ends")
    })
}

/// `lastref ls --json`
pub fn ls() -> Value {
    json(&run(&["ls", "--json"]))
}

/// What a run took.
#[derive(Debug, Clone, Copy)]
pub struct Used {
    /// From start to end: on a busy host mostly that of others.
    pub time: Duration,
    /// On processors, for the program and in the kernel.
    pub processor: Duration,
    /// The most memory that it had (`VmHWM`).
    pub peak_kib: u64,
    /// What it says itself of its passes and their time.
    pub passes: u64,
    /// The same of its time.
    pub seconds: f64,
}

impl std::fmt::Display for Used {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            time,
            processor,
            peak_kib,
            passes,
            seconds,
        } = self;
        let (time, processor) = (time.as_secs_f64(), processor.as_secs_f64());
        write!(
            f,
            "{time:.2} s, of which the sweep {seconds:.2} s in {passes} passes; \
             {processor:.2} s on processors; {peak_kib} KiB"
        )
    }
}

/// [`ls`], and what it took.
pub fn ls_measured() -> (Value, Used) {
    let mut command = command(&["ls", "--json"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let begun = Instant::now();
    let mut child = command
        .spawn()
        .unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let out = child.stdout.take().expect("it is piped");
    let err = child.stderr.take().expect("it is piped");
    // SAFETY: integers only. A small pipe: see below.
    unsafe { libc::fcntl(out.as_raw_fd(), libc::F_SETPIPE_SZ, 4096) };
    let mut peak_kib = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| { err }.read_to_end(&mut stderr));
        let (mut out, mut buffer) = (out, [0; 4096]);
        // While there is more to be read than a pipe takes, the program is still there.
        // What wait4(2) tells begins with the memory of whoever forked.
        while let Ok(length @ 1..) = out.read(&mut buffer) {
            stdout.extend(&buffer[..length]);
            peak_kib = peak_kib.max(peak_of(child.id()).unwrap_or(0));
        }
    });
    let (status, processor) = wait(child);
    let time = begun.elapsed();
    let report = json(&Output {
        status,
        stdout,
        stderr,
    });
    let snapshot = &report["snapshot"];
    let used = Used {
        time,
        processor,
        peak_kib,
        passes: snapshot["passes"].as_u64().unwrap_or_default(),
        seconds: snapshot["seconds"].as_f64().unwrap_or_default(),
    };
    (report, used)
}

/// How a child ended, and its time on processors.
#[expect(clippy::needless_pass_by_value, reason = "nobody else may wait for it")]
fn wait(child: Child) -> (ExitStatus, Duration) {
    let mut status = 0;
    // SAFETY: integers only, for which zeros are values.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: our own child, and places for what is told of it.
    let waited = unsafe { libc::wait4(child.id() as i32, &raw mut status, 0, &raw mut usage) };
    assert_eq!(waited, child.id() as i32, "it ends");
    let time = |t: libc::timeval| {
        Duration::from_secs(t.tv_sec as u64) + Duration::from_micros(t.tv_usec as u64)
    };
    let processor = time(usage.ru_utime) + time(usage.ru_stime);
    (ExitStatus::from_raw(status), processor)
}

/// `VmHWM` of a process.
fn peak_of(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// How long a run takes, measured once.
pub fn calm() -> Duration {
    static CALM: OnceLock<Duration> = OnceLock::new();
    *CALM.get_or_init(|| ls_measured().1.time)
}

/// `Err` with both, if a run took more of processors than `bound`, or ten times what one took when
/// it was measured first; or two minutes in all. What others take on a busy host does not count.
pub fn in_time(used: Used, bound: Duration) -> Result<(), String> {
    static FIRST: OnceLock<Duration> = OnceLock::new();
    const HANGS: Duration = Duration::from_secs(120);
    let first = *FIRST.get_or_init(|| ls_measured().1.processor);
    let bound = bound.max(first * 10);
    if used.processor > bound || used.time > HANGS {
        return Err(format!(
            "it took {used}; allowed are {bound:?} on processors"
        ));
    }
    Ok(())
}

/// What people see of it, so many columns wide.
pub fn text(arguments: &[&str], columns: usize) -> String {
    let mut command = command(arguments);
    command.env("COLUMNS", columns.to_string());
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// `lastref why KIND:ID --json`
pub fn why(kind: Kind, id: u32) -> Value {
    json(&run(&["why", &name(kind, id), "--json"]))
}

/// The object as an argument.
pub fn name(kind: Kind, id: u32) -> String {
    format!("{}:{id}", kind.as_str())
}

/// An object of an `ls` report.
pub fn find(report: &Value, kind: Kind, id: u32) -> Option<&Value> {
    report["objects"]
        .as_array()?
        .iter()
        .find(|o| o["kind"] == kind.as_str() && o["id"] == id)
}
