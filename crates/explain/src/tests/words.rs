//! What the lines say, word by word where people read them most.

use super::*;
use model::{
    By, Detail, Exhaustion, Facts, Holder, Leak, MapFacts, Object, Pin, Process as HoldingProcess,
    Reference, State as ObjectState,
};

fn process(pid: u32, comm: &str) -> Holder {
    Holder::Process(Box::new(HoldingProcess {
        pid,
        comm: comm.into(),
        ..HoldingProcess::default()
    }))
}

fn reference(by: By, count: u64, holder: Holder) -> Reference {
    Reference {
        by,
        count,
        holders: vec![holder],
    }
}

/// map 17 as in the issue.
fn account() -> Object {
    let pin = Pin {
        path: "/sys/fs/bpf/x".into(),
        mount_namespace: None,
        enter_pid: None,
        also: vec![],
        unlinked: false,
    };
    let facts = Facts {
        kind: Kind::Map,
        id: Some(17),
        name: "conn_events".into(),
        type_name: "hash".into(),
        refcnt: Some(1205),
        usercnt: None,
        references: vec![
            reference(By::Fd, 1200, process(4242, "agent")),
            reference(By::Fd, 4, process(311, "tetragon")),
            reference(By::Pin, 1, Holder::Pin(pin)),
        ],
        own: false,
        memory_bytes: Some(8 << 20),
        memory_source: None,
        entries: None,
        max_entries: None,
        charged_to: None,
        unreadable: vec![],
        detail: Detail::Map(MapFacts::default()),
    };
    Object {
        facts,
        explained: 1205,
        unexplained: Some(0),
        settled: true,
        state: ObjectState::InUse,
        kept_by: vec![],
    }
}

fn many() -> Vec<Handle> {
    let all = (0..1200u32).map(|n| {
        let mut handle = owned(Owner {
            number: Some(i64::from(n)),
            ..owner()
        });
        handle.descriptors[0].fd = n;
        handle
    });
    all.collect()
}

#[test]
fn the_sketch_of_the_issue() {
    let accounts = [account()];
    let mut evidence = go();
    evidence.accounts = &accounts;
    evidence.handles = many();
    evidence.memory = Some(Memory {
        anonymous_bytes: 40 << 20,
        anonymous_growth: Some(3 << 20),
        seconds: 2.0,
        mappings: 0,
        mapped_bytes: 0,
    });
    evidence.growth = vec![Growth {
        kind: Kind::Map,
        name: "conn_events".into(),
        type_name: "hash".into(),
        mapped: false,
        leak: Leak::Suspected,
        per_second: 2.0,
        more: 11,
        program: None,
        exhausts: vec![Exhaustion {
            limit: "RLIMIT_NOFILE".into(),
            value: 65_536,
            used: 1_300,
            in_seconds: 32_168,
            assumes: String::new(),
        }],
        source: GrowthSource::Looks {
            looks: 3,
            seconds: 2.0,
        },
    }];
    let groups = explain(&evidence);
    assert_eq!(groups.len(), 1);
    let expected = "\
go-gc: the last collection (31 s ago) still reached every one of their owners
go-gc: *sys.FD, finalizer (*FD).finalize registered, not run; 12 collections so far, the last reached all 1,200, or they were made while it marked
kernel-account: map 17: refcnt 1,205 = 1,200 here + 4 in tetragon (311) + 1 pin; nothing unexplained
memory-map: anonymous memory 40.0 MiB, +3.0 MiB in 2.0 s: what objects take is the kernel's, and not in it
growth: +2.0/s in 3 looks over 2.0 s; RLIMIT_NOFILE 65,536 in 8 h 56 m";
    assert_eq!(says(&groups[0]), expected);
    assert_eq!(groups[0].fix, "Close each *ebpf.Map when its user stops");
    assert_eq!(groups[0].memory_bytes, Some(8 << 20));
    assert_eq!(groups[0].exhausts.len(), 1);
}

#[test]
fn accounts_that_do_not_meet() {
    let says_of = |change: fn(&mut Object)| {
        let mut account = account();
        change(&mut account);
        let accounts = [account];
        let evidence = Evidence {
            accounts: &accounts,
            ..go()
        };
        says(&one(evidence, owned(owner())))
    };
    assert!(says_of(|o| o.facts.refcnt = None).contains("the reference count could not be read"));
    assert!(says_of(|o| o.unexplained = Some(3)).contains("; 3 unexplained"));
    assert!(says_of(|o| o.unexplained = None).contains("holders may be out of sight"));
    assert!(says_of(|o| o.settled = false).contains("1 account is still moving"));
}

#[test]
fn many_objects_in_one_account() {
    let accounts: Vec<Object> = (1..=3u32)
        .map(|id| {
            let mut object = account();
            object.facts.id = Some(id);
            object.facts.refcnt = Some(2);
            let prog = Holder::Prog(model::ObjectRef {
                id: Some(id),
                name: String::new(),
            });
            object.facts.references = vec![
                reference(By::Fd, 1, process(4242, "agent")),
                reference(By::Prog, 1, prog),
            ];
            object
        })
        .collect();
    let mut evidence = go();
    evidence.accounts = &accounts;
    evidence.handles = (1..=3u32)
        .map(|id| Handle {
            id: Some(id),
            ..owned(owner())
        })
        .collect();
    let groups = explain(&evidence);
    let text = says(&groups[0]);
    assert!(
        text.contains("3 maps: refcnt 6 = 3 here + 3 in programs; nothing unexplained"),
        "{text}"
    );
    assert_eq!(groups[0].memory_bytes, Some(24 << 20));
}

#[test]
fn a_tiny_block_is_said() {
    let group = one(
        go(),
        owned(Owner {
            tiny: true,
            ..owner()
        }),
    );
    assert_eq!(group.verdict, Verdict::Retained);
    assert!(
        says(&group).contains("16-byte block of its owner"),
        "{}",
        says(&group)
    );
    assert!(group.fix.contains("v0.20"), "{}", group.fix);
}

#[test]
fn a_stuck_finalizer_is_told_with_its_stack() {
    let mut evidence = go();
    of_go(&mut evidence).queues = Ok(vec![stuck()]);
    let text = says(&one(evidence, owned(with_state(QUEUED))));
    assert!(text.contains("stack: goroutine 5 runs main.(*Blocker).finalize: runtime.gopark ← main.(*Blocker).finalize; waits: select (no cases), for 40 s at least"), "{text}");
    assert!(
        text.contains("the queue of finalizers: 3 entries wait or run; it did not move in 1.5 s"),
        "{text}"
    );
}

#[test]
fn defects_of_its_version() {
    let mut evidence = go();
    evidence.process.libraries = vec![library(
        LibraryKind::CiliumEbpf,
        "github.com/cilium/ebpf",
        "v0.9.0",
    )];
    let text = says(&one(
        evidence.clone(),
        owned(Owner {
            mark: Mark::New,
            ..owner()
        }),
    ));
    assert!(
        text.contains("known of cilium/ebpf v0.9.0: LoadAndAssign"),
        "{text}"
    );
    assert!(text.contains("not since v0.9.1"), "{text}");
    let text = says(&one(evidence, owned(owner())));
    assert!(!text.contains("known of"), "{text}");
}

#[test]
fn the_process() {
    let report = crate::report(&go());
    assert_eq!(report.process.runtime.as_deref(), Some("go1.24.3"));
    assert_eq!(report.process.language.as_deref(), Some("go"));
    assert_eq!(report.process.gc.map(|gc| gc.cycles), Some(12));
    assert_eq!(report.process.libraries[0].path, "github.com/cilium/ebpf");
    let report = crate::report(&c());
    assert_eq!(report.process.runtime, None);
    assert_eq!(report.process.language.as_deref(), Some("c"));
}
