//! A writer that keeps a width: for text that is written line by line elsewhere.

use crate::text::{width, wrap};
use std::io::{self, Write};

/// Breaks lines at spaces, so that none is wider than `width` columns. What
/// follows a break is indented two columns deeper than the line. A line that is
/// flushed before its end goes out as it is.
#[derive(Debug)]
pub struct Wrapped<W: Write> {
    out: W,
    width: usize,
    line: Vec<u8>,
}

impl<W: Write> Wrapped<W> {
    /// Writes to `out`.
    pub fn new(out: W, width: usize) -> Self {
        Self {
            out,
            width,
            line: Vec::new(),
        }
    }

    fn line(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&line);
        if width(&text) <= self.width {
            return self.out.write_all(&line);
        }
        let indent = text.len() - text.trim_start_matches(' ').len();
        let deeper = " ".repeat(indent + 2);
        let room = self.width.saturating_sub(deeper.len()).max(10);
        for (at, part) in wrap(&text, room).iter().enumerate() {
            let before = if at == 0 { &deeper[..indent] } else { &deeper };
            writeln!(self.out, "{before}{}", part.trim_end())?;
        }
        Ok(())
    }
}

impl<W: Write> Write for Wrapped<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for part in bytes.split_inclusive(|&b| b == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                self.line()?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(&self.line)?;
        self.line.clear();
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_and_short_ones_left_alone() {
        let mut out = Vec::new();
        let mut wrapped = Wrapped::new(&mut out, 20);
        writeln!(wrapped, "short").expect("written");
        writeln!(wrapped, "  one two three four five six").expect("written");
        write!(wrapped, "no end").expect("written");
        wrapped.flush().expect("flushed");
        assert_eq!(
            String::from_utf8_lossy(&out),
            "short\n  one two three\n    four five six\nno end"
        );
    }
}
