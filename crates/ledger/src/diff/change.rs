//! What differs between an object and itself.

use model::{Before, By, Change, Detail, Holder, Kind, Object, Reference};
use std::collections::HashMap;

/// What changed; `None` if nothing did.
pub(super) fn change(old: &Object, new: Object) -> Option<Change> {
    let before = before(old);
    let (came, went) = references(&old.facts.references, &new.facts.references);
    if before == self::before(&new) && came.is_empty() && went.is_empty() {
        return None;
    }
    Some(Change {
        object: new,
        before,
        came,
        went,
    })
}

fn before(object: &Object) -> Before {
    let facts = &object.facts;
    let (attached, detached) = match &facts.detail {
        Detail::Prog(prog) => (Some(prog.attached), None),
        Detail::Link(link) => (None, Some(link.detached)),
        Detail::Map(_) | Detail::Btf(_) => (None, None),
    };
    Before {
        refcnt: facts.refcnt,
        usercnt: facts.usercnt,
        explained: object.explained,
        unexplained: object.unexplained,
        settled: object.settled,
        state: object.state,
        memory_bytes: facts.memory_bytes,
        entries: facts.entries,
        attached,
        detached,
    }
}

/// What makes two holders the same one, within a boot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Key<'a> {
    Process(u32, Option<u64>, Option<u32>),
    Pin(&'a str, Option<u64>),
    Object(Kind, Option<u32>, &'a str),
    Attachment(&'a str, Option<&'a str>),
    Socket(Option<u64>, Option<u64>),
    IoUring(Option<u32>, Option<u32>),
    Module(&'a str),
    Kernel(&'a str),
}

impl<'a> Key<'a> {
    fn of(holder: &'a Holder) -> Self {
        match holder {
            Holder::Process(p) => Self::Process(p.pid, p.start_ticks, p.tid),
            Holder::Pin(p) => Self::Pin(&p.path, p.mount_namespace),
            Holder::Map(o) => Self::Object(Kind::Map, o.id, &o.name),
            Holder::Prog(o) => Self::Object(Kind::Prog, o.id, &o.name),
            Holder::Link(o) => Self::Object(Kind::Link, o.id, &o.name),
            Holder::Btf(o) => Self::Object(Kind::Btf, o.id, &o.name),
            Holder::Attachment(a) => Self::Attachment(&a.target, a.attach_type.as_deref()),
            Holder::Socket(s) => Self::Socket(s.inode, s.netns),
            Holder::IoUring(u) => Self::IoUring(u.pid, u.fd),
            Holder::Module { name } => Self::Module(name),
            Holder::Kernel { what } => Self::Kernel(what),
        }
    }
}

/// References by how and by whom they are held.
type Held<'a> = HashMap<(By, Vec<Key<'a>>), (u64, &'a Reference)>;

fn held(references: &[Reference]) -> Held<'_> {
    let mut held = Held::new();
    for reference in references {
        let mut keys: Vec<_> = reference.holders.iter().map(Key::of).collect();
        keys.sort_unstable();
        let held = held.entry((reference.by, keys)).or_insert((0, reference));
        held.0 = held.0.saturating_add(reference.count);
    }
    held
}

/// The references that came, and those that went.
fn references(old: &[Reference], new: &[Reference]) -> (Vec<Reference>, Vec<Reference>) {
    // The usual case, without a look-up.
    if old == new {
        return (vec![], vec![]);
    }
    let (old, new) = (held(old), held(new));
    (beyond(&new, &old), beyond(&old, &new))
}

/// What `held` has beyond `other`, largest first.
fn beyond(held: &Held<'_>, other: &Held<'_>) -> Vec<Reference> {
    let mut found = Vec::new();
    for (key, &(count, reference)) in held {
        let before = other.get(key);
        let more = count.saturating_sub(before.map_or(0, |(count, _)| *count));
        if more == 0 {
            continue;
        }
        let mut holders = reference.holders.clone();
        if let Some((_, before)) = before {
            for holder in &mut holders {
                leave_new_fds(holder, before);
            }
        }
        found.push((
            key,
            Reference {
                by: key.0,
                count: more,
                holders,
            },
        ));
    }
    found.sort_by(|a, b| b.1.count.cmp(&a.1.count).then_with(|| a.0.cmp(b.0)));
    found.into_iter().map(|(_, reference)| reference).collect()
}

/// Takes away the descriptors that a process had before.
fn leave_new_fds(holder: &mut Holder, before: &Reference) {
    let key = match holder {
        Holder::Process(p) => (p.pid, p.tid),
        _ => return,
    };
    let same = before.holders.iter().find_map(|other| match other {
        Holder::Process(p) if (p.pid, p.tid) == key => Some(p),
        _ => None,
    });
    if let (Holder::Process(process), Some(before)) = (holder, same) {
        let mut known = before.fds.clone();
        known.sort_unstable();
        process.fds.retain(|fd| known.binary_search(fd).is_err());
    }
}
