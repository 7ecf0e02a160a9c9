//! Where text goes: width, colour, and JSON.

use anyhow::Context as _;
use serde::Serialize;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

/// Writes to standard output, buffered. That the reader has seen enough is no
/// error, and the answer stands; that the disk is full is one.
///
/// That it has is told by [`is_closed`].
pub fn print(
    write: impl FnOnce(&mut BufWriter<io::StdoutLock<'static>>) -> io::Result<()>,
) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("standard output cannot be written")
        }
        Err(_) => {
            CLOSED.store(true, Ordering::Relaxed);
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

static CLOSED: AtomicBool = AtomicBool::new(false);

/// Nobody reads what is printed any more.
pub fn is_closed() -> bool {
    CLOSED.load(Ordering::Relaxed)
}

/// JSON on one line, or indented for a terminal.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    print(|out| {
        if io::stdout().is_terminal() {
            serde_json::to_writer_pretty(&mut *out, value)?;
        } else {
            serde_json::to_writer(&mut *out, value)?;
        }
        out.write_all(b"\n")
    })
}

/// The terminal's width, else `$COLUMNS`, else 80; colour only on a terminal and
/// without `NO_COLOR`.
pub fn style() -> view::Style {
    style_of(&io::stdout())
}

/// The same of another place that text goes to.
pub fn style_of(out: &(impl io::IsTerminal + AsFd)) -> view::Style {
    const USUAL: usize = 80;
    let terminal = out.is_terminal();
    let columns = || std::env::var("COLUMNS").ok()?.parse().ok();
    let width = if terminal {
        let size = rustix::termios::tcgetwinsize(out).ok();
        size.map(|s| usize::from(s.ws_col))
            .filter(|&w| w > 0)
            .or_else(columns)
    } else {
        columns()
    };
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|t| t == "dumb");
    view::Style {
        width: width.unwrap_or(USUAL),
        colour: terminal && !no_color && !dumb,
    }
}
