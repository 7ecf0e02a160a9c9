//! What makes two holders the same end of chains.

use model::{Facts, Holder, Kind, ObjectRef, Pin, Process, Socket};

/// Something that is held by nothing we account for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndKind {
    Process,
    Pin,
    /// An object that holds others, but that the readers did not show.
    Lost,
    /// In the kernel, with no process behind it: an attachment, a socket that nobody
    /// has open, a module …
    Kernel,
}

/// What identifies an end, in the order in which ends are listed. Descriptor numbers mean
/// something only in one table, so a thread with its own table is another end than its
/// process. Who has a socket or a ring open does not make it another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key<'a> {
    Process(u32, Option<u64>, Option<u32>),
    Pin(&'a Pin),
    Lost(Kind, &'a ObjectRef),
    /// Target, attach type, command that detaches.
    Attachment(&'a str, Option<&'a str>, Option<&'a str>),
    /// Inode numbers: its own, its network namespace's.
    Socket(u64, Option<u64>),
    /// Not accepted yet, or closed: nothing but all that is known of it tells it from others.
    SocketWithoutInode(&'a Socket),
    /// Pid and descriptor.
    IoUring(Option<u32>, Option<u32>),
    Module(&'a str),
    Kernel(&'a str),
}

impl<'a> Key<'a> {
    pub fn of(holder: &'a Holder) -> Self {
        match holder {
            Holder::Process(p) => Self::of_process(p),
            Holder::Pin(p) => Self::Pin(p),
            Holder::Map(o) => Self::Lost(Kind::Map, o),
            Holder::Prog(o) => Self::Lost(Kind::Prog, o),
            Holder::Link(o) => Self::Lost(Kind::Link, o),
            Holder::Btf(o) => Self::Lost(Kind::Btf, o),
            Holder::Attachment(a) => {
                Self::Attachment(&a.target, a.attach_type.as_deref(), a.detach.as_deref())
            }
            Holder::Socket(s) => match s.inode {
                Some(inode) => Self::Socket(inode, s.netns),
                None => Self::SocketWithoutInode(s),
            },
            Holder::IoUring(u) => Self::IoUring(u.pid, u.fd),
            Holder::Module { name } => Self::Module(name),
            Holder::Kernel { what } => Self::Kernel(what),
        }
    }

    pub fn of_process(process: &Process) -> Self {
        Self::Process(process.pid, process.start_ticks, process.tid)
    }

    pub fn kind(self) -> EndKind {
        match self {
            Self::Process(..) => EndKind::Process,
            Self::Pin(_) => EndKind::Pin,
            Self::Lost(..) => EndKind::Lost,
            Self::Attachment(..)
            | Self::Socket(..)
            | Self::SocketWithoutInode(_)
            | Self::IoUring(..)
            | Self::Module(_)
            | Self::Kernel(_) => EndKind::Kernel,
        }
    }
}

/// Where in the facts an end is described: a holder of a reference to an object, or, of a
/// holder that has processes behind it, one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub object: usize,
    pub reference: usize,
    pub holder: usize,
    pub opener: Option<usize>,
}

impl Place {
    pub fn holder<'a>(&self, facts: impl Fn(usize) -> &'a Facts) -> &'a Holder {
        &facts(self.object).references[self.reference].holders[self.holder]
    }

    pub fn key<'a>(&self, facts: impl Fn(usize) -> &'a Facts) -> Key<'a> {
        let holder = self.holder(facts);
        match self.opener {
            Some(opener) => Key::of_process(&holder.open_by()[opener]),
            None => Key::of(holder),
        }
    }

    /// The end, as a holder; a process with these descriptors.
    pub fn end<'a>(&self, facts: impl Fn(usize) -> &'a Facts, fds: Vec<u32>) -> Holder {
        let holder = self.holder(facts);
        let process = match (holder, self.opener) {
            (holder, Some(opener)) => &holder.open_by()[opener],
            (Holder::Process(process), None) => process,
            (other, None) => return other.clone(),
        };
        Holder::Process(Box::new(Process {
            fds,
            ..process.clone()
        }))
    }
}

/// The ends behind a holder that is no object: the processes that have it open, or itself.
pub(crate) fn ends_of(holder: &Holder) -> impl Iterator<Item = (Key<'_>, Option<usize>)> {
    let openers = holder.open_by();
    let itself = openers.is_empty().then(|| (Key::of(holder), None));
    let openers = openers.iter().enumerate();
    openers
        .map(|(at, process)| (Key::of_process(process), Some(at)))
        .chain(itself)
}
