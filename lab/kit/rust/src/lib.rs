//! How a scenario talks to the lab: see `lab/README.md`.

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::c_long;
use std::fmt::Display;
use std::io::{BufRead, Write};
use std::sync::Mutex;

static BOOKS: Mutex<BTreeMap<String, Vec<u32>>> = Mutex::new(BTreeMap::new());

/// A handle on this object was made, or the object is held.
pub fn opened(group: &str, id: u32) {
    let mut books = BOOKS.lock().unwrap();
    books.entry(group.into()).or_default().push(id);
}

/// It was closed on purpose.
pub fn closed(group: &str, id: u32) {
    let mut books = BOOKS.lock().unwrap();
    let held = books.entry(group.into()).or_default();
    let at = held.iter().position(|&held| held == id);
    held.remove(at.unwrap_or_else(|| panic!("labkit: {group} {id} is not open")));
}

/// A parameter of the scenario, as the lab was told, or its default.
pub fn param(name: &str, otherwise: &str) -> String {
    std::env::var(format!("LAB_{}", name.to_uppercase())).unwrap_or_else(|_| otherwise.into())
}

/// How a step failed.
pub enum Failure<E> {
    /// As it must some day.
    Stuck(E),
    /// As it must not.
    Broken(E),
}

/// EMFILE, and EEXIST: before Linux 6.10 a program cannot be attached to one event twice.
const SOME_DAY: [&str; 2] = ["os error 24", "os error 17"];

/// Raw tracepoints that hardly ever fire: nobody shall notice that something is attached to them. Before
/// 6.10 a program is refused at one that it is attached to already (EEXIST).
pub const RARE_EVENTS: [&str; 20] = [
    "mark_victim",
    "oom_score_adj_update",
    "wake_reaper",
    "start_task_reaping",
    "finish_task_reaping",
    "skip_task_reaping",
    "cgroup_setup_root",
    "cgroup_destroy_root",
    "cgroup_remount",
    "cgroup_mkdir",
    "cgroup_rmdir",
    "cgroup_release",
    "cgroup_rename",
    "cgroup_freeze",
    "cgroup_unfreeze",
    "cgroup_attach_task",
    "cgroup_transfer_tasks",
    "cgroup_notify_populated",
    "cgroup_notify_frozen",
    "itimer_expire",
];

/// What an error is: running out of descriptors, or of events to attach to, must happen some day,
/// all else must not.
pub fn failure(error: Box<dyn Error>) -> Failure<Box<dyn Error>> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&*error);
    while let Some(this) = cause {
        let text = this.to_string();
        if SOME_DAY.iter().any(|number| text.contains(number)) {
            return Failure::Stuck(error);
        }
        cause = this.source();
    }
    Failure::Broken(error)
}

extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
}
#[cfg(target_arch = "x86_64")]
const SYS_BPF: c_long = 321;
#[cfg(not(target_arch = "x86_64"))]
const SYS_BPF: c_long = 280;
const BPF_OBJ_GET_INFO_BY_FD: c_long = 15;

/// The newest link of a program among the descriptors of this process, for libraries that tell no
/// link's id. Takes no further descriptor: it works also when none is left.
pub fn newest_link(program: u32) -> Option<u32> {
    // The lowest free number is taken: where many are free in a row there are no more.
    const GAP: u32 = 256;
    let mut newest = None;
    let mut last = 0;
    let mut fd = 0;
    while fd < last + GAP {
        if let Ok(name) = std::fs::read_link(format!("/proc/self/fd/{fd}")) {
            last = fd;
            let name = name.to_string_lossy();
            if name == "anon_inode:bpf_link" || name == "anon_inode:bpf-link" {
                newest = newest.max(link_of(fd, program));
            }
        }
        fd += 1;
    }
    newest
}

/// The id of the link, if it is one of this program.
fn link_of(fd: u32, program: u32) -> Option<u32> {
    #[repr(C)]
    struct Attr {
        fd: u32,
        size: u32,
        info: u64,
    }
    // A link's type, id and program.
    let mut info = [0u32; 3];
    let mut attr = Attr {
        fd,
        size: 12,
        info: info.as_mut_ptr() as u64,
    };
    // SAFETY: the kernel writes no more than `size` bytes, and nothing after it returns.
    let failed = unsafe { syscall(SYS_BPF, BPF_OBJ_GET_INFO_BY_FD, &mut attr, 16 as c_long) };
    (failed == 0 && info[2] == program).then_some(info[1])
}

/// Runs `step` whenever the lab says so; returns when the lab says stop or is gone.
pub fn serve<E: Display>(mut step: impl FnMut() -> Result<(), Failure<E>>) -> Result<(), E> {
    let mut heard = say("ready", None);
    let mut lines = std::io::stdin().lock().lines();
    while heard {
        let line = lines.next().and_then(Result::ok);
        heard = match line.as_deref() {
            Some("step") => match step() {
                Ok(()) => say("step", None),
                Err(Failure::Stuck(error)) => say("stuck", Some(error.to_string())),
                Err(Failure::Broken(error)) => return Err(error),
            },
            Some("gc") => say("gc", None),
            _ => false,
        };
    }
    Ok(())
}

/// False if the lab is gone.
fn say(what: &str, error: Option<String>) -> bool {
    let books = BOOKS.lock().unwrap();
    let groups: Vec<String> = books
        .iter()
        .map(|(name, held)| format!("\"{name}\":{{\"held\":{held:?},\"dropped\":[]}}"))
        .collect();
    let error = error.map_or("null".into(), |e| {
        // A line of JSON: no quotes, and no line ends, as errors of several lines have.
        let plain = |c: char| match c {
            '"' | '\\' => '\'',
            c if c.is_control() => ' ',
            c => c,
        };
        format!("\"{}\"", e.chars().map(plain).collect::<String>())
    });
    let line = format!(
        "{{\"said\":\"{what}\",\"groups\":{{{}}},\"error\":{error}}}\n",
        groups.join(",")
    );
    std::io::stdout().write_all(line.as_bytes()).is_ok()
}
