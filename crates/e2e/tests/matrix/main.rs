//! The reference-kind matrix: one test for each way in which a BPF object can be
//! held. Each makes the reference for real in a child process, and asserts that
//! the kernel's counter, lastref's account and the construction agree, with
//! exactly the right holders. A kind that the running kernel cannot do is tried
//! nevertheless, and its answer said.

mod attached;
mod btf;
mod cgroup_kinds;
mod cgroups;
mod everything;
mod fds;
mod in_flight;
mod io_uring;
mod kptr;
mod links;
mod links_net;
mod links_trace;
mod lwt;
mod maps;
mod mmaps;
mod moving;
mod mprog;
mod net_maps;
mod netns;
mod people;
mod perf;
mod pins;
mod preload;
mod progs;
mod sizes;
mod sockets;
mod sockmap;
mod struct_ops;
mod tables;
mod tc;
mod timers;
mod together;
mod xdp;
