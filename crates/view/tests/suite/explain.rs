//! `lastref explain` as people see it.

use crate::screen;
use model::{
    CannotSee, EvidenceKind, EvidenceLine, Exhaustion, ExplainGroup, ExplainReport,
    ExplainedProcess, GcSummary, Kind, Leak, LibraryVersion, ObjectGroup, Origin, OwnerSummary,
    Release, ReleaseState, Verdict,
};

fn report(groups: Vec<ExplainGroup>) -> ExplainReport {
    ExplainReport {
        schema: ExplainReport::SCHEMA.into(),
        process: ExplainedProcess {
            pid: 4242,
            comm: "agent".into(),
            exe: Some("/usr/bin/agent".into()),
            runtime: Some("go1.24.3".into()),
            language: Some("go".into()),
            libraries: vec![LibraryVersion {
                path: "github.com/cilium/ebpf".into(),
                version: Some("v0.16.0".into()),
            }],
            gc: Some(GcSummary {
                cycles: 12,
                last_seconds_ago: Some(31.0),
            }),
            paused_seconds: 0.0,
        },
        groups,
        cannot_see: vec![],
    }
}

fn says(kind: EvidenceKind, says: &str) -> EvidenceLine {
    EvidenceLine {
        kind,
        says: says.into(),
    }
}

fn retained() -> ExplainGroup {
    ExplainGroup {
        verdict: Verdict::Retained,
        leak: Leak::Yes,
        origin: Origin::Unknown,
        count: 1200,
        fds: (7..1207).collect(),
        objects: ObjectGroup {
            kind: Kind::Map,
            name: "conn_events".into(),
            type_name: "hash".into(),
            count: 1,
            ids: vec![17],
        },
        owner: Some(OwnerSummary {
            type_name: Some("*sys.FD".into()),
            release: Release::Finalizer,
            release_state: Some(ReleaseState::Pending),
            function: Some("(*FD).finalize".into()),
        }),
        path: None,
        acquired: None,
        per_second: Some(2.0),
        program: None,
        exhausts: vec![Exhaustion {
            limit: "RLIMIT_NOFILE".into(),
            value: 65_536,
            used: 1_300,
            in_seconds: 32_168,
            assumes: "its other descriptors stay as many".into(),
        }],
        memory_bytes: Some(8 << 20),
        evidence: vec![
            says(
                EvidenceKind::GoGc,
                "the last collection (31 s ago) still reached every one of their owners",
            ),
            says(
                EvidenceKind::KernelAccount,
                "map 17: refcnt 1,205 = 1,200 here + 4 in tetragon (311) + 1 pin; nothing unexplained",
            ),
        ],
        fix: "Close each *ebpf.Map when its user stops".into(),
    }
}

#[test]
fn a_leak_at_160_columns() {
    let text = screen::explain(&report(vec![retained()]), 160);
    let expected = "\
agent (pid 4242, go1.24.3, github.com/cilium/ebpf v0.16.0)   1,200 handles, 1,200 leaking

1,200 handles on map:17 conn_events (hash, 8.0 MiB)   leak, +2.0/s, RLIMIT_NOFILE 65,536 in 8 h 56 m
  retained         the last collection (31 s ago) still reached every one of their owners
  owner            *sys.FD, finalizer (*FD).finalize registered, not run
  kernel           map 17: refcnt 1,205 = 1,200 here + 4 in tetragon (311) + 1 pin; nothing unexplained
  descriptors      7-1206
  fix              Close each *ebpf.Map when its user stops
";
    assert_eq!(text, expected);
}

#[test]
fn the_same_at_80_columns() {
    let text = screen::explain(&report(vec![retained()]), 80);
    let expected = "\
agent (pid 4242, go1.24.3, github.com/cilium/ebpf v0.16.0)
  1,200 handles, 1,200 leaking

1,200 handles on map:17 conn_events (hash, 8.0 MiB)
  leak, +2.0/s, RLIMIT_NOFILE 65,536 in 8 h 56 m
  retained         the last collection (31 s ago) still reached every one of
                   their owners
  owner            *sys.FD, finalizer (*FD).finalize registered, not run
  kernel           map 17: refcnt 1,205 = 1,200 here + 4 in tetragon (311) + 1
                   pin; nothing unexplained
  descriptors      7-1206
  fix              Close each *ebpf.Map when its user stops
";
    assert_eq!(text, expected);
}

#[test]
fn nothing_held() {
    let text = screen::explain(&report(vec![]), 100);
    let expected =
        "agent (pid 4242, go1.24.3, github.com/cilium/ebpf v0.16.0)   no handles on BPF objects\n";
    assert_eq!(text, expected);
}

#[test]
fn what_stands_still_and_what_is_out_of_sight() {
    let mut mapped = retained();
    mapped.verdict = Verdict::Mapped;
    mapped.leak = Leak::No;
    mapped.origin = Origin::Inherited;
    (mapped.count, mapped.fds) = (1, vec![]);
    (mapped.owner, mapped.per_second) = (None, Some(0.0));
    mapped.exhausts.clear();
    mapped.evidence.clear();
    let mut report = report(vec![mapped]);
    report.cannot_see.push(CannotSee {
        what: "its memory".into(),
        why: "permission denied".into(),
        needs: "CAP_SYS_PTRACE".into(),
    });
    let text = screen::explain(&report, 120);
    let expected = "\
agent (pid 4242, go1.24.3, github.com/cilium/ebpf v0.16.0)   1 handle

1 handle on map:17 conn_events (hash, 8.0 MiB)
  mapped           no descriptor is left, and a memory mapping keeps it
  fix              Close each *ebpf.Map when its user stops

cannot see   its memory: permission denied; needs CAP_SYS_PTRACE
";
    assert_eq!(text, expected);
}

#[test]
fn descriptors_in_runs() {
    let mut group = retained();
    group.fds = vec![3, 5, 6, 7, 9, 11, 13, 15, 17, 4_294_967_295];
    group.count = 4;
    let text = screen::explain(&report(vec![group]), 100);
    screen::check_says(
        &text,
        &[
            "4 handles by 10 descriptors on",
            "descriptors      3, 5-7, 9, 11, 13, 15 …",
        ],
    );
}

/// Whatever the names are, and however narrow it is.
#[test]
fn names_cannot_break_out() {
    let mut group = retained();
    let hostile = "\u{1b}[31m\n\u{202e}事件 very long ".repeat(40);
    group.objects.name.clone_from(&hostile);
    group.evidence.push(says(EvidenceKind::Stack, &hostile));
    let mut report = report(vec![group]);
    report.process.comm.clone_from(&hostile);
    report.process.libraries[0].path = hostile;
    for width in [1, 20, 37, 80, 300] {
        let text = screen::explain(&report, width);
        let most = width.max(view::Style::NARROWEST);
        for line in text.lines() {
            assert!(
                unicode_width::UnicodeWidthStr::width(line) <= most,
                "{line}"
            );
            assert!(!line.contains(['\u{1b}', '\u{202e}']), "{line:?}");
        }
    }
}
