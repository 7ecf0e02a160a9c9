//! The build id that linkers note in an executable.

use super::{Executable, NOTES};
use crate::bytes::u32_at;
use crate::memory::Memory as _;
use std::fmt::Write as _;

/// `NT_GNU_BUILD_ID`
const GNU_BUILD_ID: u32 = 3;
/// The longest that is taken for one: linkers write 8 to 32 bytes.
const LONGEST: usize = 64;

impl Executable<'_> {
    /// The GNU build id, in hexadecimal digits, as heap profiles have it (`elfBuildID` of `runtime/pprof`). Go's own linker
    /// writes one since Go 1.24 (`cmd/link`, `-B gobuildid`), in a section that no program header is about; others in both.
    pub fn gnu_build_id(&self) -> Option<String> {
        let section = self.section(".note.gnu.build-id").and_then(|(addr, size)| {
            let mut notes = vec![0; size.min(NOTES) as usize];
            self.read(addr, &mut notes).ok()?;
            build_id(&notes)
        });
        section.or_else(|| {
            let mut all = self.headers.notes.iter();
            all.find_map(|&(offset, size)| {
                let mut notes = vec![0; size.min(NOTES) as usize];
                self.source().read_at(offset, &mut notes).ok()?;
                build_id(&notes)
            })
        })
    }
}

/// The first build id in a list of notes: sizes of name and content, type, name, content; both padded to 4 bytes.
fn build_id(mut notes: &[u8]) -> Option<String> {
    let padded = |size: usize| size.checked_next_multiple_of(4);
    loop {
        let [name_size, size, kind] = [0, 4, 8].map(|at| u32_at(notes, at));
        let (name_size, size) = (name_size? as usize, size? as usize);
        let name = notes.get(12..)?.get(..name_size)?;
        let content = notes.get(12..)?.get(padded(name_size)?..)?;
        if kind? == GNU_BUILD_ID && name == b"GNU\0" {
            let id = content.get(..size)?;
            return (1..=LONGEST).contains(&size).then(|| hex(id));
        }
        notes = content.get(padded(size)?..)?;
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(name: &[u8], kind: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in [name.len() as u8, content.len() as u8, kind] {
            bytes.extend([number, 0, 0, 0]);
        }
        for part in [name, content] {
            bytes.extend(part);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    #[test]
    fn among_other_notes() {
        let go = note(b"Go\0\0", 4, b"abcde");
        let id = note(b"GNU\0", 3, &[0x14, 0x87, 0x0f]);
        let abi = note(b"GNU\0", 1, &[0; 16]);
        let all = [go.clone(), abi.clone(), id.clone()].concat();
        assert_eq!(build_id(&all).as_deref(), Some("14870f"));
        assert_eq!(build_id(&[go, abi].concat()), None);
        for end in 0..id.len() - 1 {
            assert_eq!(build_id(&id[..end]), None, "{end}");
        }
        for odd in [
            note(b"GNU\0", 3, &[]),
            note(b"GNU\0", 3, &[1; 65]),
            vec![0xff; 64],
            vec![0; 64],
        ] {
            assert_eq!(build_id(&odd), None, "{odd:?}");
        }
    }
}
