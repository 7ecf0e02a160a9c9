//! The one way out: lines of coloured pieces, never wider than the terminal.

use crate::Style;
use crate::text::{cut_end, cut_middle, width, wrap};
use model::escape_controls;
use std::borrow::Cow;
use std::io::{self, Write};

/// How a piece of text looks where colours are welcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    Plain,
    Bold,
    Dim,
    Red,
    Yellow,
    Cyan,
}

impl Paint {
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Bold => Some("\x1b[1m"),
            Self::Dim => Some("\x1b[2m"),
            Self::Red => Some("\x1b[31m"),
            Self::Yellow => Some("\x1b[33m"),
            Self::Cyan => Some("\x1b[36m"),
        }
    }
}

/// A piece of a line.
pub type Span = (String, Paint);

/// A plain piece.
pub fn plain(text: impl Into<String>) -> Span {
    (text.into(), Paint::Plain)
}

/// Text from outside, safe to show.
pub fn safe(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(escape_controls(text))
    }
}

/// Writes lines in a [`Style`].
pub struct Screen<'a, W> {
    out: &'a mut W,
    width: usize,
    colour: bool,
}

/// What one phrase may take at most.
const LINES_OF_A_PHRASE: usize = 3;
/// Columns of the labels under a table, with the gap after them.
const LABEL: usize = 13;

impl<'a, W: Write> Screen<'a, W> {
    pub fn new(style: &Style, out: &'a mut W) -> Self {
        Self {
            out,
            width: style.width.max(Style::NARROWEST),
            colour: style.colour,
        }
    }

    pub fn width(&self) -> usize {
        self.width
    }

    /// Writes one line. Callers make lines that fit; should one not, its end is
    /// cut off here, and a control character that slipped through is escaped.
    pub fn line(&mut self, spans: &[Span]) -> io::Result<()> {
        // Spaces at the end of a line only make copying harder.
        let used = spans
            .iter()
            .rposition(|(text, _)| !text.trim_end().is_empty())
            .map_or(0, |at| at + 1);
        let mut pieces: Vec<(Cow<'_, str>, Paint)> = spans[..used]
            .iter()
            .map(|(text, paint)| (safe(text), *paint))
            .collect();
        if let Some((last, _)) = pieces.last_mut() {
            *last = Cow::Owned(last.trim_end().to_owned());
        }
        let mut left: usize = pieces.iter().map(|(text, _)| width(text)).sum();
        let mut room = self.width;
        for (text, paint) in pieces {
            let mine = width(&text);
            // Where the rest does not fit either, this piece ends the line.
            let last = left > room && mine + 1 > room;
            let text = if last && mine == room && left > mine {
                Cow::Owned(cut_end(&format!("{text} "), room).into_owned())
            } else {
                cut_end(&text, room)
            };
            left -= mine;
            room -= width(&text);
            match paint.code() {
                Some(code) if self.colour && !text.trim().is_empty() => {
                    write!(self.out, "{code}{text}\x1b[0m")?;
                }
                _ => write!(self.out, "{text}")?,
            }
            if last {
                break;
            }
        }
        writeln!(self.out)
    }

    pub fn blank(&mut self) -> io::Result<()> {
        writeln!(self.out)
    }

    /// A blank line, and the title of what follows.
    pub fn heading(&mut self, title: &str) -> io::Result<()> {
        self.blank()?;
        self.line(&[(title.to_owned(), Paint::Bold)])
    }

    /// Text wrapped to the width, the first line after `first`, the others after `rest`.
    pub fn paragraph(&mut self, first: &str, rest: &str, text: &str) -> io::Result<()> {
        let room = self.width.saturating_sub(width(first).max(width(rest)));
        for (at, line) in wrap(&safe(text), room).into_iter().enumerate() {
            let prefix = if at == 0 { first } else { rest };
            self.line(&[plain(prefix), plain(line)])?;
        }
        Ok(())
    }

    /// A label and text beside it.
    pub fn labelled(&mut self, label: &str, paint: Paint, text: &str) -> io::Result<()> {
        let room = self.width - LABEL;
        for (at, line) in wrap(&safe(text), room).into_iter().enumerate() {
            let label = if at == 0 { label } else { "" };
            self.line(&[(format!("{label:<LABEL$}"), paint), plain(line)])?;
        }
        Ok(())
    }

    /// Phrases side by side, as many on a line as fit. The first line starts with
    /// `first`, the others with `rest`.
    pub fn phrases(
        &mut self,
        first: &[Span],
        rest: &str,
        gap: &str,
        phrases: &[Span],
    ) -> io::Result<()> {
        let first_width: usize = first.iter().map(|(text, _)| width(text)).sum();
        let mut line = first.to_vec();
        let mut used = first_width;
        let mut empty = true;
        for (text, paint) in phrases {
            if !empty && used + width(gap) + width(text) > self.width {
                self.line(&line)?;
                // The separator begins the line, so that this line is seen to go on.
                line = vec![plain(format!("{rest}{}", gap.trim_start()))];
                used = width(rest) + width(gap.trim_start());
            } else if !empty {
                line.push(plain(gap));
                used += width(gap);
            }
            // What is still too wide has a line to itself. A name loses its middle
            // there; a sentence goes on below, for a while.
            let room = self.width.saturating_sub(used).max(1);
            let lines = if text.contains(' ') && width(text) > room {
                wrap(&cut_middle(text, room * LINES_OF_A_PHRASE), room)
            } else {
                vec![cut_middle(text, room).into_owned()]
            };
            for (at, text) in lines.into_iter().enumerate() {
                if at > 0 {
                    self.line(&line)?;
                    line = vec![plain(rest)];
                    used = width(rest);
                }
                used += width(&text);
                line.push((text, *paint));
            }
            empty = false;
        }
        self.line(&line)
    }
}
