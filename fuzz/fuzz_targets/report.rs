//! A report of `ls --json` that somebody else wrote: read, its accounts closed again, every
//! question asked, compared with itself, and shown.
#![no_main]

use ledger::{Ledger, diff};
use libfuzzer_sys::fuzz_target;
use model::ListReport;
use view::{ListOptions, Style};

fuzz_target!(|bytes: &[u8]| {
    let Ok(report) = record::list_report(bytes) else {
        return;
    };
    let (ledger, _) = Ledger::reopen(report.objects.clone());
    let (again, corrections) = Ledger::reopen(ledger.objects().to_vec());
    assert!(corrections.is_empty(), "{corrections:?}");
    assert_eq!(again.objects(), ledger.objects());
    for object in ledger.objects() {
        if let Some(id) = object.facts.object_id() {
            let _ = (ledger.chains(id, 50), ledger.release_plan(id));
        }
    }
    let all = |_: &model::Object| true;
    let corrected = ListReport {
        objects: ledger.into_objects(),
        ..report.clone()
    };
    let difference = diff(corrected.clone(), corrected.clone(), &all, &all);
    assert!(difference.growth.is_empty(), "{:?}", difference.growth);
    assert!(difference.changed.is_empty(), "{:?}", difference.changed);
    let emptied = ListReport {
        objects: vec![],
        ..report
    };
    for (before, after) in [(&corrected, &emptied), (&emptied, &corrected)] {
        let difference = diff(before.clone(), after.clone(), &all, &all);
        let mut out = Vec::new();
        view::diff(
            &difference,
            &ListOptions::default(),
            &Style::default(),
            &mut out,
        )
        .expect("memory can always be written");
        let text = String::from_utf8(out).expect("what is shown is UTF-8");
        let clean = text
            .lines()
            .all(|line| model::escape_controls(line) == line);
        assert!(clean, "{text:?}");
    }
});
