//! A holder and all that is known of it, in phrases.

use crate::screen::{Paint, Span, plain, safe};
use crate::{units, words};
use model::{Holder, Kind, Pin, Process};

/// Other names of a pin that are told.
const NAMES: usize = 4;
/// Processes that have a socket or a ring open that are told.
const OPENERS: usize = 4;

pub(super) fn holder_phrases(holder: &Holder, columns: usize) -> Vec<Span> {
    match holder {
        Holder::Process(process) => process_phrases(process, columns),
        Holder::Pin(pin) => pin_phrases(pin),
        Holder::Map(o) => vec![plain(words::object(Kind::Map, o))],
        Holder::Prog(o) => vec![plain(words::object(Kind::Prog, o))],
        Holder::Link(o) => vec![plain(words::object(Kind::Link, o))],
        Holder::Btf(o) => vec![plain(words::object(Kind::Btf, o))],
        Holder::Attachment(_)
        | Holder::Socket(_)
        | Holder::IoUring(_)
        | Holder::Module { .. }
        | Holder::Kernel { .. } => kernel_phrases(holder, columns),
    }
}

/// What it is, who has it open, and where it stands.
fn kernel_phrases(holder: &Holder, columns: usize) -> Vec<Span> {
    let mut phrases = match holder {
        Holder::Attachment(a) => {
            let attach_type = a.attach_type.iter().map(|word| plain(safe(word)));
            [plain(safe(&a.target))]
                .into_iter()
                .chain(attach_type)
                .collect()
        }
        Holder::Socket(socket) => {
            let family = socket.family.iter().map(|word| plain(safe(word)));
            [plain(words::kernel_holder(holder))]
                .into_iter()
                .chain(family)
                .collect()
        }
        other => vec![plain(words::kernel_holder(other))],
    };
    phrases.extend(open_phrases(holder, columns));
    phrases
}

/// Who has it open, and where it stands.
pub(super) fn open_phrases(holder: &Holder, columns: usize) -> Vec<Span> {
    let mut phrases = vec![];
    for process in holder.open_by().iter().take(OPENERS) {
        let name = words::process_long(process);
        phrases.push((format!("open in {name}"), Paint::Bold));
        if !process.fds.is_empty() {
            phrases.push(plain(words::ranges("fd", &process.fds, columns / 3)));
        }
        phrases.extend(place_phrases(process));
    }
    let beyond = holder.open_by().len().saturating_sub(OPENERS) as u64;
    if beyond > 0 {
        let more = units::counted(beyond, "more process", "more processes");
        phrases.push(plain(format!("… and {more}")));
    }
    if holder.open_by().is_empty() {
        phrases.extend(not_open(holder, columns).map(plain));
    }
    if let Holder::Socket(socket) = holder
        && let Some(netns) = socket.netns
    {
        phrases.push((format!("netns {netns}"), Paint::Dim));
    }
    phrases
}

/// What is known of who has it open, where no process is described.
fn not_open(holder: &Holder, columns: usize) -> Option<String> {
    const NOBODY: &str = "no process has it open";
    match holder {
        Holder::Socket(socket) if socket.processes.is_empty() => Some(NOBODY.into()),
        Holder::Socket(socket) => Some(format!(
            "open in {}",
            words::ranges("pid", &socket.processes, columns / 3)
        )),
        Holder::IoUring(ring) => Some(match (ring.pid, ring.fd) {
            (Some(pid), Some(fd)) => format!("fd {fd} of pid {pid}"),
            (Some(pid), None) => format!("mapped by pid {pid}"),
            (None, _) => NOBODY.into(),
        }),
        Holder::Attachment(a) if words::is_perf_event(a) => Some(NOBODY.into()),
        _ => None,
    }
}

/// Who it is, its descriptors, and where it belongs.
fn process_phrases(process: &Process, columns: usize) -> Vec<Span> {
    let mut phrases = vec![(words::process_long(process), Paint::Bold)];
    if !process.fds.is_empty() {
        phrases.push(plain(words::ranges("fd", &process.fds, columns / 3)));
    }
    phrases.extend(place_phrases(process));
    if let Some(inside) = process.ns_pid.filter(|&pid| pid != process.pid) {
        phrases.push(plain(format!("pid {inside} in its namespace")));
    }
    if let Some(exe) = process.exe.as_ref().filter(|exe| tells_more(exe, process)) {
        phrases.push((format!("exe {}", safe(exe)), Paint::Dim));
    }
    phrases
}

/// Where a process belongs: unit, container and pod, or else its cgroup.
pub(super) fn place_phrases(process: &Process) -> Vec<Span> {
    let mut phrases = vec![];
    if let Some(unit) = &process.unit {
        phrases.push(plain(format!("unit {}", safe(unit))));
    }
    if let Some(container) = &process.container {
        let runtime = container.runtime.as_deref().unwrap_or("container");
        let id: String = container.id.chars().take(12).collect();
        phrases.push(plain(format!("{} {}", safe(runtime), safe(&id))));
        let pod = match (&container.namespace, &container.pod, &container.pod_uid) {
            (Some(namespace), Some(pod), _) => Some(format!("{namespace}/{pod}")),
            (None, Some(pod), _) => Some(pod.clone()),
            (_, None, Some(uid)) => Some(uid.clone()),
            (_, None, None) => None,
        };
        if let Some(pod) = pod {
            phrases.push(plain(format!("pod {}", safe(&pod))));
        }
        if let Some(name) = &container.name {
            phrases.push(plain(format!("container {}", safe(name))));
        }
    }
    if let (Some(cgroup), None, None) = (&process.cgroup, &process.unit, &process.container) {
        phrases.push(plain(format!("cgroup {}", safe(cgroup))));
    }
    phrases
}

/// comm is the start of the executable's name unless the process changed it.
fn tells_more(exe: &str, process: &Process) -> bool {
    let name = exe.rsplit('/').next().unwrap_or(exe);
    process.comm.is_empty()
        || !(name == &*process.comm || process.comm.len() == 15 && name.starts_with(&*process.comm))
}

fn pin_phrases(pin: &Pin) -> Vec<Span> {
    let mut phrases = vec![plain(safe(&pin.path))];
    if pin.unlinked {
        phrases.push(("unlinked, kept by an open file".into(), Paint::Yellow));
    }
    if let Some(pid) = pin.enter_pid {
        phrases.push(plain(format!("in the mount namespace of pid {pid}")));
    } else if pin.mount_namespace.is_none() {
        phrases.push(plain("no path in sight leads there"));
    }
    for name in pin.also.iter().take(NAMES) {
        phrases.push(plain(format!("also {}", safe(name))));
    }
    if pin.also.len() > NAMES {
        let more = units::count((pin.also.len() - NAMES) as u64);
        phrases.push(plain(format!("and {more} more names")));
    }
    phrases
}
