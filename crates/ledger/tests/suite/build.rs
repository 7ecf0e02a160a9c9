//! Readings in a few words. Their counts meet their references, unless said otherwise.

use ledger::{Ledger, Reading, Sight};
use model::{
    Attachment, BtfFacts, By, Detail, Facts, Holder, IoUring, Kind, LinkFacts, MapFacts, Object,
    ObjectId, ObjectRef, Pin, Process, ProgFacts, Reference, Socket,
};

/// Maps of the tests may be mapped (`BPF_F_MMAPABLE`).
const MMAPABLE: u32 = 1 << 10;

pub fn map(id: u32, type_name: &str) -> Reading {
    reading(
        Kind::Map,
        id,
        type_name,
        Detail::Map(MapFacts {
            map_flags: MMAPABLE,
            ..MapFacts::default()
        }),
    )
}

/// Each of its elements has a timer.
pub fn map_with_timers(id: u32, type_name: &str) -> Reading {
    let mut map = map(id, type_name);
    if let Detail::Map(detail) = &mut map.facts.detail {
        detail.has_timers = true;
    }
    map
}

pub fn prog_of(id: u32, type_name: &str) -> Reading {
    let mut prog = prog(id);
    prog.facts.type_name = type_name.into();
    prog
}

pub fn prog(id: u32) -> Reading {
    let detail = ProgFacts {
        tag: "0123456789abcdef".into(),
        maps: vec![],
        attached: false,
    };
    reading(Kind::Prog, id, "kprobe", Detail::Prog(detail))
}

pub fn link(id: u32) -> Reading {
    let detail = LinkFacts {
        prog_id: Some(5),
        target: Some("cgroup:/a".into()),
        attach_type: Some("cgroup_inet_ingress".into()),
        detached: false,
    };
    reading(Kind::Link, id, "cgroup", Detail::Link(detail))
}

pub fn btf(id: u32, kernel_btf: bool) -> Reading {
    let type_name = if kernel_btf { "vmlinux" } else { "user" };
    let mut btf = reading(
        Kind::Btf,
        id,
        type_name,
        Detail::Btf(BtfFacts { kernel_btf }),
    );
    if kernel_btf {
        btf.facts.refcnt = None;
    }
    btf
}

fn reading(kind: Kind, id: u32, type_name: &str, detail: Detail) -> Reading {
    Reading {
        facts: Facts {
            kind,
            id: Some(id),
            name: format!("{kind}{id}"),
            type_name: type_name.into(),
            refcnt: Some(0),
            usercnt: None,
            references: vec![],
            own: false,
            memory_bytes: Some(1000),
            memory_source: None,
            entries: None,
            max_entries: None,
            charged_to: None,
            unreadable: vec![],
            detail,
        },
        steady: true,
    }
}

pub fn process(pid: u32, fds: &[u32]) -> Holder {
    Holder::Process(Box::new(Process {
        pid,
        comm: "agent".into(),
        fds: fds.to_vec(),
        ..Process::default()
    }))
}

/// Pids, and the one descriptor that each of them has.
fn open_by(openers: &[(u32, u32)]) -> Vec<Process> {
    let opener = |&(pid, fd): &(u32, u32)| match process(pid, &[fd]) {
        Holder::Process(process) => *process,
        other => unreachable!("{other:?}"),
    };
    openers.iter().map(opener).collect()
}

/// On a cgroup.
pub fn attachment(target: &str) -> Holder {
    Holder::Attachment(Box::new(Attachment {
        target: target.into(),
        attach_type: Some("cgroup_inet_ingress".into()),
        ..Attachment::default()
    }))
}

pub fn perf_event(target: &str, openers: &[(u32, u32)]) -> Holder {
    Holder::Attachment(Box::new(Attachment {
        target: target.into(),
        attach_type: Some("perf_event".into()),
        detach: None,
        open_by: open_by(openers),
    }))
}

pub fn socket(inode: u64, openers: &[(u32, u32)]) -> Holder {
    Holder::Socket(Box::new(Socket {
        inode: Some(inode),
        netns: Some(4_026_531_840),
        family: Some("unix".into()),
        processes: openers.iter().map(|&(pid, _)| pid).collect(),
        open_by: open_by(openers),
    }))
}

pub fn io_uring(openers: &[(u32, u32)]) -> Holder {
    Holder::IoUring(Box::new(IoUring {
        pid: openers.first().map(|&(pid, _)| pid),
        fd: openers.first().map(|&(_, fd)| fd),
        open_by: open_by(openers),
    }))
}

pub fn module(name: &str) -> Holder {
    Holder::Module { name: name.into() }
}

pub fn kernel(what: &str) -> Holder {
    Holder::Kernel { what: what.into() }
}

pub fn pin(path: &str) -> Holder {
    Holder::Pin(Pin {
        path: path.into(),
        mount_namespace: None,
        enter_pid: None,
        also: vec![],
        unlinked: false,
    })
}

pub fn object(kind: Kind, id: u32) -> Holder {
    Holder::from_object(
        kind,
        ObjectRef {
            id: Some(id),
            name: format!("{kind}{id}"),
        },
    )
}

pub trait Build: Sized {
    /// More references, and the count with them.
    fn held(self, by: By, count: u64, holders: Vec<Holder>) -> Self;
    /// The count is this, whatever the references say.
    fn counts(self, refcnt: u64) -> Self;
    fn users(self, usercnt: u64) -> Self;
    fn unsteady(self) -> Self;
    fn attached(self) -> Self;
    fn detached(self) -> Self;

    fn fd(self, pid: u32, fds: &[u32]) -> Self {
        self.held(By::Fd, fds.len() as u64, vec![process(pid, fds)])
    }
    fn pinned(self, path: &str) -> Self {
        self.held(By::Pin, 1, vec![pin(path)])
    }
    fn prog(self, id: u32) -> Self {
        self.held(By::Prog, 1, vec![object(Kind::Prog, id)])
    }
    fn link(self, id: u32) -> Self {
        self.held(By::Link, 1, vec![object(Kind::Link, id)])
    }
    fn slot(self, map: u32) -> Self {
        self.held(By::ProgArray, 1, vec![object(Kind::Map, map)])
    }
    fn outer(self, map: u32) -> Self {
        self.held(By::OuterMap, 1, vec![object(Kind::Map, map)])
    }
}

impl Build for Reading {
    fn held(mut self, by: By, count: u64, holders: Vec<Holder>) -> Self {
        self.facts.refcnt = self.facts.refcnt.map(|n| n + count);
        self.facts.references.push(Reference { by, count, holders });
        self
    }
    fn counts(mut self, refcnt: u64) -> Self {
        self.facts.refcnt = Some(refcnt);
        self
    }
    fn users(mut self, usercnt: u64) -> Self {
        self.facts.usercnt = Some(usercnt);
        self
    }
    fn unsteady(mut self) -> Self {
        self.steady = false;
        self
    }
    fn attached(mut self) -> Self {
        if let Detail::Prog(prog) = &mut self.facts.detail {
            prog.attached = true;
        }
        self
    }
    fn detached(mut self) -> Self {
        if let Detail::Link(link) = &mut self.facts.detail {
            link.detached = true;
        }
        self
    }
}

pub fn close(readings: Vec<Reading>) -> Ledger {
    Ledger::close(readings, &Sight::default(), None)
}

pub fn id(text: &str) -> ObjectId {
    text.parse().expect("an id such as map:17")
}

pub fn get<'a>(ledger: &'a Ledger, text: &str) -> &'a Object {
    ledger.get(id(text)).expect("the object is in the ledger")
}

/// Holders in short: `4242[5,6]`, `/sys/fs/bpf/x`, `prog:5`, `socket#9`.
pub fn short(holder: &Holder) -> String {
    match holder {
        Holder::Process(p) => {
            let fds: Vec<_> = p.fds.iter().map(u32::to_string).collect();
            let tid = p.tid.map_or(String::new(), |tid| format!("/{tid}"));
            format!("{}{tid}[{}]", p.pid, fds.join(","))
        }
        Holder::Pin(pin) => pin.path.clone(),
        Holder::Attachment(a) => a.target.replacen(':', "#", 1),
        Holder::Socket(s) => format!("socket#{}", s.inode.unwrap_or(0)),
        Holder::IoUring(u) => format!("io_uring#{}", u.pid.unwrap_or(0)),
        Holder::Module { name } => format!("module#{name}"),
        Holder::Kernel { what } => format!("kernel#{what}"),
        other => {
            let (kind, object) = other.object().expect("an object");
            format!("{kind}:{}", object.id.map_or(0, |id| id))
        }
    }
}

pub fn shorts(holders: &[Holder]) -> Vec<String> {
    holders.iter().map(short).collect()
}
