//! Paths as hosts have them.

use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const UID: &str = "5cf30a3a-6c8e-4d5e-9c1f-0a1b2c3d4e5f";

/// A path with `ID`, `UID` and `U_ID` filled in.
fn fill(path: &str) -> String {
    path.replace("U_ID", &UID.replace('-', "_"))
        .replace("UID", UID)
        .replace("ID", ID)
}

fn unified(path: &str) -> Membership {
    parse(format!("0::{}\n", fill(path)).as_bytes()).expect(path)
}

#[test]
fn containers_by_path() {
    // path, runtime, id, has a pod
    let cases = [
        ("/docker/ID", "docker", "ID", false),
        ("/docker/ID/system.slice/x", "docker", "ID", false),
        ("/system.slice/docker-ID.scope", "docker", "ID", false),
        (
            "/system.slice/docker-ID.scope (deleted)",
            "docker",
            "ID",
            false,
        ),
        (
            "/ecstasks.slice/ecstasks-1.slice/docker-ID.scope",
            "docker",
            "ID",
            false,
        ),
        ("/system.slice/nerdctl-ID.scope", "containerd", "ID", false),
        (
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU_ID.slice/cri-containerd-ID.scope",
            "containerd",
            "ID",
            true,
        ),
        (
            "/kubepods.slice/kubepods-podU_ID.slice/cri-containerd-ID.scope",
            "containerd",
            "ID",
            true,
        ),
        (
            "/system.slice/containerd.service/kubepods-burstable-podU_ID.slice:cri-containerd:ID",
            "containerd",
            "ID",
            true,
        ),
        ("/kubepods/burstable/podUID/ID", "", "ID", true),
        ("/kubepods/podUID/ID", "", "ID", true),
        ("/../podUID/ID", "", "ID", true),
        ("/../cri-containerd-ID.scope", "containerd", "ID", false),
        (
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podU_ID.slice/crio-ID.scope",
            "cri-o",
            "ID",
            true,
        ),
        (
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podU_ID.slice/crio-ID.scope/container",
            "cri-o",
            "ID",
            true,
        ),
        ("/kubepods/besteffort/podUID/crio-ID", "cri-o", "ID", true),
        (
            "/machine.slice/libpod-ID.scope/container",
            "podman",
            "ID",
            false,
        ),
        ("/libpod_parent/libpod-ID", "podman", "ID", false),
        (
            "/system.slice/web.service/libpod-payload-ID",
            "podman",
            "ID",
            false,
        ),
        ("/lxc/web-1", "lxc", "web-1", false),
        ("/lxc.payload.web-1/init.scope", "lxc", "web-1", false),
        ("/lxc.payload/web-1", "lxc", "web-1", false),
        (
            r"/machine.slice/machine-deb\x2d12.scope/payload/init.scope",
            "systemd-nspawn",
            "deb-12",
            false,
        ),
        (
            "/machine.slice/systemd-nspawn@deb.service/payload",
            "systemd-nspawn",
            "deb",
            false,
        ),
        (
            r"/machine.slice/machine-lxc\x2d7\x2dweb.scope",
            "libvirt-lxc",
            "lxc-7-web",
            false,
        ),
        ("/garden/e5e43d44-9c1f", "garden", "e5e43d44-9c1f", false),
        (
            "/system.slice/garden.service/garden/good/e5e43d44-9c1f",
            "garden",
            "e5e43d44-9c1f",
            false,
        ),
        (
            "/ecs/0123456789abcdef0123456789abcdef/ID",
            "ecs",
            "ID",
            false,
        ),
        (
            "/ecs/0123456789abcdef0123456789abcdef/0123456789abcdef0123456789abcdef-3456789012",
            "ecs",
            "0123456789abcdef0123456789abcdef-3456789012",
            false,
        ),
        // cri-dockerd, podman's pods, ctr, LXD and Incus, Proxmox, rootless docker, a runner's own parent.
        (
            "/kubepods.slice/kubepods-podU_ID.slice/docker-ID.scope",
            "docker",
            "ID",
            true,
        ),
        (
            "/machine.slice/machine-libpod_pod_ID.slice/libpod-ID.scope/container",
            "podman",
            "ID",
            false,
        ),
        ("/libpod_parent/ID/libpod-ID", "podman", "ID", false),
        ("/k8s.io/ID", "", "ID", false),
        (
            "/lxc.payload.user_web/docker.slice",
            "lxc",
            "user_web",
            false,
        ),
        ("/lxc/101/ns/init.scope", "lxc", "101", false),
        (
            "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope",
            "docker",
            "ID",
            false,
        ),
        ("/actions_job/ID", "", "ID", false),
        // A name for systemd, docker with cgroupfs.
        (
            "/system.slice/docker.service/system.slice:docker:ID",
            "docker",
            "ID",
            false,
        ),
        // Docker in docker, in LXC; Kubernetes in docker: the innermost.
        (
            "/system.slice/docker-0000000000000000000000000000000000000000000000000000000000000000.scope/docker/ID",
            "docker",
            "ID",
            false,
        ),
        ("/lxc.payload.web/docker/ID", "docker", "ID", false),
        ("/kubelet/kubepods/besteffort/podUID/ID", "", "ID", true),
        (
            "/docker/ab/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podU_ID.slice/cri-containerd-ID.scope",
            "containerd",
            "ID",
            true,
        ),
    ];
    for (path, runtime, id, pod) in cases {
        let membership = unified(path);
        let container = membership
            .container
            .unwrap_or_else(|| panic!("{path} is a container's"));
        assert_eq!(
            container.runtime.as_deref(),
            Some(runtime).filter(|r| !r.is_empty()),
            "{path}"
        );
        assert_eq!(container.id, fill(id), "{path}");
        assert_eq!(container.pod_uid.as_deref(), pod.then_some(UID), "{path}");
        assert_eq!(membership.path, fill(path));
    }
}

#[test]
fn a_static_pods_uid_has_no_dashes() {
    let path = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0123456789abcdef0123456789abcdef.slice/crio-ID.scope";
    let container = unified(path).container.expect("a container");
    assert_eq!(
        container.pod_uid.as_deref(),
        Some("0123456789abcdef0123456789abcdef")
    );
}

#[test]
fn not_containers() {
    for path in [
        "/",
        "/system.slice/docker.service",
        "/machine.slice/libpod-conmon-ID.scope",
        "/system.slice/crio-conmon-ID.scope",
        "/kubepods.slice/kubepods-podU_ID.slice/crio-conmon-ID.scope",
        "/libpod_parent/ID/conmon",
        "/machine.slice/machine-libpod_pod_ID.slice",
        "/default/admin",
        "/system.slice/containerd.service",
        "/lxc.monitor.web",
        "/lxc",
        r"/machine.slice/machine-qemu\x2d1\x2dvm.scope/libvirt/vcpu0",
        r"/machine.slice/machine-deb.scope/supervisor",
        "/kubepods/burstable/podUID",
        "/kubepods.slice/kubepods-podU_ID.slice",
        "/process_api/c856506219cebba9ff6ca981d9f5bef3",
        "/docker/buildx",
        "/system.slice/docker-xyz.scope",
    ] {
        assert_eq!(unified(path).container, None, "{path}");
    }
}

#[test]
fn units_by_path() {
    let cases = [
        ("/system.slice/cron.service", Some("cron.service")),
        ("/system.slice/foo.service/sub/dir", Some("foo.service")),
        ("/init.scope", Some("init.scope")),
        ("/system.slice/run-foo.mount", Some("run-foo.mount")),
        ("/system.slice/ssh.socket", Some("ssh.socket")),
        // Its real name: what systemctl wants.
        (
            r"/system.slice/system-systemd\x2dfsck.slice/systemd-fsck@dev-sda.service",
            Some("systemd-fsck@dev-sda.service"),
        ),
        (
            r"/system.slice/dbus-:1.2-org.foo\x2dbar@0.service",
            Some(r"dbus-:1.2-org.foo\x2dbar@0.service"),
        ),
        ("/system.slice/_cgroup.service", Some("cgroup.service")),
        ("/system.slice/foo.service (deleted)", Some("foo.service")),
        (
            "/user.slice/user-1000.slice/session-3.scope",
            Some("session-3.scope"),
        ),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/app-foo.service",
            Some("app-foo.service"),
        ),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/app-term.slice/vte-spawn-1.scope",
            Some("vte-spawn-1.scope"),
        ),
        ("/user.slice/user-1000.slice", Some("user-1000.slice")),
        (
            "/machine.slice/libpod-conmon-ID.scope",
            Some(&*fill("libpod-conmon-ID.scope")),
        ),
        (
            r"/machine.slice/machine-qemu\x2d1\x2dvm.scope",
            Some(r"machine-qemu\x2d1\x2dvm.scope"),
        ),
        (
            "/machine.slice/machine-deb.scope/supervisor",
            Some("machine-deb.scope"),
        ),
        ("/", None),
        ("/.service", None),
        ("/a/b", None),
        // Containers: never their own scope, nor a slice.
        ("/system.slice/docker-ID.scope", None),
        (
            "/kubepods.slice/kubepods-podU_ID.slice/cri-containerd-ID.scope",
            None,
        ),
        (
            "/system.slice/docker-ID.scope/kubelet.slice/cri-containerd-ID.scope",
            None,
        ),
        (
            "/system.slice/docker-ID.scope/system.slice/nginx.service",
            Some("nginx.service"),
        ),
        (
            "/system.slice/web.service/libpod-payload-ID",
            Some("web.service"),
        ),
        (
            "/machine.slice/systemd-nspawn@deb.service/payload",
            Some("systemd-nspawn@deb.service"),
        ),
        (
            "/machine.slice/machine-deb.scope/payload/system.slice/cron.service",
            Some("cron.service"),
        ),
        (
            "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container",
            Some("user@1000.service"),
        ),
    ];
    for (path, unit) in cases {
        assert_eq!(unified(path).unit.as_deref(), unit, "{path}");
    }
}

fn chosen(content: &str) -> (String, Option<String>, bool) {
    let m = parse(fill(content).as_bytes()).expect("a cgroup");
    (m.path, m.unit, m.container.is_some())
}

#[test]
fn the_unified_hierarchy_comes_first_unless_it_is_the_root() {
    assert_eq!(chosen("4:memory:/long/path\n0::/a\n").0, "/a");
    assert_eq!(
        chosen("9:name=systemd:/s\n8:pids:/p\n4:memory:/m\n0::/\n").0,
        "/m"
    );
    assert_eq!(
        chosen("9:name=systemd:/s\n8:pids:/p\n4:memory:/\n0::/\n").0,
        "/p"
    );
    assert_eq!(
        chosen("9:name=systemd:/s\n3:cpu,cpuacct:/c\n4:memory:/\n").0,
        "/s"
    );
    assert_eq!(chosen("3:cpu,cpuacct:/c\n4:memory:/\n0::/\n").0, "/c");
    assert_eq!(chosen("4:hugetlb,memory:/m\n8:pids:/p\n").0, "/m");
    assert_eq!(chosen("4:memory:/\n0::/\n").0, "/");
}

#[test]
fn a_container_in_a_v1_hierarchy_wins_over_the_runtimes_service() {
    let content =
        "9:name=systemd:/docker/ID\n4:memory:/docker/ID\n0::/system.slice/containerd.service\n";
    assert_eq!(chosen(content), (fill("/docker/ID"), None, true));
}

#[test]
fn the_unit_may_come_from_systemds_own_hierarchy() {
    let content = "4:memory:/custom\n1:name=systemd:/system.slice/cron.service\n0::/\n";
    assert_eq!(
        chosen(content),
        ("/custom".into(), Some("cron.service".into()), false)
    );
}

#[test]
fn colons_in_paths_and_lines_that_are_none() {
    assert_eq!(
        chosen("garbage\n\n1\n1:\n0::relative\n0::/a:b:c\n").0,
        "/a:b:c"
    );
    assert_eq!(parse(b""), None);
    assert_eq!(parse(b"garbage\n"), None);
    assert_eq!(parse(b"0::/a\xff\n").expect("a cgroup").path, r"/a\xff");
}
