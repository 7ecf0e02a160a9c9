//! The types of a process whose memory is garbage.
#![no_main]

use gobinary::{Memory, Module, ReadError, Span, Types};
use libfuzzer_sys::fuzz_target;

/// Where the bytes stand: nothing else is mapped.
const BASE: u64 = 0x10000;

struct Bytes<'a>(&'a [u8]);

impl Memory for Bytes<'_> {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let unmapped = ReadError::Unmapped {
            addr,
            len: buf.len(),
        };
        let from = addr.checked_sub(BASE).ok_or(unmapped.clone())? as usize;
        let bytes = from
            .checked_add(buf.len())
            .and_then(|end| self.0.get(from..end));
        buf.copy_from_slice(bytes.ok_or(unmapped)?);
        Ok(())
    }
}

fuzz_target!(|bytes: &[u8]| {
    let module = Module {
        types: Span {
            start: BASE,
            end: BASE + bytes.len() as u64,
        },
        ..Module::default()
    };
    for minor in [18, 27] {
        let types = Types::new(Bytes(bytes), &[module], minor);
        for addr in (BASE..module.types.end).step_by(8).take(64) {
            if let Ok(ty) = types.read(addr) {
                assert!(ty.ptr_bytes <= ty.size);
                let _ = (ty.full_name(), types.fields(&ty).map(Iterator::count), types.field(&ty, "a.b"));
            }
        }
    }
});
