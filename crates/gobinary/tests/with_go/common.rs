//! Builds Go programs, runs them, and reads their memory.

use gobinary::{Memory, ReadError, Region};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// How a program is built.
#[derive(Debug, Clone, Copy)]
pub struct Build {
    /// A release of Go; none: the one that is here.
    pub go: Option<&'static str>,
    /// Arguments of `go build`.
    pub args: &'static [&'static str],
    /// Whether C may be linked in.
    pub cgo: bool,
    pub arch: &'static str,
    /// Which package of the program.
    pub package: &'static str,
}

pub const NORMAL: Build = Build {
    go: None,
    args: &[],
    cgo: false,
    arch: "amd64",
    package: ".",
};

/// The ways to build that differ in what the file looks like.
pub const FLAVOURS: [Build; 4] = [
    NORMAL,
    Build {
        args: &["-ldflags=-s -w"],
        ..NORMAL
    },
    Build {
        args: &["-buildmode=pie", "-ldflags=-s -w"],
        ..NORMAL
    },
    Build {
        args: &["-buildmode=pie", "-ldflags=-s -w -linkmode=external"],
        cgo: true,
        ..NORMAL
    },
];

/// The releases that are read, oldest first.
pub const RELEASES: [&str; 10] = [
    "go1.18.10",
    "go1.19.13",
    "go1.20.14",
    "go1.21.13",
    "go1.22.12",
    "go1.23.12",
    "go1.24.11",
    "go1.25.5",
    "go1.26.0",
    "go1.27.3",
];

/// A program that was built.
pub struct Built {
    _dir: TempDir,
    pub path: PathBuf,
}

/// The go command, so that a test depends on nothing of its caller's environment.
pub fn go(build: Build) -> Command {
    let mut go = Command::new("go");
    go.env("GOTOOLCHAIN", build.go.unwrap_or("local"))
        // Not empty: then what `go env -w` wrote down would hold.
        .env("GOFLAGS", "-mod=readonly")
        .env("GOWORK", "off")
        .env("GOARCH", build.arch)
        .env("CGO_ENABLED", if build.cgo { "1" } else { "0" });
    go
}

/// Builds one of `tests/programs`.
pub fn build(program: &str, build: Build) -> Built {
    let dir = TempDir::new().expect("a temporary directory");
    let path = dir.path().join(program);
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/programs")
        .join(program);
    let done = go(build)
        .current_dir(source)
        .args(["build", "-o"])
        .arg(&path)
        .args(build.args)
        .arg(build.package)
        .output()
        .expect("the go command is installed");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{build:?}: {said}");
    Built { _dir: dir, path }
}

impl Built {
    /// The whole file.
    pub fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.path).expect("it was just built")
    }

    /// Runs it until it says `ready`.
    pub fn run(&self) -> Running {
        self.run_with(&[])
    }

    /// The same with arguments.
    pub fn run_with(&self, args: &[&Path]) -> Running {
        let mut child = Command::new(&self.path)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it can be run");
        let stdout = child.stdout.take().expect("it is a pipe");
        let lines = BufReader::new(stdout)
            .lines()
            .map(|l| l.expect("it is text"));
        let lines: Vec<String> = lines.take_while(|l| l != "ready").collect();
        let memory = File::open(format!("/proc/{}/mem", child.id())).expect("our own child");
        Running {
            child,
            lines,
            memory,
        }
    }
}

/// A program that waits.
pub struct Running {
    child: Child,
    /// What it said.
    pub lines: Vec<String>,
    memory: File,
}

impl Running {
    /// What is mapped, of files or not.
    pub fn regions(&self) -> Vec<Region> {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", self.child.id()));
        maps.expect("our own child").lines().map(region).collect()
    }

    /// Where the kernel began to run it (`AT_ENTRY`).
    pub fn entry(&self) -> u64 {
        let auxv = std::fs::read(format!("/proc/{}/auxv", self.child.id()));
        let auxv = auxv.expect("our own child");
        let words: Vec<u64> = auxv
            .chunks_exact(8)
            .map(|w| u64::from_le_bytes(w.try_into().expect("eight bytes")))
            .collect();
        let entry = words.chunks_exact(2).find(|pair| pair[0] == 9);
        entry.expect("every program has one")[1]
    }

    /// Device and inode of a file, as in the regions.
    pub fn file(&self, path: &Path) -> Option<(u64, u64)> {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", self.child.id()));
        let maps = maps.expect("our own child");
        let line = maps
            .lines()
            .find(|l| l.ends_with(path.to_str().expect("it is text")))?;
        region(line).file
    }
}

fn region(line: &str) -> Region {
    let words: Vec<&str> = line.split_whitespace().collect();
    let hex = |text: &str| u64::from_str_radix(text, 16).expect("a number");
    let (start, end) = words[0].split_once('-').expect("a range");
    let (major, minor) = words[3].split_once(':').expect("a device");
    let inode: u64 = words[4].parse().expect("a number");
    Region {
        start: hex(start),
        end: hex(end),
        writable: words[1].contains('w'),
        executable: words[1].contains('x'),
        offset: hex(words[2]),
        file: (inode != 0).then(|| (hex(major) << 32 | hex(minor), inode)),
    }
}

impl Memory for Running {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        self.memory
            .read_exact_at(buf, addr)
            .map_err(|_| ReadError::Unmapped {
                addr,
                len: buf.len(),
            })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
