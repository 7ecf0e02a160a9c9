//! Which costly walks could explain what is left of an account.

use crate::account::Ledger;
use crate::users::{is_map_of, user_references};
use model::{Detail, Facts, Kind, Object, ObjectId};
use rustc_hash::FxHashSet;
use std::ops::BitOrAssign;

/// Walks that run only on demand, in the order in which they are asked for: the dearer
/// ones only once the cheaper have left a remainder.
#[expect(clippy::struct_excessive_bools, reason = "a set of walks")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Walks {
    /// The inodes of all bpffs.
    pub pins: bool,
    /// The slots of arrays and hashes of maps, and of program arrays.
    pub slots: bool,
    /// What is attached to cgroups without a link.
    pub cgroups: bool,
    /// What network namespaces and their devices run: XDP, tcx, netkit, flow dissectors,
    /// default congestion controls.
    pub nets: bool,
    /// Maps that run programs, or that something in the kernel uses: devmaps, cpumaps, sockmaps,
    /// xskmaps, perf event arrays, `struct_ops` maps, elements with timers.
    pub tables: bool,
    /// The memory mappings of all processes: takes each one's `mmap_lock`.
    pub mappings: bool,
    /// The filters and actions of traffic control.
    pub tc: bool,
    /// What open files hold besides: sockets and the messages in flight to them, io_urings,
    /// perf events.
    pub files: bool,
}

impl Walks {
    /// True if one of them is set.
    pub fn any(self) -> bool {
        self != Self::default()
    }

    fn without(self, ran: Self) -> Self {
        Self {
            pins: self.pins && !ran.pins,
            slots: self.slots && !ran.slots,
            cgroups: self.cgroups && !ran.cgroups,
            nets: self.nets && !ran.nets,
            tables: self.tables && !ran.tables,
            mappings: self.mappings && !ran.mappings,
            tc: self.tc && !ran.tc,
            files: self.files && !ran.files,
        }
    }
}

impl BitOrAssign for Walks {
    fn bitor_assign(&mut self, other: Self) {
        self.pins |= other.pins;
        self.slots |= other.slots;
        self.cgroups |= other.cgroups;
        self.nets |= other.nets;
        self.tables |= other.tables;
        self.mappings |= other.mappings;
        self.tc |= other.tc;
        self.files |= other.files;
    }
}

/// Programs that a cgroup can run (`enum cgroup_bpf_attach_type`).
const BY_CGROUPS: [&str; 8] = [
    "cgroup_skb",
    "cgroup_sock",
    "sock_ops",
    "cgroup_device",
    "cgroup_sock_addr",
    "cgroup_sysctl",
    "cgroup_sockopt",
    "lsm",
];

/// Programs of filters and actions of traffic control, and of routes (`lwtunnel`).
pub const RUN_BY_TC: &[&str] = &[
    "sched_cls",
    "sched_act",
    "lwt_in",
    "lwt_out",
    "lwt_xmit",
    "lwt_seg6local",
];

/// Programs of perf events (`perf_event_set_bpf_prog`).
pub const RUN_BY_EVENTS: &[&str] = &["kprobe", "tracepoint", "perf_event"];

/// Programs that a device or a network namespace can run, besides those of [`RUN_BY_TC`].
const BY_NETS: [&str; 3] = ["xdp", "flow_dissector", "sk_lookup"];

/// Map types whose entries run programs of these types. A `struct_ops` map is one of these.
const BY_TABLES: [(&[&str], &[&str]); 4] = [
    (&["devmap", "devmap_hash", "cpumap"], &["xdp"]),
    (&["sockmap", "sockhash"], &["sk_skb", "sk_msg"]),
    (&["perf_event_array"], RUN_BY_EVENTS),
    (&["struct_ops"], &["struct_ops"]),
];

/// Map types whose entries are sockets or perf events, which processes may have open too.
const OF_FILES: &[&str] = &["perf_event_array", "sockmap", "sockhash", "xskmap"];

impl Ledger {
    /// Somebody's account has more references than were found.
    pub fn has_remainder(&self) -> bool {
        self.objects().iter().any(|object| left(object).is_some())
    }

    /// The walks that could explain a remainder, less those that `ran` already:
    /// what they left stays unexplained. In four stages: a later one is asked for only
    /// when the one before asks for nothing new.
    pub fn walks_wanted(&self, ran: Walks) -> Walks {
        self.wanted_by(ran, |_| true)
    }

    /// The same, asked by none of these. What a program makes or lets go during a pass leaves a
    /// remainder that no walk explains, and is mostly gone by the next.
    pub fn walks_wanted_but_for(&self, moving: &FxHashSet<ObjectId>, ran: Walks) -> Walks {
        self.wanted_by(ran, |object| {
            let id = object.facts.object_id();
            id.is_none_or(|id| !moving.contains(&id))
        })
    }

    /// The walk over what files hold, and what belongs to it: a socket or a perf event that a
    /// process has open may stand in a map besides. Its program's account adds up without
    /// that map, and would be told without it.
    pub fn walks_of_files(&self) -> Walks {
        let mut objects = self.objects().iter();
        Walks {
            files: true,
            tables: objects.any(|o| is_map_of(&o.facts, OF_FILES)),
            ..Walks::default()
        }
    }

    fn wanted_by(&self, ran: Walks, asks: impl Fn(&Object) -> bool) -> Walks {
        let left: Vec<(&Facts, Remainder)> = self
            .objects()
            .iter()
            .filter(|object| asks(object))
            .map(|o| (&o.facts, Remainder::of(o)))
            .filter(|(_, remainder)| remainder.user || remainder.kernel)
            .collect();
        if left.is_empty() {
            return Walks::default();
        }
        let program = |facts: &Facts, types: &[&str]| {
            facts.kind == Kind::Prog && types.contains(&facts.type_name.as_str())
        };
        let any = |wants: &dyn Fn(&Facts, &Remainder) -> bool| {
            left.iter()
                .any(|(facts, remainder)| wants(facts, remainder))
        };
        let there_is = |types: &[&str]| self.objects().iter().any(|o| is_map_of(&o.facts, types));
        // BTF cannot be pinned (bpf_obj_do_pin knows maps, programs and links).
        let pins = any(&|facts, left| facts.kind != Kind::Btf && left.user);
        let slots = any(&|facts, left| facts.kind == Kind::Map && left.kernel)
            && there_is(&["array_of_maps", "hash_of_maps"])
            || any(&|facts, _| facts.kind == Kind::Prog) && there_is(&["prog_array"]);
        let first = Walks {
            pins,
            slots,
            cgroups: any(&|facts, _| program(facts, &BY_CGROUPS)),
            nets: any(&|facts, left| {
                program(facts, &BY_NETS)
                    || program(facts, RUN_BY_TC)
                    || left.kernel && is_map_of(facts, &["struct_ops"])
            }),
            tables: any(&|facts, left| left.kernel && is_map_of(facts, &["xskmap", "struct_ops"]))
                || any(&|facts, _| facts.kind == Kind::Prog)
                    && self.objects().iter().any(|o| has_timers(&o.facts))
                || BY_TABLES
                    .iter()
                    .any(|(maps, progs)| any(&|f, _| program(f, progs)) && there_is(maps)),
            ..Walks::default()
        };
        // Pins are the more likely explanation of the same remainder, and cost nobody a lock.
        let second = Walks {
            mappings: any(&|facts, left| can_be_mapped(facts) && left.user),
            tc: any(&|facts, _| program(facts, RUN_BY_TC)),
            ..Walks::default()
        };
        let files = any(&|facts, left| {
            left.user || facts.kind == Kind::Prog || is_map_of(facts, &["struct_ops"])
        });
        let third = if files {
            self.walks_of_files()
        } else {
            Walks::default()
        };
        // Rings of io_urings and perf events may be mapped and have no descriptor.
        let last = Walks {
            mappings: third.files,
            ..Walks::default()
        };
        let stages = [first, second, third, last].map(|stage| stage.without(ran));
        stages.into_iter().find(|s| s.any()).unwrap_or_default()
    }
}

/// The count of an object with more references than were found. Not of our own:
/// what lastref loads for a costly walk comes after descriptors were counted.
fn left(object: &Object) -> Option<u64> {
    let refcnt = object.facts.refcnt;
    refcnt.filter(|&refcnt| refcnt > object.explained && !object.facts.own)
}

/// Where the references stand that were not found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Remainder {
    /// With files, pins and iterators.
    pub user: bool,
    /// With other objects, or with what runs them.
    pub kernel: bool,
}

impl Remainder {
    /// A map's `usercnt` splits its count in two; without it, both are possible.
    pub fn of(object: &Object) -> Self {
        let facts = &object.facts;
        let Some(refcnt) = left(object) else {
            return Self {
                user: false,
                kernel: false,
            };
        };
        match facts.usercnt {
            Some(usercnt) => {
                let by_user = user_references(facts);
                Self {
                    user: usercnt > by_user,
                    kernel: refcnt.saturating_sub(usercnt)
                        > object.explained.saturating_sub(by_user),
                }
            }
            None => Self {
                user: true,
                kernel: true,
            },
        }
    }
}

fn has_timers(facts: &Facts) -> bool {
    matches!(&facts.detail, Detail::Map(map) if map.has_timers)
}

/// Maps whose operations have `map_mmap`: `array_map_mmap`, which wants
/// `BPF_F_MMAPABLE`, `ringbuf_map_mmap_kern`, `ringbuf_map_mmap_user`,
/// `arena_map_mmap`.
pub fn can_be_mapped(facts: &Facts) -> bool {
    const BPF_F_MMAPABLE: u32 = 1 << 10;
    let mmapable = matches!(&facts.detail, Detail::Map(map) if map.map_flags & BPF_F_MMAPABLE != 0);
    is_map_of(facts, &["ringbuf", "user_ringbuf", "arena"])
        || is_map_of(facts, &["array"]) && mmapable
}
