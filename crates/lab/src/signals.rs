//! The signals that ask a program to end, as something to wait for.

use crate::error::Error;
use std::io;
use std::mem::zeroed;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::null;
use std::time::Duration;

/// SIGINT, SIGTERM and SIGHUP, held back from this thread while it lives.
pub struct Signals {
    fd: OwnedFd,
    before: libc::sigset_t,
}

impl Signals {
    /// Holds them back. SIGINT also where it is ignored, as it is for a command
    /// that a script starts with `&`; SIGHUP not, as `nohup` means what it says.
    pub fn hold() -> io::Result<Self> {
        // SAFETY: all calls get pointers to values that live here; zero is a valid
        // start for the sets and for a sigaction.
        unsafe {
            let mut set: libc::sigset_t = zeroed();
            libc::sigemptyset(&raw mut set);
            libc::sigaddset(&raw mut set, libc::SIGINT);
            libc::sigaddset(&raw mut set, libc::SIGTERM);
            let mut hangup: libc::sigaction = zeroed();
            libc::sigaction(libc::SIGHUP, null(), &raw mut hangup);
            if hangup.sa_sigaction != libc::SIG_IGN {
                libc::sigaddset(&raw mut set, libc::SIGHUP);
            }
            let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            let fd = OwnedFd::from_raw_fd(fd);
            let mut before: libc::sigset_t = zeroed();
            let failed = libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, &raw mut before);
            if failed != 0 {
                return Err(io::Error::from_raw_os_error(failed));
            }
            Ok(Self { fd, before })
        }
    }

    /// Holds them back for a program that is to be ended by them. What is started before, such as a
    /// compiler, has the mask that it was given, and is ended by Ctrl-C itself.
    pub fn to_end() -> Result<Self, Error> {
        Self::hold().map_err(|errno| Error::Child {
            doing: "followed",
            errno,
        })
    }

    /// Takes away what comes with what has been answered: `timeout` and others signal a process, and
    /// then its group.
    pub fn settle(&self) {
        std::thread::sleep(Duration::from_millis(50));
        self.take();
    }

    /// Takes away what has come; true if something had.
    pub fn take(&self) -> bool {
        let mut info = [0u8; size_of::<libc::signalfd_siginfo>()];
        let mut any = false;
        // The only other answer is EAGAIN: the descriptor and the buffer are good.
        while rustix::io::read(&self.fd, &mut info).is_ok_and(|n| n > 0) {
            any = true;
        }
        any
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // A second Ctrl-C while things were ending has been answered as well.
        self.take();
        // SAFETY: `before` is the mask that pthread_sigmask filled in.
        unsafe {
            libc::pthread_sigmask(
                libc::SIG_SETMASK,
                &raw const self.before,
                std::ptr::null_mut(),
            );
        }
    }
}

/// For the child, which inherits the mask: Ctrl-C is its parent's business, and
/// everything else does what it usually does.
pub fn leave_ctrl_c_to_parent() {
    // SAFETY: no handler of ours is involved; the set lives here.
    unsafe {
        libc::signal(libc::SIGINT, libc::SIG_IGN);
        let mut none: libc::sigset_t = zeroed();
        libc::sigemptyset(&raw mut none);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}
