//! Go programs that tests build, run and look into.
#![allow(dead_code)]

pub mod bent;
pub mod image;
pub mod made_up;

use gobinary::{Executable, Memory, Piece, ReadError, Region};
use goheap::{Heap, Program};
use image::{Image, Recorder};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use tempfile::TempDir;

/// The releases that are tested beside the machine's: one of each minor.
pub const RELEASES: [&str; 10] = [
    "1.18.10", "1.19.13", "1.20.14", "1.21.13", "1.22.12", "1.23.12", "1.24.11", "1.25.5",
    "1.26.8", "1.27.4",
];

/// How a program is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Build {
    Normal,
    Stripped,
    Pie,
    /// Linked by the C compiler.
    Cgo,
    /// As debuggers want it: nothing is inlined, and nothing optimized but the runtime.
    Debug,
}

impl Build {
    pub const ALL: [Self; 5] = [
        Self::Normal,
        Self::Stripped,
        Self::Pie,
        Self::Cgo,
        Self::Debug,
    ];

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Normal | Self::Cgo => &[],
            Self::Stripped => &["-ldflags=-s -w"],
            Self::Debug => &["-gcflags=all=-N -l"],
            Self::Pie => &["-buildmode=pie", "-ldflags=-s -w"],
        }
    }
}

/// A program that was built.
pub struct Built {
    _folder: TempDir,
    pub path: PathBuf,
}

/// Builds a program of `tests/programs`; with the machine's own Go if no release is named.
pub fn build(program: &str, release: Option<&str>, how: Build, arch: &str) -> Built {
    let folder = tempfile::Builder::new()
        .prefix("goheap")
        .tempdir()
        .expect("a folder");
    // Also included by the fuzz target, which is in another folder.
    let folders = ["tests/programs", "../crates/goheap/tests/programs"];
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = folders.map(|folder| here.join(folder).join(program));
    let source = source
        .iter()
        .find(|folder| folder.is_dir())
        .expect("the program");
    for file in fs::read_dir(source).expect("the program") {
        let file = file.expect("a file");
        fs::copy(file.path(), folder.path().join(file.file_name())).expect("a copy");
    }
    let path = folder.path().join("program");
    let mut go = Command::new("go");
    go.arg("build")
        .args(how.arguments())
        .arg("-o")
        .arg(&path)
        .arg(".");
    go.current_dir(folder.path())
        .env("CGO_ENABLED", if how == Build::Cgo { "1" } else { "0" })
        .env("GOARCH", arch)
        .env("GOFLAGS", "-buildvcs=false")
        // Go 1.19 takes a release that was fetched for a module without packages, if it may use its index.
        .env("GODEBUG", "goindex=0");
    if let Some(release) = release {
        let minor = release.rsplit_once('.').map_or(release, |(minor, _)| minor);
        let module = format!("module owners\n\ngo {minor}\n");
        fs::write(folder.path().join("go.mod"), module).expect("go.mod");
        go.env("GOTOOLCHAIN", format!("go{release}"));
    }
    let done = go.output().expect("go");
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    Built {
        _folder: folder,
        path,
    }
}

/// A program that runs, and does what it is told.
pub struct Running {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    pub executable: &'static Executable<'static>,
    pub regions: Vec<Region>,
    pub file: Option<(u64, u64)>,
}

impl Running {
    /// Starts it.
    pub fn start(built: &Built, env: &[(&str, &str)]) -> Self {
        let bytes: &'static [u8] = Box::leak(fs::read(&built.path).expect("the program").into());
        let executable = Box::leak(Box::new(Executable::parse(bytes).expect("an executable")));
        let mut child = Command::new(&built.path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .envs(env.iter().copied())
            .spawn()
            .expect("the program runs");
        let input = child.stdin.take().expect("its input");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let mut running = Self {
            child,
            input,
            output,
            executable,
            regions: Vec::new(),
            file: None,
        };
        running.tell("keep 0");
        let metadata = fs::metadata(&built.path).expect("the program");
        let device = metadata.dev();
        running.file = Some((device, metadata.ino()));
        running.regions = regions(running.pid());
        // What /proc shows as the device is that of the mapping's own file system.
        if let Some(file) = running
            .regions
            .iter()
            .find_map(|r| r.file.filter(|(_, i)| *i == metadata.ino()))
        {
            running.file = Some(file);
        }
        running
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Has a command done.
    pub fn tell(&mut self, command: &str) -> String {
        writeln!(self.input, "{command}").expect("it listens");
        self.input.flush().expect("it listens");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it answers");
        assert!(line.starts_with("ok"), "{command}: {line:?}");
        line
    }

    pub fn memory(&self) -> Live {
        Live::of(self.pid())
    }

    pub fn attach<'a>(&'a self, memory: &'a dyn Memory) -> Result<Heap<'a>, goheap::Error> {
        Heap::attach(
            memory,
            &Program {
                executable: self.executable,
                regions: &self.regions,
                file: self.file,
                layout: None,
            },
        )
    }

    /// The memory that a look with bytes of objects and a profile read.
    pub fn recorded(&self) -> Image {
        let memory = self.memory();
        let recorder = Recorder::new(&memory);
        let mut heap = self.attach(&recorder).expect("a heap");
        heap.look_with(&|_| 16).expect("a look");
        heap.profile().expect("a profile");
        drop(heap);
        recorder.image()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The regions of a process.
pub fn regions(pid: u32) -> Vec<Region> {
    let text = fs::read_to_string(format!("/proc/{pid}/maps")).expect("maps");
    let hex = |text: &str| u64::from_str_radix(text, 16).expect("a number");
    text.lines()
        .map(|line| {
            let mut words = line.split_ascii_whitespace();
            let mut word = || words.next().expect("a word");
            let (start, end) = word()
                .split_once('-')
                .map(|(a, b)| (hex(a), hex(b)))
                .expect("a range");
            let rights = word();
            let offset = hex(word());
            let (major, minor) = word()
                .split_once(':')
                .map(|(a, b)| (hex(a), hex(b)))
                .expect("a device");
            let inode: u64 = word().parse().expect("an inode");
            Region {
                start,
                end,
                writable: rights.contains('w'),
                executable: rights.contains('x'),
                offset,
                file: (inode != 0).then_some((major << 8 | minor, inode)),
            }
        })
        .collect()
}

/// A process's memory, read with `process_vm_readv` and nothing else.
pub struct Live {
    pid: libc::pid_t,
    pub calls: AtomicU64,
    pub bytes: AtomicU64,
}

impl Live {
    pub fn of(pid: u32) -> Self {
        Self {
            pid: pid as libc::pid_t,
            calls: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    fn readv(&self, local: &[libc::iovec], remote: &[libc::iovec]) -> isize {
        self.calls.fetch_add(1, Ordering::Relaxed);
        // SAFETY: each local iovec is a buffer that the caller holds mutably for the whole call.
        let read = unsafe {
            libc::process_vm_readv(
                self.pid,
                local.as_ptr(),
                local.len() as libc::c_ulong,
                remote.as_ptr(),
                remote.len() as libc::c_ulong,
                0,
            )
        };
        self.bytes
            .fetch_add(u64::try_from(read).unwrap_or(0), Ordering::Relaxed);
        read
    }
}

impl Memory for Live {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        if buf.is_empty() {
            return Ok(());
        }
        let local = [libc::iovec {
            iov_base: buf.as_mut_ptr().cast(),
            iov_len: buf.len(),
        }];
        let remote = [libc::iovec {
            iov_base: addr as *mut libc::c_void,
            iov_len: buf.len(),
        }];
        if self.readv(&local, &remote) == buf.len() as isize {
            Ok(())
        } else {
            Err(ReadError::Unmapped {
                addr,
                len: buf.len(),
            })
        }
    }

    fn read_batch(&self, pieces: &mut [Piece<'_>]) {
        let mut from = 0;
        while from < pieces.len() {
            let count = (pieces.len() - from).min(1024);
            let chunk = &mut pieces[from..from + count];
            let local: Vec<libc::iovec> = chunk
                .iter_mut()
                .map(|piece| libc::iovec {
                    iov_base: piece.buf.as_mut_ptr().cast(),
                    iov_len: piece.buf.len(),
                })
                .collect();
            let remote: Vec<libc::iovec> = chunk
                .iter()
                .map(|piece| libc::iovec {
                    iov_base: piece.addr as *mut libc::c_void,
                    iov_len: piece.buf.len(),
                })
                .collect();
            let mut left = usize::try_from(self.readv(&local, &remote)).unwrap_or(0);
            let mut done = 0;
            for piece in chunk.iter_mut() {
                piece.read = left >= piece.buf.len();
                if !piece.read {
                    break;
                }
                left -= piece.buf.len();
                done += 1;
            }
            // The piece that could not be read is left out.
            from += if done == count { count } else { done + 1 };
        }
    }
}
