//! What the person at the terminal reads.

use crate::message::{Message, Reason};
use crate::raw_fd::{NAME, RawFd};
use std::io::{self, Write};
use std::process::ExitStatus;
use std::time::Duration;

/// Tells a run, line by line.
pub struct Story<'a, W> {
    out: &'a mut W,
    in_place: bool,
    /// The line in which the count stands is not ended.
    open: bool,
    leaked: u64,
    told: Option<u64>,
}

impl<'a, W: Write> Story<'a, W> {
    pub fn new(out: &'a mut W, in_place: bool) -> Self {
        Self {
            out,
            in_place,
            open: false,
            leaked: 0,
            told: None,
        }
    }

    /// Descriptors leaked, as last heard.
    pub fn leaked(&self) -> u64 {
        self.leaked
    }

    /// The first line, what happens, and what to look at.
    pub fn begin(
        &mut self,
        options: &RawFd,
        pid: u32,
        map: u32,
        fd: Option<i32>,
        path: &str,
    ) -> io::Result<()> {
        let name = &options.map_name;
        let bytes = u64::from(options.value_size) * u64::from(options.max_entries);
        let size = bytes as f64 / f64::from(1 << 20);
        let rate = options.rate;
        let noun = if options.rate <= 1.0 {
            "descriptor"
        } else {
            "descriptors"
        };
        let out = &mut *self.out;
        writeln!(
            out,
            "{NAME}: pid {pid}, map:{map} {name} ({size:.1} MiB), {rate} {noun} a second"
        )?;
        writeln!(out)?;
        writeln!(
            out,
            "A process opens a pinned map again and again and closes nothing. The pin"
        )?;
        writeln!(
            out,
            "is in a bpffs that only this process sees; there it is"
        )?;
        writeln!(out, "{path}")?;
        writeln!(out)?;
        writeln!(out, "Look at it from another terminal:")?;
        let mut look = |command: String, what: &str| writeln!(out, "  {command:<34}{what}");
        look(format!("lastref ls --pid {pid}"), "what it holds")?;
        look(
            format!("lastref why map:{map}"),
            "all references, and what keeps it",
        )?;
        if let Some(fd) = fd {
            look(
                format!("lastref why pid:{pid}/fd:{fd}"),
                "the same, from a descriptor",
            )?;
        }
        look(
            format!("bpftool map show id {map}"),
            "the map, without its references",
        )?;
        look(
            format!("lsof -p {pid} | grep -c bpf-map"),
            "a number, without which map",
        )?;
        writeln!(out)?;
        if options.duration.is_none() {
            writeln!(out, "Ctrl-C ends it, and nothing stays behind.")?;
            writeln!(out)?;
        }
        out.flush()
    }

    /// Takes in what the child says; what is new of it is told at once, counts later.
    pub fn hears(&mut self, message: &Message) -> io::Result<()> {
        match *message {
            Message::Leaked(leaked) | Message::Stopped(leaked) => self.leaked = leaked,
            Message::Enough(leaked) => {
                self.leaked = leaked;
                self.line(&format!(
                    "{}; that is all it was told to leak",
                    so_many(leaked)
                ))?;
                self.told = Some(leaked);
            }
            Message::Stuck {
                leaked,
                errno,
                limit,
            } => {
                self.leaked = leaked;
                self.line(&format!("{}; then: {}", so_many(leaked), Reason(errno)))?;
                if let Some(limit) = limit.filter(|_| errno == libc::EMFILE) {
                    self.line(&format!(
                        "its limit is {limit} (RLIMIT_NOFILE); it keeps what it has"
                    ))?;
                }
                self.told = Some(leaked);
            }
            // Only at the beginning.
            Message::Ready { .. } | Message::Failed { .. } => {}
        }
        Ok(())
    }

    /// Shows the count, if it has changed.
    pub fn count(&mut self) -> io::Result<()> {
        if self.told == Some(self.leaked) {
            return Ok(());
        }
        self.told = Some(self.leaked);
        let text = so_many(self.leaked);
        if self.in_place {
            self.open = true;
            write!(self.out, "\r{NAME}: {text}\x1b[K")?;
            return self.out.flush();
        }
        self.line(&text)
    }

    /// The child has ended; `status` if it was not us who ended it.
    pub fn ended(&mut self, after: Duration, status: Option<ExitStatus>) -> io::Result<()> {
        let seconds = after.as_secs_f64();
        let leaked = so_many(self.leaked);
        match status {
            None => self.line(&format!("ended after {seconds:.1} s; {leaked}")),
            Some(status) => self.line(&format!(
                "its process ended after {seconds:.1} s ({status}); {leaked}"
            )),
        }
    }

    /// What has become of the map.
    pub fn gone(&mut self, map: u32, gone: bool) -> io::Result<()> {
        if gone {
            return self.line("the map is gone from the kernel");
        }
        self.line(&format!(
            "the map is still in the kernel: try lastref why map:{map}"
        ))
    }

    fn line(&mut self, text: &str) -> io::Result<()> {
        if std::mem::take(&mut self.open) {
            write!(self.out, "\r\x1b[K")?;
        }
        writeln!(self.out, "{NAME}: {text}")?;
        self.out.flush()
    }
}

fn so_many(leaked: u64) -> String {
    let noun = if leaked == 1 {
        "descriptor"
    } else {
        "descriptors"
    };
    format!("{leaked} {noun} leaked")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(
        in_place: bool,
        tell: impl FnOnce(&mut Story<'_, Vec<u8>>) -> io::Result<()>,
    ) -> String {
        let mut out = Vec::new();
        tell(&mut Story::new(&mut out, in_place)).expect("a Vec takes everything");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn no_line_is_wider_than_80_columns() {
        let options = RawFd {
            rate: 1_000.0,
            ..RawFd::default()
        };
        let path = "/sys/fs/bpf/lastref-lab/conn_events";
        let text = told(false, |s| {
            s.begin(&options, 4_194_304, 100_000, Some(1_000), path)?;
            s.hears(&Message::Stuck {
                leaked: 1_048_573,
                errno: libc::EMFILE,
                limit: Some(1 << 20),
            })?;
            s.ended(Duration::from_secs(100_000), None)?;
            s.gone(100_000, false)
        });
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn the_first_line_is_for_programs() {
        let text = told(false, |s| {
            s.begin(&RawFd::default(), 4242, 17, Some(3), "/p")
        });
        let first = "raw-fd: pid 4242, map:17 conn_events (8.0 MiB), 10 descriptors a second";
        assert_eq!(text.lines().next(), Some(first));
        assert!(text.contains("lastref why pid:4242/fd:3 "));
    }

    #[test]
    fn a_count_that_stands_still_is_told_once() {
        let tell = |s: &mut Story<'_, Vec<u8>>| {
            s.hears(&Message::Leaked(1))?;
            s.count()?;
            s.count()?;
            s.hears(&Message::Leaked(2))?;
            s.count()?;
            s.gone(17, true)
        };
        assert_eq!(
            told(false, tell),
            "raw-fd: 1 descriptor leaked\nraw-fd: 2 descriptors leaked\n\
             raw-fd: the map is gone from the kernel\n"
        );
        assert_eq!(
            told(true, tell),
            "\rraw-fd: 1 descriptor leaked\x1b[K\rraw-fd: 2 descriptors leaked\x1b[K\
             \r\x1b[Kraw-fd: the map is gone from the kernel\n"
        );
    }
}
