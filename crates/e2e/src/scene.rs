//! Scenes: child processes that make references, say which, and stand still.
//!
//! A scene is a closure beside the expectation, run in a forked child: what a
//! test makes and what it expects are read together. The child sends a JSON
//! report through a pipe and waits; when the test is over (or panics, or dies)
//! it unwinds, so that its guards clean up, or is killed.

use crate::bpf::Object;
use crate::kernel;
use crate::process::die_with_parent;
use crate::sys::{self, check, check_fd};
use serde_json::Value;
use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// How long a scene may take to be ready. Generous: under emulation with one
/// core a program takes half a second to load.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a scene may take to clean up before it is killed.
const FAREWELL: Duration = Duration::from_secs(10);

/// What is said of a scene whose pipe was closed from its end.
const DIED: &str = "the scene died";

/// Why a scene's closure returns early.
#[derive(Debug)]
pub enum Stop {
    /// The test is over.
    End,
    /// This kernel cannot do it: what was tried, and its answer.
    Impossible(String),
    /// It should have worked.
    Failed(String),
}

impl From<sys::Error> for Stop {
    fn from(error: sys::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// What a scene's closure returns.
pub type Outcome<T = ()> = Result<T, Stop>;

/// The answer of a kernel that cannot do something.
#[derive(Debug, Clone, Copy)]
pub struct Cannot {
    /// Its errno.
    pub errno: i32,
    /// The first kernel that can; `None` where it depends on how the kernel was
    /// built, and the errno alone proves it.
    pub since: Option<(u32, u32)>,
    /// What is missing, in words.
    pub why: &'static str,
}

/// Tells failures that prove an impossibility from those that do not.
pub trait OrImpossible<T> {
    /// An error that is one of `cases`, on a kernel where that case holds,
    /// becomes [`Stop::Impossible`].
    fn or_impossible(self, cases: &[Cannot]) -> Outcome<T>;
}

impl<T> OrImpossible<T> for sys::Result<T> {
    fn or_impossible(self, cases: &[Cannot]) -> Outcome<T> {
        self.map_err(|error| {
            let case = cases.iter().find(|c| {
                c.errno == error.errno && c.since.is_none_or(|since| kernel::version() < since)
            });
            match case {
                Some(case) => Stop::Impossible(format!("{} ({error})", case.why)),
                None => error.into(),
            }
        })
    }
}

/// What a scene's closure has: the way to the test.
#[derive(Debug)]
pub struct Stage {
    to_test: File,
    from_test: File,
}

impl Stage {
    /// Sends the report, then stands still until the test asks for the next
    /// step; [`Stop::End`] when there is none.
    pub fn ready(&mut self, report: impl Into<Value>) -> Outcome {
        self.send(b'R', &report.into())?;
        let mut step = [0];
        match self.from_test.read(&mut step) {
            Ok(1) => Ok(()),
            _ => Err(Stop::End),
        }
    }

    fn send(&mut self, tag: u8, value: &Value) -> Outcome {
        let text = value.to_string();
        let mut frame = vec![tag];
        frame.extend_from_slice(&(text.len() as u32).to_le_bytes());
        frame.extend_from_slice(text.as_bytes());
        self.to_test.write_all(&frame).map_err(|_| Stop::End)
    }
}

/// A child process on stage. Dropping it ends it, and whatever it started.
#[derive(Debug)]
pub struct Child {
    /// Its process id.
    pub pid: u32,
    /// What it last reported.
    pub report: Value,
    reports: File,
    steps: Option<File>,
    farewell: Duration,
}

/// Which descriptors of the parent a child keeps besides the standard ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inherit {
    /// None: it begins with an empty table.
    Nothing,
    /// All, as fork(2) has it.
    All,
}

impl Child {
    /// Forks, runs `act` in the child, and returns with its first report.
    pub fn start(inherit: Inherit, act: impl FnOnce(&mut Stage) -> Outcome) -> Outcome<Self> {
        let (from_child, to_test) = pipe()?;
        let (from_test, to_child) = pipe()?;
        let parent = std::process::id();
        // SAFETY: the child runs ordinary code of this program. It may do so although
        // the parent has other threads: the C library makes its allocator usable
        // after fork, and the closure takes no lock that another thread could hold
        // (it neither prints nor reads the environment).
        let pid = check("fork", i64::from(unsafe { libc::fork() }))? as u32;
        if pid == 0 {
            match inherit {
                Inherit::Nothing => {
                    // Closed below by number.
                    std::mem::forget((from_child, to_child));
                    close_all_but([to_test.as_raw_fd(), from_test.as_raw_fd()]);
                }
                // Were they to stay, the child would wait for its own end of the pipe.
                Inherit::All => drop((from_child, to_child)),
            }
            let mut stage = Stage { to_test, from_test };
            run(parent, &mut stage, act);
        }
        drop((to_test, from_test));
        let mut child = Self {
            pid,
            report: Value::Null,
            reports: from_child,
            steps: Some(to_child),
            farewell: FAREWELL,
        };
        child.receive()?;
        Ok(child)
    }

    /// Lets it take the next step, and waits for the report after that.
    pub fn advance(&mut self) -> Outcome {
        let Some(steps) = &mut self.steps else {
            return Err(Stop::Failed("the scene has ended".into()));
        };
        steps
            .write_all(b".")
            .map_err(|e| Stop::Failed(format!("the scene is gone: {e}")))?;
        self.receive()
    }

    /// Lets it go on to an `exec`, which closes its pipes, and waits until that is
    /// done. From then on it cannot be asked to end, but is killed.
    pub fn become_another_program(&mut self) -> Outcome {
        if let Some(steps) = &mut self.steps {
            let _ = steps.write_all(b".");
        }
        self.farewell = Duration::ZERO;
        match self.receive() {
            Err(Stop::Failed(why)) if why == DIED => Ok(()),
            Ok(()) => Err(Stop::Failed("the exec did not happen".into())),
            stop => stop,
        }
    }

    /// Ends it, and waits until it is gone.
    pub fn end(&mut self) {
        if self.steps.take().is_none() {
            return;
        }
        let deadline = Instant::now() + self.farewell;
        while Instant::now() < deadline {
            // SAFETY: waits for our own child; the status may be discarded.
            let gone =
                unsafe { libc::waitpid(self.pid as i32, std::ptr::null_mut(), libc::WNOHANG) != 0 };
            if gone {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        // SAFETY: our own child, not reaped yet, so the number is still its.
        unsafe {
            libc::kill(self.pid as i32, libc::SIGKILL);
            libc::waitpid(self.pid as i32, std::ptr::null_mut(), 0);
        }
    }

    fn receive(&mut self) -> Outcome {
        let mut head = [0; 5];
        self.read_exactly(&mut head)?;
        let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let mut text = vec![0; length];
        self.read_exactly(&mut text)?;
        let value: Value = serde_json::from_slice(&text)
            .map_err(|e| Stop::Failed(format!("the scene's report is not JSON: {e}")))?;
        let words = || value.as_str().unwrap_or_default().to_owned();
        match head[0] {
            b'R' => {
                self.report = value;
                Ok(())
            }
            b'I' => Err(Stop::Impossible(words())),
            _ => Err(Stop::Failed(words())),
        }
    }

    fn read_exactly(&mut self, mut buffer: &mut [u8]) -> Outcome {
        let deadline = Instant::now() + PATIENCE;
        while !buffer.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut poll = libc::pollfd {
                fd: self.reports.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: one live pollfd.
            let ready = unsafe { libc::poll(&raw mut poll, 1, left.as_millis() as i32) };
            if ready == 0 {
                return Err(Stop::Failed("the scene did not get ready in time".into()));
            }
            let read = self
                .reports
                .read(buffer)
                .map_err(|e| Stop::Failed(format!("reading from the scene: {e}")))?;
            if read == 0 {
                return Err(Stop::Failed(DIED.into()));
            }
            buffer = &mut buffer[read..];
        }
        Ok(())
    }

    /// A number of the report.
    pub fn number(&self, key: &str) -> u64 {
        self.report[key]
            .as_u64()
            .unwrap_or_else(|| panic!("the scene's report has no number {key}: {}", self.report))
    }

    /// An id, a pid or a descriptor of the report.
    pub fn id(&self, key: &str) -> u32 {
        self.number(key) as u32
    }

    /// A list of ids or descriptors of the report.
    pub fn ids(&self, key: &str) -> Vec<u32> {
        self.numbers(key).into_iter().map(|n| n as u32).collect()
    }

    /// A list of numbers of the report.
    pub fn numbers(&self, key: &str) -> Vec<u64> {
        let list = self.report[key].as_array();
        let list = list.unwrap_or_else(|| panic!("no list {key} in {}", self.report));
        list.iter().map(|v| v.as_u64().expect("a number")).collect()
    }

    /// A text of the report.
    pub fn text(&self, key: &str) -> &str {
        self.report[key]
            .as_str()
            .unwrap_or_else(|| panic!("no text {key} in {}", self.report))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}

/// A test's scene: a [`Child`] and the test's name.
#[derive(Debug)]
pub struct Scene {
    /// The test it belongs to.
    pub name: &'static str,
    /// The process that stands still.
    pub child: Child,
}

impl std::ops::Deref for Scene {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.child
    }
}

/// Sets the scene of the test `name`. `None` if this kernel cannot do it, which
/// has then been said.
pub fn scene(name: &'static str, act: impl FnOnce(&mut Stage) -> Outcome) -> Option<Scene> {
    if !crate::needs_root(name) {
        return None;
    }
    match Child::start(Inherit::Nothing, act) {
        Ok(child) => Some(Scene { name, child }),
        Err(Stop::Impossible(why)) => {
            crate::impossible(name, &why);
            None
        }
        Err(Stop::Failed(why)) => panic!("{name}: cannot set the scene: {why}"),
        Err(Stop::End) => panic!("{name}: the scene ended before it was ready"),
    }
}

impl Scene {
    /// Lets the scene take its next step.
    pub fn advance(&mut self) {
        if let Err(stop) = self.child.advance() {
            panic!("{}: next step: {stop:?}", self.name);
        }
    }
}

/// The child's side: never returns.
fn run(parent: u32, stage: &mut Stage, act: impl FnOnce(&mut Stage) -> Outcome) -> ! {
    die_with_parent(parent);
    let outcome = catch_unwind(AssertUnwindSafe(|| act(stage))).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Stop::Failed(text.unwrap_or("a panic").into()))
    });
    let told = match outcome {
        Ok(()) | Err(Stop::End) => Ok(()),
        Err(Stop::Impossible(why)) => stage.send(b'I', &why.into()),
        Err(Stop::Failed(why)) => stage.send(b'F', &why.into()),
    };
    // SAFETY: ends the child without running the parent's exit handlers a second time.
    unsafe { libc::_exit(i32::from(told.is_err())) }
}

fn pipe() -> sys::Result<(File, File)> {
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors.
    let result = unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) };
    check("pipe2", i64::from(result))?;
    let read: OwnedFd = check_fd("pipe2", i64::from(ends[0]))?;
    let write: OwnedFd = check_fd("pipe2", i64::from(ends[1]))?;
    Ok((read.into(), write.into()))
}

/// Closes every descriptor but the standard ones and `keep`.
fn close_all_but(mut keep: [RawFd; 2]) {
    keep.sort_unstable();
    let ranges = [
        (3, keep[0] - 1),
        (keep[0] + 1, keep[1] - 1),
        (keep[1] + 1, i32::MAX),
    ];
    for (first, last) in ranges {
        if first <= last {
            // SAFETY: these descriptors came from the parent's table; nothing that
            // owns them runs in this process.
            unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End => f.write_str("the test is over"),
            Self::Impossible(why) => write!(f, "impossible: {why}"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

/// Closes the descriptors of these objects: a report with the id of each by its name.
pub fn closed<const N: usize>(objects: [(&str, Object); N]) -> Value {
    let ids = objects.map(|(name, object)| (name.to_owned(), object.id.into()));
    serde_json::Map::from_iter(ids).into()
}

/// A report with the id of each object by its name, and its descriptor by the
/// name with `_fd`.
pub fn ids<const N: usize>(objects: [(&str, &Object); N]) -> Value {
    objects
        .iter()
        .flat_map(|(name, object)| {
            [
                ((*name).to_owned(), Value::from(object.id)),
                (format!("{name}_fd"), Value::from(object.fd())),
            ]
        })
        .collect::<serde_json::Map<_, _>>()
        .into()
}
