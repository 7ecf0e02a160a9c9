//! The holders of references, a folder each: its walk in C, and what it means in Rust.

pub mod files;
pub mod mappings;
pub mod pins;
pub mod slots;
