//! SIGINT, SIGTERM and SIGHUP, as the end of a wait.

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
    /// The other descriptor is readable.
    Readable,
}

/// The signals that ask a program to end. They do not end it while this lives.
pub struct Signals {
    each: Vec<(Signal, UnixStream)>,
}

impl Signals {
    pub fn hold() -> io::Result<Self> {
        let each = [Signal::INT, Signal::TERM, Signal::HUP].map(|signal| {
            let (read, write) = UnixStream::pair()?;
            read.set_nonblocking(true)?;
            signal_hook::low_level::pipe::register(signal.as_raw(), write)?;
            Ok((signal, read))
        });
        let each: io::Result<Vec<_>> = each.into_iter().collect();
        Ok(Self { each: each? })
    }

    /// Waits until then, or until a signal comes, or until `other` can be read.
    pub fn wait(&mut self, until: Instant, other: Option<BorrowedFd<'_>>) -> io::Result<Woken> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left.min(Duration::from_secs(3600)))
                .map_err(|_| io::ErrorKind::InvalidInput)?;
            let signals = self
                .each
                .iter()
                .map(|(_, read)| PollFd::new(read, PollFlags::IN));
            let mut fds: Vec<PollFd<'_>> = signals.collect();
            fds.extend(other.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
            match poll(&mut fds, Some(&timeout)) {
                Ok(0) if left.is_zero() => return Ok(Woken::Time),
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(errno) => return Err(errno.into()),
            }
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            drop(fds);
            let mut came = None;
            for ((signal, read), _) in self
                .each
                .iter_mut()
                .zip(&ready)
                .filter(|(_, ready)| **ready)
            {
                // How often it came does not matter.
                let mut bytes = [0; 64];
                let _ = read.read(&mut bytes)?;
                came = came.or(Some(*signal));
            }
            return Ok(came.map_or(Woken::Readable, Woken::Signal));
        }
    }
}
