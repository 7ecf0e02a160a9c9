//! A `NETLINK_ROUTE` socket, and dumps through it.

use super::netlink::{HEAD, Malformed, Message, Messages, request, status};
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSG_OVERRUN: u16 = 4;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
/// What is dumped changed meanwhile, and something may be missing.
const NLM_F_DUMP_INTR: u16 = 0x10;

/// The kernel makes messages of at most 32 KiB in a dump (`netlink_dump`), unless one
/// thing alone is larger.
const BUFFER: usize = 256 << 10;
/// Longest wait for one answer: others may have the rtnl lock.
const ANSWER: Duration = Duration::from_secs(1);
/// Longest time for all dumps of one namespace. A million routes take some 600 ms.
const ALL: Duration = Duration::from_secs(5);

/// The socket. It belongs to the network namespace of the thread that opened it.
pub struct Socket {
    fd: OwnedFd,
    buffer: Vec<u8>,
    sequence: u32,
    until: Instant,
    /// A dump changed under us twice, or took too long.
    pub cut: bool,
}

/// How a dump came to its end.
enum End {
    Whole,
    Changed,
    TooLong,
}

fn malformed(error: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn done(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

impl Socket {
    /// Opens one, connected to the kernel: then nobody else can send it anything.
    pub fn open() -> io::Result<Self> {
        // SAFETY: no pointers.
        let fd = unsafe {
            let flags = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
            libc::socket(libc::AF_NETLINK, flags, libc::NETLINK_ROUTE)
        };
        done(fd)?;
        // SAFETY: a new descriptor that nobody else has.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let timeout = libc::timeval {
            tv_sec: ANSWER.as_secs() as _,
            tv_usec: 0,
        };
        // SAFETY: the option's value lives until the call returns, and its length is told.
        done(unsafe {
            libc::setsockopt(
                fd.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_RCVTIMEO,
                (&raw const timeout).cast(),
                size_of::<libc::timeval>() as libc::socklen_t,
            )
        })?;
        // SAFETY: zero is a value of this struct of integers, and the kernel's address.
        let mut kernel: libc::sockaddr_nl = unsafe { zeroed() };
        kernel.nl_family = libc::AF_NETLINK as libc::sa_family_t;
        // SAFETY: the address lives until the call returns, and its length is told.
        done(unsafe {
            libc::connect(
                fd.as_raw_fd(),
                (&raw const kernel).cast(),
                size_of::<libc::sockaddr_nl>() as libc::socklen_t,
            )
        })?;
        Ok(Self {
            fd,
            buffer: vec![0; BUFFER],
            sequence: 0,
            until: Instant::now() + ALL,
            cut: false,
        })
    }

    /// All that `parse` makes of the answers to a dump. What this kernel does not have, or
    /// what went away meanwhile, is nothing.
    pub fn dump<T>(
        &mut self,
        kind: u16,
        body: &[u8],
        parse: impl Fn(&Message<'_>) -> Result<Option<T>, Malformed>,
    ) -> io::Result<Vec<T>> {
        let mut found = Vec::new();
        for _ in 0..2 {
            if Instant::now() > self.until {
                break;
            }
            found.clear();
            match self.attempt(kind, body, &mut |message| {
                found.extend(parse(message)?);
                Ok(())
            }) {
                Ok(End::Whole) => return Ok(found),
                Ok(End::Changed) => {}
                Ok(End::TooLong) => break,
                Err(error) if is_nothing(&error) => return Ok(Vec::new()),
                Err(error) => return Err(error),
            }
        }
        self.cut = true;
        Ok(found)
    }

    fn attempt(
        &mut self,
        kind: u16,
        body: &[u8],
        each: &mut dyn FnMut(&Message<'_>) -> Result<(), Malformed>,
    ) -> io::Result<End> {
        self.sequence += 1;
        self.send(&request(
            kind,
            NLM_F_REQUEST | NLM_F_DUMP,
            self.sequence,
            body,
        ))?;
        let mut changed = false;
        loop {
            let length = self.receive()?;
            for message in Messages(&self.buffer[..length]) {
                let message = message.map_err(malformed)?;
                // The rest of a dump that was given up.
                if message.sequence != self.sequence {
                    continue;
                }
                changed |= message.flags & NLM_F_DUMP_INTR != 0;
                match message.kind {
                    NLMSG_NOOP => {}
                    NLMSG_DONE | NLMSG_ERROR => {
                        return match status(message.body) {
                            0 if changed => Ok(End::Changed),
                            0 => Ok(End::Whole),
                            // Always negative.
                            error => Err(io::Error::from_raw_os_error(error.saturating_neg())),
                        };
                    }
                    NLMSG_OVERRUN => changed = true,
                    _ => each(&message).map_err(malformed)?,
                }
            }
            if Instant::now() > self.until {
                return Ok(End::TooLong);
            }
        }
    }

    fn send(&self, request: &[u8]) -> io::Result<()> {
        // SAFETY: the bytes live until the call returns, and their number is told.
        let sent = unsafe {
            libc::send(
                self.fd.as_raw_fd(),
                request.as_ptr().cast(),
                request.len(),
                0,
            )
        };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Receives what fits, and says how many bytes they are.
    fn receive(&mut self) -> io::Result<usize> {
        loop {
            // SAFETY: the buffer has as many bytes as are told. With MSG_TRUNC the true
            // length is answered, but no more is written.
            let length = unsafe {
                libc::recv(
                    self.fd.as_raw_fd(),
                    self.buffer.as_mut_ptr().cast(),
                    self.buffer.len(),
                    libc::MSG_TRUNC,
                )
            };
            if let Ok(length) = usize::try_from(length) {
                if length < HEAD || length > self.buffer.len() {
                    return Err(malformed(Malformed));
                }
                return Ok(length);
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::EAGAIN) => return Err(io::ErrorKind::TimedOut.into()),
                _ => return Err(error),
            }
        }
    }
}

/// The kernel does not have such things (`EOPNOTSUPP`: `RTM_GETNEXTHOP` before 5.3, or IPv6
/// is off), or what was asked about is gone.
fn is_nothing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::EOPNOTSUPP
                | libc::EAFNOSUPPORT
                | libc::EPROTONOSUPPORT
                | libc::ENODEV
                | libc::ENOENT
                | libc::EINVAL
        )
    )
}
