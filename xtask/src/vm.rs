//! Boots a machine and follows it to its end.

use crate::kernel_log;
use crate::kernels::Kernel;
use crate::plan::Plan;
use crate::stream::{Event, Parser};
use anyhow::{Context, Result};
use std::env;
use std::fs;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

const QEMU: &str = "qemu-system-x86_64";
/// A boot takes three seconds on an idle host; two machines on a busy one take far longer.
const BOOT: Duration = Duration::from_secs(180);
/// How long the machine may be silent about a command that should be over.
const GRACE: Duration = Duration::from_secs(60);
/// A processor that is emulated on a busy host stands still at times: that is no kernel bug.
const COMMAND_LINE: &str = "console=ttyS0 console_msg_format=syslog ignore_loglevel \
    printk.devkmsg=on panic=-1 nosoftlockup rcupdate.rcu_cpu_stall_suppress=1 rdinit=/init";

/// A machine that is ready to be booted.
pub struct Machine<'a> {
    /// What it boots.
    pub kernel: &'a Kernel,
    /// Its initramfs.
    pub initrd: &'a Path,
    /// What it was told to do.
    pub plan: &'a Plan,
    /// The nonce in its initramfs.
    pub nonce: &'a str,
    /// Where the kernel's log goes.
    pub log: PathBuf,
}

/// How a machine ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It did all it was told and powered off.
    PoweredOff,
    /// It ended before that, or had to be ended; why, as far as its log tells.
    Died(String),
}

impl Machine<'_> {
    /// Boots it, hands over what happens as it happens, and returns when it is gone.
    pub fn run(&self, mut on_event: impl FnMut(Event)) -> Result<Ending> {
        // A log of an earlier boot must not be taken for this one's.
        fs::write(&self.log, b"")
            .with_context(|| format!("cannot write {}", self.log.display()))?;
        let mut qemu = self.qemu().spawn().with_context(|| {
            format!("cannot start {QEMU}: install it with \"make deps\" (qemu-system-x86)")
        })?;
        let output = qemu.stdout.take().context("qemu has no output")?;
        let (sender, receiver) = mpsc::channel();
        let reader = thread::spawn(move || forward(output, &sender));
        let mut parser = Parser::new(self.nonce);
        let mut allowed = BOOT;
        let mut deadline = Instant::now() + allowed;
        let mut ready = false;
        let mut done = false;
        let late = loop {
            match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Err(RecvTimeoutError::Disconnected) => break false,
                Err(RecvTimeoutError::Timeout) => break true,
                Ok(bytes) => {
                    for event in parser.feed(&bytes) {
                        if let Event::Begin(index) = &event {
                            let command = self.plan.commands.get(*index);
                            allowed = GRACE + command.map_or(Duration::ZERO, |c| c.silence);
                        } else if !matches!(event, Event::Output(_)) {
                            allowed = GRACE;
                        }
                        deadline = Instant::now() + allowed;
                        ready |= event == Event::Ready;
                        done |= event == Event::Done;
                        on_event(event);
                    }
                }
            }
        };
        if late {
            qemu.kill()?;
        }
        let status = qemu.wait()?;
        let _ = reader.join();
        if let Some(rest) = parser.finish() {
            on_event(rest);
        }
        if done {
            return Ok(Ending::PoweredOff);
        }
        let log = self.kernel_log();
        let last = || {
            let line = log.lines().rev().find(|l| !l.trim().is_empty());
            line.unwrap_or("the kernel's log is empty").to_owned()
        };
        Ok(Ending::Died(match kernel_log::panic(&log) {
            Some(panic) => panic,
            None if late && !ready => {
                format!("did not boot in {}s; last: {}", BOOT.as_secs(), last())
            }
            None if late => format!("hung, and was killed; last in its log: {}", last()),
            None => format!("ended early ({status}); last in its log: {}", last()),
        }))
    }

    /// The kernel's log, as far as it was written.
    pub fn kernel_log(&self) -> String {
        fs::read(&self.log).map_or_else(
            |_| String::new(),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    fn qemu(&self) -> Command {
        let mut qemu = Command::new(QEMU);
        // TCG runs everywhere, and the same everywhere. A KVM that is there may yet not work.
        let accelerator = env::var("LASTREF_VM_ACCEL").unwrap_or("tcg".into());
        qemu.args(["-nodefaults", "-no-user-config", "-no-reboot"])
            .args(["-display", "none", "-accel", &accelerator])
            // One processor. Of two on a thread each, one may still run what it translated before the
            // other patched the kernel's code, and die of an int3 that is no longer there (seen in a
            // jump label of __schedule()); of two on one thread, one waits for the other for 100 ms.
            .args(["-cpu", "max", "-smp", "1", "-m", "2G"])
            .arg("-serial")
            .arg(format!("file:{}", self.log.display()))
            .args(["-serial", "stdio", "-append", COMMAND_LINE, "-kernel"])
            .arg(&self.kernel.image)
            .arg("-initrd")
            .arg(self.initrd)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        // SAFETY: between fork and exec only prctl(2) is called, which is safe there and takes
        // no pointers for this option.
        unsafe {
            // No machine outlives us, however we end.
            qemu.pre_exec(|| {
                if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                    return Err(io::Error::last_os_error());
                }
                Ok(())
            });
        }
        qemu
    }
}

fn forward(mut output: impl Read, sender: &mpsc::Sender<Vec<u8>>) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = output.read(&mut buffer) {
        if sender.send(buffer[..count].to_vec()).is_err() {
            break;
        }
    }
}
