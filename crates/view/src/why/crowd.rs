//! Holders that are many and alike share a line.

use super::account::holders;
use super::holder::{open_phrases, place_phrases};
use crate::screen::{Paint, Span, plain, safe};
use crate::{units, words};
use model::{Holder, Process, Reference, Socket};
use std::collections::BTreeMap;

/// More than this share a line.
pub(super) const CROWD: u64 = 8;

/// What those have in common that belong together.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Crowd<'a> {
    /// Name, unit, container, cgroup.
    Processes(&'a str, [Option<&'a str>; 3]),
    /// Family, network namespace, and the processes that have them open.
    Sockets(Option<&'a str>, Option<u64>, &'a [u32]),
}

fn crowd_of(reference: &Reference) -> Option<Crowd<'_>> {
    match &reference.holders[..] {
        [Holder::Process(process)] => Some(Crowd::Processes(
            &process.comm,
            [
                process.unit.as_deref(),
                process.container.as_ref().map(|c| &*c.id),
                process.cgroup.as_deref(),
            ],
        )),
        [Holder::Socket(socket)] => Some(Crowd::Sockets(
            socket.family.as_deref(),
            socket.netns,
            &socket.processes,
        )),
        _ => None,
    }
}

/// Takes out the references of holders that are many and alike.
pub(super) fn crowds(references: Vec<&Reference>) -> (Vec<Vec<&Reference>>, Vec<&Reference>) {
    let mut alike: BTreeMap<Crowd<'_>, Vec<&Reference>> = BTreeMap::new();
    let mut others = vec![];
    for reference in references {
        match crowd_of(reference) {
            Some(crowd) => alike.entry(crowd).or_default().push(reference),
            None => others.push(reference),
        }
    }
    let mut crowds = vec![];
    for (_, references) in alike {
        if holders(&references) > CROWD {
            crowds.push(references);
        } else {
            others.extend(references);
        }
    }
    (crowds, others)
}

/// One line for all of a crowd.
pub(super) fn crowd_phrases(references: &[&Reference], columns: usize) -> Vec<Span> {
    let number = units::count(holders(references));
    let all = references.iter().flat_map(|r| &r.holders);
    let mut processes: Vec<&Process> = vec![];
    let mut sockets: Vec<&Socket> = vec![];
    for holder in all {
        match holder {
            Holder::Process(process) => processes.push(process),
            Holder::Socket(socket) => sockets.push(socket),
            _ => {}
        }
    }
    if let Some(first) = sockets.first() {
        return of_sockets(&number, first, columns);
    }
    let Some(first) = processes.first() else {
        return vec![];
    };
    let pids: Vec<u32> = processes.iter().map(|p| p.pid).collect();
    let name = safe(&first.comm).into_owned();
    let mut says = vec![
        (format!("{number} processes {name}"), Paint::Bold),
        plain(words::ranges("pid", &pids, columns / 3)),
    ];
    let fds: usize = processes.iter().map(|p| p.fds.len()).sum();
    if fds > 0 {
        says.push(plain(units::counted(fds as u64, "fd", "fds")));
    }
    says.extend(place_phrases(first));
    says
}

/// So many sockets of this one's family.
pub(super) fn sockets(number: &str, first: &Socket) -> String {
    let family = first.family.as_deref().map(safe);
    let family = family.map_or_else(String::new, |family| format!("{family} "));
    format!("{number} {family}sockets")
}

/// The same processes have all of them open.
fn of_sockets(number: &str, first: &Socket, columns: usize) -> Vec<Span> {
    let mut says = vec![plain(sockets(number, first))];
    // Their descriptors are others for each.
    let mut one = first.clone();
    for process in &mut one.open_by {
        process.fds.clear();
    }
    says.extend(open_phrases(&Holder::Socket(Box::new(one)), columns));
    says
}
