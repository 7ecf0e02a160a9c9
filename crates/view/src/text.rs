//! Measuring, cutting and wrapping text by terminal columns.

use std::borrow::Cow;
use unicode_width::UnicodeWidthChar;

/// Marks a place where text was cut away.
pub const ELLIPSIS: char = '…';

/// Columns that a character takes. Never less than what a terminal uses: a
/// variation selector may widen the character before it, so it counts as one.
pub fn char_width(c: char) -> usize {
    match c {
        '\u{fe00}'..='\u{fe0f}' => 1,
        c => c.width().unwrap_or(1),
    }
}

/// Columns that a text takes.
pub fn width(text: &str) -> usize {
    if text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return text.len();
    }
    text.chars().map(char_width).sum()
}

/// True if the text may stand in `max` columns: it fits, and is no pile of
/// characters without a width (4,000 accents on one letter).
fn fits(text: &str, max: usize) -> bool {
    width(text) <= max && (text.len() <= max || text.chars().count() <= most_chars(max))
}

fn most_chars(columns: usize) -> usize {
    4 * columns + 8
}

/// The longest start of `text` that fits, as bytes.
fn fitting(text: &str, max: usize) -> usize {
    let mut used = 0;
    for (n, (at, c)) in text.char_indices().enumerate() {
        used += char_width(c);
        if used > max || n >= most_chars(max) {
            return at;
        }
    }
    text.len()
}

/// Where the longest end of `text` that fits begins. Not at a combining
/// character: that would go onto whatever is put before it.
fn ending(text: &str, max: usize) -> usize {
    let mut used = 0;
    let mut from = text.len();
    for (n, (at, c)) in text.char_indices().rev().enumerate() {
        used += char_width(c);
        if used > max || n >= most_chars(max) {
            break;
        }
        if char_width(c) > 0 {
            from = at;
        }
    }
    from
}

/// At most `max` columns, the end cut off.
pub fn cut_end(text: &str, max: usize) -> Cow<'_, str> {
    if fits(text, max) {
        return Cow::Borrowed(text);
    }
    if max == 0 {
        return Cow::Borrowed("");
    }
    let start = &text[..fitting(text, max - 1)];
    Cow::Owned(format!("{}{ELLIPSIS}", start.trim_end()))
}

/// At most `max` columns, the middle cut out: of a path or a long name, both
/// ends tell something, and the last part most.
pub fn cut_middle(text: &str, max: usize) -> Cow<'_, str> {
    if fits(text, max) {
        return Cow::Borrowed(text);
    }
    if max < 8 {
        return cut_end(text, max);
    }
    let head_room = (max - 1) * 2 / 5;
    let head = &text[..fitting(text, head_room)];
    let tail_room = max - 1 - width(head);
    let from = ending(text, tail_room).max(head.len());
    Cow::Owned(format!("{head}{ELLIPSIS}{}", &text[from..]))
}

/// At most `max` columns of a path: its end, from a `/` on where that leaves enough.
pub fn cut_path(path: &str, max: usize) -> Cow<'_, str> {
    if fits(path, max) {
        return Cow::Borrowed(path);
    }
    if max < 2 {
        return cut_end(path, max);
    }
    let tail = &path[ending(path, max - 1)..];
    let tail = match tail.find('/') {
        Some(at) if width(&tail[at..]) * 2 > max => &tail[at..],
        _ => tail,
    };
    Cow::Owned(format!("{ELLIPSIS}{tail}"))
}

/// `text` broken at spaces into lines of at most `max` columns; a word that is
/// longer is broken wherever the line ends.
pub fn wrap(text: &str, max: usize) -> Vec<String> {
    let max = max.max(2);
    let mut lines = vec![String::new()];
    let mut used = 0;
    for mut word in text.split(' ').filter(|w| !w.is_empty()) {
        let columns = width(word);
        let gap = usize::from(used > 0);
        if used + gap + columns <= max {
            if gap > 0 {
                push(&mut lines, " ");
            }
            push(&mut lines, word);
            used += gap + columns;
            continue;
        }
        if used > 0 {
            lines.push(String::new());
        }
        while width(word) > max {
            let (start, rest) = word.split_at(fitting(word, max).max(first_char(word)));
            push(&mut lines, start);
            lines.push(String::new());
            word = rest;
        }
        push(&mut lines, word);
        used = width(word);
    }
    lines
}

fn push(lines: &mut [String], text: &str) {
    if let Some(last) = lines.last_mut() {
        last.push_str(text);
    }
}

fn first_char(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutting_counts_columns_not_bytes() {
        assert_eq!(cut_end("conn_events", 11), "conn_events");
        assert_eq!(cut_end("conn_events", 8), "conn_ev…");
        assert_eq!(cut_end("事件地图", 8), "事件地图");
        assert_eq!(cut_end("事件地图", 6), "事件…");
        assert_eq!(cut_end("x", 0), "");
        assert_eq!(
            cut_middle("/sys/fs/bpf/pods/0123/events", 20),
            "/sys/fs…/0123/events"
        );
        assert_eq!(cut_middle("事件地图事件地图", 9), "事…件地图");
    }

    #[test]
    fn the_end_of_a_path_tells_most() {
        let path = "/sys/fs/bpf/pods/0123/events";
        assert_eq!(cut_path(path, 40), path);
        assert_eq!(cut_path(path, 22), "…/bpf/pods/0123/events");
        assert_eq!(cut_path(path, 20), "…/pods/0123/events");
        assert_eq!(cut_path("/a/0123456789", 8), "…3456789");
    }

    #[test]
    fn a_pile_of_accents_is_cut_too() {
        let pile = format!("a{}", "\u{301}".repeat(4_000));
        assert_eq!(width(&pile), 1);
        assert!(cut_end(&pile, 10).chars().count() < 60);
        assert!(cut_middle(&pile, 10).chars().count() < 90);
    }

    #[test]
    fn wrapping_keeps_every_word() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("a 0123456789 b", 4), ["a", "0123", "4567", "89 b"]);
        assert_eq!(wrap("", 4), [""]);
    }
}
