//! Tests of lastref from outside: what they are built of.
//!
//! A test states a *scene*: a child process makes references to BPF objects for
//! real ([`scene()`]), says what it made, and stands still. The test then says
//! what must be found ([`Expect`]), and [`Scene::check`] compares three things:
//! the count that follows from the construction, the kernel's own counters read
//! by an independent iterator ([`Truth`]), and the report of the program.
//!
//! Nothing here shares code with lastref: the bpf(2) wrappers ([`bpf`]), the
//! hand-assembled programs ([`insn`]), the hand-made BTF ([`btf`]) and the JSON
//! reading are this crate's own, so that one mistake cannot hide on both sides.

#![allow(
    clippy::missing_panics_doc,
    reason = "everything here serves tests, which fail by panicking"
)]

pub mod bpf;
pub mod btf;
pub mod confine;
pub mod expect;
pub mod files;
pub mod insn;
pub mod kernel;
pub mod lastref;
pub mod net;
pub mod object_file;
pub mod perf;
pub mod process;
pub mod scene;
pub mod sockets;
pub mod sockmap;
pub mod struct_ops;
pub mod sys;
pub mod truth;
pub mod unix;
pub mod uring;

pub use expect::{Expect, Who, by, fd};
pub use scene::{Outcome, Scene, Stage, Stop, scene};
pub use truth::Truth;

/// The full name of the test it stands in, as libtest prints it: `pins::two_pins`.
#[macro_export]
macro_rules! here {
    () => {{
        fn probe() {}
        $crate::test_name(std::any::type_name_of_val(&probe))
    }};
}

/// Strips the crate's name and the probe's from a type name; see [`here!`].
pub fn test_name(type_name: &'static str) -> &'static str {
    let name = type_name.strip_suffix("::probe").unwrap_or(type_name);
    name.split_once("::").map_or(name, |(_, rest)| rest)
}

/// One line on standard output that says why a test could not be made on this
/// kernel. Whoever runs the kernel matrix reads it, so it bypasses libtest's
/// capture, and starts on a line of its own.
pub fn impossible(test: &str, reason: &str) {
    use std::io::Write as _;
    let line = format!("\nIMPOSSIBLE: {test}: {}\n", reason.replace('\n', " "));
    // Whoever reads the matrix asserts on it; a closed output is not this test's fault.
    let _ = std::io::stdout().write_all(line.as_bytes());
}

/// Whether this is root; says that the test is impossible if not.
pub fn needs_root(test: &str) -> bool {
    let root = sys::is_root();
    if !root {
        impossible(test, "not root");
    }
    root
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_test_knows_its_name() {
        assert_eq!(crate::here!(), "tests::a_test_knows_its_name");
    }
}
