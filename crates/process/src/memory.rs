//! The memory of a process, read without stopping it.

use crate::read::SMALL;
use crate::{Error, Mapping, Proc, fdinfo};
use gobinary::{Memory, ReadError};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, pread, retry_on_intr};
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;

/// A process's memory, as it was when this was opened: after exec or exit there is nothing to
/// read any more, also if another has the pid by then.
///
/// Reads `/proc/PID/mem`, opened to read only: the kernel ties it to the address space (`mem_open`). Nothing is
/// stopped, signalled or written; a page that was swapped out comes back in.
#[derive(Debug)]
pub struct ProcessMemory {
    file: OwnedFd,
}

impl Proc {
    /// Opens the memory of a process. Needs `CAP_SYS_PTRACE`, or the same user and a Yama
    /// (`kernel.yama.ptrace_scope`) that permits it: `PTRACE_MODE_ATTACH_FSCREDS`.
    pub fn memory(&self, pid: u32) -> Result<ProcessMemory, Error> {
        let dir = self.process_dir(pid)?;
        let file = dir.open("mem").map_err(|errno| dir.error("mem", errno))?;
        Ok(ProcessMemory { file })
    }

    /// Opens the executable of a process: also one that was deleted, or in another mount namespace.
    pub fn executable(&self, pid: u32) -> Result<File, Error> {
        let dir = self.process_dir(pid)?;
        let file = dir.open("exe").map_err(|errno| dir.error("exe", errno))?;
        Ok(file.into())
    }

    /// Opens a file that a process has mapped, through its own root directory.
    ///
    /// # Errors
    /// It may not be opened, or another file has that path by now.
    pub fn mapped_file(&self, pid: u32, mapping: &Mapping) -> Result<File, Error> {
        let path = mapping.path.trim_start_matches('/');
        let path = self.process_path(pid).join("root").join(path);
        // What is no file any more shall not hold us up.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let opened = retry_on_intr(|| open(&path, flags, Mode::empty()));
        let file = File::from(opened.map_err(|errno| Error::from_errno(&path, errno))?);
        let is_it = file.metadata().is_ok_and(|metadata| {
            metadata.is_file()
                && mapping
                    .region
                    .file
                    .is_some_and(|(_, inode)| inode == metadata.ino())
        });
        if is_it {
            Ok(file)
        } else {
            Err(Error::Malformed {
                path,
                what: "another file than the one that is mapped",
            })
        }
    }

    /// Anonymous memory of a process that is resident, in bytes: `RssAnon` (4.5). Of the kernel's counters, which
    /// costs the same however large it is, and takes no lock of the process. Kernels 6.2 to 6.15 tell a sum that may be
    /// off by some pages for each processor (`percpu_counter_read_positive`).
    pub fn anonymous_memory(&self, pid: u32) -> Result<u64, Error> {
        let dir = self.process_dir(pid)?;
        let mut buf = Vec::new();
        dir.read("status", SMALL, &mut buf)
            .map_err(|errno| dir.error("status", errno))?;
        fdinfo::bytes(&buf, "RssAnon")
            .ok_or_else(|| dir.malformed("status", "no line on anonymous memory"))
    }
}

impl Memory for ProcessMemory {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let len = buf.len();
        let mut done = 0;
        while done < len {
            let at = addr.wrapping_add(done as u64);
            // The kernel takes the offset as signed: what is above is its own.
            if i64::try_from(at).is_err() {
                return Err(ReadError::Unmapped { addr, len });
            }
            match retry_on_intr(|| pread(&self.file, &mut buf[done..], at)) {
                // `mem_rw` finds no address space any more.
                Ok(0) | Err(Errno::SRCH) => return Err(ReadError::Gone),
                Ok(read) => done += read,
                Err(Errno::IO | Errno::FAULT) => return Err(ReadError::Unmapped { addr, len }),
                Err(Errno::ACCESS | Errno::PERM) => return Err(ReadError::Denied),
                Err(errno) => return Err(ReadError::Other(errno.raw_os_error())),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn own() -> ProcessMemory {
        Proc::new().memory(std::process::id()).expect("our own")
    }

    #[test]
    fn what_is_there_is_read() {
        let words = [1u64, 2, 0xdead_beef];
        let mut bytes = [0u8; 24];
        own().read(words.as_ptr() as u64, &mut bytes).expect("read");
        assert_eq!(bytes[16..20], 0xdead_beef_u32.to_le_bytes());
    }

    #[test]
    fn what_is_not_mapped_is_an_error() {
        let mut byte = [0];
        for addr in [0, 8, u64::MAX, 1 << 63, i64::MAX as u64] {
            let read = own().read(addr, &mut byte);
            let expected = ReadError::Unmapped { addr, len: 1 };
            assert_eq!(read, Err(expected), "{addr:#x}");
        }
    }

    #[test]
    fn a_process_that_ended_has_none() {
        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("cat");
        let proc = Proc::new();
        let memory = proc.memory(child.id()).expect("a child's");
        let at = loop {
            let mappings = proc.mappings(child.id()).expect("its mappings");
            if let Some(first) = mappings.first() {
                break first.region.start;
            }
        };
        child.kill().expect("ours to end");
        child.wait().expect("ended");
        let mut byte = [0];
        assert_eq!(memory.read(at, &mut byte), Err(ReadError::Gone));
    }
}
