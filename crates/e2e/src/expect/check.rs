//! The comparison: construction, kernel, program.

use super::Expect;
use crate::bpf::Kind;
use crate::truth::Truth;
use crate::{Scene, lastref};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::time::Duration;

impl Scene {
    /// Compares construction, kernel and program for these objects.
    ///
    /// Another iterator on the host may show one of them just now, and what is
    /// closed is freed later: while the kernel's own counters say something else
    /// before or after the run, or lastref says that it did not settle, the look
    /// is repeated. A difference under still counters is a failure at once.
    pub fn check(&self, expected: &[Expect]) {
        self.check_with(expected, lastref::ls);
    }

    /// The same, with a report that is had in another way.
    pub fn check_with(&self, expected: &[Expect], report: impl Fn() -> Value) {
        let mut last = Vec::new();
        for _ in 0..20 {
            last = still(expected);
            if !last.is_empty() {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
            let report = report();
            let wrong: Vec<String> = expected
                .iter()
                .flat_map(|e| e.against_report(&report))
                .collect();
            if wrong.is_empty() {
                return;
            }
            let unsettled = expected
                .iter()
                .filter_map(|e| lastref::find(&report, e.kind, e.id))
                .any(|o| o["settled"] == false);
            last = still(expected);
            let failed = last.is_empty() && !unsettled;
            assert!(!failed, "{}:\n{}", self.name, wrong.join("\n"));
            last.extend(wrong);
        }
        panic!("{}: never still:\n{}", self.name, last.join("\n"));
    }

    /// [`Scene::check`], and the same account from `lastref why`. Returns that
    /// report of the first.
    pub fn check_and_why(&self, expected: &[Expect]) -> Value {
        self.check(expected);
        let first = expected.first().expect("something is expected");
        let last = RefCell::new(Value::Null);
        self.check_with(&expected[..1], || {
            let report = lastref::why(first.kind, first.id);
            let alone = json!({"objects": [report["object"]]});
            *last.borrow_mut() = report;
            alone
        });
        last.into_inner()
    }
}

/// Construction against the kernel alone.
fn still(expected: &[Expect]) -> Vec<String> {
    let truth = Truth::get();
    let mut counts = truth.read();
    for e in expected.iter().filter(|e| e.kind == Kind::Btf) {
        // No map or program leads to it: ask by a descriptor.
        if !counts.btfs.contains_key(&e.id)
            && let Some((pid, fd)) = e.descriptor()
            && let Some(refcnt) = truth.btf_behind(pid, fd, e.id)
        {
            counts.btfs.insert(e.id, refcnt);
        }
    }
    expected
        .iter()
        .flat_map(|e| e.against_truth(&counts))
        .collect()
}
