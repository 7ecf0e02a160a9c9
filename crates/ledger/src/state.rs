//! The state of an object: the first of design's definitions that fits.

use crate::account::Sight;
use crate::reach::Flags;
use model::{Detail, Facts, Holder, State};

/// What is true of one object alone.
pub(crate) fn own_flags(facts: &Facts, explained: u64, sight: &Sight) -> Flags {
    let mut flags = Flags::default();
    let kernel = facts.is_kernel_btf();
    let attached = match &facts.detail {
        Detail::Prog(prog) => prog.attached,
        Detail::Link(link) => !link.detached,
        Detail::Btf(_) | Detail::Map(_) => false,
    };
    if attached || facts.references.iter().any(|r| r.runs(facts.kind)) {
        flags = flags | Flags::ATTACHED;
    }
    if kernel {
        return flags | Flags::KERNEL;
    }
    let all_known = facts.refcnt.is_some_and(|refcnt| refcnt <= explained);
    let all_named = facts.references.iter().all(|r| !r.holders.is_empty());
    let nobody_in_sight = sight.processes_out_of_sight
        && facts
            .holders()
            .any(|h| matches!(h, Holder::Socket(_) | Holder::IoUring(_)) && h.open_by().is_empty());
    if !all_known || !all_named || nobody_in_sight {
        flags = flags | Flags::DARK;
    }
    flags
}

/// `flags` are those of the object and of everything on its chains.
pub(crate) fn state(facts: &Facts, explained: u64, flags: Flags) -> State {
    let pinned = flags.has(Flags::PIN);
    let by_kernel = flags.has(Flags::CYCLE | Flags::KERNEL);
    if flags.has(Flags::PROCESS) || pinned && flags.has(Flags::ATTACHED) {
        State::InUse
    } else if facts.refcnt == Some(0) && explained == 0 {
        State::Unreferenced
    } else if flags.has(Flags::DARK) {
        State::Unknown
    } else {
        match (pinned, by_kernel) {
            (true, false) => State::OrphanPin,
            (false, true) => State::HeldByKernel,
            // Both, or neither: what is known does not make a chain that explains it.
            (true, true) | (false, false) => State::Unknown,
        }
    }
}
