//! `raw-fd`: a process that opens a pinned map again and again, and never closes
//! what it gets.

mod child;
mod order;
mod story;

pub(crate) use child::child;
pub(crate) use order::Order;

use crate::error::Error;
use crate::message::{LONGEST, Message};
use crate::signals::Signals;
use crate::worker::{Event, Language};

type Worker = crate::worker::Worker<Message>;
use std::io::{self, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};
use story::Story;

/// As on the command line.
pub(crate) const NAME: &str = "raw-fd";

/// How often the count is shown.
const TICK: Duration = Duration::from_secs(1);
/// How long the child may take to say its last word.
const LAST_WORD: Duration = Duration::from_secs(2);
/// How long the kernel may take to free the map: its bpffs goes after RCU grace
/// periods (`bpf_free_inode`).
const FREED: Duration = Duration::from_secs(10);

/// How `raw-fd` shall run.
#[derive(Debug, Clone, PartialEq)]
pub struct RawFd {
    /// Descriptors a second.
    pub rate: f64,
    /// Stops leaking after so many, and stays alive.
    pub count: Option<u64>,
    /// Ends after so long; `None`: until SIGINT, SIGTERM or SIGHUP.
    pub duration: Option<Duration>,
    /// The map's name: 1 to 15 letters, digits, `_` and `.`.
    pub map_name: String,
    /// Bytes of one of its values.
    pub value_size: u32,
    /// How many values it has.
    pub max_entries: u32,
    /// Shows the count in place, as on a terminal; otherwise a line each time.
    pub in_place: bool,
}

impl Default for RawFd {
    /// Ten descriptors a second on a map of 8 MiB, without an end.
    fn default() -> Self {
        Self {
            rate: 10.0,
            count: None,
            duration: None,
            map_name: "conn_events".into(),
            value_size: 128,
            max_entries: 65_536,
            in_place: false,
        }
    }
}

/// What was true of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Descriptors that were leaked. Exact, unless the child was killed by
    /// someone else: then as it last said.
    pub leaked: u64,
    /// The map's id.
    pub map_id: u32,
    /// The map is no longer in the kernel.
    pub gone: bool,
}

/// Runs the scenario to its end, and tells what happens on `out`.
///
/// Its first line is for programs: `raw-fd: pid 4242, map:17 conn_events (8.0 MiB),
/// 10 descriptors a second`. While it runs, this thread holds back SIGINT,
/// SIGTERM and SIGHUP, any of which ends it normally.
pub fn run_raw_fd(options: &RawFd, out: &mut impl Write) -> Result<Outcome, Error> {
    let order = Order::new(options)?;
    let signals = Signals::hold().map_err(|errno| Error::Child {
        doing: "followed",
        errno,
    })?;
    let mut worker = Worker::start(
        &order.words(),
        &[],
        Stdio::inherit(),
        Language {
            parse: Message::parse,
            longest: LONGEST,
        },
    )?;
    let mut story = Story::new(out, options.in_place);

    let map_id = match worker.next(Some(&signals), None)? {
        Event::Said(Message::Ready { map_id, fd, path }) => {
            story.begin(options, worker.pid(), map_id, fd, &path)?;
            map_id
        }
        Event::Said(Message::Failed { step, errno }) => {
            return Err(Error::Refused { step, errno });
        }
        Event::Interrupted => return Err(Error::Interrupted),
        _ => return Err(ended_early(&mut worker)),
    };

    let began = Instant::now();
    let deadline = options.duration.and_then(|d| began.checked_add(d));
    let by_itself = follow(&mut worker, &signals, &mut story, deadline)?;
    let status = worker.end().map_err(|errno| Error::Child {
        doing: "ended",
        errno,
    })?;
    story.ended(began.elapsed(), by_itself.then_some(status))?;

    let gone = wait_until_gone(map_id).map_err(|errno| Error::Verify { map_id, errno })?;
    story.gone(map_id, gone)?;
    Ok(Outcome {
        leaked: story.leaked(),
        map_id,
        gone,
    })
}

/// Tells what the child does until it shall end; true if it ended by itself.
fn follow<W: Write>(
    worker: &mut Worker,
    signals: &Signals,
    story: &mut Story<'_, W>,
    deadline: Option<Instant>,
) -> Result<bool, Error> {
    let mut tick = Instant::now() + TICK;
    loop {
        let until = deadline.map_or(tick, |deadline| deadline.min(tick));
        match worker.next(Some(signals), Some(until))? {
            Event::Said(message) => story.hears(&message)?,
            Event::Over => return Ok(true),
            Event::Interrupted => break,
            Event::Timeout => {}
        }
        let now = Instant::now();
        if deadline.is_some_and(|deadline| now >= deadline) {
            break;
        }
        if now >= tick {
            story.count()?;
            tick = now + TICK;
        }
    }
    // Its last word makes the count exact. A child that does not answer is killed without it.
    worker.stop();
    let patience = Instant::now() + LAST_WORD;
    while let Event::Said(message) = worker.next(None, Some(patience))? {
        story.hears(&message)?;
    }
    Ok(false)
}

fn ended_early(worker: &mut Worker) -> Error {
    match worker.end() {
        Ok(status) => Error::Ended(status),
        Err(errno) => Error::Child {
            doing: "followed",
            errno,
        },
    }
}

/// True once the id leads to no map; false if it still does after [`FREED`].
fn wait_until_gone(map_id: u32) -> io::Result<bool> {
    let patience = Instant::now() + FREED;
    let mut pause = Duration::from_millis(1);
    loop {
        match kernel::sys::map_by_id(map_id) {
            // Closed at once: only the answer counts.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            Err(error) => return Err(error),
        }
        if Instant::now() >= patience {
            return Ok(false);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}
