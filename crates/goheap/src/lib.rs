//! A live Go process's runtime, from outside and without stopping it: specials, collections, queues, goroutines.
//!
//! [`Heap::attach`] finds the runtime's variables in a process, with or without symbols, for Go 1.18 to 1.27.
//! [`Heap::look`] reads what hangs on objects (finalizers, cleanups), what the last completed collection says of each
//! ([`Mark`]), what waits to be run, and the goroutines that run it. Nothing is written, and nobody stopped: all is
//! read twice, and what moved between is read again, then said to be unread ([`Unread`]), never guessed.
//!
//! What it costs grows with the number of specials, not with the heap.

#![forbid(unsafe_code)]

mod batch;
mod budget;
mod counter;
mod error;
mod fields;
mod find;
mod goroutines;
mod heap;
mod look;
mod mark;
mod names;
mod profile;
mod queue;
mod reader;
mod spans;
mod specials;
mod stack;

pub use counter::Counter;
pub use error::Error;
pub use find::Variables;
pub use heap::{Heap, Program};
pub use look::{
    Call, Collector, FORCED, Frame, Integer, Kind, Look, Phase, Queued, Runner, Special, State,
    TypeName, UnreadSpan,
};
pub use mark::{Mark, Unread};
pub use profile::{Profile, Site};
