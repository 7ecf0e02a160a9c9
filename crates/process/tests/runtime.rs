//! Containers and the files of their runtimes, in roots that a test has written.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use model::Container;
use process::Proc;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use tempfile::TempDir;

const STAT: &str = "S 1 4242 4242 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 3 0 159487 1 1\n";
const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A folder with one process, 4242.
fn root() -> (TempDir, Proc) {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "4242/stat", format!("4242 (agent) {STAT}"));
    let proc = Proc::with_root(dir.path());
    (dir, proc)
}

fn write(root: &Path, name: &str, content: impl AsRef<[u8]>) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// A process of this cgroup, as seen where the host's root has these files.
fn container_of(cgroup: &str, files: &[(&str, &str)]) -> Container {
    let (dir, proc) = root();
    write(dir.path(), "4242/cgroup", format!("0::{cgroup}\n"));
    for (name, content) in files {
        write(&dir.path().join("1/root"), name, content);
    }
    let process = proc.describe(4242).unwrap();
    let again = proc.describe(4242).unwrap();
    let (container, again) = (process.container.unwrap(), again.container.unwrap());
    assert!(std::sync::Arc::ptr_eq(&container, &again));
    (*container).clone()
}

/// Name, pod, namespace and runtime.
fn names(container: &Container) -> [Option<&str>; 4] {
    [
        container.name.as_deref(),
        container.pod.as_deref(),
        container.namespace.as_deref(),
        container.runtime.as_deref(),
    ]
}

#[test]
fn each_runtimes_files_name_the_container() {
    let uid = "5cf30a3a-6c8e-4d5e-9c1f-0a1b2c3d4e5f";
    let cri = format!(
        r#"{{"annotations":{{"io.kubernetes.cri.container-name":"app","io.kubernetes.cri.sandbox-name":"web-1",
        "io.kubernetes.cri.sandbox-namespace":"shop","io.kubernetes.cri.sandbox-uid":"{uid}"}}}}"#
    );
    let labels = r#"{"annotations":{"io.kubernetes.container.name":"app","io.kubernetes.pod.name":"web-1",
        "io.kubernetes.pod.namespace":"shop"}}"#;
    let docker = r#"{"Name":"/db","Config":{"Labels":{}}}"#;
    let index = format!(r#"[{{"id":"{ID}","names":["db"]}}]"#);
    let task = "io.containerd.runtime.v2.task/k8s.io";
    let pod = [Some("app"), Some("web-1"), Some("shop")];
    let db = [Some("db"), None, None];
    let scope = "kubepods.slice/kubepods-pod5cf30a3a_6c8e_4d5e_9c1f_0a1b2c3d4e5f.slice";
    // cgroup, file, its content, names, runtime
    let cases = [
        (
            format!("/{scope}/cri-containerd-{ID}.scope"),
            format!("run/containerd/{task}/{ID}/config.json"),
            &*cri,
            pod,
            "containerd",
        ),
        (
            format!("/kubepods/pod{uid}/{ID}"),
            format!("run/k3s/containerd/{task}/{ID}/config.json"),
            &cri,
            pod,
            "containerd",
        ),
        (
            format!("/{scope}/crio-{ID}.scope"),
            format!("run/containers/storage/overlay-containers/{ID}/userdata/config.json"),
            labels,
            pod,
            "cri-o",
        ),
        (
            format!("/kubepods/pod{uid}/{ID}"),
            format!("var/lib/containers/storage/overlay-containers/{ID}/userdata/config.json"),
            labels,
            pod,
            "cri-o",
        ),
        (
            format!("/docker/{ID}"),
            format!("var/lib/docker/containers/{ID}/config.v2.json"),
            docker,
            db,
            "docker",
        ),
        (
            format!("/machine.slice/libpod-{ID}.scope"),
            "var/lib/containers/storage/overlay-containers/containers.json".into(),
            &index,
            db,
            "podman",
        ),
        (
            format!("/machine.slice/libpod-{ID}.scope"),
            "run/containers/storage/overlay-containers/volatile-containers.json".into(),
            &index,
            db,
            "podman",
        ),
    ];
    for (cgroup, file, content, [name, pod, namespace], runtime) in cases {
        let container = container_of(&cgroup, &[(&file, content)]);
        let expected = [name, pod, namespace, Some(runtime)];
        assert_eq!(names(&container), expected, "{file}");
        assert_eq!(container.pod_uid.is_some(), pod.is_some(), "{file}");
    }
    let moved = container_of(
        &format!("/system.slice/docker-{ID}.scope"),
        &[
            ("etc/docker/daemon.json", r#"{"data-root":"/mnt/docker"}"#),
            (
                &format!("mnt/docker/containers/{ID}/config.v2.json"),
                docker,
            ),
        ],
    );
    assert_eq!(moved.name.as_deref(), Some("db"));
}

#[test]
fn a_cgroup_that_borrows_an_id_gets_no_names() {
    let other = "00000000-6c8e-4d5e-9c1f-0a1b2c3d4e5f";
    let file = format!("run/containerd/io.containerd.runtime.v2.task/k8s.io/{ID}/config.json");
    let cri = r#"{"annotations":{"io.kubernetes.cri.sandbox-name":"web-1",
        "io.kubernetes.cri.sandbox-uid":"5cf30a3a-6c8e-4d5e-9c1f-0a1b2c3d4e5f"}}"#;
    let container = container_of(&format!("/kubepods/pod{other}/{ID}"), &[(&file, cri)]);
    assert_eq!(names(&container), [None; 4]);
    assert_eq!(container.pod_uid.as_deref(), Some(other));
}

#[test]
fn a_runtimes_file_that_is_none_is_not_read() {
    let (dir, proc) = root();
    write(dir.path(), "4242/cgroup", format!("0::/docker/{ID}\n"));
    let folder = dir
        .path()
        .join("1/root")
        .join("var/lib/docker/containers")
        .join(ID);
    let file = folder.join("config.v2.json");
    fs::create_dir_all(&folder).unwrap();
    let named = || {
        // Without what was learned before.
        let proc = Proc::with_root(proc.root());
        proc.describe(4242).unwrap().container.unwrap().name.clone()
    };
    let docker = br#"{"Name":"/db"}"#;

    // Out of the root; the way out ends at the root.
    write(dir.path(), "outside/config.v2.json", docker);
    symlink(dir.path().join("outside/config.v2.json"), &file).unwrap();
    assert_eq!(named(), None);
    fs::remove_file(&file).unwrap();
    symlink("/../../../../outside/config.v2.json", &file).unwrap();
    assert_eq!(named(), None);
    // A link inside, from the root.
    write(&dir.path().join("1/root"), "outside/config.v2.json", docker);
    assert_eq!(named().as_deref(), Some("db"));
    fs::remove_file(&file).unwrap();

    // A pipe that nobody writes.
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &file,
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    assert_eq!(named(), None);
    fs::remove_file(&file).unwrap();

    // Too long.
    let mut long = docker.to_vec();
    long.resize((1 << 20) + 1, b' ');
    fs::write(&file, &long).unwrap();
    assert_eq!(named(), None);
    long.truncate(1 << 20);
    fs::write(&file, &long).unwrap();
    assert_eq!(named().as_deref(), Some("db"));
}
