use super::*;

const SYS: &str = "github.com/cilium/ebpf/internal/sys";

#[test]
fn an_fd_of_each_version() {
    let tells = |version| owner("*sys.FD", SYS, version).map(|o| (o.registers, o.tiny));
    for old in ["v0.8.1", "v0.9.1", "v0.16.0", "v0.19.0"] {
        assert_eq!(
            tells(Some(old)),
            Some((Registers::Finalizer, true)),
            "{old}"
        );
    }
    for new in ["v0.20.0", "v0.22.0", "v1.0.0"] {
        assert_eq!(tells(Some(new)), Some((Registers::Cleanup, false)), "{new}");
    }
    for either in [None, Some("(devel)")] {
        assert!(tells(either).is_some(), "{either:?}");
    }
    let older = owner(
        "*internal.FD",
        "github.com/cilium/ebpf/internal",
        Some("v0.5.0"),
    );
    assert!(older.is_some_and(|o| o.stands == FIRST_WORD));
}

#[test]
fn a_name_alone_is_not_enough() {
    assert_eq!(owner("*sys.FD", "example.org/sys", Some("v0.16.0")), None);
    assert_eq!(owner("*sys.Other", SYS, Some("v0.16.0")), None);
    assert_eq!(owner("", "", None), None);
    let vendored = "k8s.io/x/vendor/github.com/cilium/ebpf/internal/sys";
    assert!(owner("*sys.FD", vendored, Some("v0.16.0")).is_some());
}

#[test]
fn files_of_the_standard_library() {
    let file = owner("*os.file", "os", None).expect("known");
    let at = Stands::Descriptor {
        offset: 16,
        width: 8,
    };
    assert_eq!((file.stands, file.registers), (at, Registers::Finalizer));
    assert!(owner("*net.netFD", "net", Some("go1.27.3")).is_some());
}

#[test]
fn libbpfgo_registers_nothing() {
    let package = "github.com/aquasecurity/libbpfgo";
    for version in ["v0.4.5-libbpf-1.0.1", "v0.5.1-libbpf-1.2"] {
        let map = owner("*libbpfgo.BPFMapLow", package, Some(version)).expect("known");
        assert_eq!((map.registers, map.stands), (Registers::Never, FIRST_WORD));
    }
}

#[test]
fn names_of_cleanups() {
    let tells = |function| cleanup(function).map(|o| o.type_name);
    for fd in [
        "github.com/cilium/ebpf/internal/sys.newFD.func1",
        "github.com/cilium/ebpf/internal/sys.NewFD.newFD.func1",
        "github.com/cilium/ebpf/internal/sys.(*FD).Dup.newFD.func2",
        "runtime.AddCleanup[go.shape.struct { github.com/cilium/ebpf/internal/sys.raw int; github.com/cilium/ebpf/internal/sys.cleanup runtime.Cleanup },go.shape.int].func1",
    ] {
        assert_eq!(tells(fd), Some("*sys.FD"), "{fd}");
    }
    assert_eq!(
        tells("github.com/cilium/ebpf/internal/epoll.New.func1"),
        Some("*epoll.Poller")
    );
    for other in [
        "github.com/cilium/ebpf/internal/sys.newFD",
        "github.com/cilium/ebpf/internal/sys.newFD.func",
        "github.com/cilium/ebpf/internal/sys.newFD.func1x",
        "github.com/cilium/ebpf/internal/system.newFD.func1",
        "github.com/cilium/ebpf/internal/sys.renewFD.func1",
        "main.newFD2.func1",
        "runtime.AddCleanup[go.shape.struct { main.raw int },go.shape.int].func1",
        "",
    ] {
        assert_eq!(tells(other), None, "{other}");
    }
}

#[test]
fn versions_of_a_type_do_not_overlap() {
    for (at, a) in OWNERS.iter().enumerate() {
        for b in &OWNERS[at + 1..] {
            let same = (a.type_name, a.package) == (b.type_name, b.package);
            let apart = a.versions.end <= b.versions.start || b.versions.end <= a.versions.start;
            assert!(!same || apart, "{}", a.type_name);
        }
        assert_eq!(a.cleanup.is_some(), a.registers == Registers::Cleanup);
    }
}
