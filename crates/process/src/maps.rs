//! `/proc/PID/maps`: what an address space is made of.

use crate::stat::number;
use crate::{Error, Proc};
use gobinary::Region;
use model::{Kind, decode};

/// A mapping of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// Where it lies, and what may be done with it.
    pub region: Region,
    /// The file's path (`… (deleted)` of one that was removed), `[heap]`, or empty.
    pub path: String,
    /// What it shows of a BPF object.
    pub object: Option<Kind>,
}

/// Most that is read of one such file: some 600,000 mappings; `vm.max_map_count` is 65,530 or a million.
const LARGEST: usize = 64 << 20;

impl Proc {
    /// All mappings of a process, in the order of addresses. Takes its `mmap_lock`, a page of text at a
    /// time, or only RCU since 6.11. Needs `CAP_SYS_PTRACE` for another user's process.
    ///
    /// # Errors
    /// The process is gone, may not be looked at, or has more mappings than can be read.
    pub fn mappings(&self, pid: u32) -> Result<Vec<Mapping>, Error> {
        let dir = self.process_dir(pid)?;
        let mut buf = Vec::new();
        dir.read("maps", LARGEST, &mut buf)
            .map_err(|errno| dir.error("maps", errno))?;
        if buf.len() == LARGEST {
            return Err(dir.malformed("maps", "more than 64 MiB of mappings"));
        }
        parse(&buf).ok_or_else(|| dir.malformed("maps", "a line that is no mapping"))
    }
}

/// Parses the file; `None` if a line is not in that format (`show_map_vma` in the kernel).
pub fn parse(content: &[u8]) -> Option<Vec<Mapping>> {
    let lines = content.split(|&b| b == b'\n');
    lines.filter(|line| !line.is_empty()).map(line).collect()
}

fn line(line: &[u8]) -> Option<Mapping> {
    // Fields are parted by one space; before the path there are more, and the path may have some.
    let mut fields = line.splitn(6, |&b| b == b' ');
    let (start, end) = pair(fields.next()?, b'-')?;
    let &[_, writable, executable, _] = fields.next()? else {
        return None;
    };
    let offset = hex(fields.next()?)?;
    let (major, minor) = pair(fields.next()?, b':')?;
    let inode: u64 = number(fields.next()?)?;
    let path = fields.next().unwrap_or_default().trim_ascii_start();
    if start >= end {
        return None;
    }
    Some(Mapping {
        region: Region {
            start,
            end,
            writable: writable == b'w',
            executable: executable == b'x',
            offset,
            file: (inode != 0).then_some((major << 32 | minor, inode)),
        },
        // A file's name cannot be this: it begins with a slash.
        object: crate::fd::kind_of(path),
        path: decode(path),
    })
}

fn pair(text: &[u8], between: u8) -> Option<(u64, u64)> {
    let at = text.iter().position(|&b| b == between)?;
    Some((hex(&text[..at])?, hex(&text[at + 1..])?))
}

fn hex(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_files_of_objects_and_of_nothing() {
        let text = b"00400000-00452000 r-xp 00001000 08:02 173521      /usr/bin/a b (deleted)\n\
            7f0000000000-7f0000001000 rw-s 00000000 00:0e 1057      anon_inode:bpf-map\n\
            c000000000-c000400000 rw-p 00000000 00:00 0 \n\
            ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n";
        let all = parse(text).expect("four mappings");
        assert_eq!(all.len(), 4);
        assert_eq!(all[0].path, "/usr/bin/a b (deleted)");
        assert_eq!(all[0].region.file, Some((8 << 32 | 2, 173_521)));
        assert_eq!(all[0].region.offset, 0x1000);
        assert!(all[0].region.executable && !all[0].region.writable);
        assert_eq!(all[1].object, Some(Kind::Map));
        assert_eq!((all[2].path.as_str(), all[2].region.file), ("", None));
        assert!(all[2].region.writable && all[2].object.is_none());
        assert_eq!(all[3].path, "[vsyscall]");
    }

    #[test]
    fn what_is_no_mapping() {
        for bad in [
            "x",
            "1-2 rw-p 0 0:0\n",
            "2-1 rw-p 0 0:0 0\n",
            "1-2 rw- 0 0:0 0\n",
            "1-+2 rw-p 0 0:0 0\n",
            "1-2 rw-p 0 00 0\n",
            "1-11111111111111111 rw-p 0 0:0 0\n",
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(parse(b""), Some(vec![]));
    }
}
