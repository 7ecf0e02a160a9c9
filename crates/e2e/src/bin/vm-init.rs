//! Process 1 of the test machines: mounts, loads modules, runs what its plan says, powers off.
//!
//! `cargo xtask vm` packs it with a plan (`xtask/src/plan.rs`) and reads what it writes
//! (`xtask/src/stream.rs`): the output of the commands on the second serial line, with marks
//! between them. The first serial line is left to the kernel's log.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

const PLAN: &str = "/lastref-vm/plan";
const OUTPUT: &str = "/dev/ttyS1";
/// What a host with systemd allows a service; also the kernel's default `fs.nr_open`.
const DESCRIPTORS: u64 = 1_048_576;
/// The commands run in a cgroup of their own, as they would on any host.
const CGROUP: &str = "/sys/fs/cgroup/lastref-vm";

/// Source, target and type of what is mounted. A kernel may lack any of them.
const MOUNTS: [(&str, &str, &str); 11] = [
    ("proc", "/proc", "proc"),
    ("sysfs", "/sys", "sysfs"),
    ("devtmpfs", "/dev", "devtmpfs"),
    ("devpts", "/dev/pts", "devpts"),
    ("tmpfs", "/dev/shm", "tmpfs"),
    ("tmpfs", "/run", "tmpfs"),
    ("bpf", "/sys/fs/bpf", "bpf"),
    ("cgroup2", "/sys/fs/cgroup", "cgroup2"),
    ("tracefs", "/sys/kernel/tracing", "tracefs"),
    ("debugfs", "/sys/kernel/debug", "debugfs"),
    ("securityfs", "/sys/kernel/security", "securityfs"),
];

fn main() {
    if std::process::id() != 1 {
        eprintln!("vm-init is process 1 of a test machine; it does nothing here");
        std::process::exit(2);
    }
    if let Err(error) = run() {
        // The console is all that is left.
        eprintln!("lastref-vm: {error}");
    }
    // SAFETY: sync(2) and reboot(2) take no pointers. No process is left that could lose work.
    unsafe {
        libc::sync();
        libc::reboot(libc::RB_POWER_OFF);
    }
}

fn run() -> io::Result<()> {
    let mut notes = Vec::new();
    for (source, target, kind) in MOUNTS {
        if let Err(error) = mount(source, target, kind) {
            notes.push(format!("no {kind} on {target}: {error}"));
        }
    }
    // devtmpfs does not make it, and shells rely on it.
    let _ = std::os::unix::fs::symlink("/proc/self/fd", "/dev/fd");
    let plan = Plan::read()?;
    let mut line = Line::open(plan.nonce.clone())?;
    let setup: [(&str, io::Result<()>); 5] = [
        ("the loopback device", loopback_up()),
        ("the limit of descriptors", raise_descriptors()),
        ("the limit of locked memory", unlimit_locked_memory()),
        ("the cgroup", enter_cgroup()),
        // Warnings of the tests must not be swallowed by a rate limit.
        (
            "printk",
            fs::write("/proc/sys/kernel/printk_ratelimit", "0"),
        ),
    ];
    for (what, result) in setup {
        if let Err(error) = result {
            notes.push(format!("{what}: {error}"));
        }
    }
    for module in &plan.modules {
        if let Err(error) = load(module) {
            notes.push(format!("module {module}: {error}"));
        }
    }
    for note in notes {
        line.mark(&format!("note {}", note.replace('\n', " ")))?;
    }
    kernel_log("ready");
    line.mark("ready")?;
    for (index, command) in plan.commands.iter().enumerate() {
        kernel_log(&format!("begin {index}"));
        line.mark(&format!("begin {index}"))?;
        let start = Instant::now();
        let outcome = run_command(&plan, command, &line)?;
        kernel_log(&format!("end {index}"));
        line.mark(&format!(
            "end {index} {outcome} {}",
            start.elapsed().as_millis()
        ))?;
    }
    line.mark("done")?;
    line.drain()
}

/// What to do, as `xtask/src/plan.rs` writes it.
#[derive(Default)]
struct Plan {
    nonce: String,
    env: Vec<(String, String)>,
    modules: Vec<String>,
    commands: Vec<Planned>,
}

struct Planned {
    timeout: Duration,
    silence: Duration,
    cwd: String,
    argv: Vec<String>,
}

impl Plan {
    fn read() -> io::Result<Self> {
        let mut plan = Self::default();
        for line in fs::read_to_string(PLAN)?.lines() {
            let bad = || io::Error::other(format!("the plan has a bad line: {line}"));
            let (key, value) = line.split_once(' ').ok_or_else(bad)?;
            match key {
                "nonce" => value.clone_into(&mut plan.nonce),
                "module" => plan.modules.push(value.to_owned()),
                "env" => {
                    let (name, value) = value.split_once('=').ok_or_else(bad)?;
                    plan.env.push((name.to_owned(), value.to_owned()));
                }
                "command" => plan.commands.push(Planned {
                    timeout: seconds(value).ok_or_else(bad)?,
                    silence: Duration::MAX,
                    cwd: String::new(),
                    argv: Vec::new(),
                }),
                "silence" | "cwd" | "arg" => {
                    let command = plan.commands.last_mut().ok_or_else(bad)?;
                    match key {
                        "silence" => command.silence = seconds(value).ok_or_else(bad)?,
                        "cwd" => value.clone_into(&mut command.cwd),
                        _ => command.argv.push(value.to_owned()),
                    }
                }
                _ => return Err(bad()),
            }
        }
        Ok(plan)
    }
}

fn seconds(text: &str) -> Option<Duration> {
    text.parse().ok().map(Duration::from_secs)
}

/// The serial line to the host.
struct Line {
    tty: File,
    nonce: String,
}

impl Line {
    fn open(nonce: String) -> io::Result<Self> {
        let tty = OpenOptions::new().read(true).write(true).open(OUTPUT)?;
        // SAFETY: an all-zero termios is a valid value of this plain C struct, and both calls
        // get a descriptor that is open and a pointer to it that lives as long as the call.
        unsafe {
            let mut termios: libc::termios = std::mem::zeroed();
            if libc::tcgetattr(tty.as_raw_fd(), &raw mut termios) != 0 {
                return Err(io::Error::last_os_error());
            }
            // Bytes as they are, and no echo.
            libc::cfmakeraw(&raw mut termios);
            if libc::tcsetattr(tty.as_raw_fd(), libc::TCSANOW, &raw const termios) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(Self { tty, nonce })
    }

    fn mark(&mut self, message: &str) -> io::Result<()> {
        self.tty
            .write_all(format!("\x1e{} {message}\n", self.nonce).as_bytes())
    }

    /// Waits until the last byte has left.
    fn drain(&self) -> io::Result<()> {
        // SAFETY: the descriptor is open; tcdrain(3) takes nothing else.
        check(unsafe { libc::tcdrain(self.tty.as_raw_fd()) })
    }
}

/// Notes in the kernel's log what runs now, so that its warnings can be attributed. A log that
/// cannot be written is no reason to stop.
fn kernel_log(message: &str) {
    if let Ok(mut log) = OpenOptions::new().write(true).open("/dev/kmsg") {
        let _ = log.write_all(format!("<4>lastref-vm: {message}\n").as_bytes());
    }
}

/// Runs one command to its end, then ends all that it left running. Gives its outcome in the
/// words of a mark.
fn run_command(plan: &Plan, planned: &Planned, line: &Line) -> io::Result<String> {
    let (mut output, input) = io::pipe()?;
    let mut tty = line.tty.try_clone()?;
    let (alive, watch) = mpsc::channel();
    let pumped = alive.clone();
    // One pipe for both streams, so that their order is kept.
    let pump = thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = output.read(&mut buffer) {
            let _ = pumped.send(Alive::Wrote);
            if tty.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
    });
    let spawned = planned
        .argv
        .split_first()
        .ok_or_else(|| io::Error::other("an empty command"))
        .and_then(|(program, args)| {
            Command::new(program)
                .args(args)
                .env_clear()
                .envs(plan.env.iter().map(|(k, v)| (k, v)))
                .current_dir(&planned.cwd)
                .stdin(Stdio::null())
                .stdout(input.try_clone()?)
                .stderr(input.try_clone()?)
                .spawn()
        });
    let mut input = Some(input);
    let outcome = match spawned {
        Err(error) => {
            if let Some(mut input) = input.take() {
                let name = planned.argv.first().map_or("", String::as_str);
                let _ = writeln!(input, "lastref-vm: cannot start {name}: {error}");
            }
            "not-started 0".to_owned()
        }
        Ok(child) => {
            drop(input.take());
            let (timeout, silence) = (planned.timeout, planned.silence);
            let watchdog = thread::spawn(move || watch_over(&watch, timeout, silence));
            let status = reap_until(child.id())?;
            let _ = alive.send(Alive::Ended);
            let late = watchdog.join().unwrap_or(false);
            describe(status, late)
        }
    };
    kill_all();
    while wait_any()?.is_some() {
        // A process may have been born while the others died.
        kill_all();
    }
    let _ = pump.join();
    Ok(outcome)
}

/// What the watchdog is told of a command.
enum Alive {
    Wrote,
    Ended,
}

/// Kills everything when the command's time is up, or when it wrote nothing for too long. Was it so?
fn watch_over(watch: &mpsc::Receiver<Alive>, timeout: Duration, silence: Duration) -> bool {
    let start = Instant::now();
    loop {
        let left = timeout.saturating_sub(start.elapsed()).min(silence);
        match watch.recv_timeout(left) {
            Ok(Alive::Wrote) if !left.is_zero() => {}
            Ok(Alive::Ended) | Err(RecvTimeoutError::Disconnected) => return false,
            Ok(Alive::Wrote) | Err(RecvTimeoutError::Timeout) => {
                kill_all();
                return true;
            }
        }
    }
}

fn describe(status: i32, late: bool) -> String {
    if late {
        "timeout 0".to_owned()
    } else if libc::WIFSIGNALED(status) {
        format!("signal {}", libc::WTERMSIG(status))
    } else {
        format!("exit {}", libc::WEXITSTATUS(status))
    }
}

/// Reaps whatever dies, orphans too, until it is this process. Gives its wait status.
fn reap_until(pid: u32) -> io::Result<i32> {
    loop {
        match wait_any()? {
            Some((dead, status)) if dead == pid.cast_signed() => return Ok(status),
            Some(_) => {}
            None => return Err(io::Error::other("the command vanished")),
        }
    }
}

/// The next process that dies, with its wait status; `None` when there are no more.
fn wait_any() -> io::Result<Option<(i32, i32)>> {
    loop {
        let mut status = 0;
        // SAFETY: `status` is valid for the write; any child may be waited for.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, 0) };
        if pid > 0 {
            return Ok(Some((pid, status)));
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::ECHILD) => return Ok(None),
            _ => return Err(error),
        }
    }
}

/// Kills every process but this one, which kill(2) spares for its being process 1.
fn kill_all() {
    // SAFETY: kill(2) takes no pointers. That there is no process gives ESRCH, which is fine.
    unsafe {
        libc::kill(-1, libc::SIGKILL);
    }
}

fn mount(source: &str, target: &str, kind: &str) -> io::Result<()> {
    fs::create_dir_all(target)?;
    // A file system in memory must not hide what came with the initramfs.
    if kind == "tmpfs" && fs::read_dir(target)?.next().is_some() {
        return Ok(());
    }
    let (source, target, kind) = (
        CString::new(source)?,
        CString::new(target)?,
        CString::new(kind)?,
    );
    // SAFETY: the strings end with a zero byte and live as long as the call; no data is passed.
    check(unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            kind.as_ptr(),
            0,
            std::ptr::null(),
        )
    })
}

fn load(module: &str) -> io::Result<()> {
    let file = File::open(module)?;
    // SAFETY: the descriptor is open, the parameter string is empty and static.
    let result = unsafe {
        libc::syscall(
            libc::SYS_finit_module,
            file.as_raw_fd(),
            c"".as_ptr(),
            0_i32,
        )
    };
    check(result as i32)
}

fn loopback_up() -> io::Result<()> {
    // SAFETY: socket(2) takes no pointers.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    check(socket)?;
    // SAFETY: an all-zero ifreq is a valid value of this plain C struct; the name that is copied
    // into it is shorter than it and keeps a zero byte at the end; both ioctls get a pointer to
    // it, which they read and write within its size; the socket is closed once.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
            *to = *from as libc::c_char;
        }
        let mut result = libc::ioctl(socket, libc::SIOCGIFFLAGS, &raw mut request);
        if result == 0 {
            request.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short;
            result = libc::ioctl(socket, libc::SIOCSIFFLAGS, &raw const request);
        }
        let done = check(result);
        libc::close(socket);
        done
    }
}

fn raise_descriptors() -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: DESCRIPTORS,
        rlim_max: DESCRIPTORS,
    };
    // SAFETY: the pointer is to a whole rlimit that lives as long as the call.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })
}

/// Before 5.11 BPF's memory counts as locked memory of the user, and what was freed is given
/// back late.
fn unlimit_locked_memory() -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: as above.
    check(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) })
}

fn enter_cgroup() -> io::Result<()> {
    fs::create_dir_all(CGROUP)?;
    fs::write(Path::new(CGROUP).join("cgroup.procs"), "1")?;
    // Each alone: a kernel that lacks one refuses the whole line.
    for controller in ["+memory", "+pids", "+cpu"] {
        let _ = fs::write("/sys/fs/cgroup/cgroup.subtree_control", controller);
    }
    Ok(())
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
