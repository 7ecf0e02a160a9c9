use super::*;
use crate::Kind;

fn report() -> ExplainReport {
    ExplainReport {
        schema: ExplainReport::SCHEMA.into(),
        process: ExplainedProcess {
            pid: 4242,
            comm: "agent".into(),
            exe: Some("/usr/bin/agent".into()),
            runtime: Some("go1.26.6".into()),
            language: Some("go".into()),
            libraries: vec![LibraryVersion {
                path: "github.com/cilium/ebpf".into(),
                version: Some("v0.20.0".into()),
            }],
            gc: Some(GcSummary {
                cycles: 12,
                last_seconds_ago: Some(31.0),
            }),
            paused_seconds: 0.0,
        },
        groups: vec![ExplainGroup {
            verdict: Verdict::RetainedByGlobal,
            leak: Leak::Yes,
            origin: Origin::Acquired,
            count: 1200,
            fds: vec![5, 6],
            objects: ObjectGroup {
                kind: Kind::Map,
                name: "conn_events".into(),
                type_name: "hash".into(),
                count: 1,
                ids: vec![17],
            },
            owner: Some(OwnerSummary {
                type_name: Some("*sys.FD".into()),
                release: Release::Cleanup,
                release_state: Some(ReleaseState::Pending),
                function: None,
            }),
            path: Some(vec![PathStep {
                kind: PathKind::Global,
                text: "main.cache".into(),
                weak: false,
            }]),
            acquired: None,
            per_second: Some(2.0),
            program: None,
            exhausts: vec![],
            memory_bytes: Some(8 << 20),
            evidence: vec![EvidenceLine {
                kind: EvidenceKind::GoGc,
                says: "12 collections so far".into(),
            }],
            fix: "Close each *ebpf.Map".into(),
        }],
        cannot_see: vec![],
    }
}

#[test]
fn the_names_of_the_contract() {
    let json = serde_json::to_value(report()).expect("a report serializes");
    assert_eq!(json["schema"], "lastref.explain/0");
    assert_eq!(json["process"]["runtime"], "go1.26.6");
    assert_eq!(json["process"]["libraries"][0]["version"], "v0.20.0");
    assert_eq!(json["process"]["gc"]["last_seconds_ago"], 31.0);
    let group = &json["groups"][0];
    assert_eq!(group["verdict"], "retained-by-global");
    assert_eq!(group["leak"], "yes");
    assert_eq!(group["origin"], "acquired");
    assert_eq!(group["objects"]["type"], "hash");
    assert_eq!(group["owner"]["type"], "*sys.FD");
    assert_eq!(group["owner"]["release"], "cleanup");
    assert_eq!(group["owner"]["release_state"], "pending");
    assert_eq!(group["path"][0]["kind"], "global");
    assert!(group["acquired"].is_null());
    assert_eq!(group["evidence"][0]["kind"], "go-gc");
}

#[test]
fn what_is_written_is_read_back() {
    let report = report();
    let json = serde_json::to_string(&report).expect("a report serializes");
    let back: ExplainReport = serde_json::from_str(&json).expect("and is read");
    assert_eq!(back, report);
}

#[test]
fn words_are_those_of_the_json() {
    let json = |value: serde_json::Value| value.as_str().map(str::to_owned);
    let all = Verdict::ALL.map(|v| (v.as_str(), serde_json::to_value(v)));
    for (word, value) in all {
        assert_eq!(
            json(value.expect("a verdict serializes")).as_deref(),
            Some(word)
        );
    }
    let mut codes = Verdict::ALL.map(Verdict::as_str);
    codes.sort_unstable();
    assert!(codes.windows(2).all(|two| two[0] != two[1]));
    for kind in [
        EvidenceKind::GoGc,
        EvidenceKind::KernelAccount,
        EvidenceKind::MemoryMap,
    ] {
        let value = serde_json::to_value(kind).expect("a kind serializes");
        assert_eq!(json(value).as_deref(), Some(kind.as_str()));
    }
}
