//! A scenario's program, running: told what to do, and asked what it holds.

use crate::books::{Occasion, Said};
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
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Pid(u32),
    Refused {
        code: String,
        errno: i32,
    },
    /// The books that come with it are read when somebody wants them: with many ids that takes
    /// longer than a step.
    Said(Occasion, String),
}

impl Line {
    fn parse(line: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Head {
            pid: Option<u32>,
            refused: Option<String>,
            errno: Option<i32>,
            said: Option<Occasion>,
        }
        let head: Head = serde_json::from_str(line).ok()?;
        match (head.said, head.pid, head.refused.zip(head.errno)) {
            (Some(said), None, None) => Some(Self::Said(said, line.to_owned())),
            (None, Some(pid), None) => Some(Self::Pid(pid)),
            (None, None, Some((code, errno))) => Some(Self::Refused { code, errno }),
            _ => None,
        }
    }

    /// For messages.
    fn what(&self) -> String {
        match self {
            Self::Pid(pid) => format!("that its pid is {pid}"),
            Self::Refused { code, errno } => format!("that it was refused {code} ({errno})"),
            Self::Said(occasion, _) => format!("{occasion:?}").to_lowercase(),
        }
    }
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
    /// What it said after that, not read yet.
    unread: Option<String>,
    /// It was told something and has not answered: a signal came first.
    owes: bool,
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
            parse: Line::parse,
            longest: LONGEST,
        };
        let (errors, log) = match log {
            Log::Shown => (Stdio::inherit(), None),
            Log::Kept => kept().map(|(errors, log)| (errors, Some(log)))?,
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
                        unread: None,
                        owes: false,
                        log,
                    });
                }
                (_, before) => match hear(&mut worker, log.as_ref(), signals)? {
                    Line::Pid(heard) => (pid, said) = (Some(heard), before),
                    Line::Said(_, text) => said = Some(read(&text)?),
                    Line::Refused { code, errno } => return Err(refusal(&code, errno)),
                },
            }
        }
    }

    /// The program's pid.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What it said last, and was read of it ([`Running::books`] reads the rest).
    pub fn said(&self) -> &Said {
        &self.said
    }

    /// Tells it `step` or `gc`, and waits until that is done.
    pub fn tell(&mut self, word: &str, signals: Option<&Signals>) -> Result<&Said, Error> {
        self.have(word, signals)?;
        self.books()
    }

    /// Tells it `step`, and waits until that is done, without a look at its books.
    pub fn step(&mut self, signals: Option<&Signals>) -> Result<Occasion, Error> {
        self.have("step", signals)
    }

    /// Reads what it said last.
    pub fn books(&mut self) -> Result<&Said, Error> {
        if let Some(text) = self.unread.take() {
            self.said = read(&text)?;
        }
        Ok(&self.said)
    }

    fn have(&mut self, word: &str, signals: Option<&Signals>) -> Result<Occasion, Error> {
        if self.owes {
            self.hear("step", signals)?;
        }
        let gone = |error| Error::Program(format!("has ended: {error}"));
        self.worker.tell(word).map_err(gone)?;
        self.owes = true;
        self.hear(word, signals)
    }

    fn hear(&mut self, word: &str, signals: Option<&Signals>) -> Result<Occasion, Error> {
        match hear(&mut self.worker, self.log.as_ref(), signals)? {
            Line::Said(occasion, text) => {
                self.owes = false;
                self.unread = Some(text);
                Ok(occasion)
            }
            line => Err(Error::Program(format!(
                "says {} when told to {word}",
                line.what()
            ))),
        }
    }

    /// Waits that long; true if a signal asks to end meanwhile.
    pub fn wait(&mut self, signals: &Signals, until: Instant) -> Result<bool, Error> {
        match self.worker.next(Some(signals), Some(until))? {
            Event::Timeout => Ok(false),
            Event::Interrupted => Ok(true),
            Event::Over => Err(ended(&mut self.worker, self.log.as_ref())),
            Event::Said(line) => Err(Error::Program(format!("says {} unasked", line.what()))),
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

/// Where its log goes if nobody looks at it, for the program and for us.
fn kept() -> Result<(Stdio, File), Error> {
    let failed = |error: io::Error| Error::host("a file in memory for the program's log", error);
    let file = memfd_create("lab-log", MemfdFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
    let file = File::from(file);
    let copy = file.try_clone().map_err(failed)?;
    Ok((copy.into(), file))
}

fn read(text: &str) -> Result<Said, Error> {
    let failed = |error| Error::Program(format!("keeps books that cannot be read: {error}"));
    serde_json::from_str(text).map_err(failed)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn books_are_read_when_they_are_wanted() {
        let text =
            r#"{"said":"step","groups":{"conns":{"held":[17,17],"dropped":[3]}},"error":null}"#;
        let line = Line::parse(text).expect("it is one");
        assert_eq!(line, Line::Said(Occasion::Step, text.into()));
        let said = read(text).expect("they can be read");
        assert_eq!(said.book("conns").held, [17, 17]);
        assert_eq!(said.book("conns").dropped, [3]);
        assert!(read(r#"{"said":"step","groups":7,"error":null}"#).is_err());
        assert_eq!(Line::parse(r#"{"pid":42}"#), Some(Line::Pid(42)));
        let refused = Line::Refused {
            code: "mount".into(),
            errno: 1,
        };
        assert_eq!(
            Line::parse(r#"{"refused":"mount","errno":1}"#),
            Some(refused)
        );
        for odd in ["", "7", "{}", r#"{"said":"what"}"#, r#"{"refused":"x"}"#] {
            assert_eq!(Line::parse(odd), None, "{odd}");
        }
        // From two processes, but never in one line.
        assert_eq!(Line::parse(r#"{"pid":42,"said":"step"}"#), None);
    }
}
