//! Private mounts, and a cgroup of our own.

use crate::process::unshare;
use crate::sys::{Result, c_string, check, check_fd, io};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where the scenes mount their bpffs, each in a mount namespace of its own.
pub const BPFFS: &str = "/sys/fs/bpf";

/// Enters a new mount namespace that shares nothing with the old one, and mounts
/// a new bpffs in it. Everything in that bpffs goes with the last process of the
/// namespace.
pub fn private_bpffs() -> Result<PathBuf> {
    private_mounts()?;
    let path = PathBuf::from(BPFFS);
    mount("bpf", &path)?;
    Ok(path)
}

/// Enters a new mount namespace.
pub fn private_mounts() -> Result<()> {
    unshare(libc::CLONE_NEWNS)?;
    // SAFETY: constant strings; null where the kernel ignores the argument.
    let result = unsafe {
        libc::mount(
            std::ptr::null(),
            c"/".as_ptr(),
            std::ptr::null(),
            libc::MS_REC | libc::MS_PRIVATE,
            std::ptr::null(),
        )
    };
    check("mount(MS_PRIVATE)", i64::from(result)).map(drop)
}

/// Mounts a new instance of a file system without a device.
pub fn mount(fs_type: &str, at: &Path) -> Result<()> {
    let (fs_type, target) = (c_string(fs_type)?, c_string(at.as_os_str().as_bytes())?);
    // SAFETY: all are C strings that outlive the call.
    let result = unsafe {
        libc::mount(
            fs_type.as_ptr(),
            target.as_ptr(),
            fs_type.as_ptr(),
            0,
            std::ptr::null(),
        )
    };
    let what = format!("mount {} on {}", fs_type.to_string_lossy(), at.display());
    check(&what, i64::from(result)).map(drop)
}

/// Makes the mount at `from` appear at `to` as well, or a folder of it alone.
pub fn bind(from: &Path, to: &Path) -> Result<()> {
    let paths = [from, to].map(|p| c_string(p.as_os_str().as_bytes()));
    let [from, to] = paths;
    let (from, to) = (from?, to?);
    // SAFETY: C strings that outlive the call; null where the kernel ignores the argument.
    let result = unsafe {
        libc::mount(
            from.as_ptr(),
            to.as_ptr(),
            std::ptr::null(),
            libc::MS_BIND,
            std::ptr::null(),
        )
    };
    check("mount(MS_BIND)", i64::from(result)).map(drop)
}

/// Takes a mount away; what is open in it stays.
pub fn unmount(at: &Path) -> Result<()> {
    let at = c_string(at.as_os_str().as_bytes())?;
    // SAFETY: a C string that outlives the call.
    let result = unsafe { libc::umount2(at.as_ptr(), libc::MNT_DETACH) };
    check("umount2", i64::from(result)).map(drop)
}

/// Opens a path without opening the file (`O_PATH`): it keeps the inode, and
/// with it whatever is pinned there.
pub fn open_path(path: &Path) -> Result<OwnedFd> {
    let text = c_string(path.as_os_str().as_bytes())?;
    // SAFETY: a C string that outlives the call.
    let fd = unsafe { libc::open(text.as_ptr(), libc::O_PATH | libc::O_CLOEXEC) };
    check_fd("open(O_PATH)", i64::from(fd))
}

/// Another name for the same inode.
pub fn hard_link(from: &Path, to: &Path) -> Result<()> {
    std::fs::hard_link(from, to).map_err(io("link"))
}

/// Removes a name.
pub fn unlink(path: &Path) -> Result<()> {
    std::fs::remove_file(path).map_err(io("unlink"))
}

/// An empty cgroup of our own in the unified hierarchy; removed when dropped.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    /// A descriptor on it, to attach to.
    pub fd: OwnedFd,
    /// Its name in the root of the hierarchy, as `/lastref-e2e-PID`.
    pub name: String,
}

impl Cgroup {
    /// Makes it. Where the unified hierarchy is not mounted at the usual place, it
    /// is mounted over it, for this process alone: call [`private_mounts`] or
    /// [`private_bpffs`] first.
    pub fn new() -> Result<Self> {
        let root = Path::new("/sys/fs/cgroup");
        // A file that every directory of the unified hierarchy has, and no other.
        if !root.join("cgroup.controllers").exists() {
            mount("cgroup2", root)?;
        }
        remove_left_over(root);
        let name = format!("{CGROUP_PREFIX}{}", std::process::id());
        let path = root.join(&name);
        std::fs::create_dir(&path).map_err(io("mkdir in cgroup2"))?;
        let opened = std::fs::File::open(&path).map_err(io("open a cgroup"))?;
        Ok(Self {
            path,
            fd: opened.into(),
            name: format!("/{name}"),
        })
    }

    /// Makes a cgroup some levels below it, and returns its path.
    pub fn below(&self, names: &[&str]) -> Result<PathBuf> {
        let path = names.iter().fold(self.path.clone(), |p, name| p.join(name));
        std::fs::create_dir_all(&path).map_err(io("mkdir in cgroup2"))?;
        Ok(path)
    }
}

const CGROUP_PREFIX: &str = "lastref-e2e-";

/// Removes the empty cgroups of scenes that were killed: their name holds a pid
/// that does not exist any more.
fn remove_left_over(root: &Path) {
    let Ok(entries) = std::fs::read_dir(root) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|n| n.strip_prefix(CGROUP_PREFIX));
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            remove_tree(&entry.path());
        }
    }
}

/// Removes a cgroup and those below it. Their files cannot be removed, and need not.
fn remove_tree(path: &Path) {
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    // A process that just ended may still be on its way out of it.
    for _ in 0..100 {
        match std::fs::remove_dir(path) {
            Err(e) if e.raw_os_error() == Some(libc::EBUSY) => {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            _ => return,
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The descriptor would not keep the directory from going; links on it would not either.
        remove_tree(&self.path);
    }
}

/// A folder of a test's own for files, removed with it.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// `name` is the test's.
    pub fn new(name: &str) -> Self {
        let name = name.replace("::", "-");
        let path = std::env::temp_dir().join(format!("lastref-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self(path)
    }

    /// A path in it, as an argument.
    pub fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// Writes a file in it, and returns its path.
    pub fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap_or_else(|e| panic!("{path}: {e}"));
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
