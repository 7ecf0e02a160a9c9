//! Child processes that die with the test.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

/// Whether the tests run as root; without, a user namespace has to do.
pub fn is_root() -> bool {
    // SAFETY: geteuid has no preconditions.
    unsafe { libc::geteuid() == 0 }
}

/// A program that is killed and reaped when this is dropped.
pub struct Program(pub Child);

impl Program {
    /// Starts a program and waits for the first line that it writes.
    pub fn start(command: &mut Command) -> (Self, String) {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        (Self(child), line.trim_end().to_owned())
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A fork of the test that runs `body`, which must not allocate.
pub struct Fork(pub u32);

impl Fork {
    pub fn start(body: fn()) -> Self {
        // SAFETY: the child calls nothing but async-signal-safe functions, as the
        // caller promises for `body`, and never returns.
        let pid = unsafe {
            let pid = libc::fork();
            if pid == 0 {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                body();
                libc::_exit(0);
            }
            pid
        };
        Self(u32::try_from(pid).expect("fork"))
    }

    /// Kills and reaps it.
    pub fn end(&mut self) {
        if self.0 != 0 {
            // SAFETY: a child of ours that has not been reaped yet.
            unsafe {
                libc::kill(self.0.cast_signed(), libc::SIGKILL);
                libc::waitpid(self.0.cast_signed(), std::ptr::null_mut(), 0);
            }
            self.0 = 0;
        }
    }
}

impl Drop for Fork {
    fn drop(&mut self) {
        self.end();
    }
}

/// Asks again, for at most ten seconds.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    for _ in 0..1000 {
        if let Some(answer) = ask() {
            return answer;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{what}: not within ten seconds");
}
