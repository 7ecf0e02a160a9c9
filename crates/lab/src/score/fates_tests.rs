//! What is alike from outside, and has different fates, must not be called one thing.

use super::{Verdict, judge_explain};
use crate::books::Said;
use crate::manifest::Manifest;
use serde_json::{Value, json};

/// Maps of one name: some are kept, and one more with each step is looked at and forgotten.
fn manifest() -> Manifest {
    let group = |name: &str, leaks: bool, verdicts: &str| {
        format!(
            r#"
            [[group]]
            name = "{name}"
            leaks = {leaks}
            object = {{ kind = "map", name = "nat_*", type = "hash" }}
            held_by = ["fd"]
            state = "in-use"
            per_step = [0, 1]
            verdicts = {verdicts}
            "#
        )
    };
    let head = "title = \"t\"\nshows = \"s\"\nlanguage = \"go\"\n";
    let tables = group("tables", false, r#"["retained-by-goroutine", "retained"]"#);
    let looks = group("looks", true, r#"["no-owner"]"#);
    toml::from_str(&format!("{head}{tables}{looks}")).expect("a good manifest")
}

fn books() -> Vec<Said> {
    let looks: Vec<u32> = (20..30).collect();
    let said = |looks: &[u32]| {
        let line = json!({"said": "step", "groups": {
            "tables": {"held": [1, 2, 3]}, "looks": {"held": looks},
        }, "error": null});
        serde_json::from_value(line).expect("a good line")
    };
    vec![said(&looks[..6]), said(&looks)]
}

fn group(verdict: &str, leak: &str, ids: &[u32]) -> Value {
    json!({"verdict": verdict, "leak": leak, "origin": "unknown", "count": ids.len(),
        "objects": {"kind": "map", "name": "nat_*", "type": "hash", "count": ids.len(), "ids": ids}})
}

fn judged(groups: &[Value]) -> (Verdict, String) {
    let judged = judge_explain(&manifest(), &books(), &[json!({"groups": groups})]);
    (judged.result, judged.why)
}

const TABLES: [u32; 3] = [1, 2, 3];
const LOOKS: [u32; 7] = [20, 21, 22, 23, 24, 25, 26];

#[test]
fn each_with_its_own_verdict() {
    let kept = group("retained", "unknown", &TABLES);
    let (result, why) = judged(&[kept.clone(), group("no-owner", "suspected", &LOOKS)]);
    assert_eq!(result, Verdict::Right, "{why}");
    // What is not known, or not judged yet, may be any of them.
    for some in [&LOOKS[..2], &LOOKS[5..]] {
        let rest: Vec<u32> = LOOKS
            .iter()
            .copied()
            .filter(|id| !some.contains(id))
            .collect();
        let groups = [
            kept.clone(),
            group("no-owner", "suspected", &rest),
            group("not-judged", "unknown", some),
        ];
        let (result, why) = judged(&groups);
        assert_eq!(result, Verdict::Right, "{why}");
    }
}

#[test]
fn all_called_one_thing_is_wrong() {
    let all: Vec<u32> = TABLES.iter().chain(&LOOKS).copied().collect();
    for verdict in ["retained", "no-owner"] {
        let (result, why) = judged(&[group(verdict, "suspected", &all)]);
        assert_eq!(result, Verdict::Wrong, "{verdict}: {why}");
        // Also where nothing is known of the objects.
        let mut nameless = group(verdict, "suspected", &all);
        nameless["objects"]["ids"] = json!([]);
        let (result, why) = judged(&[nameless]);
        assert_eq!(result, Verdict::Wrong, "{verdict}: {why}");
        assert!(why.contains("of which there are 3"), "{why}");
    }
}

#[test]
fn one_that_has_the_verdict_of_another_is_wrong() {
    let kept = group("retained", "unknown", &[1, 2, 20]);
    let looks = group("no-owner", "suspected", &[3, 21, 22, 23, 24, 25, 26]);
    let (result, why) = judged(&[kept, looks]);
    assert_eq!(result, Verdict::Wrong, "{why}");
    assert!(why.contains("20 is retained, and none of tables"), "{why}");
    // Too few are told of: that is no lie about the rest.
    let (result, why) = judged(&[group("no-owner", "suspected", &LOOKS)]);
    assert_eq!(result, Verdict::Unknown, "{why}");
}
