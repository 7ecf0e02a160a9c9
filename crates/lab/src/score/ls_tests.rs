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

fn said() -> Said {
    let line = json!({"said": "step", "groups": {"conns": {"held": [17, 17], "dropped": [17, 9]}}, "error": null});
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
    judge_ls(&manifest(), &said(), report, &|pid| pid == 42).result
}

#[test]
fn the_truth_is_right() {
    assert_eq!(result(&report()), Verdict::Right);
    // One that was dropped may still be open.
    let mut late = report();
    late["objects"][0]["references"][0]["count"] = json!(3);
    assert_eq!(result(&late), Verdict::Right);
}

#[test]
fn what_is_not_true_is_wrong() {
    let lies: [(&str, Value); 9] = [
        ("/objects", json!([])),
        ("/objects/0/id", json!(18)),
        ("/objects/0/name", json!("other")),
        ("/objects/0/type", json!("array")),
        ("/objects/0/unexplained", json!(1)),
        ("/objects/0/explained", json!(2)),
        ("/objects/0/state", json!("orphan-pin")),
        ("/objects/0/references/0/count", json!(4)),
        ("/objects/0/references/1/by", json!("prog")),
    ];
    for (pointer, lie) in lies {
        let mut report = report();
        *report.pointer_mut(pointer).expect("it is there") = lie.clone();
        assert_eq!(result(&report), Verdict::Wrong, "{pointer} {lie}");
    }
    let mut others = report();
    others["objects"][0]["references"][0]["holders"][0]["pid"] = json!(43);
    assert_eq!(result(&others), Verdict::Wrong);
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
}
