//! A fake answer of `explain` must lose.

use super::{Says, Verdict, judge_explain};
use crate::books::Said;
use crate::manifest::Manifest;
use serde_json::{Value, json};

fn manifest() -> Manifest {
    toml::from_str(
        r#"
        title = "t"
        shows = "s"
        language = "go"
        [[group]]
        name = "conns"
        leaks = true
        object = { kind = "map", name = "conn_*", type = "hash" }
        held_by = ["fd"]
        state = "in-use"
        per_step = [1, 1]
        verdicts = ["retained-by-global", "retained"]
        origin = ["acquired"]
        [[group]]
        name = "config"
        leaks = false
        object = { kind = "map", name = "config", type = "array" }
        held_by = ["fd"]
        state = "in-use"
        per_step = [0, 0]
        verdicts = ["retained"]
        "#,
    )
    .expect("a good manifest")
}

/// From before the look, and after a collection, to after it.
fn books() -> Vec<Said> {
    let said = |conns: &[u32]| {
        let line = json!({"said": "step", "groups": {
            "conns": {"held": conns, "dropped": []}, "config": {"held": [9], "dropped": []},
        }, "error": null});
        serde_json::from_value(line).expect("a good line")
    };
    vec![
        said(&[17, 18]),
        said(&[17, 18, 19]),
        said(&[17, 18, 19, 20]),
    ]
}

fn report() -> Value {
    json!({"groups": [
        {"verdict": "retained", "leak": "suspected", "origin": "unknown", "count": 3,
         "objects": {"kind": "map", "name": "conn_a", "type": "hash", "count": 3, "ids": [17, 18, 19]}},
        {"verdict": "retained", "leak": "no", "origin": "unknown", "count": 1,
         "objects": {"kind": "map", "name": "config", "type": "array", "count": 1, "ids": [9]}},
    ]})
}

fn with(changes: &[(&str, Value)]) -> Verdict {
    let mut report = report();
    for (pointer, value) in changes {
        *report.pointer_mut(pointer).expect("it is there") = value.clone();
    }
    judge_explain(&manifest(), &books(), &[report]).result
}

#[test]
fn what_was_made_since_the_collection_need_not_be_judged() {
    let not_judged = |ids: Value| {
        let verdict = ("/groups/1/verdict", json!("not-judged"));
        with(&[verdict, ("/groups/1/objects/ids", ids)])
    };
    // That was there before.
    assert_eq!(not_judged(json!([9])), Verdict::Wrong);
    assert_eq!(not_judged(json!([])), Verdict::Wrong);
    // The same handle, replaced meanwhile: its book tells of it.
    let mut books = books();
    for (said, id) in books.iter_mut().zip([8, 9, 9]) {
        let config = said.groups.get_mut("config").expect("it is there");
        config.held = vec![id];
    }
    let mut report = report();
    report["groups"][1]["verdict"] = json!("not-judged");
    let judged = judge_explain(&manifest(), &books, &[report]);
    assert_eq!(judged.result, Verdict::Right, "{judged:?}");
}

#[test]
fn the_truth_is_right() {
    let judged = judge_explain(&manifest(), &books(), &[report()]);
    assert_eq!(
        (judged.result, judged.says),
        (Verdict::Right, Some(Says::Leak))
    );
    for (pointer, value) in [
        ("/groups/0/leak", json!("yes")),
        ("/groups/0/verdict", json!("retained-by-global")),
        ("/groups/0/origin", json!("acquired")),
        ("/groups/0/count", json!(2)),
        ("/groups/0/count", json!(4)),
        ("/groups/1/leak", json!("unknown")),
    ] {
        assert_eq!(with(&[(pointer, value)]), Verdict::Right, "{pointer}");
    }
}

#[test]
fn what_is_not_true_is_wrong() {
    for (pointer, lie) in [
        ("/groups/0/verdict", json!("dropped")),
        ("/groups/1/verdict", json!("retained-by-global")),
        ("/groups/0/origin", json!("inherited")),
        ("/groups/0/leak", json!("no")),
        ("/groups/1/leak", json!("yes")),
        ("/groups/0/objects/ids/1", json!(5)),
    ] {
        assert_eq!(
            with(&[(pointer, lie.clone())]),
            Verdict::Wrong,
            "{pointer} {lie}"
        );
    }
    // Something that the program does not even have.
    let lies = [
        ("/groups/1/leak", json!("yes")),
        ("/groups/1/objects/name", json!("other")),
    ];
    assert_eq!(with(&lies), Verdict::Wrong);
}

#[test]
fn what_was_made_since_the_collection_is_not_judged() {
    let not_judged = ("/groups/0/verdict", json!("not-judged"));
    // Two of them were made during the look.
    let two = ("/groups/0/count", json!(2));
    assert_eq!(with(&[not_judged.clone(), two]), Verdict::Right);
    assert_eq!(with(&[not_judged]), Verdict::Wrong);
}

#[test]
fn what_it_does_not_say_is_unknown() {
    for (pointer, value) in [
        ("/groups/0/verdict", json!("unknown")),
        ("/groups/0/leak", json!("unknown")),
        ("/groups/1/leak", json!("suspected")),
        ("/groups/0/count", json!(1)),
        ("/groups/0/count", json!(5)),
    ] {
        assert_eq!(with(&[(pointer, value)]), Verdict::Unknown, "{pointer}");
    }
    let nothing = judge_explain(&manifest(), &books(), &[json!({"groups": []})]);
    assert_eq!(nothing.result, Verdict::Unknown);
    assert_eq!(
        judge_explain(&manifest(), &books(), &[]).result,
        Verdict::Unknown
    );
}

/// Each of its processes holds one, and there are ever more of them.
#[test]
fn what_is_said_of_the_program_counts() {
    let program = |leak: &str| json!({"leak": leak, "per_second": 1.0, "processes": 12});
    for (leaking, clean, expected) in [
        (program("suspected"), Value::Null, Verdict::Right),
        (Value::Null, Value::Null, Verdict::Wrong),
        (program("yes"), program("suspected"), Verdict::Unknown),
        (program("yes"), program("yes"), Verdict::Wrong),
    ] {
        let mut report = report();
        for (at, program) in [leaking, clean].into_iter().enumerate() {
            report["groups"][at]["leak"] = json!("no");
            report["groups"][at]["program"] = program;
        }
        let judged = judge_explain(&manifest(), &books(), &[report]);
        assert_eq!(judged.result, expected, "{judged:?}");
    }
}

#[test]
fn handles_of_several_processes_are_added_and_shared_ones_counted_once() {
    let mut parent = report();
    parent["groups"][0]["count"] = json!(1);
    let mut child = report();
    child["groups"].as_array_mut().expect("a list").remove(1);
    child["groups"][0]["count"] = json!(2);
    let both = [parent, child.clone()];
    assert_eq!(
        judge_explain(&manifest(), &books(), &both).result,
        Verdict::Right
    );
    child["groups"][0]["origin"] = json!("inherited");
    let both = [report(), child];
    let mut manifest = manifest();
    manifest.groups[0].origin.clear();
    assert_eq!(
        judge_explain(&manifest, &books(), &both).result,
        Verdict::Right
    );
}
