//! Which costly walks could explain what is left of an account.

use crate::account::Ledger;
use crate::graph::is_user;
use model::{Detail, Facts, Kind, Object};

/// Walks that run only on demand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Walks {
    /// The inodes of all bpffs.
    pub pins: bool,
    /// The slots of arrays and hashes of maps, and of program arrays.
    pub slots: bool,
    /// The memory mappings of all processes: takes each one's `mmap_lock`.
    pub mappings: bool,
}

impl Walks {
    /// True if one of them is set.
    pub fn any(self) -> bool {
        self.pins || self.slots || self.mappings
    }
}

impl Ledger {
    /// Somebody's account has more references than were found.
    pub fn has_remainder(&self) -> bool {
        self.objects().iter().any(|object| left(object).is_some())
    }

    /// The walks that could explain a remainder, less those that `ran` already:
    /// what they left stays unexplained. Mappings are asked for last: pins are
    /// the more likely explanation of the same remainder, and cost nobody a lock.
    pub fn walks_wanted(&self, ran: Walks) -> Walks {
        let objects = self.objects();
        let any_of = |types: &[&str]| objects.iter().any(|o| is_map_of(&o.facts, types));
        let outer_maps = any_of(&["array_of_maps", "hash_of_maps"]);
        let program_arrays = any_of(&["prog_array"]);
        let slot_wanted = |o: &Object| match o.facts.kind {
            Kind::Map => outer_maps && Remainder::of(o).kernel,
            Kind::Prog => program_arrays && Remainder::of(o).kernel,
            Kind::Link | Kind::Btf => false,
        };
        let mapping_wanted = |o: &Object| can_be_mapped(&o.facts) && Remainder::of(o).user;
        // BTF cannot be pinned (bpf_obj_do_pin knows maps, programs and links).
        let pin_wanted = |o: &Object| o.facts.kind != Kind::Btf && Remainder::of(o).user;
        let pins = !ran.pins && objects.iter().any(pin_wanted);
        Walks {
            pins,
            slots: !ran.slots && objects.iter().any(slot_wanted),
            mappings: !ran.mappings && !pins && objects.iter().any(mapping_wanted),
        }
    }
}

/// The count of an object with more references than were found. Not of our own:
/// what lastref loads for a costly walk comes after descriptors were counted.
fn left(object: &Object) -> Option<u64> {
    let refcnt = object.facts.refcnt;
    refcnt.filter(|&refcnt| refcnt > object.explained && !object.facts.own)
}

/// Where the references stand that were not found.
struct Remainder {
    /// With files, pins and iterators.
    user: bool,
    /// With other objects.
    kernel: bool,
}

impl Remainder {
    /// A map's `usercnt` splits its count in two; without it, both are possible.
    fn of(object: &Object) -> Self {
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

/// Sum of the references that count in a map's `usercnt`.
pub(crate) fn user_references(facts: &Facts) -> u64 {
    let user = facts.references.iter().filter(|r| is_user(r.by));
    user.map(|r| r.count).fold(0, u64::saturating_add)
}

fn is_map_of(facts: &Facts, types: &[&str]) -> bool {
    facts.kind == Kind::Map && types.contains(&facts.type_name.as_str())
}

/// Maps whose operations have `map_mmap`: `array_map_mmap`, which wants
/// `BPF_F_MMAPABLE`, `ringbuf_map_mmap_kern`, `ringbuf_map_mmap_user`,
/// `arena_map_mmap`.
pub(crate) fn can_be_mapped(facts: &Facts) -> bool {
    const BPF_F_MMAPABLE: u32 = 1 << 10;
    let mmapable = matches!(&facts.detail, Detail::Map(map) if map.map_flags & BPF_F_MMAPABLE != 0);
    is_map_of(facts, &["ringbuf", "user_ringbuf", "arena"])
        || is_map_of(facts, &["array"]) && mmapable
}

pub(crate) fn is_program_array(facts: &Facts) -> bool {
    is_map_of(facts, &["prog_array"])
}
