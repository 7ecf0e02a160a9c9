//! Everything that talks to the kernel about BPF, and the only crate that links libbpf.
//!
//! [`Walks`] loads the BPF iterator programs. Each walk reads one thing: the
//! objects with their counts ([`Walks::objects`]), and the holders, a folder
//! each under `holders/`. Results are keyed by the address of the kernel's
//! struct ([`Addr`]): that is what a descriptor, an inode or a slot points to.
//! An address identifies something inside one pass only, as the kernel reuses
//! them at once.
//!
//! Nothing is pinned and no descriptor is taken on an object of others, but for
//! kernel BTF, which no iterator shows: it is opened one at a time and closed at
//! once ([`kernel_btfs`]).

mod cgroup_paths;
mod core_btf;
mod error;
pub mod holders;
mod kernel_btf;
mod objects;
mod rows;
mod samples;
pub mod sys;
pub mod trace;
mod walks;

pub use error::{Error, Needs};
pub use kernel_btf::{KernelBtf, kernel_btfs};
pub use objects::{Btf, Link, Map, Objects, Prog, lives, names};
pub use rows::Addr;
pub use walks::{Own, Walk, Walks};
