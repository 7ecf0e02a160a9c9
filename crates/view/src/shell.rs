//! Breaking a command over several lines so that it can still be pasted.
//!
//! A line ends in a backslash, which the shell removes together with the newline.
//! Between words, what follows may be indented. Inside a word it starts in the
//! first column, since spaces would end the word; and inside single quotes or
//! `$'…'`, where a backslash is nothing special before a newline, the quote is
//! closed before the break and opened again after it. Adjacent pieces are one word.

use crate::text::{char_width, width};

/// How the shell reads the place where an [`Atom`] stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quote {
    None,
    /// `'…'`
    Single,
    /// `$'…'`
    Ansi,
    /// `"…"`: here a backslash before the newline works as outside.
    Double,
}

impl Quote {
    fn open(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Single => "'",
            Self::Ansi => "$'",
            Self::Double => "\"",
        }
    }

    fn close(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Single | Self::Ansi => "'",
            Self::Double => "\"",
        }
    }
}

/// What must not be broken: a character, or an escape in its quotes.
#[derive(Debug, Clone, Copy)]
struct Atom<'a> {
    text: &'a str,
    quote: Quote,
}

/// A word, in the pieces between which it may be broken.
type Word<'a> = Vec<Atom<'a>>;

/// Programs that a release step may start with.
const PROGRAMS: [&str; 14] = [
    "bpftool",
    "docker",
    "ip",
    "kill",
    "kubectl",
    "nsenter",
    "podman",
    "rm",
    "rmdir",
    "sudo",
    "systemctl",
    "tc",
    "umount",
    "unlink",
];

/// True if this is a command to be copied, not a sentence.
pub fn is_command(text: &str) -> bool {
    let first = text.split(' ').next().unwrap_or("");
    PROGRAMS.contains(&first) && split(text).is_some()
}

/// Splits a command into words at unquoted spaces. `None` where the shell would
/// not read it to its end: an open quote, or a backslash before nothing.
fn split(command: &str) -> Option<Vec<Word<'_>>> {
    let mut words: Vec<Word<'_>> = vec![];
    let mut quote = Quote::None;
    let mut in_word = false;
    let mut rest = command;
    while let Some(c) = rest.chars().next() {
        let (token, after) = match (quote, c) {
            (Quote::None, ' ') => {
                in_word = false;
                rest = &rest[1..];
                continue;
            }
            (Quote::None, '\'') => (None, Quote::Single),
            (Quote::None, '"') => (None, Quote::Double),
            (Quote::None, '$') if rest.starts_with("$'") => (None, Quote::Ansi),
            (Quote::Single | Quote::Ansi, '\'') | (Quote::Double, '"') => (None, Quote::None),
            (Quote::None | Quote::Double | Quote::Ansi, '\\') => (Some(escape(rest)?), quote),
            _ => (Some(c.len_utf8()), quote),
        };
        if !in_word {
            words.push(vec![]);
            in_word = true;
        }
        let word = words.last_mut()?;
        if let Some(length) = token {
            word.push(Atom {
                text: &rest[..length],
                quote,
            });
            rest = &rest[length..];
        } else {
            let opens = quote == Quote::None;
            let mark = if opens { after.open() } else { quote.close() };
            if !opens && word.last().is_none_or(|a| a.quote != quote) {
                // An empty pair is a word too, or at least not nothing.
                word.push(Atom { text: "", quote });
            }
            rest = &rest[mark.len()..];
        }
        quote = after;
    }
    (quote == Quote::None).then_some(words)
}

/// Bytes of the escape that `text` starts with: `\'`, `\x1b`, `\u200b`.
fn escape(text: &str) -> Option<usize> {
    let kind = text[1..].chars().next()?;
    let digits = match kind {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => 0,
    };
    let hex = text[1 + kind.len_utf8()..]
        .bytes()
        .take(digits)
        .take_while(u8::is_ascii_hexdigit)
        .count();
    Some(1 + kind.len_utf8() + hex)
}

/// A line being written, and the quote that stands open at its end.
struct Pen {
    lines: Vec<String>,
    used: usize,
    open: Quote,
    room: usize,
}

impl Pen {
    fn put(&mut self, text: &str) {
        if let Some(line) = self.lines.last_mut() {
            line.push_str(text);
        }
        self.used += width(text);
    }

    fn requote(&mut self, quote: Quote) {
        if self.open != quote {
            self.put(self.open.close());
            self.put(quote.open());
            self.open = quote;
        }
    }

    /// Columns still free for an atom, its quotes and a backslash.
    fn has_room_for(&self, atom: &Atom<'_>) -> bool {
        let marks = if self.open == atom.quote {
            0
        } else {
            self.open.close().len() + atom.quote.open().len()
        };
        let columns: usize = atom.text.chars().map(char_width).sum();
        self.used + marks + columns + atom.quote.close().len() < self.room
    }

    fn break_line(&mut self, between_words: bool, indent: &str) {
        // In double quotes the backslash works, and `"$NA" "ME"` is not `"$NAME"`.
        if self.open != Quote::Double {
            self.requote(Quote::None);
        }
        self.put(if between_words { " \\" } else { "\\" });
        self.lines.push(String::new());
        self.used = 0;
        if between_words {
            self.put(indent);
        }
    }

    fn word(&mut self, word: &Word<'_>) {
        for atom in word {
            self.requote(atom.quote);
            self.put(atom.text);
        }
        self.requote(Quote::None);
    }
}

/// Columns of a word as it is written on one line.
fn word_width(word: &Word<'_>) -> usize {
    let mut pen = Pen {
        lines: vec![],
        used: 0,
        open: Quote::None,
        room: 0,
    };
    pen.word(word);
    pen.used
}

/// `command` on lines of at most `room` columns, the first of them `taken`
/// columns shorter; the shell reads all lines together as the same command.
/// Lines after the first carry their own indent, if they may have one.
pub fn break_command(command: &str, room: usize, taken: usize, indent: &str) -> Vec<String> {
    let Some(words) = split(command) else {
        return vec![command.to_owned()];
    };
    if taken + width(command) <= room {
        return vec![command.to_owned()];
    }
    let mut pen = Pen {
        lines: vec![String::new()],
        used: taken,
        open: Quote::None,
        room,
    };
    for (at, word) in words.iter().enumerate() {
        let columns = word_width(word);
        // All but the last word leave room for ` \`.
        let end = if at + 1 == words.len() { 0 } else { 2 };
        let gap = usize::from(at > 0);
        let whole_here = pen.used + gap + columns + end <= room;
        let whole_below = indent.len() + columns + end <= room;
        // A word that must be broken anyway begins where there is some room.
        if at > 0 && !whole_here && (whole_below || pen.used + 12 > room) {
            pen.break_line(true, indent);
        } else if at > 0 {
            pen.put(" ");
        }
        if pen.used + columns + end <= room {
            pen.word(word);
            continue;
        }
        for atom in word {
            if !pen.has_room_for(atom) {
                pen.break_line(false, indent);
            }
            pen.requote(atom.quote);
            pen.put(atom.text);
        }
        pen.requote(Quote::None);
        if at + 1 < words.len() && pen.used + 2 > room {
            pen.break_line(false, indent);
        }
    }
    pen.lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn breaks_between_words_first() {
        assert_eq!(
            break_command("nsenter -t 77 -m rm /sys/fs/bpf/x", 24, 0, "  "),
            ["nsenter -t 77 -m rm \\", "  /sys/fs/bpf/x"]
        );
    }

    #[test]
    fn a_word_is_broken_at_the_first_column() {
        assert_eq!(
            break_command("rm /0123456789abcdef", 16, 0, "  "),
            ["rm /0123456789a\\", "bcdef"]
        );
        assert_eq!(
            break_command(r"rm $'/a\x1b\'0123456789'", 16, 0, "  "),
            [r"rm $'/a\x1b\'0'\", "$'123456789'"]
        );
        assert_eq!(
            break_command("rm '/my pin 0123456789'", 16, 0, "  "),
            ["rm '/my pin 01'\\", "'23456789'"]
        );
    }

    #[test]
    fn sentences_are_no_commands() {
        assert!(is_command("rm /sys/fs/bpf/x"));
        assert!(!is_command("rm 'open"));
        assert!(!is_command("end agent's process"));
        assert!(!is_command("rmx /"));
    }
}
