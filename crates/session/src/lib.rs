//! Runs sweeps: joins what the kernel's walks and `/proc` tell into accounts.
//!
//! A *pass* is one run over the iterators. A *sweep* is as many passes as the
//! accounts need to settle, at most three ([`Sweeper::sweep`]). The walks that
//! cost more (pins, slots, mappings) run only while an account has a remainder
//! that they could explain: the ledger says which.

mod details;
mod elsewhere;
mod explain;
mod handles;
mod join;
mod name;
mod netns;
mod passing;
mod paths;
mod people;
mod privilege;
mod staged;
mod sweep;
mod unique;
mod watch;

pub use details::types;
pub use explain::{
    ExplainError, ExplainOptions, Explained, GivenProfile, PidError, ProfiledStack, RecordedSweeps,
    Rest, Step, explain, explain_in_steps,
};
pub use kernel::Needs;
pub use name::{NameError, resolve};
pub use sweep::{Sweep, Sweeper};
pub use watch::{Followed, Keep, Replay, StartError, Watch, WatchOptions};

/// Why no sweep could be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The walks could not be loaded or run.
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
}
