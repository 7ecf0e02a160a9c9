//! As much of D-Bus as it takes to ask systemd on its private socket: method
//! calls with strings, and replies. The format is in the D-Bus specification,
//! "Message Protocol" and "Marshaling".

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Instant;

/// Longest message that is taken: a list of 10,000 units has some 3 MiB.
const LONGEST: usize = 8 << 20;
/// Calls that are under way at once.
const BATCH: usize = 64;

/// Bytes that are read at once.
const CHUNK: usize = 8 << 10;

const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;

/// A method call.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// The object.
    pub path: &'a str,
    /// The interface.
    pub interface: &'a str,
    /// The method.
    pub member: &'a str,
    /// Its arguments.
    pub args: Args<'a>,
}

/// Arguments, of the few types that are needed.
#[derive(Debug, Clone, Copy)]
pub enum Args<'a> {
    /// `s` or `ss` …
    Strings(&'a [&'a str]),
    /// `asas`
    Lists(&'a [&'a str], &'a [&'a str]),
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The message's body with its type.
    Return {
        /// Signature of the body.
        signature: String,
        /// The body.
        body: Body,
    },
    /// The name of an error.
    Error(String),
}

/// A message's body, to be read from its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    bytes: Vec<u8>,
    big_endian: bool,
}

/// A connection, until a deadline.
pub struct Connection {
    stream: UnixStream,
    deadline: Instant,
    serial: u32,
    pending: Vec<u8>,
}

impl Connection {
    /// Says who we are.
    pub fn new(stream: UnixStream, deadline: Instant) -> io::Result<Self> {
        let mut connection = Self {
            stream,
            deadline,
            serial: 0,
            pending: Vec::new(),
        };
        let uid = rustix::process::geteuid().as_raw().to_string();
        // In hexadecimal: the digit 7 is 37.
        let hex: String = uid.chars().flat_map(|digit| ['3', digit]).collect();
        connection.write(format!("\0AUTH EXTERNAL {hex}\r\nBEGIN\r\n").as_bytes())?;
        while !connection.pending.ends_with(b"\r\n") {
            if connection.pending.len() > 512 {
                return Err(malformed());
            }
            // One byte at a time: messages may follow at once.
            connection.receive(1)?;
        }
        if !connection.pending.starts_with(b"OK ") {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        connection.pending.clear();
        Ok(connection)
    }

    /// The replies to some calls, in their order.
    pub fn call(&mut self, calls: &[Call<'_>]) -> io::Result<Vec<Reply>> {
        let mut replies = Vec::with_capacity(calls.len());
        for batch in calls.chunks(BATCH) {
            let first = self.serial + 1;
            let mut bytes = Vec::new();
            for call in batch {
                self.serial += 1;
                bytes.extend(call.encode(self.serial));
            }
            self.write(&bytes)?;
            let mut answered = vec![None; batch.len()];
            let mut missing = batch.len();
            while missing > 0 {
                let Some((serial, reply)) = self.message()? else {
                    continue;
                };
                let slot = serial
                    .checked_sub(first)
                    .and_then(|at| answered.get_mut(at as usize));
                if let Some(slot @ None) = slot {
                    *slot = Some(reply);
                    missing -= 1;
                }
            }
            replies.extend(answered.into_iter().flatten());
        }
        Ok(replies)
    }

    /// The next message, if it is a reply.
    fn message(&mut self) -> io::Result<Option<(u32, Reply)>> {
        loop {
            match length(&self.pending).ok_or_else(malformed)? {
                Length::Whole(length) if self.pending.len() >= length => {
                    let rest = self.pending.split_off(length);
                    let message = std::mem::replace(&mut self.pending, rest);
                    return parse(&message).ok_or_else(malformed);
                }
                _ => self.receive(CHUNK)?,
            }
        }
    }

    fn receive(&mut self, most: usize) -> io::Result<()> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        let mut chunk = [0; CHUNK];
        let read = self.stream.read(&mut chunk[..most])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.pending.extend_from_slice(&chunk[..read]);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write_all(bytes)
    }

    fn left(&self) -> io::Result<std::time::Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            Err(io::ErrorKind::TimedOut.into())
        } else {
            Ok(left)
        }
    }
}

fn malformed() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

impl Call<'_> {
    /// The message, in little-endian order.
    fn encode(&self, serial: u32) -> Vec<u8> {
        let mut body = Vec::new();
        let signature = match self.args {
            Args::Strings(strings) => {
                for text in strings {
                    string(&mut body, text);
                }
                "s".repeat(strings.len())
            }
            Args::Lists(first, second) => {
                list(&mut body, first);
                list(&mut body, second);
                "asas".to_owned()
            }
        };
        let mut fields = Vec::new();
        for (code, kind, text) in [
            (1, b'o', self.path),
            (2, b's', self.interface),
            (3, b's', self.member),
            (6, b's', "org.freedesktop.systemd1"),
        ] {
            pad(&mut fields, 8);
            fields.extend([code, 1, kind, 0]);
            string(&mut fields, text);
        }
        if !signature.is_empty() {
            pad(&mut fields, 8);
            fields.extend([8, 1, b'g', 0, signature.len() as u8]);
            fields.extend(signature.as_bytes());
            fields.push(0);
        }
        let mut message = vec![b'l', METHOD_CALL, 0, 1];
        message.extend((body.len() as u32).to_le_bytes());
        message.extend(serial.to_le_bytes());
        message.extend((fields.len() as u32).to_le_bytes());
        message.extend(fields);
        pad(&mut message, 8);
        message.extend(body);
        message
    }
}

fn pad(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}

fn string(bytes: &mut Vec<u8>, text: &str) {
    pad(bytes, 4);
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes.push(0);
}

fn list(bytes: &mut Vec<u8>, items: &[&str]) {
    pad(bytes, 4);
    let mut content = Vec::new();
    for item in items {
        string(&mut content, item);
    }
    bytes.extend((content.len() as u32).to_le_bytes());
    bytes.extend(content);
}

enum Length {
    /// More bytes are needed to tell.
    Unknown,
    Whole(usize),
}

/// How long the message is that begins here; `None` if it is none, or too long.
fn length(bytes: &[u8]) -> Option<Length> {
    let Some(head) = bytes.get(..16) else {
        return Some(Length::Unknown);
    };
    let reader = Reader::new(head, big_endian(head)?);
    let fields = Reader { at: 12, ..reader }.u32()? as usize;
    let body = Reader { at: 4, ..reader }.u32()? as usize;
    let whole = fields
        .checked_add(16)?
        .checked_next_multiple_of(8)?
        .checked_add(body)?;
    (head[3] == 1 && whole <= LONGEST).then_some(Length::Whole(whole))
}

fn big_endian(message: &[u8]) -> Option<bool> {
    match message.first()? {
        b'l' => Some(false),
        b'B' => Some(true),
        _ => None,
    }
}

/// A whole message: the outer `None` if it is none, the inner if it is no reply.
#[allow(clippy::option_option, reason = "malformed is not the same as unasked")]
pub fn parse(message: &[u8]) -> Option<Option<(u32, Reply)>> {
    let Length::Whole(whole) = length(message)? else {
        return None;
    };
    let message = message.get(..whole)?;
    let big_endian = big_endian(message)?;
    let mut reader = Reader::new(message, big_endian);
    reader.at = 4;
    let body = reader.u32()? as usize;
    reader.at = 12;
    let end = reader.u32()? as usize + 16;
    let (mut serial, mut error, mut signature) = (None, None, "");
    while reader.at < end {
        reader.align(8)?;
        let code = reader.u8()?;
        match (code, reader.signature()?) {
            (5, "u") => serial = Some(reader.u32()?),
            (4, "s") => error = Some(reader.str()?.to_owned()),
            (8, "g") => signature = reader.signature()?,
            (_, "u") => drop(reader.u32()?),
            (_, "s" | "o") => drop(reader.str()?),
            (_, "g") => drop(reader.signature()?),
            _ => return None,
        }
    }
    if reader.at != end {
        return None;
    }
    let reply = match message[1] {
        METHOD_RETURN => Reply::Return {
            signature: signature.to_owned(),
            body: Body {
                bytes: message[whole - body..].to_vec(),
                big_endian,
            },
        },
        ERROR => Reply::Error(error?),
        _ => return Some(None),
    };
    Some(Some((serial?, reply)))
}

impl Body {
    /// Reads it from the start.
    pub fn reader(&self) -> Reader<'_> {
        Reader::new(&self.bytes, self.big_endian)
    }
}

/// Values, one after the other; `None` where the bytes end or are none.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    big_endian: bool,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8], big_endian: bool) -> Self {
        Self {
            bytes,
            at: 0,
            big_endian,
        }
    }

    fn align(&mut self, to: usize) -> Option<()> {
        self.at = self.at.checked_next_multiple_of(to)?;
        Some(())
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    /// `u`
    pub fn u32(&mut self) -> Option<u32> {
        self.align(4)?;
        let bytes = self.take(4)?.try_into().ok()?;
        Some(if self.big_endian {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        })
    }

    /// `t`, passed over.
    pub fn skip_u64(&mut self) -> Option<()> {
        self.align(8)?;
        self.take(8).map(drop)
    }

    /// `s` or `o`
    pub fn str(&mut self) -> Option<&'a str> {
        let length = self.u32()? as usize;
        let text = std::str::from_utf8(self.take(length)?).ok()?;
        (self.u8()? == 0).then_some(text)
    }

    /// `g`; before a value in a variant, its type.
    pub fn signature(&mut self) -> Option<&'a str> {
        let length = self.u8()?.into();
        let text = std::str::from_utf8(self.take(length)?).ok()?;
        (self.u8()? == 0).then_some(text)
    }

    /// The elements of an array of structs.
    pub fn structs<T>(&mut self, one: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let length = self.u32()? as usize;
        self.align(8)?;
        let end = self.at.checked_add(length)?;
        let mut inner = Self {
            bytes: self.bytes.get(..end)?,
            ..*self
        };
        let mut found = Vec::new();
        while inner.at < end {
            inner.align(8)?;
            let before = inner.at;
            found.push(one(&mut inner)?);
            // What takes no bytes would be read for ever.
            if inner.at == before {
                return None;
            }
        }
        self.at = end;
        Some(found)
    }
}
