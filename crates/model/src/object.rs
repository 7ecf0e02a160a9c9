//! Objects: BPF maps, programs, links and BTF.

use crate::{Holder, Reference};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The four kinds of kernel object that lastref accounts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// `struct bpf_map`
    Map,
    /// `struct bpf_prog`
    Prog,
    /// `struct bpf_link`
    Link,
    /// `struct btf`
    Btf,
}

impl Kind {
    /// All kinds, in the order in which they are listed.
    pub const ALL: [Self; 4] = [Self::Map, Self::Prog, Self::Link, Self::Btf];

    /// As in arguments and JSON: `map`, `prog`, `link`, `btf`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Map => "map",
            Self::Prog => "prog",
            Self::Link => "link",
            Self::Btf => "btf",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Kind and id, written `map:17` in arguments and JSON. Each kind has an id
/// space of its own; the kernel hands ids out cyclically (`idr_alloc_cyclic`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId {
    /// Which id space.
    pub kind: Kind,
    /// The id in it.
    pub id: u32,
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.id)
    }
}

/// The text was not `map:17`, `prog:5`, `link:3` or `btf:9`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseObjectIdError;

impl fmt::Display for ParseObjectIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected KIND:ID, such as map:17, prog:5, link:3 or btf:9")
    }
}

impl std::error::Error for ParseObjectIdError {}

impl FromStr for ObjectId {
    type Err = ParseObjectIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, id) = text.split_once(':').ok_or(ParseObjectIdError)?;
        let kind = Kind::ALL
            .into_iter()
            .find(|k| k.as_str() == kind)
            .ok_or(ParseObjectIdError)?;
        if !id.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ParseObjectIdError);
        }
        let id = id.parse().map_err(|_| ParseObjectIdError)?;
        Ok(Self { kind, id })
    }
}

impl Serialize for ObjectId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ObjectId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// Where `memory_bytes` comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemorySource {
    /// The `memlock` line of a holder's `/proc/PID/fdinfo/FD`.
    Fdinfo,
    /// From the object's attributes, as the kernel's own formulas do
    /// (`map_mem_usage`), or from its page count (programs) or size (BTF).
    Computed,
}

/// What the readers found out about one object, before any conclusion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Map, program, link or BTF.
    pub kind: Kind,
    /// Its id; `None` for the few that have none.
    pub id: Option<u32>,
    /// Its name, made text without loss by [`crate::decode`]; empty if it has
    /// none. A program's is its full one where BTF tells it.
    pub name: String,
    /// `hash`, `kprobe`, `cgroup` … in bpftool's words; for BTF `user`, `vmlinux` or `module`.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The kernel's reference count, less what lastref's own look added to it.
    /// `None` where it was not read (vmlinux and module BTF; see `unreadable`).
    pub refcnt: Option<u64>,
    /// Maps: the part of `refcnt` that user space holds (files, pins, map
    /// iterators, sockmap links).
    pub usercnt: Option<u64>,
    /// Every reference that was found, grouped by kind and holders.
    pub references: Vec<Reference>,
    /// Made by this lastref in order to look.
    pub own: bool,
    /// Kernel memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Where `memory_bytes` comes from.
    pub memory_source: Option<MemorySource>,
    /// Maps: elements in it, where the kernel keeps that number.
    pub entries: Option<u64>,
    /// Maps: capacity.
    pub max_entries: Option<u32>,
    /// Path of the memory cgroup that is charged for it.
    pub charged_to: Option<String>,
    /// Why a number is `null`.
    pub unreadable: Vec<String>,
    /// What only this kind has.
    #[serde(flatten)]
    pub detail: Detail,
}

impl Facts {
    /// Kind and id, where it has an id.
    pub fn object_id(&self) -> Option<ObjectId> {
        self.id.map(|id| ObjectId {
            kind: self.kind,
            id,
        })
    }

    /// Everybody who holds a reference; one that has several comes several times.
    pub fn holders(&self) -> impl Iterator<Item = &Holder> {
        self.references
            .iter()
            .flat_map(|reference| &reference.holders)
    }

    /// Sum of the references that were found.
    pub fn explained(&self) -> u64 {
        let counts = self.references.iter().map(|reference| reference.count);
        counts.fold(0, u64::saturating_add)
    }

    /// vmlinux's or a module's BTF, which has no account.
    pub fn is_kernel_btf(&self) -> bool {
        matches!(&self.detail, Detail::Btf(btf) if btf.kernel_btf)
    }
}

/// What only one kind has. Flattened into the object's JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Detail {
    /// A program.
    Prog(ProgFacts),
    /// A link.
    Link(LinkFacts),
    /// A BTF object.
    Btf(BtfFacts),
    /// A map.
    Map(MapFacts),
}

/// What only maps have.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MapFacts {
    /// `map_flags` of `BPF_MAP_CREATE` (`BPF_F_…` in `include/uapi/linux/bpf.h`).
    pub map_flags: u32,
    /// The elements of its values' type have timers or work queues (`struct bpf_timer`,
    /// `struct bpf_wq`), whose callbacks hold their program.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_timers: bool,
}

/// What only programs have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProgFacts {
    /// Hash of the instructions, 16 hexadecimal digits.
    pub tag: String,
    /// Ids of the maps it uses.
    pub maps: Vec<u32>,
    /// Something runs it: a link that is not detached, something in the kernel (a hook, a socket,
    /// an entry of a map, a timer), or a `struct_ops` that is registered or in use.
    pub attached: bool,
}

/// What only links have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkFacts {
    /// Its program; `None` for `struct_ops` links.
    pub prog_id: Option<u32>,
    /// What it is attached to: `tracepoint:sched/sched_switch`, `cgroup:/a/b`,
    /// `dev:eth0`, `netns:4026531840`, `iter:bpf_map`, `prog:5`, `map:17` …
    pub target: Option<String>,
    /// Where at the target: `cgroup_inet_ingress`, `xdp`, `trace_fentry` …
    pub attach_type: Option<String>,
    /// Its target went away, or somebody detached it: it does nothing any more.
    pub detached: bool,
}

/// What only BTF has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BtfFacts {
    /// vmlinux's or a module's: listed, not accounted for.
    pub kernel_btf: bool,
}

/// What keeps an object, in the end. The first that fits, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// A chain ends in a process, or one ends in a pin and something on any of
    /// its chains is attached.
    InUse,
    /// Every chain ends in a pin, and nothing is attached.
    OrphanPin,
    /// No chain ends in a process or a pin, but in each other or in attachments.
    HeldByKernel,
    /// No reference but ours: being freed.
    Unreferenced,
    /// No chain found, references unexplained, or the holders out of sight.
    Unknown,
}

impl State {
    /// All states, in the order of the definition.
    pub const ALL: [Self; 5] = [
        Self::InUse,
        Self::OrphanPin,
        Self::HeldByKernel,
        Self::Unreferenced,
        Self::Unknown,
    ];

    /// As in arguments, tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InUse => "in-use",
            Self::OrphanPin => "orphan-pin",
            Self::HeldByKernel => "held-by-kernel",
            Self::Unreferenced => "unreferenced",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// An account: an object with its references, and what follows from them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Object {
    /// What was read.
    #[serde(flatten)]
    pub facts: Facts,
    /// Sum of the references' counts.
    pub explained: u64,
    /// `refcnt - explained`; `None` where `refcnt` is, or where holders may
    /// stand where lastref cannot look. Negative only while `settled` is false.
    pub unexplained: Option<i64>,
    /// The count stood still during the walk and the sum meets it, or a further
    /// pass found the same.
    pub settled: bool,
    /// What keeps it in the end.
    pub state: State,
    /// The ends of all its chains.
    pub kept_by: Vec<Holder>,
}

impl Object {
    /// Everybody who holds it directly, then the ends of its chains.
    pub fn holders_and_ends(&self) -> impl Iterator<Item = &Holder> {
        self.facts.holders().chain(&self.kept_by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_and_read_the_same_way() {
        let id: ObjectId = "map:17".parse().expect("map:17 is an id");
        assert_eq!((id.kind, id.id), (Kind::Map, 17));
        assert_eq!(id.to_string(), "map:17");
        for bad in [
            "",
            "map",
            "map:",
            "map:x",
            "map:+1",
            "map:-1",
            "maps:1",
            "map:4294967296",
            "17",
        ] {
            assert_eq!(bad.parse::<ObjectId>(), Err(ParseObjectIdError), "{bad}");
        }
    }

    #[test]
    fn detail_is_flat_in_json() {
        let facts = Facts {
            kind: Kind::Prog,
            id: Some(5),
            name: "on_exec".into(),
            type_name: "tracing".into(),
            refcnt: Some(2),
            usercnt: None,
            references: vec![],
            own: false,
            memory_bytes: Some(4096),
            memory_source: Some(MemorySource::Computed),
            entries: None,
            max_entries: None,
            charged_to: None,
            unreadable: vec![],
            detail: Detail::Prog(ProgFacts {
                tag: "0123456789abcdef".into(),
                maps: vec![17],
                attached: true,
            }),
        };
        let json = serde_json::to_value(&facts).expect("facts serialize");
        assert_eq!(json["tag"], "0123456789abcdef");
        assert_eq!(json["maps"][0], 17);
        assert_eq!(json["type"], "tracing");
        assert_eq!(
            serde_json::from_value::<Facts>(json).expect("and back"),
            facts
        );
    }
}
