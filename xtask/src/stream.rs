//! Takes apart what comes out of the machine: program output with `vm-init`'s marks in it.
//!
//! A mark is the byte 0x1e, the nonce, a space, a message and a newline. It may follow output that
//! does not end a line, so the output between two marks is exactly what was written.

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It exited with this status.
    Exit(i32),
    /// This signal killed it.
    Signal(i32),
    /// `vm-init` killed it when its time was up.
    Timeout,
    /// `vm-init` could not start it.
    NotStarted,
}

/// One thing that happened in the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The machine is set up.
    Ready,
    /// The command with this index starts.
    Begin(usize),
    /// Bytes that the command wrote, to either stream.
    Output(Vec<u8>),
    /// The command is over, after so many milliseconds.
    End(usize, Outcome, u64),
    /// `vm-init` says something about itself.
    Note(String),
    /// All commands are over; the machine powers off.
    Done,
}

const MARK: u8 = 0x1e;
/// A longer line after the mark byte is not a mark.
const LONGEST: usize = 4096;

/// Splits the stream. Feed it as bytes arrive.
pub struct Parser {
    nonce: Vec<u8>,
    pending: Vec<u8>,
}

impl Parser {
    /// For a plan with this nonce.
    pub fn new(nonce: &str) -> Self {
        let mut start = vec![MARK];
        start.extend_from_slice(nonce.as_bytes());
        start.push(b' ');
        Self {
            nonce: start,
            pending: Vec::new(),
        }
    }

    /// The events that are complete once these bytes are known.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Event> {
        self.pending.extend_from_slice(bytes);
        let mut events = Vec::new();
        while !self.pending.is_empty() {
            match self.pending.iter().position(|&b| b == MARK) {
                None => push_output(&mut events, std::mem::take(&mut self.pending)),
                Some(0) => match self.mark() {
                    Mark::Incomplete => break,
                    Mark::None => {
                        let rest = self.pending.split_off(1);
                        let byte = std::mem::replace(&mut self.pending, rest);
                        push_output(&mut events, byte);
                    }
                    Mark::Event(event, length) => {
                        self.pending.drain(..length);
                        events.push(event);
                    }
                },
                Some(at) => {
                    let rest = self.pending.split_off(at);
                    let output = std::mem::replace(&mut self.pending, rest);
                    push_output(&mut events, output);
                }
            }
        }
        events
    }

    /// What a mark that never completed leaves at the end of the stream.
    pub fn finish(self) -> Option<Event> {
        (!self.pending.is_empty()).then_some(Event::Output(self.pending))
    }

    fn mark(&self) -> Mark {
        let known = self.pending.len().min(self.nonce.len());
        if self.pending[..known] != self.nonce[..known] {
            return Mark::None;
        }
        let Some(end) = self.pending.iter().position(|&b| b == b'\n') else {
            return if self.pending.len() > LONGEST {
                Mark::None
            } else {
                Mark::Incomplete
            };
        };
        let Some(message) = self.pending.get(self.nonce.len()..end) else {
            return Mark::None;
        };
        let message = String::from_utf8_lossy(message);
        match event(&message) {
            Some(event) => Mark::Event(event, end + 1),
            None => Mark::None,
        }
    }
}

enum Mark {
    Incomplete,
    None,
    Event(Event, usize),
}

fn push_output(events: &mut Vec<Event>, bytes: Vec<u8>) {
    if let Some(Event::Output(last)) = events.last_mut() {
        last.extend(bytes);
    } else {
        events.push(Event::Output(bytes));
    }
}

fn event(message: &str) -> Option<Event> {
    let (word, rest) = message.split_once(' ').unwrap_or((message, ""));
    match word {
        "ready" => Some(Event::Ready),
        "done" => Some(Event::Done),
        "note" => Some(Event::Note(rest.to_owned())),
        "begin" => Some(Event::Begin(rest.parse().ok()?)),
        "end" => {
            let mut words = rest.split(' ');
            let index = words.next()?.parse().ok()?;
            let how = words.next()?;
            let number: i32 = words.next()?.parse().ok()?;
            let milliseconds = words.next()?.parse().ok()?;
            let outcome = match how {
                "exit" => Outcome::Exit(number),
                "signal" => Outcome::Signal(number),
                "timeout" => Outcome::Timeout,
                "not-started" => Outcome::NotStarted,
                _ => return None,
            };
            Some(Event::End(index, outcome, milliseconds))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b"\x1e42 ready\n\x1e42 begin 0\nno newline\x1e42 end 0 exit 3 12\n\
        \x1e42 begin 1\n\x1e42 end 1 timeout 0 5000\n\x1e42 done\n";

    fn expected() -> Vec<Event> {
        vec![
            Event::Ready,
            Event::Begin(0),
            Event::Output(b"no newline".to_vec()),
            Event::End(0, Outcome::Exit(3), 12),
            Event::Begin(1),
            Event::End(1, Outcome::Timeout, 5000),
            Event::Done,
        ]
    }

    #[test]
    fn marks_are_found_in_the_middle_of_a_line() {
        let mut parser = Parser::new("42");
        assert_eq!(parser.feed(STREAM), expected());
        assert_eq!(parser.finish(), None);
    }

    #[test]
    fn every_byte_may_arrive_alone() {
        let mut parser = Parser::new("42");
        let mut events: Vec<Event> = Vec::new();
        for byte in STREAM {
            for event in parser.feed(&[*byte]) {
                match event {
                    Event::Output(bytes) => push_output(&mut events, bytes),
                    other => events.push(other),
                }
            }
        }
        assert_eq!(events, expected());
    }

    #[test]
    fn a_program_cannot_forge_a_mark_without_the_nonce() {
        let mut parser = Parser::new("42");
        let forged = b"\x1e43 end 0 exit 0 1\n\x1eend 0 exit 0 1\n";
        assert_eq!(parser.feed(forged), vec![Event::Output(forged.to_vec())]);
    }

    #[test]
    fn a_cut_mark_is_output() {
        let mut parser = Parser::new("42");
        assert_eq!(
            parser.feed(b"x\x1e42 en"),
            vec![Event::Output(b"x".to_vec())]
        );
        assert_eq!(parser.finish(), Some(Event::Output(b"\x1e42 en".to_vec())));
    }
}
