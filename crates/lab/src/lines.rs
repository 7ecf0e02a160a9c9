//! Cuts what comes from a pipe into lines.

/// What was read and is not yet a whole line.
#[derive(Debug, Default)]
pub struct Lines {
    buffer: Vec<u8>,
    /// So far no line ends: what was looked at once is not looked at again, since a long line comes
    /// in many pieces.
    scanned: usize,
}

impl Lines {
    /// Puts to the end what was read.
    pub fn add(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Takes away the first line, if it is whole; without its end.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        let fresh = &self.buffer[self.scanned..];
        let Some(at) = fresh.iter().position(|&b| b == b'\n') else {
            self.scanned = self.buffer.len();
            return None;
        };
        let rest = self.buffer.split_off(self.scanned + at + 1);
        let mut line = std::mem::replace(&mut self.buffer, rest);
        line.pop();
        self.scanned = 0;
        Some(line)
    }

    /// Bytes that are no whole line yet.
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_whatever_the_pieces() {
        let text = b"one\n\nthree, which is longer\nand no end";
        for size in 1..=text.len() {
            let mut lines = Lines::default();
            let mut taken = Vec::new();
            for piece in text.chunks(size) {
                lines.add(piece);
                while let Some(line) = lines.take() {
                    taken.push(line);
                }
            }
            let expected: [&[u8]; 3] = [b"one", b"", b"three, which is longer"];
            assert_eq!(taken, expected, "pieces of {size}");
            assert_eq!(lines.pending(), b"and no end".len());
        }
    }

    #[test]
    fn what_has_no_end_is_looked_at_once() {
        let mut lines = Lines::default();
        lines.add(b"abc");
        assert_eq!(lines.take(), None);
        assert_eq!(lines.scanned, 3);
        lines.add(b"d\nef");
        assert_eq!(lines.take().as_deref(), Some(&b"abcd"[..]));
        assert_eq!(lines.take(), None);
        assert_eq!((lines.scanned, lines.pending()), (2, 2));
    }
}
