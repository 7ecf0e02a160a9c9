//! The archive format of an initramfs: cpio "newc".
//!
//! Documented in the kernel's `Documentation/driver-api/early-userspace/buffer-format.rst`,
//! read by `init/initramfs.c`.

use std::io::{self, Read, Write};

/// What one archive member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file; its bytes follow.
    File,
    /// A directory.
    Directory,
    /// A symbolic link; its target follows.
    Symlink,
    /// A character device with its major and minor number.
    Device(u32, u32),
}

impl Kind {
    /// The file type bits of `st_mode`.
    fn mode(self) -> u32 {
        match self {
            Self::File => 0o100_000,
            Self::Directory => 0o040_000,
            Self::Symlink => 0o120_000,
            Self::Device(..) => 0o020_000,
        }
    }
}

/// Writes members one after another. Owner is root and the time is 0 everywhere, so
/// the same input gives the same archive.
pub struct Writer<W: Write> {
    out: W,
    inode: u32,
}

impl<W: Write> Writer<W> {
    /// An archive that starts at the current position of `out`.
    pub fn new(out: W) -> Self {
        Self { out, inode: 1 }
    }

    /// Adds one member. `name` is relative to the root, without a leading slash; `permissions`
    /// are the low twelve bits of the mode; `data` must yield exactly `size` bytes.
    pub fn add(
        &mut self,
        name: &[u8],
        kind: Kind,
        permissions: u32,
        size: u64,
        data: &mut dyn Read,
    ) -> io::Result<()> {
        let size = u32::try_from(size)
            .map_err(|_| io::Error::other("a member of the archive is larger than 4 GiB"))?;
        self.header(name, kind.mode() | permissions, kind, size)?;
        let copied = io::copy(&mut data.take(u64::from(size)), &mut self.out)?;
        if copied != u64::from(size) {
            return Err(io::Error::other(
                "a file became shorter while it was packed",
            ));
        }
        self.pad(size as usize)
    }

    /// Ends the archive and gives the writer back.
    pub fn finish(mut self) -> io::Result<W> {
        self.inode = 0;
        self.header(b"TRAILER!!!", 0, Kind::File, 0)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn header(&mut self, name: &[u8], mode: u32, kind: Kind, size: u32) -> io::Result<()> {
        const LENGTH: usize = 110;
        let (major, minor) = match kind {
            Kind::Device(major, minor) => (major, minor),
            _ => (0, 0),
        };
        let name_size = name.len() as u32 + 1;
        // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor,
        // rdevminor, namesize, check
        let fields = [
            self.inode, mode, 0, 0, 1, 0, size, 0, 0, major, minor, name_size, 0,
        ];
        self.out.write_all(b"070701")?;
        for field in fields {
            write!(self.out, "{field:08x}")?;
        }
        self.out.write_all(name)?;
        self.out.write_all(b"\0")?;
        self.inode += 1;
        self.pad(LENGTH + name.len() + 1)
    }

    fn pad(&mut self, written: usize) -> io::Result<()> {
        self.out.write_all(&[0; 3][..written.wrapping_neg() % 4])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_aligned_and_the_archive_ends() {
        let mut archive = Writer::new(Vec::new());
        archive
            .add(b"a", Kind::Directory, 0o755, 0, &mut io::empty())
            .unwrap();
        archive
            .add(b"a/b", Kind::File, 0o644, 5, &mut &b"hello"[..])
            .unwrap();
        let bytes = archive.finish().unwrap();
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(&bytes[..14], b"07070100000001");
        assert_eq!(&bytes[14..22], b"000041ed");
        let text = String::from_utf8_lossy(&bytes);
        let at = text.find("hello").unwrap();
        assert_eq!(at % 4, 0);
        assert!(text.contains("TRAILER!!!\0"));
    }

    #[test]
    fn a_file_that_shrinks_is_an_error() {
        let mut archive = Writer::new(Vec::new());
        assert!(
            archive
                .add(b"x", Kind::File, 0o644, 9, &mut &b"short"[..])
                .is_err()
        );
    }
}
