//! The names and kinds of values that the contract promises, whatever the process.

use super::groups;
use serde_json::Value;

/// A value is one of these.
type Is = fn(&Value) -> bool;

const TEXT: Is = Value::is_string;
const COUNT: Is = Value::is_u64;
const LIST: Is = Value::is_array;
const SECONDS: Is = Value::is_number;

/// Each field is there, and is such a value.
fn has(value: &Value, fields: &[(&str, Is)]) {
    for (field, is) in fields {
        let found = value.get(field);
        assert!(found.is_some_and(is), "{field} in {value:#}");
    }
}

fn or_null(value: &Value, is: Is) -> bool {
    value.is_null() || is(value)
}

/// Everything that the contract promises (`lastref.explain/0`), by name and kind.
pub(super) fn keeps_contract(report: &Value) {
    assert_eq!(report["schema"], "lastref.explain/0");
    has(
        report,
        &[
            ("process", Value::is_object),
            ("groups", LIST),
            ("cannot_see", LIST),
        ],
    );
    let process = &report["process"];
    has(
        process,
        &[
            ("pid", COUNT),
            ("comm", TEXT),
            ("exe", |v| or_null(v, TEXT)),
            ("runtime", |v| or_null(v, TEXT)),
            ("language", |v| or_null(v, TEXT)),
            ("libraries", LIST),
            ("gc", |v| v.is_null() || v["cycles"].is_u64()),
        ],
    );
    // Nothing of it stops a process.
    assert_eq!(process["paused_seconds"], 0.0);
    for library in process["libraries"].as_array().expect("a list") {
        has(
            library,
            &[("path", TEXT), ("version", |v| or_null(v, TEXT))],
        );
    }
    if !process["gc"].is_null() {
        has(
            &process["gc"],
            &[("last_seconds_ago", |v| or_null(v, SECONDS))],
        );
    }
    for group in groups(report) {
        one_group(group);
    }
    for blind in report["cannot_see"].as_array().expect("a list") {
        has(blind, &[("what", TEXT), ("why", TEXT), ("needs", TEXT)]);
    }
}

fn one_group(group: &Value) {
    has(
        group,
        &[
            ("verdict", TEXT),
            ("leak", |v| {
                ["yes", "suspected", "no", "unknown"].iter().any(|w| v == w)
            }),
            ("origin", |v| {
                ["acquired", "inherited", "received", "unknown"]
                    .iter()
                    .any(|w| v == w)
            }),
            ("count", COUNT),
            ("fds", LIST),
            ("objects", Value::is_object),
            ("owner", |v| or_null(v, Value::is_object)),
            ("path", Value::is_null),
            ("acquired", |v| or_null(v, Value::is_object)),
            ("per_second", |v| or_null(v, SECONDS)),
            ("exhausts", LIST),
            ("memory_bytes", |v| or_null(v, COUNT)),
            ("evidence", LIST),
            ("fix", |v| v.as_str().is_some_and(|fix| !fix.is_empty())),
        ],
    );
    let objects = &group["objects"];
    has(
        objects,
        &[
            ("kind", TEXT),
            ("name", TEXT),
            ("type", TEXT),
            ("count", COUNT),
            ("ids", LIST),
        ],
    );
    let ids = objects["ids"].as_array().map_or(0, Vec::len) as u64;
    assert_eq!(
        ids,
        objects["count"].as_u64().unwrap_or(0).min(16),
        "{group:#}"
    );
    if !group["owner"].is_null() {
        has(
            &group["owner"],
            &[
                ("type", |v| or_null(v, TEXT)),
                ("release", |v| {
                    ["finalizer", "cleanup", "none"].iter().any(|w| v == w)
                }),
                ("release_state", |v| {
                    v.is_null() || ["pending", "queued", "running"].iter().any(|w| v == w)
                }),
            ],
        );
    }
    // A verdict without its evidence is a bug.
    let evidence = group["evidence"].as_array().expect("a list");
    assert!(!evidence.is_empty(), "{group:#}");
    for line in evidence {
        has(
            line,
            &[
                ("kind", TEXT),
                ("says", |v| v.as_str().is_some_and(|s| !s.is_empty())),
            ],
        );
    }
}
