//! Collects files into an initramfs. Each lies in the machine where it lies on the host, so that
//! paths compiled into a test hold there too.

use crate::command;
use crate::cpio::{Kind, Writer};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::{self, BufWriter};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// An initramfs in the making.
#[derive(Clone, Default)]
pub struct Initramfs {
    members: BTreeMap<PathBuf, Member>,
}

#[derive(Clone)]
enum Member {
    Folder,
    Host(PathBuf),
    Bytes(Vec<u8>, u32),
    Link(PathBuf),
    Device(u32, u32),
}

impl Initramfs {
    /// With the folders that every system has, and what a kernel needs to start init: the
    /// console, and `/dev/null` for a start-up code that finds a standard descriptor closed.
    pub fn new() -> Self {
        let mut new = Self::default();
        for folder in [
            "dev", "proc", "sys", "run", "tmp", "root", "etc", "bin", "mnt",
        ] {
            new.folder(&Path::new("/").join(folder));
        }
        new.put("/dev/console", Member::Device(5, 1));
        new.put("/dev/null", Member::Device(1, 3));
        new.bytes(
            "/etc/passwd",
            b"root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n".to_vec(),
            0o644,
        );
        new.bytes(
            "/etc/group",
            b"root:x:0:\nnogroup:x:65534:\n".to_vec(),
            0o644,
        );
        new
    }

    /// A file with this content.
    pub fn bytes(&mut self, path: impl AsRef<Path>, content: Vec<u8>, permissions: u32) {
        self.put(path, Member::Bytes(content, permissions));
    }

    /// A symbolic link.
    pub fn link(&mut self, path: impl AsRef<Path>, target: impl AsRef<Path>) {
        self.put(path, Member::Link(target.as_ref().to_owned()));
    }

    /// An empty folder and those above it.
    pub fn folder(&mut self, path: &Path) {
        for folder in path.ancestors() {
            if folder.parent().is_some() {
                self.members
                    .entry(folder.to_owned())
                    .or_insert(Member::Folder);
            }
        }
    }

    /// A file of the host at the same path. A folder comes with all in it.
    pub fn host(&mut self, path: &Path) -> Result<()> {
        ensure!(
            path.is_absolute(),
            "not an absolute path: {}",
            path.display()
        );
        let about = fs::symlink_metadata(path)
            .with_context(|| format!("cannot pack {}", path.display()))?;
        if about.is_dir() {
            self.folder(path);
            for entry in fs::read_dir(path)? {
                self.host(&entry?.path())?;
            }
        } else if about.is_symlink() {
            self.link(path, fs::read_link(path)?);
        } else if about.is_file() {
            self.put(path, Member::Host(path.to_owned()));
        }
        Ok(())
    }

    /// A program of the host at the same path, with the shared libraries it asks for.
    pub fn program(&mut self, path: &Path) -> Result<()> {
        self.program_as(path, path)
    }

    /// A program of the host at another path in the machine.
    pub fn program_as(&mut self, path: &Path, guest: &Path) -> Result<()> {
        self.unpacked_program(path, guest, Path::new("/"))
    }

    /// A program out of a package that was unpacked under `root`, and the libraries that it asks
    /// for: those under `root` where they would lie if it were installed.
    pub fn unpacked_program(&mut self, path: &Path, guest: &Path, root: &Path) -> Result<()> {
        let host = path
            .canonicalize()
            .with_context(|| format!("cannot pack {}", path.display()))?;
        for library in libraries(&host, root)? {
            let real = library.canonicalize()?;
            let place = library.strip_prefix(root).unwrap_or(&library);
            self.put(Path::new("/").join(place), Member::Host(real));
        }
        self.put(guest, Member::Host(host));
        Ok(())
    }

    /// Tells two archives apart without reading what is in the files: from paths, sizes and times.
    pub fn digest(&self) -> Result<u64> {
        let mut hasher = DefaultHasher::new();
        for (path, member) in &self.members {
            path.hash(&mut hasher);
            match member {
                Member::Folder => 0_u8.hash(&mut hasher),
                Member::Host(host) => {
                    let about = host.metadata()?;
                    (about.len(), about.mode(), about.mtime(), about.mtime_nsec())
                        .hash(&mut hasher);
                }
                Member::Bytes(content, permissions) => (content, permissions).hash(&mut hasher),
                Member::Link(target) => target.hash(&mut hasher),
                Member::Device(major, minor) => (major, minor).hash(&mut hasher),
            }
        }
        Ok(hasher.finish())
    }

    /// Writes the archive, uncompressed: unpacking costs more than reading on an emulated processor.
    pub fn write(&self, file: &Path) -> Result<()> {
        let mut writer = Writer::new(BufWriter::new(File::create(file)?));
        for (path, member) in &self.members {
            let name = path.strip_prefix("/")?.as_os_str().as_bytes();
            let mut nothing = io::empty();
            match member {
                Member::Folder => writer.add(name, Kind::Directory, 0o755, 0, &mut nothing)?,
                Member::Device(major, minor) => {
                    writer.add(name, Kind::Device(*major, *minor), 0o600, 0, &mut nothing)?;
                }
                Member::Link(target) => {
                    let target = target.as_os_str().as_bytes();
                    writer.add(
                        name,
                        Kind::Symlink,
                        0o777,
                        target.len() as u64,
                        &mut &*target,
                    )?;
                }
                Member::Bytes(content, permissions) => writer.add(
                    name,
                    Kind::File,
                    *permissions,
                    content.len() as u64,
                    &mut &content[..],
                )?,
                Member::Host(host) => {
                    let mut open = File::open(host)
                        .with_context(|| format!("cannot pack {}", host.display()))?;
                    let about = open.metadata()?;
                    let permissions = about.permissions().mode() & 0o7777;
                    writer.add(name, Kind::File, permissions, about.len(), &mut open)?;
                }
            }
        }
        writer.finish()?;
        Ok(())
    }

    fn put(&mut self, path: impl AsRef<Path>, member: Member) {
        let path = path.as_ref();
        if let Some(folder) = path.parent() {
            self.folder(folder);
        }
        self.members.insert(path.to_owned(), member);
    }
}

/// The shared libraries that the loader would take for a program, the loader itself among them.
/// None for a static program or a script. Those under `root` go before the host's.
fn libraries(program: &Path, root: &Path) -> Result<Vec<PathBuf>> {
    let mut ldd = Command::new("ldd");
    ldd.arg(program).env("LC_ALL", "C");
    if root.parent().is_some() {
        // Where Debian's packages put them.
        let folder = format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH);
        ldd.env("LD_LIBRARY_PATH", root.join(folder));
    }
    let done = command::run(&mut ldd)?;
    if !done.status.success() {
        return Ok(Vec::new());
    }
    let text = String::from_utf8_lossy(&done.stdout);
    parse_ldd(&text).with_context(|| format!("{} cannot run here", program.display()))
}

fn parse_ldd(text: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for line in text.lines() {
        ensure!(
            !line.contains("not found"),
            "missing library: {}",
            line.trim()
        );
        let target = line.split_once("=> ").map_or(line, |(_, target)| target);
        let target = target.trim().split(" (").next().unwrap_or("");
        if target.starts_with('/') {
            found.push(PathBuf::from(target));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ldd_is_read() {
        let text = "\tlinux-vdso.so.1 (0x00007f71fa6b8000)\n\
            \tlibelf.so.1 => /lib/x86_64-linux-gnu/libelf.so.1 (0x00007f71fa606000)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f71fa6ba000)\n";
        let found = parse_ldd(text).unwrap();
        assert_eq!(
            found,
            [
                Path::new("/lib/x86_64-linux-gnu/libelf.so.1"),
                Path::new("/lib64/ld-linux-x86-64.so.2")
            ]
        );
        assert!(parse_ldd("\tstatically linked\n").unwrap().is_empty());
        assert!(parse_ldd("\tlibx.so => not found\n").is_err());
    }

    #[test]
    fn folders_come_before_what_is_in_them() {
        let mut initramfs = Initramfs::new();
        initramfs.bytes("/a/b/c", b"x".to_vec(), 0o600);
        let names: Vec<_> = initramfs.members.keys().cloned().collect();
        let at = |p: &str| names.iter().position(|n| n == Path::new(p)).unwrap();
        assert!(at("/a") < at("/a/b") && at("/a/b") < at("/a/b/c"));
        let before = initramfs.digest().unwrap();
        initramfs.bytes("/a/b/c", b"y".to_vec(), 0o600);
        assert_ne!(before, initramfs.digest().unwrap());
    }
}
