//! What ends a wait: time, a signal, or something to read.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use std::io::{self, Read as _};
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// What ended a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// It was long enough.
    Time,
    /// Somebody asks to end.
    Signal(Signal),
    /// One of the other descriptors is readable, or nobody reads standard output any more.
    Readable,
}

/// SIGINT, SIGTERM and SIGHUP, as far as they are not ignored. They do not end the program while this
/// lives.
pub struct Signals {
    each: Vec<(Signal, UnixStream)>,
}

impl Signals {
    pub fn hold() -> io::Result<Self> {
        let ignored = ignored();
        let mut each = Vec::new();
        for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
            // `nohup` means what it says, and hands it on to a command of ours.
            if ignored >> (signal.as_raw() - 1) & 1 == 1 {
                continue;
            }
            let (read, write) = UnixStream::pair()?;
            read.set_nonblocking(true)?;
            signal_hook::low_level::pipe::register(signal.as_raw(), write)?;
            each.push((signal, read));
        }
        Ok(Self { each })
    }

    /// Waits until then, or until a signal comes, or until one of `others` can be read.
    pub fn wait(&mut self, until: Instant, others: &[BorrowedFd<'_>]) -> io::Result<Woken> {
        let stdout = io::stdout();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left.min(Duration::from_secs(3600)))
                .map_err(|_| io::ErrorKind::InvalidInput)?;
            let signals = self.each.iter();
            let signals = signals.map(|(_, read)| PollFd::new(read, PollFlags::IN));
            let mut fds: Vec<PollFd<'_>> = signals.collect();
            let others = others.iter();
            fds.extend(others.map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)));
            // Nothing is asked for: that its reader has gone is always told.
            fds.push(PollFd::new(&stdout, PollFlags::empty()));
            match poll(&mut fds, Some(&timeout)) {
                Ok(0) if left.is_zero() => return Ok(Woken::Time),
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(errno) => return Err(errno.into()),
            }
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            drop(fds);
            let mut came = None;
            let each = self.each.iter_mut().zip(&ready);
            for ((signal, read), _) in each.filter(|(_, ready)| **ready) {
                // How often it came does not matter.
                let mut bytes = [0; 64];
                let _ = read.read(&mut bytes)?;
                came = came.or(Some(*signal));
            }
            return Ok(match came {
                Some(signal) => Woken::Signal(signal),
                // However much there is to read, what is due comes first.
                None if left.is_zero() => Woken::Time,
                None => Woken::Readable,
            });
        }
    }
}

/// Signals that whoever started us wants ignored, a bit each (`SigIgn` of `/proc/self/status`).
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.unwrap_or_default()
}
