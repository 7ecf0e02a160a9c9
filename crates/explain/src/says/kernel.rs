//! The kernel's account of a group's objects, and how the handles came.

use super::{Context, Line};
use crate::group::Group;
use model::units::{count, counted};
use model::{EvidenceKind, Holder, Kind, Object, Origin};
use rustc_hash::FxHashMap;

/// Other holders that are named; the rest is counted.
const NAMED: usize = 4;

/// References of all objects of a group.
#[derive(Debug, Default)]
struct Sum<'e> {
    refcnt: u64,
    /// Units whose holders this process is one of.
    here: u64,
    /// Units of others, by what they are called.
    others: FxHashMap<Other<'e>, u64>,
    unexplained: u64,
    /// Objects of which something could not be read.
    unread: u64,
    /// Objects whose remainder is not known: holders may be out of sight.
    out_of_sight: u64,
    moving: u64,
    objects: u64,
}

/// A holder that is not this process, as it is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Other<'e> {
    Process(&'e str, u32),
    Pin,
    Object(Kind),
    Attachment,
    Socket,
    IoUring,
    Kernel,
}

pub(super) fn say<'e>(context: &Context<'e>, group: &Group<'e>, lines: &mut Vec<Line>) {
    if let Some(says) = account(context, group) {
        lines.push((EvidenceKind::KernelAccount, says));
    }
    if let Some(says) = origin(group) {
        lines.push((EvidenceKind::KernelAccount, says));
    }
}

fn account<'e>(context: &Context<'e>, group: &Group<'e>) -> Option<String> {
    let pid = context.evidence.process.pid;
    let mut sum = Sum::default();
    let mut first = None;
    for id in &group.ids {
        if let Some(object) = context.account(group.kind, *id) {
            sum.add(object, pid);
            first = first.or(Some(*id));
        }
    }
    let first = first?;
    let what = match sum.objects {
        1 => format!("{} {first}", group.kind),
        many => objects(group.kind, many),
    };
    if sum.unread == sum.objects {
        return Some(format!("{what}: the reference count could not be read"));
    }
    let mut text = format!(
        "{what}: refcnt {} = {} here",
        count(sum.refcnt),
        count(sum.here)
    );
    for (other, units) in sum.named() {
        text = format!("{text} + {}", other.says(units));
    }
    Some(format!("{text}; {}", sum.rest()))
}

impl<'e> Sum<'e> {
    fn add(&mut self, object: &'e Object, pid: u32) {
        self.objects += 1;
        let Some(refcnt) = object.facts.refcnt else {
            self.unread += 1;
            return;
        };
        self.refcnt = self.refcnt.saturating_add(refcnt);
        for reference in &object.facts.references {
            let holders = || reference.holders.iter();
            let is_here = |holder: &Holder| {
                matches!(holder, Holder::Process(p) if p.pid == pid)
                    || holder.open_by().iter().any(|p| p.pid == pid)
            };
            if holders().any(is_here) {
                self.here = self.here.saturating_add(reference.count);
                continue;
            }
            let other = holders().next().map_or(Other::Kernel, Other::of);
            let units = self.others.entry(other).or_default();
            *units = units.saturating_add(reference.count);
        }
        match object.unexplained {
            None => self.out_of_sight += 1,
            Some(rest) => {
                self.unexplained = self.unexplained.saturating_add(rest.max(0).unsigned_abs());
            }
        }
        self.moving += u64::from(!object.settled);
    }

    /// The largest first; what is not named comes together at the end.
    fn named(&self) -> Vec<(Other<'e>, u64)> {
        let mut all: Vec<_> = self.others.iter().map(|(o, n)| (o.clone(), *n)).collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let rest = all.split_off(all.len().min(NAMED));
        if !rest.is_empty() {
            let units = rest.iter().fold(0u64, |sum, (_, n)| sum.saturating_add(*n));
            all.push((Other::Kernel, units));
        }
        all
    }

    fn rest(&self) -> String {
        let mut text = match self.unexplained {
            0 if self.out_of_sight > 0 => "holders may be out of sight".to_owned(),
            0 => "nothing unexplained".to_owned(),
            some => format!("{} unexplained", count(some)),
        };
        if self.moving > 0 {
            text = format!(
                "{text}; {} still moving",
                counted(self.moving, "account is", "accounts are")
            );
        }
        if self.unread > 0 {
            let unread = counted(self.unread, "count", "counts");
            text = format!("{text}; {unread} could not be read");
        }
        text
    }
}

impl<'e> Other<'e> {
    fn of(holder: &'e Holder) -> Self {
        match holder {
            Holder::Process(process) => Self::Process(&process.comm, process.pid),
            Holder::Pin(_) => Self::Pin,
            Holder::Map(_) => Self::Object(Kind::Map),
            Holder::Prog(_) => Self::Object(Kind::Prog),
            Holder::Link(_) => Self::Object(Kind::Link),
            Holder::Btf(_) => Self::Object(Kind::Btf),
            Holder::Attachment(_) => Self::Attachment,
            Holder::Socket(_) => Self::Socket,
            Holder::IoUring(_) => Self::IoUring,
            Holder::Module { .. } | Holder::Kernel { .. } => Self::Kernel,
        }
    }

    /// `4 in tetragon (311)`, `1 pin`
    fn says(&self, units: u64) -> String {
        match self {
            Self::Process(comm, pid) => format!("{} in {comm} ({pid})", count(units)),
            Self::Pin => counted(units, "pin", "pins"),
            Self::Object(Kind::Map) => format!("{} in maps", count(units)),
            Self::Object(Kind::Prog) => format!("{} in programs", count(units)),
            Self::Object(Kind::Link) => format!("{} in links", count(units)),
            Self::Object(Kind::Btf) => format!("{} in BTF", count(units)),
            Self::Attachment => counted(units, "attachment", "attachments"),
            Self::Socket => format!("{} in sockets", count(units)),
            Self::IoUring => format!("{} in io_uring", count(units)),
            Self::Kernel => format!("{} elsewhere", count(units)),
        }
    }
}

pub(super) fn objects(kind: Kind, number: u64) -> String {
    match kind {
        Kind::Map => counted(number, "map", "maps"),
        Kind::Prog => counted(number, "program", "programs"),
        Kind::Link => counted(number, "link", "links"),
        Kind::Btf => counted(number, "BTF object", "BTF objects"),
    }
}

fn origin(group: &Group<'_>) -> Option<String> {
    let (handle, _) = group.members.first()?;
    let who = handle.shared_with.as_deref();
    match group.origin() {
        Origin::Inherited => Some(format!(
            "{} shares the file: inherited",
            who.unwrap_or("an ancestor")
        )),
        Origin::Received => Some(format!(
            "{} shares the file, and is neither ancestor nor descendant: received",
            who.unwrap_or("another process")
        )),
        Origin::Acquired | Origin::Unknown => None,
    }
}
