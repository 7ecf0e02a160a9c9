//! What to do so that a holder lets go, in words that can be followed.

use super::words::{descriptors, list, name, process_name, socket_name};
use crate::identity::Key;
use crate::users::is_user;
use model::{Attachment, By, Facts, Holder, IoUring, Kind, Pin, Process};
use model::{escape_controls, shell_quote};
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// What an end holds of one of the objects that must go.
pub(super) struct Share<'a> {
    pub object: &'a Facts,
    pub by: Vec<By>,
    /// The socket, io_uring or perf event through which it holds it.
    pub via: Option<&'a Holder>,
    /// A mapping without a descriptor is among it.
    pub mapped: bool,
    /// Descriptors on the object, or on `via`.
    pub fds: &'a [u32],
}

/// True if somebody can do something about this end. Nobody can about a socket that no
/// process has open, a module, or the kernel itself.
pub(super) fn can_let_go(end: &Holder) -> bool {
    match end {
        Holder::Process(_) | Holder::Pin(_) => true,
        Holder::Attachment(a) => a.detach.is_some() || !is_perf_event(a),
        Holder::IoUring(ring) => ring.pid.is_some(),
        // Objects let go by themselves, once nothing holds them.
        Holder::Map(_)
        | Holder::Prog(_)
        | Holder::Link(_)
        | Holder::Btf(_)
        | Holder::Socket(_)
        | Holder::Module { .. }
        | Holder::Kernel { .. } => false,
    }
}

/// A perf event lets go of its program only with its last descriptor.
pub(super) fn is_perf_event(attachment: &Attachment) -> bool {
    attachment.attach_type.as_deref() == Some("perf_event")
}

/// What to do so that this end, of which that can be said, lets go of its shares.
pub(super) fn action(end: &Holder, shares: &[Share<'_>]) -> String {
    match end {
        Holder::Process(process) => process_action(process, &Todo::of(shares)),
        Holder::Pin(pin) => pin_action(pin),
        Holder::Attachment(a) => attachment_action(a, shares),
        Holder::IoUring(ring) => ring_action(ring),
        Holder::Socket(_)
        | Holder::Module { .. }
        | Holder::Kernel { .. }
        | Holder::Map(_)
        | Holder::Prog(_)
        | Holder::Link(_)
        | Holder::Btf(_) => String::new(),
    }
}

/// What a process must do, in pieces.
#[derive(Default)]
struct Todo {
    fds: Vec<u32>,
    mapped: Vec<String>,
    /// Sockets to be closed, and what would do instead.
    sockets: Vec<String>,
    instead: BTreeSet<String>,
    perf_events: Vec<String>,
    /// Sockets with a descriptor in flight.
    inboxes: Vec<String>,
    rings: Vec<String>,
}

impl Todo {
    fn of(shares: &[Share<'_>]) -> Self {
        let mut todo = Self::default();
        // What is held through one and the same thing comes together.
        let mut vias: Vec<(&Holder, Vec<&Share<'_>>)> = Vec::new();
        let mut place = FxHashMap::default();
        for share in shares {
            if share.mapped {
                todo.mapped.push(name(share.object));
            }
            match share.via {
                None => todo.fds.extend_from_slice(share.fds),
                Some(via) => {
                    let at = *place.entry(Key::of(via)).or_insert(vias.len());
                    if at == vias.len() {
                        vias.push((via, Vec::new()));
                    }
                    vias[at].1.push(share);
                }
            }
        }
        sort(&mut todo.fds);
        for (via, shares) in vias {
            todo.add(via, &shares);
        }
        todo
    }

    fn add(&mut self, via: &Holder, shares: &[&Share<'_>]) {
        let mut fds: Vec<u32> = shares.iter().flat_map(|s| s.fds).copied().collect();
        sort(&mut fds);
        let with_fds = |text: String| match &fds[..] {
            [] => text,
            fds => format!("{text} ({})", descriptors(fds)),
        };
        match via {
            Holder::Socket(socket) => {
                let text = with_fds(socket_name(socket));
                // A file in flight is received; all else goes with the socket.
                let in_flight = |s: &&Share<'_>| s.by.iter().all(|&by| is_user(by));
                if shares.iter().all(in_flight) {
                    self.inboxes.push(text);
                } else {
                    self.sockets.push(text);
                    self.instead
                        .extend(shares.iter().filter_map(|s| instead_of_closing(s)));
                }
            }
            Holder::IoUring(_) => self.rings.push(match &fds[..] {
                [] => "its io_uring".to_owned(),
                fds => descriptors(fds),
            }),
            Holder::Attachment(a) if is_perf_event(a) => {
                let text = format!("the perf event on {}", escape_controls(&a.target));
                self.perf_events.push(with_fds(text));
            }
            _ => self.fds.append(&mut fds),
        }
    }
}

fn sort(fds: &mut Vec<u32>) {
    fds.sort_unstable();
    fds.dedup();
}

/// How a socket lets go of an object without being closed.
fn instead_of_closing(share: &Share<'_>) -> Option<String> {
    let by = |by| share.by.contains(&by);
    let object = share.object;
    match (object.kind, object.type_name.as_str()) {
        (Kind::Prog, "socket_filter") if by(By::Socket) => Some(format!(
            "detach {} (setsockopt SO_DETACH_BPF)",
            name(object)
        )),
        (Kind::Prog, "sk_reuseport") if by(By::Socket) => Some(format!(
            "detach {} (setsockopt SO_DETACH_REUSEPORT_BPF)",
            name(object)
        )),
        (Kind::Prog, "sk_skb" | "sk_msg") if by(By::Socket) => {
            Some("delete it from its sockmap".to_owned())
        }
        (Kind::Map, "xskmap") if by(By::MapEntry) => {
            Some(format!("delete it from {}", name(object)))
        }
        _ => None,
    }
}

fn process_action(process: &Process, todo: &Todo) -> String {
    let who = process_name(process);
    // What has to be closed, unmapped; and what leaves a choice.
    let mut close = Vec::new();
    if !todo.fds.is_empty() {
        close.push(descriptors(&todo.fds));
    }
    if !todo.perf_events.is_empty() {
        close.push(list(&todo.perf_events, "perf events"));
    }
    if !todo.sockets.is_empty() {
        close.push(list(&todo.sockets, "sockets"));
    }
    let mut plain = Vec::new();
    if !close.is_empty() {
        plain.push(format!("close {}", close.join(" and ")));
    }
    if !todo.instead.is_empty() {
        let instead: Vec<String> = todo.instead.iter().cloned().collect();
        let instead = list(&instead, "ways");
        if let Some(close) = plain.last_mut() {
            let _ = write!(close, " or {instead}");
        }
    }
    if !todo.mapped.is_empty() {
        plain.push(format!("unmap {}", list(&todo.mapped, "maps")));
    }
    let mut choices = Vec::new();
    if !todo.inboxes.is_empty() {
        let sockets = list(&todo.inboxes, "sockets");
        choices.push(format!("receive what waits in {sockets} or close it"));
    }
    if !todo.rings.is_empty() {
        let rings = list(&todo.rings, "rings");
        choices.push(format!(
            "unregister its fixed files (IORING_UNREGISTER_FILES) or close the ring ({rings})"
        ));
    }
    let place = if todo.mapped.is_empty() { "of" } else { "in" };
    // The first process cannot be ended; its units live on without it anyway.
    let first = process.pid == 1;
    let mut text = if !choices.is_empty() || !todo.instead.is_empty() {
        plain.extend(choices);
        let or_end = match (first, plain.len()) {
            (true, _) => "",
            (false, 1) => ", or end it",
            (false, _) => "; or end it",
        };
        format!("make {who} {}{or_end}", plain.join("; "))
    } else {
        match (plain.is_empty(), first) {
            (true, true) => return format!("make {who} let go"),
            (true, false) => format!("end {who}"),
            (false, true) => format!("{} {place} {who}", plain.join(" and ")),
            (false, false) => format!("{} {place} {who}, or end it", plain.join(" and ")),
        }
    };
    // Scopes and slices cannot be restarted.
    if let Some(unit) = process.unit.as_deref().filter(|u| u.ends_with(".service")) {
        let unit = shell_quote(unit);
        // Of systemd itself, that is a unit whose fd store it keeps (its own is
        // `init.scope`): one that is there to outlast a restart, and with
        // `FileDescriptorStorePreserve=` a stop.
        let _ = match (first, &*process.comm) {
            (false, _) => write!(text, " (systemctl restart {unit})"),
            (true, "systemd") => write!(
                text,
                " (systemctl stop {unit} && systemctl clean --what=fdstore {unit})"
            ),
            (true, _) => Ok(()),
        };
    }
    text
}

fn pin_action(pin: &Pin) -> String {
    let quoted = |paths: &[String]| {
        let quoted: Vec<String> = paths.iter().map(|path| shell_quote(path)).collect();
        quoted.join(" ")
    };
    let paths = std::iter::once(&pin.path).chain(&pin.also).cloned();
    if pin.unlinked {
        let paths: Vec<String> = paths.collect();
        let paths = quoted(&paths);
        return format!("close the file that keeps the unlinked pin {paths}");
    }
    // Every path in a mount namespace is absolute.
    let (seen, unseen): (Vec<String>, Vec<String>) = paths.partition(|path| path.starts_with('/'));
    // Below the process's own root directory, which need not be that of its mount namespace.
    let root = pin.enter_pid.map(|pid| format!("/proc/{pid}/root"));
    let root = root.unwrap_or_default();
    let seen: Vec<String> = seen.iter().map(|path| format!("{root}{path}")).collect();
    let rm = format!("rm {}", quoted(&seen));
    if unseen.is_empty() {
        return rm;
    }
    let unseen = quoted(&unseen);
    let rest = format!("remove the pin {unseen}: lastref sees no path that leads there");
    if seen.is_empty() {
        rest
    } else {
        format!("{rm}, and {rest}")
    }
}

fn attachment_action(attachment: &Attachment, shares: &[Share<'_>]) -> String {
    if let Some(command) = &attachment.detach {
        return command.clone();
    }
    let objects: Vec<String> = shares.iter().map(|s| name(s.object)).collect();
    let mut text = format!(
        "detach {} from {}",
        list(&objects, "programs"),
        escape_controls(&attachment.target)
    );
    if let Some(attach_type) = &attachment.attach_type {
        let _ = write!(text, " ({})", escape_controls(attach_type));
    }
    text
}

/// A ring of which only the process is known.
fn ring_action(ring: &IoUring) -> String {
    let who = ring
        .pid
        .map_or("its process".to_owned(), |pid| format!("pid {pid}"));
    let close = match ring.fd {
        Some(fd) => format!("close the ring (fd {fd})"),
        None => "unmap or unregister the ring".to_owned(),
    };
    format!("make {who} unregister its fixed files (IORING_UNREGISTER_FILES) or {close}, or end it")
}
