//! The holders of references, a folder each: its walk in C, and what it means in Rust.

pub mod carriers;
pub mod cgroups;
pub mod files;
mod hold;
pub mod mappings;
pub mod nets;
pub mod pins;
pub mod slots;
pub mod tc;

pub use hold::{Hold, What};
