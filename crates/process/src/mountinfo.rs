//! `/proc/PID/mountinfo`.

use crate::mount_tree::Tree;
use crate::stat::number;
use model::decode;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::{self, BufRead};

/// Longest line that is parsed: two paths of 4,096 bytes, each byte escaped as
/// four, and as much for the rest. A longer one is skipped.
const LINE: usize = 64 << 10;

/// One line, its names still escaped (`show_mountinfo` in the kernel).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mount<'a> {
    /// Its id, and that of the mount it stands on, which may be out of the process's sight.
    pub id: u32,
    /// See `id`.
    pub parent: u32,
    /// Major and minor number of the super block's device.
    pub device: (u32, u32),
    /// Which directory of the file system is mounted.
    pub root: &'a [u8],
    /// Where, below the process's root directory.
    pub mount_point: &'a [u8],
    /// Type of the file system.
    pub fs_type: &'a [u8],
}

/// A mounted bpffs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BpffsMount {
    /// Major and minor number of its device: one super block, however often mounted.
    pub device: (u32, u32),
    /// Where it is mounted, below the process's root directory.
    pub mount_point: String,
    /// Which directory of it is mounted there: `/`, but for bind mounts of a part.
    /// The kernel adds `//deleted` if that has been removed.
    pub root: String,
    /// Where in it others are mounted, written as `mount_point` is: a path there or below leads to
    /// those.
    pub covered: BTreeSet<String>,
}

/// The bpffs mounts of a mount namespace that a path leads to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BpffsMounts {
    /// In the order of mounting.
    pub mounts: Vec<BpffsMount>,
    /// The table was too long, or a line of it: there may be others, also such as hide these.
    pub incomplete: bool,
}

/// Parses one line; `None` if it is not in that format.
pub fn parse_line(line: &[u8]) -> Option<Mount<'_>> {
    // mount id, parent id, major:minor, root, mount point, options,
    // any number of tags, "-", type, source, super block's options
    let mut fields = line.trim_ascii_end().split(|&b| b == b' ');
    let id = number(fields.next()?)?;
    let parent = number(fields.next()?)?;
    let device = fields.next()?;
    let colon = device.iter().position(|&b| b == b':')?;
    let root = fields.next()?;
    let mount_point = fields.next()?;
    fields.next()?;
    fields.by_ref().find(|&field| field == b"-")?;
    Some(Mount {
        id,
        parent,
        device: (number(&device[..colon])?, number(&device[colon + 1..])?),
        root,
        mount_point,
        fs_type: fields.next()?,
    })
}

/// Bytes that the kernel wrote as a backslash and three octal digits
/// (`mangle_path`: space, tab, newline and backslash) as themselves.
pub fn unescape(name: &[u8]) -> Cow<'_, [u8]> {
    if !name.contains(&b'\\') {
        return Cow::Borrowed(name);
    }
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let [first, tail @ ..] = rest {
        if let [
            b'\\',
            a @ b'0'..=b'3',
            b @ b'0'..=b'7',
            c @ b'0'..=b'7',
            tail @ ..,
        ] = rest
        {
            plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
            rest = tail;
        } else {
            plain.push(*first);
            rest = tail;
        }
    }
    Cow::Owned(plain)
}

/// The bpffs mounts among the lines that `table` yields.
pub fn bpffs_mounts(table: impl BufRead) -> io::Result<BpffsMounts> {
    mounts_of(table, b"bpf")
}

/// The mounts of one type of file system among the lines that `table` yields, but for those that
/// others hide.
pub fn mounts_of(mut table: impl BufRead, fs_type: &[u8]) -> io::Result<BpffsMounts> {
    let text = |name: &[u8]| decode(&unescape(name));
    let mut found = BpffsMounts::default();
    let mut tree = Tree::default();
    let mut of_type = Vec::new();
    let mut line = Vec::new();
    while let Some(whole) = next_line(&mut table, &mut line)? {
        if !whole {
            found.incomplete = true;
        } else if let Some(mount) = parse_line(&line) {
            tree.add(&mount);
            if mount.fs_type == fs_type {
                let root = text(mount.root);
                of_type.push((mount.id, mount.device, mount.mount_point.to_vec(), root));
            }
        }
    }
    let mut reach = tree.finish();
    for (id, device, mount_point, root) in of_type {
        if let Some(covered) = reach.covered(id, &mount_point) {
            found.mounts.push(BpffsMount {
                device,
                covered: covered.map(text).collect(),
                mount_point: text(&mount_point),
                root,
            });
        }
    }
    Ok(found)
}

/// Reads the next line into `line`: `Some(false)` if it is longer than [`LINE`],
/// or has no end; `None` after the last.
fn next_line(table: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    let mut whole = true;
    loop {
        let chunk = match table.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            chunk => chunk?,
        };
        if chunk.is_empty() {
            let nothing = line.is_empty() && whole;
            return Ok(if nothing { None } else { Some(false) });
        }
        let end = chunk.iter().position(|&b| b == b'\n');
        let part = &chunk[..end.unwrap_or(chunk.len())];
        if line.len() + part.len() > LINE {
            whole = false;
            line.clear();
        }
        if whole {
            line.extend_from_slice(part);
        }
        let used = part.len() + usize::from(end.is_some());
        table.consume(used);
        if end.is_some() {
            return Ok(Some(whole));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BPF: &str =
        r"36 35 0:29 /pods /sys/fs/bpf rw,nosuid shared:9 master:1 - bpf bpf rw,mode=700";

    fn read(table: &[u8]) -> BpffsMounts {
        bpffs_mounts(table).expect("memory can be read")
    }

    #[test]
    fn a_line() {
        let expected = Mount {
            id: 36,
            parent: 35,
            device: (0, 29),
            root: b"/pods",
            mount_point: b"/sys/fs/bpf",
            fs_type: b"bpf",
        };
        assert_eq!(parse_line(BPF.as_bytes()), Some(expected));
        let untagged = BPF.replace("shared:9 master:1 ", "");
        assert_eq!(parse_line(untagged.as_bytes()), Some(expected));
        for bad in [
            "",
            "-",
            "36 35 0:29 / /m rw",
            "x 35 0:29 / /m rw - bpf",
            "36 -1 0:29 / /m rw - bpf",
            "36 35 29 / /m rw - bpf",
            "36 35 0:x / /m rw - bpf",
            "36 35 0:29 / /m - bpf bpf",
        ] {
            assert_eq!(parse_line(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn names_are_unescaped_once() {
        assert_eq!(*unescape(br"/a\040b\011\012\134040"), *b"/a b\t\n\\040");
        assert_eq!(*unescape(br"\043\377\400\04"), *b"#\xff\\400\\04");
        assert_eq!(*unescape(br"\"), *br"\");
    }

    #[test]
    fn only_bpffs_and_only_whole_lines() {
        let table =
            format!("1 1 8:1 / / rw - ext4 /dev/a\\040-\\040bpf rw\n{BPF}\nnonsense\n{BPF}");
        let found = read(table.as_bytes());
        assert_eq!(found.mounts.len(), 1);
        assert_eq!(
            (
                found.mounts[0].mount_point.as_str(),
                found.mounts[0].root.as_str()
            ),
            ("/sys/fs/bpf", "/pods")
        );
        assert!(found.incomplete, "the last line has no end");
    }

    #[test]
    fn a_line_without_measure_costs_only_itself() {
        let mut table = vec![b'x'; 5 << 20];
        table.extend_from_slice(format!("\n{BPF}\n").as_bytes());
        let found = read(&table);
        assert_eq!((found.mounts.len(), found.incomplete), (1, true));
    }

    #[test]
    fn the_longest_paths_fit() {
        let path = "/".to_owned() + &r"\040".repeat(4094);
        let table = format!("36 35 0:29 {path} {path} rw - bpf bpf rw\n");
        let found = read(table.as_bytes());
        assert_eq!(
            (found.mounts[0].root.len(), found.incomplete),
            (4095, false)
        );
    }

    #[test]
    fn a_hundred_thousand_mounts() {
        let table = format!("{BPF}\n").repeat(100_000);
        assert_eq!(read(table.as_bytes()).mounts.len(), 100_000);
    }
}
