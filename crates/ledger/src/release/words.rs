//! What to do, in words that can be followed.

use model::{Facts, Holder, Pin, Process, escape_controls, shell_quote};
use std::fmt::Write as _;

/// Up to this many descriptors are listed one by one.
const LISTED: usize = 8;

/// `map:17`; for the few without an id, the name.
pub(super) fn name(facts: &Facts) -> String {
    match facts.object_id() {
        Some(id) => id.to_string(),
        None => format!("{} {}", facts.kind, escape_controls(&facts.name)),
    }
}

/// What to do so that this holder lets go. `mapped` names the maps that it
/// keeps by a mapping alone.
pub(super) fn action(holder: &Holder, mapped: &[String]) -> String {
    match holder {
        Holder::Process(process) => process_action(process, mapped),
        Holder::Pin(pin) => pin_action(pin),
        // Objects let go by themselves, once nothing holds them.
        Holder::Map(_) | Holder::Prog(_) | Holder::Link(_) | Holder::Btf(_) => String::new(),
    }
}

fn process_action(process: &Process, mapped: &[String]) -> String {
    let mut todo = Vec::new();
    if !process.fds.is_empty() {
        todo.push(format!("close {}", descriptors(&process.fds)));
    }
    if !mapped.is_empty() {
        todo.push(format!("unmap {}", list(mapped)));
    }
    let place = if mapped.is_empty() { "of" } else { "in" };
    let who = process_name(process);
    // The first process cannot be ended; its units live on without it anyway.
    let first = process.pid == 1;
    let mut text = match (todo.is_empty(), first) {
        (true, true) => return format!("make {who} let go"),
        (true, false) => format!("end {who}"),
        (false, true) => return format!("{} {place} {who}", todo.join(" and ")),
        (false, false) => format!("{} {place} {who}, or end it", todo.join(" and ")),
    };
    // Scopes and slices cannot be restarted.
    if let Some(unit) = process.unit.as_deref().filter(|u| u.ends_with(".service")) {
        let _ = write!(text, " (systemctl restart {})", shell_quote(unit));
    }
    text
}

fn process_name(process: &Process) -> String {
    let pid = process.pid;
    let comm = escape_controls(&process.comm);
    let table = match process.tid {
        Some(tid) if tid != pid => format!(", descriptor table of thread {tid}"),
        _ => String::new(),
    };
    if comm.is_empty() {
        format!("pid {pid}{table}")
    } else {
        format!("{comm} (pid {pid}{table})")
    }
}

fn descriptors(fds: &[u32]) -> String {
    let words = |fds: &[u32]| {
        fds.iter()
            .map(u32::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    match fds {
        [fd] => format!("fd {fd}"),
        _ if fds.len() <= LISTED => format!("fds {}", words(fds)),
        _ => format!("{} fds ({}, …)", thousands(fds.len()), words(&fds[..3])),
    }
}

fn list(names: &[String]) -> String {
    if names.len() <= LISTED {
        names.join(", ")
    } else {
        format!(
            "{} maps ({}, …)",
            thousands(names.len()),
            names[..3].join(", ")
        )
    }
}

/// `1,200`
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn pin_action(pin: &Pin) -> String {
    let mut paths = vec![shell_quote(&pin.path)];
    paths.extend(pin.also.iter().map(|path| shell_quote(path)));
    let paths = paths.join(" ");
    if pin.unlinked {
        return format!("close the file that keeps the unlinked pin {paths}");
    }
    match pin.enter_pid {
        Some(pid) => format!("nsenter -t {pid} -m rm {paths}"),
        // Every path in a mount namespace is absolute.
        None if !pin.path.starts_with('/') => {
            format!("remove the pin {paths}: lastref sees no process that has its bpffs mounted")
        }
        None => format!("rm {paths}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1200, "1,200"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(thousands(number), text);
        }
    }

    #[test]
    fn many_descriptors_are_counted_not_listed() {
        let fds: Vec<u32> = (5..1205).collect();
        assert_eq!(descriptors(&fds[..1]), "fd 5");
        assert_eq!(descriptors(&fds[..8]), "fds 5, 6, 7, 8, 9, 10, 11, 12");
        assert_eq!(descriptors(&fds), "1,200 fds (5, 6, 7, …)");
    }
}
