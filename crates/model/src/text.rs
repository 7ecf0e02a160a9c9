//! Bytes that somebody else chose, made safe to carry and to show.
//!
//! Names of objects, processes and pins may hold any byte. They are carried as
//! `String` without loss ([`decode`]), and pass [`escape_controls`] before they
//! reach a terminal.

use std::fmt::Write as _;

/// Bytes from the kernel or the file system as text, without loss (but for a
/// name that itself spells `\xNN`): what is valid UTF-8 stays as it is, any
/// other byte becomes `\xNN`.
///
/// ```
/// assert_eq!(model::decode(b"conn_events"), "conn_events");
/// assert_eq!(model::decode(b"a\xffb"), r"a\xffb");
/// ```
pub fn decode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Text with every character that could move a terminal's cursor, change its
/// colours or reverse the reading direction replaced by a visible escape.
///
/// ```
/// assert_eq!(model::escape_controls("a\u{1b}[2Jb\n"), r"a\x1b[2Jb\n");
/// ```
pub fn escape_controls(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => safe.push_str("\\n"),
            '\t' => safe.push_str("\\t"),
            '\r' => safe.push_str("\\r"),
            c if c.is_control() && (c as u32) < 0x100 => {
                let _ = write!(safe, "\\x{:02x}", c as u32);
            }
            c if is_unsafe_format(c) => {
                let _ = write!(safe, "\\u{{{:x}}}", c as u32);
            }
            c => safe.push(c),
        }
    }
    safe
}

/// Format characters that reorder or hide what follows (Unicode TR 36).
fn is_unsafe_format(c: char) -> bool {
    matches!(c,
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A word that a POSIX shell (or, where bytes must be escaped, bash's `$'…'`)
/// reads back as exactly `text`. `text` is as [`decode`] returns it: a `\xNN`
/// in it stands for that byte.
///
/// ```
/// assert_eq!(model::shell_quote("/sys/fs/bpf/x"), "/sys/fs/bpf/x");
/// assert_eq!(model::shell_quote("/sys/fs/bpf/my pin"), "'/sys/fs/bpf/my pin'");
/// assert_eq!(model::shell_quote("/b/it's"), r"$'/b/it\'s'");
/// assert_eq!(model::shell_quote(r"/b/back\now"), r"$'/b/back\\now'");
/// assert_eq!(model::shell_quote(&model::decode(b"/b/\xff")), r"$'/b/\xff'");
/// ```
pub fn shell_quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    let needs_escape = |c: char| c.is_control() || is_unsafe_format(c) || c == '\'' || c == '\\';
    if !text.chars().any(needs_escape) {
        return format!("'{text}'");
    }
    let mut quoted = String::from("$'");
    for (at, c) in text.char_indices() {
        match c {
            '\'' => quoted.push_str("\\'"),
            // A byte that `decode` wrote as `\xNN` is read back as that byte.
            '\\' if !spells_a_byte(&text[at..]) => quoted.push_str("\\\\"),
            // By bytes: what \u means depends on the locale.
            c if is_unsafe_format(c) || c.is_control() => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    let _ = write!(quoted, "\\x{byte:02x}");
                }
            }
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}

/// `\xNN`
fn spells_a_byte(text: &str) -> bool {
    let digits = text
        .strip_prefix("\\x")
        .and_then(|rest| rest.as_bytes().get(..2));
    digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_as_text() {
        let all: Vec<u8> = (0..=255).collect();
        let text = decode(&all);
        assert!(text.contains("\\xff") && text.contains('A'));
    }

    #[test]
    fn no_control_character_reaches_the_terminal() {
        let all: String = (0..0x3000).filter_map(char::from_u32).collect();
        let safe = escape_controls(&all);
        assert!(
            safe.chars()
                .all(|c| !c.is_control() && !is_unsafe_format(c))
        );
    }
}
