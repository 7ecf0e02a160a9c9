//! The reference-kind matrix: one test for each way in which a BPF object can be
//! held. Each makes the reference for real in a child process, and asserts that
//! the kernel's counter, lastref's account and the construction agree, with
//! exactly the right holders. A kind that the running kernel cannot do is tried
//! nevertheless, and its answer said.

mod btf;
mod fds;
mod links;
mod links_net;
mod links_trace;
mod maps;
mod mmaps;
mod moving;
mod people;
mod pins;
mod progs;
mod tables;
mod together;
