//! A run of the harness, and the kernel asked by other means than the lab's.

use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The scenario needs to mount; without root there is nothing to test.
pub fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: needs root, for a mount namespace and a bpffs");
    }
    root
}

/// The harness, running. Killed when dropped.
pub struct Run {
    pub child: Child,
    pub out: Option<BufReader<ChildStdout>>,
    pub map_name: String,
    /// The highest map id before it began.
    pub before: u32,
}

impl Run {
    /// `rate count|- milliseconds|-`, with a map name that no other run has. A time
    /// keeps a test that waits in vain from waiting for ever.
    pub fn start(options: &str) -> Self {
        Self::start_as(options, |_| ())
    }

    pub fn start_as(options: &str, prepare: impl FnOnce(&mut Command)) -> Self {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let map_name = format!("lab{}_{run}", std::process::id());
        let before = newest_map(0);
        let mut command = Command::new(env!("CARGO_BIN_EXE_lastref-lab-harness"));
        command.arg("run").arg(&map_name).args(options.split(' '));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        prepare(&mut command);
        let mut child = command.spawn().expect("the harness starts");
        let out = child.stdout.take().map(BufReader::new);
        Self {
            child,
            out,
            map_name,
            before,
        }
    }

    /// The next line of its output, without the end; `None` after the last.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let out = self.out.as_mut().expect("open");
        let read = out.read_line(&mut line).expect("text");
        (read > 0).then(|| line.trim_end().to_owned())
    }

    /// Reads up to the line that has all of these words.
    pub fn until(&mut self, words: &str) -> String {
        while let Some(line) = self.line() {
            if words.split(' ').all(|word| line.contains(word)) {
                return line;
            }
        }
        panic!("the harness ended without {words:?}:\n{}", self.errors());
    }

    /// Process and map, from the first line.
    pub fn begin(&mut self) -> (u32, u32) {
        let line = self.line().unwrap_or_default();
        let between = |from: &str, to: &str| {
            let text = line.split_once(from)?.1.split_once(to)?.0;
            text.parse().ok()
        };
        let found = between("pid ", ",").zip(between("map:", " "));
        found.unwrap_or_else(|| panic!("no first line: {line:?}\n{}", self.errors()))
    }

    /// Standard error, once it has ended.
    pub fn errors(&mut self) -> String {
        let mut text = String::new();
        if let Some(mut errors) = self.child.stderr.take() {
            errors.read_to_string(&mut text).expect("text");
        }
        text
    }

    pub fn signal(&self, signal: Signal) {
        send(self.child.id(), signal);
    }

    /// Its end, which must come by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the harness ends", || {
            status = self.child.try_wait().expect("ours");
            status.is_some()
        });
        status.expect("just seen")
    }

    /// Waits until no process, no map and no directory of it is left.
    pub fn leaves_nothing(&self) {
        let name = self.map_name.as_str();
        eventually("its process dies", || processes_with(name).is_empty());
        eventually("its map goes", || !has_map(name, self.before));
        assert!(
            !Path::new("/sys/fs/bpf/lastref-lab").exists(),
            "seen on the host"
        );
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.cast_signed()).expect("a pid");
    kill_process(pid, signal).expect("it lives");
}

/// Looks until it is so, for ten seconds.
pub fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(10);
    while !so() {
        assert!(Instant::now() < patience, "not within ten seconds: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Descriptors of a process that are BPF maps.
pub fn map_fds(pid: u32) -> Vec<String> {
    let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives");
    let paths = fds.map(|fd| fd.expect("an entry").path());
    paths
        .filter(|path| {
            std::fs::read_link(path).is_ok_and(|to| to == Path::new("anon_inode:bpf-map"))
        })
        .map(|path| {
            path.file_name()
                .expect("a number")
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}

/// Processes with this text among their arguments.
pub fn processes_with(text: &str) -> Vec<String> {
    let mut found = vec![];
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if words
            .windows(text.len())
            .any(|part| part == text.as_bytes())
        {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    found
}

/// Mounts of bpffs that a process (or `self`) sees.
pub fn bpffs_mounts(pid: &str) -> Vec<String> {
    let mounts = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).expect("it lives");
    mounts
        .lines()
        .filter(|line| line.contains(" - bpf "))
        .map(str::to_owned)
        .collect()
}

const GET_NEXT_ID: i64 = 12;
const GET_FD_BY_ID: i64 = 14;
const GET_INFO_BY_FD: i64 = 15;

/// bpf(2) with an attribute of words of four bytes, which it may write to.
fn bpf(command: i64, attr: &mut [u32]) -> Option<i32> {
    // SAFETY: the attribute has the size that is told.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_mut_ptr(), size_of_val(attr)) };
    i32::try_from(result).ok().filter(|&result| result >= 0)
}

fn next_map(after: u32) -> Option<u32> {
    let mut attr = [after, 0, 0];
    bpf(GET_NEXT_ID, &mut attr)?;
    Some(attr[1])
}

/// The highest map id.
pub fn newest_map(mut id: u32) -> u32 {
    while let Some(next) = next_map(id) {
        id = next;
    }
    id
}

/// True if a map with an id above `id` has this name.
fn has_map(name: &str, mut id: u32) -> bool {
    while let Some(next) = next_map(id) {
        id = next;
        let Some(fd) = bpf(GET_FD_BY_ID, &mut [id, 0, 0]) else {
            continue;
        };
        // struct bpf_map_info: six words, then the name.
        let mut info = [0u8; 40];
        let address = info.as_mut_ptr() as u64;
        let mut attr = [
            fd.cast_unsigned(),
            40,
            address as u32,
            (address >> 32) as u32,
        ];
        let told = bpf(GET_INFO_BY_FD, &mut attr).is_some();
        // SAFETY: the descriptor is ours and nobody else has its number.
        unsafe { libc::close(fd) };
        if told && info[24..].split(|&b| b == 0).next() == Some(name.as_bytes()) {
            return true;
        }
    }
    false
}

/// The control: true while a map has that id.
pub fn map_lives(id: u32) -> bool {
    id.checked_sub(1).and_then(next_map) == Some(id)
}
