//! What is to be done, by verdict and library.

use super::*;

fn fix_of(
    libraries: &[(LibraryKind, &str, &str)],
    base: Evidence<'static>,
    handle: Handle,
) -> String {
    let mut evidence = base;
    evidence.process.libraries = libraries
        .iter()
        .map(|(kind, path, version)| library(*kind, path, version))
        .collect();
    one(evidence, handle).fix
}

const CILIUM: (LibraryKind, &str, &str) =
    (LibraryKind::CiliumEbpf, "github.com/cilium/ebpf", "v0.16.0");
const LIBBPFGO: (LibraryKind, &str, &str) = (
    LibraryKind::Libbpfgo,
    "github.com/aquasecurity/libbpfgo",
    "v0.4.5-libbpf-1.0.1",
);
const CGO: (LibraryKind, &str, &str) = (LibraryKind::Cgo, "cgo", "");

#[test]
fn close_on_the_type_that_wraps_it() {
    for (kind, expected) in [
        (Kind::Map, "Close each *ebpf.Map when its user stops"),
        (Kind::Prog, "Close each *ebpf.Program when its user stops"),
        (Kind::Link, "Close each link.Link when its user stops"),
        (Kind::Btf, "Close each *btf.Handle when its user stops"),
    ] {
        let handle = Handle {
            kind,
            ..owned(owner())
        };
        assert_eq!(fix_of(&[CILIUM], go(), handle), expected);
    }
    let file = Owner {
        type_name: Some("*os.file".into()),
        package: Some("os".into()),
        ..owner()
    };
    assert!(fix_of(&[CILIUM], go(), owned(file)).starts_with("Close each *os.File"));
}

#[test]
fn a_cleanup_tells_its_library_by_its_function() {
    let mut owner = Owner {
        type_name: None,
        package: None,
        ..owner()
    };
    owner.release = Some(RegisteredRelease {
        kind: QueueKind::Cleanup,
        function: Some(format!("{SYS}.newFD.func1").into()),
        state: State::Pending,
    });
    assert_eq!(
        fix_of(&[CILIUM], go(), owned(owner)),
        "Close each *ebpf.Map when its user stops"
    );
}

#[test]
fn what_no_go_object_owns() {
    let raw = || handle(Ownership::None(Ok(())));
    assert!(fix_of(&[CILIUM], go(), raw()).starts_with("Call unix.Close on each descriptor"));
    assert!(
        fix_of(&[CGO], go(), raw())
            .starts_with("Call close(2) on each descriptor that C code opened")
    );
    assert!(fix_of(&[LIBBPFGO, CGO], go(), raw()).contains("syscall.Close(m.FileDescriptor())"));
    let link = Handle {
        kind: Kind::Link,
        ..raw()
    };
    assert!(
        fix_of(&[LIBBPFGO, CGO], go(), link).starts_with("Call Destroy on each *libbpfgo.BPFLink")
    );
}

#[test]
fn what_is_not_go() {
    let map = || handle(Ownership::NotGo);
    let of = |kind, path| fix_of(&[(kind, path, "")], c(), map());
    assert!(of(LibraryKind::Libbpf, "libbpf").starts_with("Call bpf_object__close"));
    assert!(of(LibraryKind::Aya, "aya").starts_with("Drop the aya::Ebpf"));
    assert!(of(LibraryKind::LibbpfRs, "libbpf-rs").starts_with("Drop the Object"));
    assert!(of(LibraryKind::Bcc, "libbcc").starts_with("Call cleanup()"));
    assert!(fix_of(&[], c(), map()).starts_with("Call close(2)"));
    // libbpf-rs has libbpf linked in.
    let both = [
        (LibraryKind::Libbpf, "libbpf", ""),
        (LibraryKind::LibbpfRs, "libbpf-rs", "0.26.2"),
    ];
    let link = Handle {
        kind: Kind::Link,
        ..map()
    };
    assert!(fix_of(&both, c(), link).starts_with("Drop each Link"));
}

#[test]
fn what_came_from_another_process() {
    let inherited = Handle {
        origin: Origin::Inherited,
        shared_with: Some("init (1)".into()),
        ..handle(Ownership::NotGo)
    };
    let fix = fix_of(&[], c(), inherited);
    assert!(
        fix.starts_with("Leave close-on-exec set on it in init (1)"),
        "{fix}"
    );
    let received = Handle {
        origin: Origin::Received,
        ..handle(Ownership::NotGo)
    };
    assert!(fix_of(&[], c(), received).starts_with("Close what another process sent"));
}

#[test]
fn what_only_a_mapping_keeps() {
    let mapped = |type_name: &str| Handle {
        descriptors: vec![],
        mapped: true,
        type_name: type_name.into(),
        ..handle(Ownership::NotGo)
    };
    assert!(fix_of(&[CILIUM], go(), mapped("ringbuf")).starts_with("Close each *ringbuf.Reader"));
    assert!(fix_of(&[], c(), mapped("array")).starts_with("Call munmap(2)"));
}

#[test]
fn a_finalizer_that_does_not_return_is_named() {
    let mut evidence = go();
    of_go(&mut evidence).queues = Ok(vec![stuck()]);
    let fix = one(evidence, owned(with_state(QUEUED))).fix;
    assert!(
        fix.starts_with("Have main.(*Blocker).finalize return"),
        "{fix}"
    );
    assert!(fix.contains("Close each *ebpf.Map"), "{fix}");
}

#[test]
fn a_collector_that_is_off() {
    let mut evidence = go();
    of_go(&mut evidence).gc = Ok(Gc {
        cycles: 0,
        last_seconds_ago: None,
        gogc_off: true,
        forced_in_seconds: None,
        ..gc()
    });
    let new = Owner {
        mark: Mark::New,
        ..owner()
    };
    let group = one(evidence, owned(new));
    assert_eq!(group.verdict, Verdict::NotJudged);
    assert!(group.fix.contains("GOGC=off"), "{}", group.fix);
    assert!(
        says(&group).contains("GOGC=off: no collection comes by itself"),
        "{}",
        says(&group)
    );
}

#[test]
fn what_it_takes_to_know() {
    let mut evidence = go();
    evidence.process.runtime = Runtime::GoUnread {
        version: None,
        why: "not permitted".into(),
        needs: "CAP_SYS_PTRACE".into(),
    };
    let report = crate::report(&evidence);
    assert_eq!(report.cannot_see.len(), 1);
    assert_eq!(report.cannot_see[0].needs, "CAP_SYS_PTRACE");
    let group = one(evidence, owned(owner()));
    assert!(group.fix.contains("CAP_SYS_PTRACE"), "{}", group.fix);
    assert!(says(&group).contains("not permitted"), "{}", says(&group));
}

#[test]
fn nothing_points_to_what_is_not_there_yet() {
    for verdict in Verdict::ALL {
        assert!(!verdict.title().contains("--paths"));
    }
    let group = one(go(), owned(owner()));
    assert!(!group.fix.contains("--paths") && !says(&group).contains("--paths"));
}
