//! Netlink messages and their attributes, as bytes (`include/uapi/linux/netlink.h`).
//! Knows no socket.

use std::fmt;

/// Not as the kernel writes messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a malformed netlink message")
    }
}

impl std::error::Error for Malformed {}

/// Messages and attributes begin at multiples of this.
const ALIGN: usize = 4;
/// `struct nlmsghdr`
pub const HEAD: usize = 16;
/// `struct nlattr`
const ATTRIBUTE_HEAD: usize = 4;
/// Flags in an attribute's type: `NLA_F_NESTED | NLA_F_NET_BYTEORDER`
const TYPE_FLAGS: u16 = 0xc000;

/// `N` bytes at an offset.
fn bytes<const N: usize>(from: &[u8], at: usize) -> Result<[u8; N], Malformed> {
    let end = at.checked_add(N).ok_or(Malformed)?;
    let bytes = from.get(at..end).ok_or(Malformed)?;
    bytes.try_into().map_err(|_| Malformed)
}

/// A number of one byte at an offset.
pub fn u8_at(from: &[u8], at: usize) -> Result<u8, Malformed> {
    bytes::<1>(from, at).map(|[byte]| byte)
}

/// A number of two bytes at an offset.
pub fn u16_at(from: &[u8], at: usize) -> Result<u16, Malformed> {
    bytes(from, at).map(u16::from_ne_bytes)
}

/// A number of four bytes at an offset.
pub fn u32_at(from: &[u8], at: usize) -> Result<u32, Malformed> {
    bytes(from, at).map(u32::from_ne_bytes)
}

/// A text that ends with a zero, without it.
pub fn text(from: &[u8]) -> &[u8] {
    let end = from.iter().position(|&byte| byte == 0);
    &from[..end.unwrap_or(from.len())]
}

/// A message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// `NLMSG_…` or `RTM_…`
    pub kind: u16,
    /// `NLM_F_…`
    pub flags: u16,
    /// That of the request which it answers.
    pub sequence: u32,
    /// What follows its head.
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// The body's own head, of this many bytes, and the attributes after it.
    pub fn split(&self, head: usize) -> Result<(&'a [u8], Attributes<'a>), Malformed> {
        let rest = self.body.get(head.next_multiple_of(ALIGN)..);
        let rest = rest.ok_or(Malformed)?;
        Ok((&self.body[..head], Attributes(rest)))
    }
}

/// Takes what `length` bytes and their padding are off the front of `rest`.
fn take<'a>(rest: &mut &'a [u8], length: usize, head: usize) -> Result<&'a [u8], Malformed> {
    let all = std::mem::take(rest);
    if length < head || length > all.len() {
        return Err(Malformed);
    }
    // The last may lack its padding.
    *rest = &all[length.next_multiple_of(ALIGN).min(all.len())..];
    Ok(&all[head..length])
}

/// The next of a list, which ends at its end and at the first malformed one.
fn next<'a, T>(
    rest: &mut &'a [u8],
    one: impl FnOnce(&mut &'a [u8]) -> Result<T, Malformed>,
) -> Option<Result<T, Malformed>> {
    if rest.is_empty() {
        return None;
    }
    let found = one(rest);
    if found.is_err() {
        *rest = &[];
    }
    Some(found)
}

/// Splits what one read gave. Ends at the first malformed message.
#[derive(Debug, Clone)]
pub struct Messages<'a>(pub &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        next(&mut self.0, |rest| {
            let head = *rest;
            let length = u32_at(head, 0)? as usize;
            Ok(Message {
                kind: u16_at(head, 4)?,
                flags: u16_at(head, 6)?,
                sequence: u32_at(head, 8)?,
                body: take(rest, length, HEAD)?,
            })
        })
    }
}

/// Attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes<'a>(pub &'a [u8]);

impl<'a> Attributes<'a> {
    /// Their types, without flags, and values. Ends at the first malformed one.
    pub fn all(self) -> impl Iterator<Item = Result<(u16, &'a [u8]), Malformed>> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            next(&mut rest, |rest| {
                let head = *rest;
                let length = usize::from(u16_at(head, 0)?);
                let kind = u16_at(head, 2)? & !TYPE_FLAGS;
                Ok((kind, take(rest, length, ATTRIBUTE_HEAD)?))
            })
        })
    }

    /// The value of the first attribute of this type.
    pub fn find(self, kind: u16) -> Result<Option<&'a [u8]>, Malformed> {
        for attribute in self.all() {
            let (this, value) = attribute?;
            if this == kind {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// The first attribute of this type, as a list of attributes; an empty one if it is missing.
    pub fn nested(self, kind: u16) -> Result<Self, Malformed> {
        Ok(Self(self.find(kind)?.unwrap_or_default()))
    }

    /// The first attribute of this type, as a number of four bytes.
    pub fn number(self, kind: u16) -> Result<Option<u32>, Malformed> {
        self.find(kind)?.map(|value| u32_at(value, 0)).transpose()
    }
}

/// What a dump says at its end: its error number, 0 if there was none. Older kernels say
/// nothing (`NLMSG_DONE` has a number since 4.14, as `netlink_dump` tells).
pub fn status(body: &[u8]) -> i32 {
    bytes(body, 0).map_or(0, i32::from_ne_bytes)
}

/// A request: head and body.
pub fn request(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = (HEAD + body.len()) as u32;
    let mut request = length.to_ne_bytes().to_vec();
    request.extend(kind.to_ne_bytes());
    request.extend(flags.to_ne_bytes());
    request.extend(sequence.to_ne_bytes());
    // The sender's port: the kernel knows it.
    request.extend(0_u32.to_ne_bytes());
    request.extend(body);
    request
}

/// Writes an attribute, with padding.
pub fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = (ATTRIBUTE_HEAD + value.len()) as u16;
    let mut attribute = length.to_ne_bytes().to_vec();
    attribute.extend(kind.to_ne_bytes());
    attribute.extend(value);
    attribute.resize(attribute.len().next_multiple_of(ALIGN), 0);
    attribute
}
