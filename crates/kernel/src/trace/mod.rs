//! Hooks that are off the path of system calls.

mod tree;

pub use tree::{Ended, Open, Tree};
