//! Heap profiles: of real programs, made by hand, and files that are none.

mod crafted;
mod live;
mod message;
