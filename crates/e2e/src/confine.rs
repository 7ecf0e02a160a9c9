//! Running the program with less than it would like to have.

use crate::lastref;
use crate::sys::{Result, check, io};
use std::fs::File;
use std::io::Error;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// `CAP_DAC_READ_SEARCH`
pub const CAP_DAC_READ_SEARCH: u32 = 2;
/// `CAP_SYS_PTRACE`
pub const CAP_SYS_PTRACE: u32 = 19;
/// `CAP_SYS_ADMIN`
pub const CAP_SYS_ADMIN: u32 = 21;
/// `CAP_SYSLOG`
pub const CAP_SYSLOG: u32 = 34;
/// `CAP_PERFMON`
pub const CAP_PERFMON: u32 = 38;
/// `CAP_BPF`
pub const CAP_BPF: u32 = 39;

const NOBODY: u32 = 65534;

/// The program as user nobody, with only these capabilities.
pub fn as_nobody(capabilities: &[u32], arguments: &[&str]) -> Command {
    as_nobody_after(|| Ok(()), capabilities, arguments)
}

/// The same, with a `/proc` that shows nobody's own processes alone (`hidepid=2`, of one
/// mount since 5.8).
pub fn as_nobody_among_hidden(capabilities: &[u32], arguments: &[&str]) -> Command {
    let first = || {
        let (proc, options) = (c"proc".as_ptr(), c"hidepid=2".as_ptr());
        private_mounts()?;
        // SAFETY: constant strings.
        let mounted = unsafe { libc::mount(proc, c"/proc".as_ptr(), proc, 0, options.cast()) };
        zero_is_success(mounted)
    };
    as_nobody_after(first, capabilities, arguments)
}

/// The same as [`as_nobody`], in the network namespace of process `pid`.
pub fn as_nobody_in_netns_of(pid: u32, capabilities: &[u32], arguments: &[&str]) -> Command {
    let path = format!("/proc/{pid}/ns/net");
    let netns = File::open(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    // SAFETY: integers only.
    let first =
        move || zero_is_success(unsafe { libc::setns(netns.as_raw_fd(), libc::CLONE_NEWNET) });
    as_nobody_after(first, capabilities, arguments)
}

/// `first` is done by root, after the fork: system calls only.
fn as_nobody_after(
    first: impl Fn() -> std::io::Result<()> + Send + Sync + 'static,
    capabilities: &[u32],
    arguments: &[&str],
) -> Command {
    let program = File::open(lastref::program()).expect("the program can be opened");
    // Nobody may not be able to walk to it, but may execute it.
    let mut command = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
    command.args(arguments);
    let capabilities = capabilities.to_vec();
    // SAFETY: between fork and exec only system calls are made, on values that the
    // closure owns; nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            libc::fcntl(program.as_raw_fd(), libc::F_SETFD, 0);
            first()?;
            drop_to(&capabilities)
        });
    }
    command
}

/// Becomes nobody, and keeps these capabilities over the exec.
fn drop_to(capabilities: &[u32]) -> std::io::Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    let mut set = [0_u32; 6];
    for capability in capabilities {
        let half = 3 * (capability / 32) as usize;
        let bit = 1 << (capability % 32);
        // effective, permitted, inheritable
        set[half..half + 3].iter_mut().for_each(|s| *s |= bit);
    }
    let header = [VERSION_3, 0];
    let id = libc::c_long::from(NOBODY);
    let none: libc::c_long = 0;
    // SAFETY: raw system calls on integers and two live arrays of the layout that
    // capset(2) describes. Raw, because the C library's wrappers would signal
    // threads that do not exist after the fork.
    unsafe {
        let calls = [
            libc::syscall(libc::SYS_prctl, libc::PR_SET_KEEPCAPS, 1, 0, 0, 0),
            libc::syscall(libc::SYS_setgroups, none, none),
            libc::syscall(libc::SYS_setresgid, id, id, id),
            libc::syscall(libc::SYS_setresuid, id, id, id),
            libc::syscall(libc::SYS_capset, header.as_ptr(), set.as_ptr()),
        ];
        if calls.iter().any(|result| *result < 0) {
            return Err(Error::last_os_error());
        }
        for capability in capabilities {
            let raise = libc::PR_CAP_AMBIENT_RAISE;
            let number = libc::c_long::from(*capability);
            if libc::syscall(libc::SYS_prctl, libc::PR_CAP_AMBIENT, raise, number, 0, 0) < 0 {
                return Err(Error::last_os_error());
            }
        }
    }
    Ok(())
}

/// Hides a directory from the command, behind an empty file system that only it sees.
pub fn hide(command: &mut Command, folder: &'static std::ffi::CStr) {
    // SAFETY: between fork and exec only system calls are made, on constant strings.
    unsafe {
        command.pre_exec(move || {
            let tmpfs = c"tmpfs".as_ptr();
            private_mounts()?;
            let null = std::ptr::null();
            zero_is_success(libc::mount(tmpfs, folder.as_ptr(), tmpfs, 0, null))
        });
    }
}

/// A mount namespace that shares nothing with the old one. System calls only.
fn private_mounts() -> std::io::Result<()> {
    let null = std::ptr::null();
    let private = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: constant strings, and null where the kernel ignores the argument.
    unsafe {
        zero_is_success(libc::unshare(libc::CLONE_NEWNS))?;
        let root = c"/".as_ptr();
        zero_is_success(libc::mount(null, root, null, private, null.cast()))
    }
}

fn zero_is_success(result: i32) -> std::io::Result<()> {
    if result < 0 {
        return Err(Error::last_os_error());
    }
    Ok(())
}

// `struct seccomp_data`: number of the system call, architecture, instruction
// pointer, six arguments of eight bytes.
const NUMBER: u32 = 0;
const FIRST_ARGUMENT: u32 = 16;
const LOAD: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

fn statement(code: u16, k: u32) -> libc::sock_filter {
    let (jt, jf) = (0, 0);
    libc::sock_filter { code, jt, jf, k }
}

fn jump_if_equal(k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    let code = JUMP_IF_EQUAL;
    libc::sock_filter { code, jt, jf, k }
}

/// Lets the kernel kill the command (`SIGSYS`) when it calls bpf(2) with one of
/// these commands, or `pidfd_getfd(2)` at all.
pub fn forbid_bpf(command: &mut Command, bpf_commands: &[u32]) {
    let commands = bpf_commands.len() as u8;
    let mut filter = vec![
        statement(LOAD, NUMBER),
        // To the kill at the end: over two instructions, the comparisons and the allow.
        jump_if_equal(libc::SYS_pidfd_getfd as u32, commands + 3, 0),
        // To the allow.
        jump_if_equal(libc::SYS_bpf as u32, 0, commands + 1),
        statement(LOAD, FIRST_ARGUMENT),
    ];
    for (i, bpf_command) in bpf_commands.iter().enumerate() {
        filter.push(jump_if_equal(*bpf_command, commands - i as u8, 0));
    }
    filter.push(statement(RETURN, libc::SECCOMP_RET_ALLOW));
    filter.push(statement(RETURN, libc::SECCOMP_RET_KILL_PROCESS));
    install(command, filter);
}

/// Lets these system calls fail with `EPERM`, as the usual profiles of containers do.
pub fn refuse(command: &mut Command, calls: &[libc::c_long]) {
    let count = calls.len() as u8;
    let mut filter = vec![statement(LOAD, NUMBER)];
    for (i, call) in calls.iter().enumerate() {
        filter.push(jump_if_equal(*call as u32, count - i as u8, 0));
    }
    filter.push(statement(RETURN, libc::SECCOMP_RET_ALLOW));
    let refused = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    filter.push(statement(RETURN, refused));
    install(command, filter);
}

/// Lets the kernel kill the command (`SIGSYS`) when it traces, signals or writes to the memory of
/// any process, stops what io_uring does for it unseen, or opens any file for writing.
pub fn forbid_to_touch(command: &mut Command) {
    const SECOND_ARGUMENT: u32 = FIRST_ARGUMENT + 8;
    const THIRD_ARGUMENT: u32 = FIRST_ARGUMENT + 16;
    let never = [
        libc::SYS_ptrace,
        libc::SYS_process_vm_writev,
        libc::SYS_process_madvise,
        libc::SYS_tkill,
        libc::SYS_tgkill,
        libc::SYS_rt_sigqueueinfo,
        libc::SYS_rt_tgsigqueueinfo,
        libc::SYS_pidfd_send_signal,
        libc::SYS_openat2,
        libc::SYS_io_uring_enter,
    ];
    let mut filter = vec![statement(LOAD, NUMBER)];
    for call in never {
        filter.push(jump_if_equal(call as u32, 0, 1));
        filter.push(statement(RETURN, libc::SECCOMP_RET_KILL_PROCESS));
    }
    // Calls that are allowed while some bits of an argument are zero. Signal 0 only asks.
    let writes = (libc::O_WRONLY | libc::O_RDWR | libc::O_TRUNC) as u32;
    let sometimes = [
        (libc::SYS_openat, THIRD_ARGUMENT, writes),
        (libc::SYS_kill, SECOND_ARGUMENT, u32::MAX),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_open, SECOND_ARGUMENT, writes),
    ];
    for (call, argument, bits) in sometimes {
        filter.push(jump_if_equal(call as u32, 0, 4));
        filter.push(statement(LOAD, argument));
        let (code, k) = (JUMP_IF_ANY_BIT, bits);
        let (jt, jf) = (0, 1);
        filter.push(libc::sock_filter { code, jt, jf, k });
        filter.push(statement(RETURN, libc::SECCOMP_RET_KILL_PROCESS));
        filter.push(statement(RETURN, libc::SECCOMP_RET_ALLOW));
    }
    filter.push(statement(RETURN, libc::SECCOMP_RET_ALLOW));
    install(command, filter);
}

fn install(command: &mut Command, filter: Vec<libc::sock_filter>) {
    // SAFETY: between fork and exec only system calls are made; the filter is owned
    // by the closure and outlives them.
    unsafe {
        command.pre_exec(move || {
            let program = libc::sock_fprog {
                len: filter.len() as u16,
                filter: filter.as_ptr().cast_mut(),
            };
            let mode = libc::SECCOMP_MODE_FILTER;
            zero_is_success(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
            zero_is_success(libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program))
        });
    }
}

/// Runs the command on a terminal of so many columns, and returns all it wrote.
pub fn on_terminal(mut command: Command, columns: u16) -> Result<Vec<u8>> {
    let size = libc::winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let (mut master, mut slave) = (-1, -1);
    let null = std::ptr::null_mut();
    // SAFETY: two live descriptors to be filled in, and a live winsize.
    let result = unsafe {
        libc::openpty(
            &raw mut master,
            &raw mut slave,
            null,
            null.cast(),
            (&raw const size).cast_mut(),
        )
    };
    check("openpty", i64::from(result))?;
    // SAFETY: openpty just made these two; nobody else owns them.
    let (mut master, slave) = unsafe { (File::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
    let copy = slave.try_clone().map_err(io("dup"))?;
    command
        .stdin(Stdio::null())
        .stdout(slave)
        .stderr(copy)
        .env("TERM", "xterm-256color");
    let mut child = command.spawn().map_err(io("spawn"))?;
    // The command holds the terminal's other side; without it, reading ends.
    drop(command);
    let mut text = Vec::new();
    // The kernel reports EIO, not the end of file, when the last one closes.
    let _ = std::io::Read::read_to_end(&mut master, &mut text);
    child.wait().map_err(io("wait"))?;
    Ok(text)
}
