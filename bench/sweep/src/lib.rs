//! The parts of the benchmarks: peers, how runs are measured, what is said of the host.
//! Nothing here shares code with lastref.

pub mod bare;
pub mod bpf;
pub mod btf;
pub mod crowd;
pub mod holders;
pub mod host;
pub mod measure;
pub mod part;
pub mod peers;
pub mod results;
pub mod table;
pub mod verifier;
pub mod walk;
