//! Snapshots in; accounts, chains and states out. Pure: no input, no output, no clock.
//!
//! One pass over the kernel yields a [`Reading`] of every object.
//! [`Ledger::close`] turns them into accounts: what of each reference count is
//! explained, whether that is settled, what keeps the object in the end, and its
//! state. On a closed ledger one can ask for the chains of one object
//! ([`Ledger::chains`]), for what lets it go ([`Ledger::release_plan`]), and
//! for the costly walks that could explain what is left ([`Ledger::walks_wanted`]).
//!
//! ```text
//! facts ──► Graph (who holds whom) ──► Reach (what is at the end of the chains)
//!              │                          └──► state, kept_by
//!              ├──► chains
//!              └──► release plan (simulated on the counts)
//! ```
//!
//! Reports come back: [`Ledger::reopen`] makes a ledger of one, on which the same can be
//! asked, and [`diff`] compares two.
//!
//! The graph comes from a kernel that others fill, so nothing here recurses and
//! nothing lists paths without a limit: a chain of 10,000 objects, a cycle, or a
//! lattice with 2^33 paths costs no more than its edges.

mod account;
mod candidates;
mod census;
mod chains;
mod diff;
mod ends;
mod graph;
mod growth;
mod identity;
mod name;
mod reach;
mod release;
mod reopen;
mod state;
mod totals;
mod users;
mod walks;

pub use account::{Ledger, Reading, Sight};
pub use census::Remainders;
pub use chains::Chains;
pub use diff::{Keep, diff};
pub use growth::{Growth, Samples, Wanted};
pub use name::{Name, NameError, Place};
pub use release::ReleasePlan;
pub use reopen::Correction;
pub use totals::{KindTotals, Totals};
pub use walks::{RUN_BY_EVENTS, RUN_BY_TC, Walks, can_be_mapped};
