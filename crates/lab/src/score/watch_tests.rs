//! A fake answer of `watch` must lose.

use super::{Says, Verdict, judge_watch};
use crate::books::Said;
use crate::manifest::Manifest;
use serde_json::{Value, json};

fn manifest(conns_leak: bool) -> Manifest {
    let text = format!(
        r#"
        title = "t"
        shows = "s"
        language = "go"
        [[group]]
        name = "conns"
        leaks = {conns_leak}
        object = {{ kind = "link", name = "", type = "xdp" }}
        held_by = ["fd"]
        state = "in-use"
        per_step = [1, 1]
        [[group]]
        name = "programs"
        leaks = {conns_leak}
        object = {{ kind = "prog", name = "drop", type = "xdp" }}
        held_by = ["link"]
        state = "in-use"
        per_step = [1, 1]
        "#
    );
    toml::from_str(&text).expect("a good manifest")
}

fn books() -> Vec<Said> {
    let line = json!({"said": "step", "groups": {
        "conns": {"held": [17, 18], "dropped": []}, "programs": {"held": [3], "dropped": []},
    }, "error": null});
    vec![serde_json::from_value(line).expect("a good line")]
}

fn leak(id: &str, leak: &str, object: u64) -> Value {
    json!({"event": "leak", "id": id, "leak": leak,
           "objects": {"kind": "link", "name": "", "type": "xdp", "count": 2, "ids": [object]}})
}

fn judged(leaks: bool, events: &[Value]) -> Verdict {
    let mut events = events.to_vec();
    events.push(json!({"event": "summary"}));
    judge_watch(&manifest(leaks), &books(), &events).result
}

#[test]
fn a_leak_that_is_found_is_right() {
    // What follows from it need not be said.
    assert_eq!(judged(true, &[leak("L1", "suspected", 17)]), Verdict::Right);
    let events = [leak("L1", "suspected", 17), leak("L1", "yes", 17)];
    assert_eq!(judged(true, &events), Verdict::Right);
    let judgement = judge_watch(&manifest(true), &books(), &events);
    assert_eq!(judgement.says, Some(Says::Leak));
    // It did not come to its end.
    assert_eq!(judgement.result, Verdict::Unknown);
}

#[test]
fn a_leak_that_is_not_found_is_not_right() {
    assert_eq!(judged(true, &[]), Verdict::Unknown);
    assert_eq!(judged(true, &[leak("L1", "yes", 99)]), Verdict::Unknown);
    let over = [leak("L1", "suspected", 17), leak("L1", "no", 17)];
    assert_eq!(judged(true, &over), Verdict::Wrong);
}

#[test]
fn what_can_grow_no_more_has_leaked_before() {
    let mut books = books();
    books[0].said = crate::books::Occasion::Stuck;
    let summary = json!({"event": "summary"});
    let grew = [
        leak("L1", "suspected", 17),
        leak("L1", "no", 17),
        summary.clone(),
    ];
    let judged = |events: &[Value]| judge_watch(&manifest(true), &books, events).result;
    assert_eq!(judged(&grew), Verdict::Right);
    assert_eq!(judged(&[leak("L1", "no", 17), summary]), Verdict::Wrong);
}

#[test]
fn what_does_not_leak_is_never_said_to() {
    assert_eq!(judged(false, &[]), Verdict::Right);
    assert_eq!(judged(false, &[leak("L1", "yes", 17)]), Verdict::Wrong);
    let once = [leak("L1", "yes", 17), leak("L1", "no", 17)];
    assert_eq!(judged(false, &once), Verdict::Wrong);
    assert_eq!(
        judged(false, &[leak("L1", "suspected", 17)]),
        Verdict::Unknown
    );
    let over = [leak("L1", "suspected", 17), leak("L1", "no", 17)];
    assert_eq!(judged(false, &over), Verdict::Right);
    // Another program's.
    assert_eq!(judged(false, &[leak("L1", "yes", 99)]), Verdict::Right);
}
