//! What user space holds of a map, and what the kernel does when it lets go of the last.

use model::{By, Facts, Kind};

/// True if a reference of this kind to a map also counts in its `usercnt`
/// (`bpf_map_inc_with_uref`; a map iterator's and a sockmap link's too).
pub(crate) fn is_user(by: By) -> bool {
    match by {
        By::Fd | By::Mmap | By::InFlight | By::IoUring | By::Pin | By::Iterator | By::Link => true,
        By::Prog
        | By::OuterMap
        | By::ProgArray
        | By::StructOps
        | By::BtfUser
        | By::Target
        | By::Attachment
        | By::Socket
        | By::MapEntry
        | By::Timer
        | By::Token
        | By::Module
        | By::Driver => false,
    }
}

/// Sum of the references that count in a map's `usercnt`.
pub(crate) fn user_references(facts: &Facts) -> u64 {
    let user = facts.references.iter().filter(|r| is_user(r.by));
    user.map(|r| r.count).fold(0, u64::saturating_add)
}

/// True if user space may hold a map in ways that were not found.
pub(crate) fn hidden_users(facts: &Facts) -> bool {
    match (facts.usercnt, facts.refcnt) {
        (Some(usercnt), _) => usercnt > user_references(facts),
        (None, Some(refcnt)) => refcnt > facts.explained(),
        (None, None) => true,
    }
}

/// What the kernel takes out of a map when its last user reference goes
/// (`bpf_map_put_uref` → `map_release_uref`), whoever else still uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Emptied {
    /// A program array's slots (`prog_array_map_clear`).
    Slots,
    /// Timers and work queues of its elements (`array_map_free_timers_wq`,
    /// `htab_map_free_timers_and_wq`).
    Timers,
    /// A sockmap's own programs (`sock_map_release_progs`), not those of its sockets.
    SockmapPrograms,
}

impl Emptied {
    /// What references of this kind that the map holds are, if they go with its last user.
    pub fn of(map: &Facts, by: By) -> Option<Self> {
        match by {
            By::ProgArray if is_map_of(map, &["prog_array"]) => Some(Self::Slots),
            By::Timer if is_map_of(map, &["array", "hash", "lru_hash"]) => Some(Self::Timers),
            By::MapEntry if is_map_of(map, &["sockmap", "sockhash"]) => Some(Self::SockmapPrograms),
            _ => None,
        }
    }
}

pub(crate) fn is_map_of(facts: &Facts, types: &[&str]) -> bool {
    facts.kind == Kind::Map && types.contains(&facts.type_name.as_str())
}

pub(crate) fn is_program_array(facts: &Facts) -> bool {
    is_map_of(facts, &["prog_array"])
}
