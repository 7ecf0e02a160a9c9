//! What a child tells its parent, a line each, on its standard output.

use crate::error::Step;
use std::fmt;
use std::io;

/// No line is longer.
pub const LONGEST: usize = 4096;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// The map is pinned, and the first descriptor leaked, unless the limit is
    /// reached already.
    Ready {
        map_id: u32,
        fd: Option<i32>,
        /// In the child's mount namespace.
        path: String,
    },
    /// So many descriptors so far.
    Leaked(u64),
    /// No more can be had; the child stays as it is. `limit`: of `RLIMIT_NOFILE`.
    Stuck {
        leaked: u64,
        errno: i32,
        limit: Option<u64>,
    },
    /// As many as were asked for; the child stays as it is.
    Enough(u64),
    /// It has stopped because it was told to, and will exit.
    Stopped(u64),
    /// It could not begin.
    Failed { step: Step, errno: i32 },
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready { map_id, fd, path } => {
                write!(f, "ready {map_id} {} {path}", OrDash(*fd))
            }
            Self::Leaked(leaked) => write!(f, "leaked {leaked}"),
            Self::Stuck {
                leaked,
                errno,
                limit,
            } => {
                write!(f, "stuck {leaked} {errno} {}", OrDash(*limit))
            }
            Self::Enough(leaked) => write!(f, "enough {leaked}"),
            Self::Stopped(leaked) => write!(f, "stopped {leaked}"),
            Self::Failed { step, errno } => write!(f, "failed {} {errno}", step.code()),
        }
    }
}

impl Message {
    /// The other way; `None` for anything else.
    pub fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        Some(match *words.as_slice() {
            ["ready", map_id, fd, path] => Self::Ready {
                map_id: map_id.parse().ok()?,
                fd: or_dash(fd)?,
                path: path.to_owned(),
            },
            ["leaked", leaked] => Self::Leaked(leaked.parse().ok()?),
            ["stuck", leaked, errno, limit] => Self::Stuck {
                leaked: leaked.parse().ok()?,
                errno: errno.parse().ok()?,
                limit: or_dash(limit)?,
            },
            ["enough", leaked] => Self::Enough(leaked.parse().ok()?),
            ["stopped", leaked] => Self::Stopped(leaked.parse().ok()?),
            ["failed", step, errno] => Self::Failed {
                step: Step::from_code(step)?,
                errno: errno.parse().ok()?,
            },
            _ => return None,
        })
    }
}

/// A value, or `-` for none.
pub struct OrDash<T>(pub Option<T>);

impl<T: fmt::Display> fmt::Display for OrDash<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("-"),
        }
    }
}

/// Reads what [`OrDash`] writes; the outer `None` is for what is neither.
#[expect(
    clippy::option_option,
    reason = "no value and no reading are two things"
)]
pub fn or_dash<T: std::str::FromStr>(word: &str) -> Option<Option<T>> {
    if word == "-" {
        return Some(None);
    }
    word.parse().ok().map(Some)
}

/// An errno in words.
pub struct Reason(pub i32);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        io::Error::from_raw_os_error(self.0).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for message in [
            Message::Ready {
                map_id: 17,
                fd: Some(3),
                path: "/sys/fs/bpf/a b".into(),
            },
            Message::Ready {
                map_id: u32::MAX,
                fd: None,
                path: "/mnt/x".into(),
            },
            Message::Leaked(u64::MAX),
            Message::Stuck {
                leaked: 1021,
                errno: libc::EMFILE,
                limit: Some(1024),
            },
            Message::Stuck {
                leaked: 0,
                errno: libc::ENOMEM,
                limit: None,
            },
            Message::Enough(5),
            Message::Stopped(6),
            Message::Failed {
                step: Step::Mount,
                errno: libc::EPERM,
            },
        ] {
            assert_eq!(Message::parse(&message.to_string()), Some(message));
        }
    }

    #[test]
    fn anything_else_is_no_message() {
        for line in [
            "",
            " ",
            "ready",
            "ready 17 3",
            "ready x 3 /p",
            "leaked",
            "leaked -1",
            "leaked 1 2",
            "leaked 99999999999999999999",
            "failed nothing 1",
            "stuck 1 24 ?",
            "thread 'main' panicked",
        ] {
            assert_eq!(Message::parse(line), None, "{line:?}");
        }
    }
}
