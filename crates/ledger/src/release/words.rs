//! Names of objects, processes and descriptors.

use model::{Facts, Process, Socket, escape_controls};

/// Up to this many descriptors are listed one by one.
const LISTED: usize = 8;

/// `map:17`; for the few without an id, the name.
pub(super) fn name(facts: &Facts) -> String {
    match facts.object_id() {
        Some(id) => id.to_string(),
        None => format!("{} {}", facts.kind, escape_controls(&facts.name)),
    }
}

pub(super) fn process_name(process: &Process) -> String {
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

pub(super) fn descriptors(fds: &[u32]) -> String {
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

/// `map:1, map:2`, or their number as `noun`.
pub(super) fn list(names: &[String], noun: &str) -> String {
    if names.len() <= LISTED {
        names.join(", ")
    } else {
        format!(
            "{} {noun} ({}, …)",
            thousands(names.len()),
            names[..3].join(", ")
        )
    }
}

/// `socket:[4711]`, as `/proc/PID/fd` has it.
pub(super) fn socket_name(socket: &Socket) -> String {
    match socket.inode {
        Some(inode) => format!("socket:[{inode}]"),
        None => "a socket without an inode".to_owned(),
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
