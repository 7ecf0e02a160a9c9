//! Tests of verdicts, and evidence to begin with.

mod contradictions;
mod establishes;
mod fixes;
mod grouping;
mod properties;
mod several;
mod words;

use crate::evidence::*;
use crate::explain;
use libraries::LibraryKind;
use model::{ExplainGroup, Frame, Kind, Origin, Verdict};

pub(super) const SYS: &str = "github.com/cilium/ebpf/internal/sys";

pub(super) fn gc() -> Gc {
    Gc {
        cycles: 12,
        last_seconds_ago: Some(31.0),
        gogc_off: false,
        memory_limit: None,
        forced_in_seconds: Some(89.0),
        marking: false,
    }
}

pub(super) fn library(kind: LibraryKind, path: &str, version: &str) -> Library {
    Library {
        kind,
        path: path.into(),
        version: Some(version.into()),
    }
}

/// A Go program with cilium/ebpf v0.16, without handles.
pub(super) fn go() -> Evidence<'static> {
    Evidence {
        process: Process {
            pid: 4242,
            comm: "agent".into(),
            exe: Some("/usr/bin/agent".into()),
            libraries: vec![library(
                LibraryKind::CiliumEbpf,
                "github.com/cilium/ebpf",
                "v0.16.0",
            )],
            runtime: Runtime::Go(Box::new(Go {
                version: "go1.24.3".into(),
                gc: Ok(gc()),
                queues: Ok(vec![idle()]),
                paused: None,
            })),
        },
        handles: vec![],
        accounts: &[],
        growth: vec![],
        memory: None,
        profile: vec![],
        profile_says: vec![],
        cannot_see: vec![],
    }
}

pub(super) fn c() -> Evidence<'static> {
    let mut evidence = go();
    evidence.process.runtime = Runtime::NotGo(Language::C);
    evidence.process.libraries = vec![library(LibraryKind::Libbpf, "libbpf", "1.5.0")];
    evidence
}

pub(super) fn of_go<'e>(evidence: &'e mut Evidence<'static>) -> &'e mut Go {
    match &mut evidence.process.runtime {
        Runtime::Go(go) => go,
        other => panic!("{other:?} is not Go"),
    }
}

pub(super) fn idle() -> Queue {
    Queue {
        kind: QueueKind::Finalizer,
        length: 0,
        runners: vec![Runner {
            goroutine: 5,
            doing: Doing::Idle,
            stands: false,
        }],
        unread_runners: 0,
        second: None,
    }
}

/// Three entries behind a finalizer that waits.
pub(super) fn stuck() -> Queue {
    Queue {
        length: 3,
        runners: vec![Runner {
            goroutine: 5,
            doing: running("main.(*Blocker).finalize"),
            stands: true,
        }],
        second: Some(SecondLook {
            seconds: 1.5,
            moved: false,
        }),
        ..idle()
    }
}

pub(super) fn running(function: &str) -> Doing {
    let frame = |function: &str| Frame {
        function: function.into(),
        file: None,
        line: None,
        inlined: false,
    };
    Doing::Running {
        function: Some(function.into()),
        stack: vec![frame("runtime.gopark"), frame(function)],
        waits: Some("select (no cases)".into()),
        waits_seconds: Some(40.0),
    }
}

/// An `*sys.FD` of v0.16 that the last collection reached.
pub(super) fn owner() -> Owner {
    Owner {
        type_name: Some("*sys.FD".into()),
        package: Some(SYS.into()),
        address: Some(0xc000_0100),
        number: Some(7),
        release: Some(RegisteredRelease {
            kind: QueueKind::Finalizer,
            function: Some(format!("{SYS}.(*FD).finalize").into()),
            state: State::Pending,
        }),
        mark: Mark::Survived,
        tiny: false,
    }
}

pub(super) fn with_state(state: State) -> Owner {
    let mut owner = owner();
    owner.release.as_mut().expect("it has one").state = state;
    owner
}

pub(super) const QUEUED: State = State::Queued {
    taken: Taken::Nobody,
};

pub(super) fn handle(ownership: Ownership) -> Handle {
    Handle {
        kind: Kind::Map,
        id: Some(17),
        name: "conn_events".into(),
        type_name: "hash".into(),
        descriptors: vec![Descriptor { fd: 7, ownership }],
        mapped: false,
        origin: Origin::Unknown,
        shared_with: None,
        site: None,
    }
}

pub(super) fn owned(owner: Owner) -> Handle {
    handle(Ownership::Owned(vec![owner]))
}

/// The one group of one handle.
pub(super) fn one(mut evidence: Evidence<'_>, handle: Handle) -> ExplainGroup {
    evidence.handles = vec![handle];
    let mut groups = explain(&evidence);
    assert_eq!(groups.len(), 1, "{groups:?}");
    groups.remove(0)
}

pub(super) fn verdict(evidence: Evidence<'_>, handle: Handle) -> Verdict {
    one(evidence, handle).verdict
}

/// All that is said of a group.
pub(super) fn says(group: &ExplainGroup) -> String {
    let lines = group.evidence.iter();
    let lines: Vec<String> = lines
        .map(|line| format!("{}: {}", line.kind.as_str(), line.says))
        .collect();
    lines.join("\n")
}

pub(super) fn with_queue(queue: Queue) -> Evidence<'static> {
    let mut evidence = go();
    of_go(&mut evidence).queues = Ok(vec![queue]);
    evidence
}
