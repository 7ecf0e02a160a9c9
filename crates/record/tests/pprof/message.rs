//! Writes profiles by hand.

use flate2::{Compression, write::GzEncoder};
use std::io::Write;

/// A protobuf message.
#[derive(Clone, Default)]
pub struct Message(pub Vec<u8>);

impl Message {
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    pub fn number(mut self, field: u64, number: i64) -> Self {
        self.varint(field << 3);
        self.varint(number as u64);
        self
    }

    pub fn bytes(mut self, field: u64, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn message(self, field: u64, message: &Self) -> Self {
        self.bytes(field, &message.0)
    }

    pub fn packed(self, field: u64, numbers: &[i64]) -> Self {
        let mut packed = Self::default();
        for &number in numbers {
            packed.varint(number as u64);
        }
        self.message(field, &packed)
    }
}

/// An empty message.
pub fn message() -> Message {
    Message::default()
}

/// The strings of [`heap`], by index.
pub const STRINGS: [&str; 12] = [
    "",
    "inuse_objects",
    "count",
    "inuse_space",
    "bytes",
    "space",
    "main.leak",
    "/src/main.go",
    "main.main",
    "alloc_space",
    "/bin/agent",
    "abc",
];

/// A heap profile but for its samples: location 1 is `main.leak` inlined into `main.main`, location 2
/// `main.main` at another address, location 3 nothing but an address, location 4 the same as 2.
pub fn heap() -> Message {
    let value_type = |kind, unit| message().number(1, kind).number(2, unit);
    let line = |function, line| message().number(1, function).number(2, line);
    let function = |id, name| {
        let function = message().number(1, id).number(2, name).number(3, name);
        function.number(4, 7)
    };
    let mut heap = message()
        .message(1, &value_type(9, 4))
        .message(1, &value_type(3, 4))
        .message(1, &value_type(1, 2))
        .message(11, &value_type(5, 4))
        .number(12, 524_288)
        .number(9, 1_700_000_000_000_000_000)
        .message(3, &message().number(1, 1).number(5, 10).number(6, 11));
    let leak = message().number(1, 1).number(3, 0x1000);
    let leak = leak.message(4, &line(1, 88)).message(4, &line(2, 12));
    let main = |id| {
        let location = message().number(1, id).number(3, 0x1000 + id);
        location.message(4, &line(2, 20))
    };
    for location in [
        leak,
        main(2),
        message().number(1, 3).number(3, 0xabc),
        main(4),
    ] {
        heap = heap.message(4, &location);
    }
    let heap = heap.message(5, &function(1, 6)).message(5, &function(2, 8));
    STRINGS
        .iter()
        .fold(heap, |heap, string| heap.bytes(6, string.as_bytes()))
}

/// With that many bytes and objects in use, at these locations.
pub fn sample(bytes: i64, objects: i64, locations: &[i64]) -> Message {
    message()
        .packed(1, locations)
        .packed(2, &[1 << 40, bytes, objects])
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(bytes).expect("memory can be written");
    gzip.finish().expect("memory can be written")
}
