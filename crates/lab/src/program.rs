//! A scenario's program, running: told what to do, and asked what it holds.

use crate::books::Said;
use crate::error::{Error, Step};
use crate::jail;
use crate::prepare::Program;
use crate::signals::Signals;
use crate::worker::{Event, Language, Worker};
use rustix::fs::{MemfdFlags, memfd_create};
use serde::Deserialize;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// How long a step may take. On an emulated processor, or beside a compiler, that is long.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take to stop.
const LAST_WORD: Duration = Duration::from_secs(2);
/// A million ids in one line.
const LONGEST: usize = 8 << 20;

/// What comes from the jail and from the program in it.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Line {
    Pid { pid: u32 },
    Refused { refused: String, errno: i32 },
    Said(Said),
}

/// What becomes of the program's own log, which scenarios write to standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    /// It goes where ours goes.
    Shown,
    /// Nowhere; its last line is told if the program ends by itself.
    Kept,
}

/// A program that runs. Dropping it ends it.
pub struct Running {
    worker: Worker<Line>,
    pid: u32,
    said: Said,
    log: Option<File>,
}

impl Running {
    /// Starts it, and waits until it is ready. `env` comes on top of ours.
    pub fn start(
        program: &Program,
        env: &[(String, String)],
        log: Log,
        signals: Option<&Signals>,
    ) -> Result<Self, Error> {
        let words: [OsString; 3] = [
            jail::WORD.into(),
            std::process::id().to_string().into(),
            program.path.clone().into(),
        ];
        let language = Language {
            parse: |line| serde_json::from_str(line).ok(),
            longest: LONGEST,
        };
        let (errors, log) = match log {
            Log::Shown => (Stdio::inherit(), None),
            Log::Kept => {
                let file = memfd_create("lab-log", MemfdFlags::CLOEXEC).map_err(io::Error::from)?;
                let file = File::from(file);
                (file.try_clone()?.into(), Some(file))
            }
        };
        let mut worker = Worker::start(&words, env, errors, language)?;
        let mut pid = None;
        let mut said = None;
        // The two lines come from two processes, in any order.
        loop {
            match (pid, said) {
                (Some(pid), Some(said)) => {
                    return Ok(Self {
                        worker,
                        pid,
                        said,
                        log,
                    });
                }
                (_, before) => match hear(&mut worker, log.as_ref(), signals)? {
                    Line::Pid { pid: heard } => (pid, said) = (Some(heard), before),
                    Line::Said(heard) => said = Some(heard),
                    Line::Refused { refused, errno } => return Err(refusal(&refused, errno)),
                },
            }
        }
    }

    /// The program's pid.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What it said last.
    pub fn said(&self) -> &Said {
        &self.said
    }

    /// Tells it `step` or `gc`, and waits until that is done.
    pub fn tell(&mut self, word: &str, signals: Option<&Signals>) -> Result<&Said, Error> {
        let gone = |error| Error::Program(format!("has ended: {error}"));
        self.worker.tell(word).map_err(gone)?;
        match hear(&mut self.worker, self.log.as_ref(), signals)? {
            Line::Said(said) => {
                self.said = said;
                Ok(&self.said)
            }
            line => Err(Error::Program(format!("says {line:?} when told to {word}"))),
        }
    }

    /// Waits that long; true if a signal asks to end meanwhile.
    pub fn wait(&mut self, signals: &Signals, until: Instant) -> Result<bool, Error> {
        match self.worker.next(Some(signals), Some(until))? {
            Event::Timeout => Ok(false),
            Event::Interrupted => Ok(true),
            Event::Over => Err(ended(&mut self.worker, self.log.as_ref())),
            Event::Said(line) => Err(Error::Program(format!("says {line:?} unasked"))),
        }
    }

    /// Tells it to stop, and ends it and all that it has started; waits until its processes are
    /// gone.
    pub fn end(mut self) -> Result<(), Error> {
        // What cannot die with it, it removes itself.
        if self.worker.tell("stop").is_ok() {
            let until = Instant::now() + LAST_WORD;
            while let Event::Said(_) = self.worker.next(None, Some(until))? {}
        }
        let failed = |errno| Error::Child {
            doing: "ended",
            errno,
        };
        self.worker.end().map(drop).map_err(failed)
    }
}

fn refusal(code: &str, errno: i32) -> Error {
    match Step::from_code(code) {
        Some(step) => Error::Refused { step, errno },
        None => Error::Program(format!("was refused {code:?} ({errno})")),
    }
}

fn hear(
    worker: &mut Worker<Line>,
    log: Option<&File>,
    signals: Option<&Signals>,
) -> Result<Line, Error> {
    let until = Instant::now() + PATIENCE;
    match worker.next(signals, Some(until))? {
        Event::Said(line) => Ok(line),
        Event::Interrupted => Err(Error::Interrupted),
        Event::Timeout => Err(Error::Program(format!(
            "says nothing for {} s",
            PATIENCE.as_secs()
        ))),
        Event::Over => Err(ended(worker, log)),
    }
}

fn ended(worker: &mut Worker<Line>, log: Option<&File>) -> Error {
    let status = match worker.end() {
        Ok(status) => status,
        Err(errno) => {
            return Error::Child {
                doing: "followed",
                errno,
            };
        }
    };
    let last = log.and_then(last_line);
    let last = last.map(|line| format!(": {line}")).unwrap_or_default();
    Error::Program(format!(
        "has ended, or says what no program of the lab says ({status}){last}"
    ))
}

/// Of what was written, as far as it is text.
fn last_line(log: &File) -> Option<String> {
    const MOST: u64 = 4096;
    let length = log.metadata().ok()?.len();
    let mut bytes = vec![0; length.min(MOST) as usize];
    log.read_exact_at(&mut bytes, length.saturating_sub(MOST))
        .ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    text.trim_end().lines().last().map(str::to_owned)
}
