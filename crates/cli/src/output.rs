//! Where text goes: width, colour, and JSON.

use serde::Serialize;
use std::io::{self, BufWriter, IsTerminal as _, Write};

/// Standard output, buffered. [`finish`] must be called: it reports a full disk.
pub fn stdout() -> BufWriter<io::StdoutLock<'static>> {
    BufWriter::new(io::stdout().lock())
}

/// Flushes what is left, and reports what could not be written.
pub fn finish(mut out: impl Write) -> anyhow::Result<()> {
    out.flush().map_err(|error| write_error(error).into())
}

/// A failed write, in words.
pub fn write_error(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return error;
    }
    io::Error::new(
        error.kind(),
        format!("standard output cannot be written: {error}"),
    )
}

/// JSON on one line each, or indented for a terminal.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut out = stdout();
    let written = if io::stdout().is_terminal() {
        serde_json::to_writer_pretty(&mut out, value)
    } else {
        serde_json::to_writer(&mut out, value)
    };
    written.map_err(|e| write_error(e.into()))?;
    out.write_all(b"\n").map_err(write_error)?;
    finish(out)
}

/// The terminal's width, else `$COLUMNS`, else 80; colour only on a terminal and
/// without `NO_COLOR`.
pub fn style() -> view::Style {
    const USUAL: usize = 80;
    let stdout = io::stdout();
    let terminal = stdout.is_terminal();
    let columns = || std::env::var("COLUMNS").ok()?.parse().ok();
    let width = if terminal {
        let size = rustix::termios::tcgetwinsize(&stdout).ok();
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
