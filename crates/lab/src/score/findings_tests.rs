//! A fake answer of `check` must lose.

use super::check::judge_findings;
use super::{Says, Verdict};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn finding(line: u64, name: &str, confidence: &str) -> Value {
    json!({"file": "main.go", "line": line, "name": name, "confidence": confidence})
}

fn judged(truths: &[(&str, u64, &str)], findings: &[Value]) -> (Verdict, Option<Says>) {
    let truths: BTreeSet<_> = truths.iter().copied().collect();
    let judged = judge_findings(&truths, &json!({ "findings": findings }));
    (judged.result, judged.says)
}

#[test]
fn findings_are_held_against_lines_and_rules() {
    let truth = [("main.go", 88, "only-grows")];
    let right = finding(88, "only-grows", "likely");
    let leak = Some(Says::Leak);
    assert_eq!(
        judged(&truth, std::slice::from_ref(&right)),
        (Verdict::Right, leak)
    );
    assert_eq!(judged(&truth, &[]), (Verdict::Unknown, Some(Says::NoLeak)));
    for lie in [
        finding(89, "only-grows", "likely"),
        finding(88, "defer-in-loop", "certain"),
    ] {
        assert_eq!(
            judged(&truth, &[right.clone(), lie.clone()]),
            (Verdict::Wrong, leak)
        );
        assert_eq!(judged(&[], &[lie]), (Verdict::Wrong, leak));
    }
    // What is only worth a look is no claim.
    let audit = finding(7, "defer-in-loop", "audit");
    assert_eq!(judged(&[], &[audit]), (Verdict::Right, Some(Says::NoLeak)));
}

#[test]
fn no_answer_is_not_right() {
    let nothing = judge_findings(&BTreeSet::new(), &json!({}));
    assert_eq!(nothing.result, Verdict::Unknown);
}
