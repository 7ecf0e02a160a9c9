//! Objects and holders in words.

use crate::screen::safe;
use crate::text::width;
use crate::units;
use model::{Attachment, By, Holder, Kind, Object, ObjectRef, Pin, Process, Socket, State};
use std::borrow::Cow;

/// vmlinux's and modules' BTF has no account: nothing is missing there.
pub fn has_account(object: &Object) -> bool {
    !object.facts.is_kernel_btf()
}

/// `map:17`, or `map (no id)` where it has no id.
pub fn id(kind: Kind, id: Option<u32>) -> String {
    match id {
        Some(id) => format!("{kind}:{id}"),
        None => format!("{kind} (no id)"),
    }
}

/// `prog:5 on_exec`
pub fn object(kind: Kind, object: &ObjectRef) -> String {
    let mut text = id(kind, object.id);
    if !object.name.is_empty() {
        text.push(' ');
        text.push_str(&safe(&object.name));
    }
    text
}

/// One and many of a kind, as nouns.
pub fn nouns(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Map => ("map", "maps"),
        Kind::Prog => ("program", "programs"),
        Kind::Link => ("link", "links"),
        Kind::Btf => ("BTF object", "BTF objects"),
    }
}

/// As in JSON.
pub fn by(by: By) -> &'static str {
    match by {
        By::Fd => "fd",
        By::Mmap => "mmap",
        By::Pin => "pin",
        By::Prog => "prog",
        By::OuterMap => "outer-map",
        By::ProgArray => "prog-array",
        By::Link => "link",
        By::Iterator => "iterator",
        By::StructOps => "struct-ops",
        By::BtfUser => "btf-user",
        By::Target => "target",
        By::InFlight => "in-flight",
        By::IoUring => "io-uring",
        By::Attachment => "attachment",
        By::Socket => "socket",
        By::MapEntry => "map-entry",
        By::Timer => "timer",
        By::Token => "token",
        By::Module => "module",
        By::Driver => "driver",
    }
}

/// What to say instead of listing the rest of the holders of one kind.
pub fn holder_nouns<'a>(
    by: By,
    holders: impl IntoIterator<Item = &'a Holder>,
) -> (&'static str, &'static str) {
    match by {
        By::OuterMap => return ("outer map", "outer maps"),
        By::ProgArray => return ("program array", "program arrays"),
        _ => {}
    }
    let mut all = holders.into_iter().map(sort_nouns);
    match all.next() {
        Some(first) if all.all(|other| other == first) => first,
        _ => ("holder", "holders"),
    }
}

/// One and many of a holder's sort, as nouns.
pub fn sort_nouns(holder: &Holder) -> (&'static str, &'static str) {
    match holder {
        Holder::Process(_) => ("process", "processes"),
        Holder::Pin(_) => ("pin", "pins"),
        Holder::Map(_) => nouns(Kind::Map),
        Holder::Prog(_) => nouns(Kind::Prog),
        Holder::Link(_) => nouns(Kind::Link),
        Holder::Btf(_) => nouns(Kind::Btf),
        Holder::Attachment(a) if is_perf_event(a) => ("perf event", "perf events"),
        Holder::Attachment(_) => ("attachment", "attachments"),
        Holder::Socket(_) => ("socket", "sockets"),
        Holder::IoUring(_) => ("io_uring", "io_urings"),
        Holder::Module { .. } => ("module", "modules"),
        Holder::Kernel { .. } => ("place in the kernel", "places in the kernel"),
    }
}

/// A perf event lives as long as somebody has it open.
pub fn is_perf_event(attachment: &Attachment) -> bool {
    attachment.attach_type.as_deref() == Some("perf_event")
}

/// A process's name, or `?` where it could not be read.
pub fn comm(comm: &str) -> Cow<'_, str> {
    if comm.is_empty() {
        "?".into()
    } else {
        safe(comm)
    }
}

/// `agent[4242]`: short, for a table.
pub fn process_short(process: &Process) -> String {
    let comm = comm(&process.comm);
    match process.tid {
        Some(tid) => format!("{comm}[{}, thread {tid}]", process.pid),
        None => format!("{comm}[{}]", process.pid),
    }
}

/// `agent (pid 4242)`
pub fn process_long(process: &Process) -> String {
    let comm = comm(&process.comm);
    match process.tid {
        Some(tid) => format!("{comm} (pid {}, table of thread {tid})", process.pid),
        None => format!("{comm} (pid {})", process.pid),
    }
}

/// `pin /sys/fs/bpf/x`
pub fn pin_short(pin: &Pin) -> String {
    let word = if pin.unlinked { "unlinked pin" } else { "pin" };
    match pin.enter_pid {
        Some(pid) => format!("{word} {} (mounts of pid {pid})", safe(&pin.path)),
        None => format!("{word} {}", safe(&pin.path)),
    }
}

/// `pin /sys/fs/bpf/x`, without whose mounts that path is in.
pub fn pin_brief(pin: &Pin) -> String {
    let word = if pin.unlinked { "unlinked pin" } else { "pin" };
    format!("{word} {}", safe(&pin.path))
}

/// What stands in the kernel, in one phrase: `cgroup:/a (cgroup_inet_ingress)`,
/// `socket:[4711]`; nothing for objects, processes and pins.
pub fn kernel_holder(holder: &Holder) -> String {
    match holder {
        Holder::Attachment(a) => match &a.attach_type {
            Some(attach_type) => format!("{} ({})", safe(&a.target), safe(attach_type)),
            None => safe(&a.target).into_owned(),
        },
        Holder::Socket(socket) => socket_name(socket, "socket"),
        Holder::IoUring(_) => "io_uring".into(),
        Holder::Module { name } => format!("module {}", safe(name)),
        Holder::Kernel { what } => safe(what).into_owned(),
        Holder::Process(_)
        | Holder::Pin(_)
        | Holder::Map(_)
        | Holder::Prog(_)
        | Holder::Link(_)
        | Holder::Btf(_) => String::new(),
    }
}

/// The same for a table: `cgroup:/a`, `dev:eth0`, `sock:[4711]`, `bpf_preload`.
pub fn kernel_short(holder: &Holder) -> String {
    match holder {
        Holder::Attachment(a) => safe(without_netns(&a.target)).into_owned(),
        Holder::Socket(socket) => socket_name(socket, "sock"),
        Holder::Module { name } => safe(name).into_owned(),
        other => kernel_holder(other),
    }
}

fn socket_name(socket: &Socket, word: &str) -> String {
    match socket.inode {
        Some(inode) => format!("{word}:[{inode}]"),
        None => format!("{word} (no inode)"),
    }
}

/// `dev:eth0` of `dev:eth0@netns:4026531840`; other targets as they are.
fn without_netns(target: &str) -> &str {
    const IN_A_NAMESPACE: [&str; 3] = ["dev:", "block:", "action:"];
    let in_one = IN_A_NAMESPACE.iter().any(|sort| target.starts_with(sort));
    match target.rsplit_once('@') {
        Some((short, _)) if in_one => short,
        _ => target,
    }
}

/// Numbers as ranges: `fd 5`, `fds 5-9, 12`. What needs more than `room`
/// columns ends with how many more there are.
pub fn ranges(noun: &str, numbers: &[u32], room: usize) -> String {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let plural = if sorted.len() == 1 { "" } else { "s" };
    let mut text = format!("{noun}{plural} ");
    let mut shown = 0;
    for run in sorted.chunk_by(|a, b| a.checked_add(1) == Some(*b)) {
        let (first, last) = (run[0], run[run.len() - 1]);
        let range = if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        };
        let gap = if shown == 0 { "" } else { ", " };
        let left = (sorted.len() - shown - run.len()) as u64;
        // Unless this is the last one, keep room for the note about the rest.
        let note = if left == 0 { 0 } else { width(&more(left)) };
        if shown > 0 && width(&text) + gap.len() + range.len() + note > room {
            text.push_str(&more((sorted.len() - shown) as u64));
            return text;
        }
        text.push_str(gap);
        text.push_str(&range);
        shown += run.len();
    }
    text
}

fn more(number: u64) -> String {
    format!(", … {} more", units::count(number))
}

/// What a state means, for whoever meets the word for the first time; being in
/// use needs no word.
pub fn state_meaning(state: State) -> Option<&'static str> {
    match state {
        State::InUse => None,
        State::OrphanPin => Some("only pins keep it, and nothing is attached"),
        State::HeldByKernel => Some("no process and no pin keeps it, but attachments or a cycle"),
        State::Unreferenced => Some("nothing refers to it any more, it is being freed"),
        State::Unknown => Some("what keeps it could not be established"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_named_without_its_namespace() {
        for (target, short) in [
            ("dev:eth0@netns:4026531840", "dev:eth0"),
            ("dev:a@b@netns:4026531840", "dev:a@b"),
            ("block:3@netns:4026531840", "block:3"),
            ("dev:eth0", "dev:eth0"),
            ("cgroup:/user@1000.service", "cgroup:/user@1000.service"),
        ] {
            assert_eq!(without_netns(target), short);
        }
    }

    #[test]
    fn descriptors_become_ranges() {
        assert_eq!(ranges("fd", &[5], 40), "fd 5");
        assert_eq!(ranges("fd", &[12, 6, 5, 7, 7], 40), "fds 5-7, 12");
        assert_eq!(
            ranges("fd", &[u32::MAX, u32::MAX - 1], 40),
            "fds 4294967294-4294967295"
        );
        let odd: Vec<u32> = (0..1_000).map(|n| 2 * n).collect();
        assert_eq!(ranges("fd", &odd, 24), "fds 0, 2, 4, … 997 more");
    }
}
