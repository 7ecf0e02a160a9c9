//! A running `lastref watch`, and what it says.

use anyhow::{Context as _, Result, bail, ensure};
use bench_sweep::measure::monotonic;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// The built program.
pub struct Lastref(pub PathBuf);

/// One line of `watch --json`, as far as it is wanted here.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The first.
    Start,
    /// Of a series.
    Leak(Said),
    /// The last.
    Summary(Summary),
    /// Of a command.
    #[serde(other)]
    Other,
}

/// What is said of a series.
#[derive(Debug, Clone, Deserialize)]
pub struct Said {
    /// Seconds since the watch began.
    pub t: f64,
    /// `growing`, `late-release`, `plateau`, `over`
    pub state: String,
    /// `yes`, `suspected`, `no`
    pub leak: String,
    holder: Holder,
}

impl Said {
    /// It is about this process alone.
    pub fn is_of(&self, pid: u32) -> bool {
        self.holder.pid == Some(pid)
    }
}

#[derive(Debug, Clone, Deserialize)]
struct Holder {
    pid: Option<u32>,
}

/// The last words.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Summary {
    /// Seconds since the watch began.
    pub t: f64,
    /// Series that leak, or are suspected to, at the end.
    pub leaks: u64,
    /// Sweeps.
    pub sweeps: u64,
    /// Objects made on the host.
    pub created: Created,
    /// What lastref says that it took.
    pub cost: OwnCost,
}

/// By kind.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Created {
    /// Maps.
    pub map: u64,
}

/// What lastref says that it took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct OwnCost {
    /// Without loading its programs.
    pub cpu_seconds: f64,
    /// Of one processor.
    pub share: f64,
    /// At its most.
    pub rss_bytes: u64,
}

impl Lastref {
    /// It, with arguments.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.0);
        command.args(arguments);
        command
    }

    /// Starts a watch, and waits until it has made its first sweep.
    pub fn watch(&self, arguments: &[&str]) -> Result<Watcher> {
        let mut child = self
            .command(&["watch", "--json"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("lastref does not start")?;
        let stdout = child.stdout.take().context("a pipe was asked for")?;
        let (sender, events) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { break };
                let event = serde_json::from_str(&line).with_context(|| line.clone());
                if sender.send((monotonic(), event)).is_err() {
                    break;
                }
            }
        });
        let watcher = Watcher { child, events };
        let begun = watcher.next(Instant::now() + Duration::from_secs(30))?;
        ensure!(
            matches!(begun, Some((_, Event::Start))),
            "lastref watch did not begin"
        );
        Ok(watcher)
    }
}

/// A running watch. Dropping it ends it.
pub struct Watcher {
    child: Child,
    events: Receiver<(u64, Result<Event>)>,
}

impl Watcher {
    /// Its number.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The next line, and when it came; `None` if none has until then.
    fn next(&self, until: Instant) -> Result<Option<(u64, Event)>> {
        match self
            .events
            .recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            Ok((at, event)) => Ok(Some((at, event?))),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => bail!("lastref watch has ended"),
        }
    }

    /// Waits until it says this of a process, and says when that came.
    pub fn wait_for(&self, pid: u32, leak: &str, longest: Duration) -> Result<Option<(u64, Said)>> {
        let until = Instant::now() + longest;
        while let Some((at, event)) = self.next(until)? {
            if let Event::Leak(event) = event
                && event.is_of(pid)
                && event.leak == leak
            {
                return Ok(Some((at, event)));
            }
        }
        Ok(None)
    }

    /// Tells it to end. Gives what it has said since, and its last words.
    pub fn stop(self) -> Result<(Vec<Said>, Summary)> {
        kill_process(self.pid(), Signal::INT).context("lastref watch has ended")?;
        let until = Instant::now() + Duration::from_secs(60);
        let mut said = Vec::new();
        while let Some((_, event)) = self.next(until)? {
            match event {
                Event::Leak(leak) => said.push(leak),
                Event::Summary(summary) => return Ok((said, summary)),
                Event::Start | Event::Other => {}
            }
        }
        bail!("lastref watch does not end")
    }

    /// Processor time that it has had since it began, in seconds, by `/proc/PID/stat`.
    pub fn processor_seconds(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let ticks = ticks(&stat).context("/proc/PID/stat is not as expected")?;
        Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// Memory, now and at its most, by `/proc/PID/status`.
    pub fn memory_kib(&self) -> Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let kib = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            line.trim().strip_suffix(" kB")?.parse().ok()
        };
        let read = || {
            Some(Memory {
                now: kib("VmRSS:")?,
                peak: kib("VmHWM:")?,
            })
        };
        read().context("/proc/PID/status is not as expected")
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Resident memory.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Memory {
    /// Now.
    pub now: u64,
    /// At its most.
    pub peak: u64,
}

/// `utime` and `stime`: the fourteenth and fifteenth field. The name, the second, may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// A sweep, as `--record` has it.
#[derive(Debug, Deserialize)]
pub struct Sweep {
    /// Seconds since the watch began.
    pub t: f64,
    series: Vec<Series>,
}

#[derive(Debug, Deserialize)]
struct Series {
    scope: String,
    holder: Holder,
    came: u64,
    went: u64,
}

impl Sweep {
    /// What it found anew in the hands of a process, by series.
    fn of(&self, pid: u32) -> impl Iterator<Item = &Series> {
        let its = move |s: &&Series| s.scope == "process" && s.holder.pid == Some(pid);
        self.series.iter().filter(its)
    }

    /// It found something anew in the hands of a process.
    pub fn is_news_of(&self, pid: u32) -> bool {
        self.of(pid).next().is_some()
    }

    /// What came and went in the hands of a process.
    pub fn moved(&self, pid: u32) -> (u64, u64) {
        let each = self.of(pid).map(|s| (s.came, s.went));
        each.fold((0, 0), |(came, went), s| (came + s.0, went + s.1))
    }
}

/// The sweeps of a recording.
pub fn recorded(file: &Path) -> Result<Vec<Sweep>> {
    #[derive(Deserialize)]
    struct Line {
        sweep: Option<Sweep>,
    }
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let lines = text.lines().map(serde_json::from_str::<Line>);
    let sweeps = lines.filter_map(|line| line.map(|l| l.sweep).transpose());
    Ok(sweeps.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let stat = "77 (a) b (c)) S 1 77 77 0 -1 4194560 100 0 0 0 12 30 0 0 20 0 1 0";
        assert_eq!(ticks(stat), Some(42));
    }

    #[test]
    fn lines_are_read() {
        let line = r#"{"event":"leak","t":2.5,"state":"growing","leak":"suspected","holder":{"type":"process","pid":7}}"#;
        let Ok(Event::Leak(leak)) = serde_json::from_str(line) else {
            panic!("no leak");
        };
        assert!(leak.is_of(7) && !leak.is_of(8));
        let other: Event = serde_json::from_str(r#"{"event":"command","t":1.0}"#).unwrap();
        assert!(matches!(other, Event::Other));
    }
}
