//! The wire format of protobuf, as far as profiles use it.
//!
//! By hand: a library would build every message of the profile in memory, most of which are of no
//! use here, before anything could be counted and refused.

/// Why bytes are no fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bad {
    /// They end within a field.
    Ends,
    /// No encoder writes that.
    Malformed(&'static str),
}

/// What a field says.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Four or eight bytes, which nothing in a profile is.
    Fixed,
}

impl<'a> Value<'a> {
    pub(super) fn number(self) -> Result<u64, Bad> {
        match self {
            Self::Number(number) => Ok(number),
            _ => Err(Bad::Malformed("a number is expected and is none")),
        }
    }

    /// Signed numbers stand there as two's complement of 64 bits.
    pub(super) fn signed(self) -> Result<i64, Bad> {
        Ok(self.number()? as i64)
    }

    pub(super) fn bytes(self) -> Result<&'a [u8], Bad> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(Bad::Malformed("bytes are expected and are none")),
        }
    }

    /// Repeated numbers: one here, or many packed into bytes.
    pub(super) fn numbers(self) -> Numbers<'a> {
        match self {
            Self::Number(number) => Numbers::One(Some(number)),
            Self::Bytes(bytes) => Numbers::Packed(bytes),
            Self::Fixed => Numbers::Wrong,
        }
    }
}

/// See [`Value::numbers`].
pub(super) enum Numbers<'a> {
    One(Option<u64>),
    Packed(&'a [u8]),
    Wrong,
}

impl Iterator for Numbers<'_> {
    type Item = Result<u64, Bad>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::One(number) => number.take().map(Ok),
            Self::Packed([]) => None,
            Self::Packed(rest) => {
                let number = varint(rest);
                if number.is_err() {
                    *self = Self::One(None);
                }
                Some(number)
            }
            Self::Wrong => {
                *self = Self::One(None);
                Some(Err(Bad::Malformed("numbers are expected and are none")))
            }
        }
    }
}

/// The fields of a message, in the order they stand there. Ends after an error.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

/// The fields of `message`.
pub(super) fn fields(message: &[u8]) -> Fields<'_> {
    Fields { rest: message }
}

impl<'a> Iterator for Fields<'a> {
    /// The field's number and value.
    type Item = Result<(u64, Value<'a>), Bad>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = field(&mut self.rest);
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

fn field<'a>(rest: &mut &'a [u8]) -> Result<(u64, Value<'a>), Bad> {
    let tag = varint(rest)?;
    let number = tag >> 3;
    if number == 0 || number >= 1 << 29 {
        return Err(Bad::Malformed("a field has a number that cannot be"));
    }
    let value = match tag & 7 {
        0 => Value::Number(varint(rest)?),
        1 => take(rest, 8).map(|_| Value::Fixed)?,
        2 => {
            let length = varint(rest)?;
            Value::Bytes(take(rest, length)?)
        }
        5 => take(rest, 4).map(|_| Value::Fixed)?,
        _ => return Err(Bad::Malformed("a field has a type that cannot be")),
    };
    Ok((number, value))
}

fn take<'a>(rest: &mut &'a [u8], length: u64) -> Result<&'a [u8], Bad> {
    let length = usize::try_from(length).map_err(|_| Bad::Ends)?;
    let (taken, after) = rest.split_at_checked(length).ok_or(Bad::Ends)?;
    *rest = after;
    Ok(taken)
}

/// Seven bits a byte, the lowest first, at most 64 bits.
fn varint(rest: &mut &[u8]) -> Result<u64, Bad> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first().ok_or(Bad::Ends)?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if shift == 63 && byte > 1 {
            break;
        }
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(Bad::Malformed("a number is larger than 64 bits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length_are_read() {
        for (bytes, number) in [
            (&b"\x00"[..], Ok(0)),
            (b"\x7f", Ok(127)),
            (b"\xac\x02", Ok(300)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", Ok(u64::MAX)),
            (b"", Err(Bad::Ends)),
            (b"\x80", Err(Bad::Ends)),
        ] {
            assert_eq!(varint(&mut &bytes[..]), number, "{bytes:?}");
        }
        for wide in [
            &b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"[..],
            &[0x80; 11],
        ] {
            assert!(matches!(varint(&mut &wide[..]), Err(Bad::Malformed(_))));
        }
    }

    #[test]
    fn repeated_numbers_are_packed_or_not() {
        let read = |value: Value<'_>| value.numbers().collect::<Vec<_>>();
        assert_eq!(read(Value::Number(7)), [Ok(7)]);
        assert_eq!(read(Value::Bytes(b"\x01\xac\x02")), [Ok(1), Ok(300)]);
        assert_eq!(read(Value::Bytes(b"")), []);
        assert_eq!(read(Value::Bytes(b"\x01\x80")), [Ok(1), Err(Bad::Ends)]);
        assert_eq!(read(Value::Fixed).len(), 1);
    }

    #[test]
    fn a_field_that_cannot_be_ends_the_message() {
        for bad in [
            &b"\x00\x00"[..],
            b"\x0b",
            b"\x0a\x05ab",
            b"\x09\x00",
            b"\x08",
        ] {
            let read: Vec<_> = fields(bad).collect();
            assert_eq!(read.len(), 1, "{bad:?}");
            assert!(read[0].is_err(), "{bad:?}");
        }
        let good: Vec<_> = fields(b"\x08\x05\x15abcd\x12\x01x").collect();
        assert_eq!(good.len(), 3);
        assert!(good.iter().all(Result::is_ok));
    }
}
