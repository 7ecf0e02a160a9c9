//! A fake answer must lose.

use super::{Verdict, judge_ls};
use crate::books::Said;
use crate::manifest::Manifest;
use serde_json::{Value, json};

fn manifest() -> Manifest {
    toml::from_str(
        r#"
        title = "t"
        shows = "s"
        language = "c"
        [[group]]
        name = "conns"
        leaks = true
        object = { kind = "map", name = "conn_*", type = "hash" }
        held_by = ["fd", "pin"]
        state = "in-use"
        per_step = [1, 1]
        "#,
    )
    .expect("a good manifest")
}

fn said(held: &[u32], dropped: &[u32]) -> Said {
    let line = json!({"said": "step", "groups": {"conns": {"held": held, "dropped": dropped}}, "error": null});
    serde_json::from_value(line).expect("a good line")
}

fn report() -> Value {
    json!({"objects": [{
        "kind": "map", "id": 17, "name": "conn_events", "type": "hash", "settled": true,
        "refcnt": 3, "explained": 3, "unexplained": 0, "state": "in-use",
        "references": [
            {"by": "fd", "count": 2, "holders": [{"type": "process", "pid": 42}]},
            {"by": "pin", "count": 1, "holders": [{"type": "pin", "path": "/x"}]},
        ],
    }]})
}

fn result(report: &Value) -> Verdict {
    let judged = judge_ls(&manifest(), &said(&[17, 17], &[]), report, &|pid| pid == 42);
    judged.expect("there is something to judge").result
}

#[test]
fn the_truth_is_right() {
    assert_eq!(result(&report()), Verdict::Right);
}

#[test]
fn what_is_dropped_may_be_there_or_not() {
    let judged = |said: &Said, report: &Value| {
        judge_ls(&manifest(), said, report, &|pid| pid == 42).map(|judged| judged.result)
    };
    // One of three handles on it is dropped, and open or not.
    let one = said(&[17, 17], &[17]);
    assert_eq!(judged(&one, &report()), Some(Verdict::Right));
    let mut late = report();
    late["objects"][0]["references"][0]["count"] = json!(3);
    late["objects"][0]["explained"] = json!(4);
    late["objects"][0]["refcnt"] = json!(4);
    assert_eq!(judged(&one, &late), Some(Verdict::Right));
    // Nothing else is held: right only if something was there to be right about.
    let all = said(&[], &[17, 17]);
    assert_eq!(judged(&all, &report()), Some(Verdict::Right));
    assert_eq!(judged(&all, &json!({"objects": []})), None);
    let mut lie = report();
    lie["objects"][0]["explained"] = json!(2);
    assert_eq!(judged(&all, &lie), Some(Verdict::Wrong));
}

#[test]
fn what_is_not_true_is_wrong() {
    let lies: [(&str, Value); 11] = [
        ("/objects", json!([])),
        ("/objects/0/id", json!(18)),
        ("/objects/0/name", json!("other")),
        ("/objects/0/type", json!("array")),
        ("/objects/0/unexplained", json!(1)),
        ("/objects/0/explained", json!(2)),
        ("/objects/0/refcnt", json!(4)),
        ("/objects/0/state", json!("orphan-pin")),
        ("/objects/0/references/0/count", json!(4)),
        ("/objects/0/references/1/by", json!("prog")),
        ("/objects/0/references/0/holders/0/pid", json!(43)),
    ];
    for (pointer, lie) in lies {
        let mut report = report();
        *report.pointer_mut(pointer).expect("it is there") = lie.clone();
        assert_eq!(result(&report), Verdict::Wrong, "{pointer} {lie}");
    }
}

#[test]
fn an_account_that_only_closes_on_paper_is_wrong() {
    let mut high = report();
    high["objects"][0]["explained"] = json!(99);
    high["objects"][0]["refcnt"] = json!(99);
    assert_eq!(result(&high), Verdict::Wrong);
    let mut empty = report();
    empty["objects"][0]["explained"] = Value::Null;
    empty["objects"][0]["refcnt"] = Value::Null;
    assert_eq!(result(&empty), Verdict::Wrong);
}

#[test]
fn what_it_makes_up_is_wrong() {
    let mut more = report();
    let mut other = more["objects"][0].clone();
    other["id"] = json!(99);
    more["objects"]
        .as_array_mut()
        .expect("a list")
        .push(other.clone());
    assert_eq!(result(&more), Verdict::Wrong);
    // Another program may have such a map.
    for reference in [0, 1] {
        other["references"][reference]["holders"] = json!([{"type": "process", "pid": 7}]);
    }
    more["objects"][1] = other;
    assert_eq!(result(&more), Verdict::Right);

    let mut foreign = report();
    foreign["objects"][0]["refcnt"] = json!(4);
    foreign["objects"][0]["explained"] = json!(4);
    let reference = json!({"by": "fd", "count": 1, "holders": [{"type": "process", "pid": 7}]});
    foreign["objects"][0]["references"]
        .as_array_mut()
        .expect("a list")
        .push(reference);
    assert_eq!(result(&foreign), Verdict::Wrong);
}

#[test]
fn what_it_does_not_know_is_unknown() {
    for (pointer, value) in [
        ("/objects/0/unexplained", Value::Null),
        ("/objects/0/settled", json!(false)),
        ("/objects/0/state", json!("unknown")),
    ] {
        let mut report = report();
        *report.pointer_mut(pointer).expect("it is there") = value;
        assert_eq!(result(&report), Verdict::Unknown, "{pointer}");
    }
    // Who it could not see it does not name, and says so.
    let mut blind = report();
    blind["objects"][0]["unexplained"] = Value::Null;
    blind["objects"][0]["explained"] = json!(1);
    blind["objects"][0]["references"]
        .as_array_mut()
        .expect("a list")
        .remove(0);
    assert_eq!(result(&blind), Verdict::Unknown);
}
