//! What is written to files and read back. Sans I/O: bytes in, reports out.
//!
//! A file comes from somebody else: it may be cut off, of another program, of a later
//! version, or made to harm. [`list_report`] returns what it says or why it cannot be
//! read, in words to act on, and never panics. [`recording`] does the same for a watch, and
//! [`heap_profile`] for a heap profile of a Go program. Whether the numbers of a report agree
//! with each other is asked by who makes accounts of them (`ledger::Ledger::reopen`).
//!
//! Fields that are not known are passed over: schemas grow. A kind of reference or holder
//! that is not known is an error, as its place in the account decides what frees an object.

mod error;
mod list;
mod pprof;
mod recording;

pub use error::Error;
pub use list::{MAX_BYTES, list_report};
pub use pprof::{
    HeapProfile, MAX_PROFILE_BYTES, MAX_UNPACKED_BYTES, ProfileError, ProfiledStack, heap_profile,
};
pub use recording::{Recording, SCHEMA, first_line, last_line, recording, sweep_line};
