//! System calls that report what failed, and with which errno.

use std::fmt;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// A system call that failed.
#[derive(Debug, Clone)]
pub struct Error {
    /// The call and what it was for.
    pub what: String,
    /// The kernel's answer.
    pub errno: i32,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, errno_text(self.errno))
    }
}

impl std::error::Error for Error {}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// The errno in words. 524 (`ENOTSUPP`) has none in the C library.
pub fn errno_text(errno: i32) -> String {
    if errno == ENOTSUPP {
        return "Operation is not supported (os error 524)".into();
    }
    std::io::Error::from_raw_os_error(errno).to_string()
}

/// The kernel's internal "operation is not supported", which BPF leaks to user space.
pub const ENOTSUPP: i32 = 524;

/// Turns the C library's −1 into the errno.
pub fn check(what: &str, result: i64) -> Result<i64> {
    if result < 0 {
        return Err(last(what));
    }
    Ok(result)
}

/// The same for a descriptor, which it takes into custody.
pub fn check_fd(what: &str, result: i64) -> Result<OwnedFd> {
    let fd = check(what, result)?;
    // SAFETY: the kernel just returned this descriptor as a new one; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// The error that the last call of this thread left.
pub fn last(what: &str) -> Error {
    Error {
        what: what.into(),
        errno: std::io::Error::last_os_error().raw_os_error().unwrap_or(0),
    }
}

/// An I/O error of the standard library with its errno.
pub fn io(what: &str) -> impl FnOnce(std::io::Error) -> Error + '_ {
    move |e| Error {
        what: what.into(),
        errno: e.raw_os_error().unwrap_or(libc::EIO),
    }
}

/// A path or name as a C string.
pub fn c_string(text: impl AsRef<[u8]>) -> Result<std::ffi::CString> {
    std::ffi::CString::new(text.as_ref()).map_err(|_| Error {
        what: "a name with a zero byte".into(),
        errno: libc::EINVAL,
    })
}

/// `dup(2)`: another descriptor on the same file. It has no close-on-exec flag.
pub fn dup(fd: &impl AsRawFd) -> Result<OwnedFd> {
    // SAFETY: dup takes a descriptor number only.
    check_fd("dup", i64::from(unsafe { libc::dup(fd.as_raw_fd()) }))
}

/// Whether this process is root with what BPF needs; the tests' own precondition.
pub fn is_root() -> bool {
    // SAFETY: geteuid has no arguments and cannot fail.
    unsafe { libc::geteuid() == 0 }
}
