//! Names of containers and pods, from the files of the runtime that runs them.
//!
//! The files say what the runtime's socket would, and need no client, no
//! protocol and no answer from a daemon that may hang. They are root's, as the
//! sockets are.

mod files;
pub mod parse;

pub(crate) use files::HostFiles;

use crate::Proc;
use model::Container;
use parse::Names;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Most that is read of a container's own file: usually 5 to 30 KiB.
const FILE: usize = 1 << 20;
/// Most that is read of an index of all containers: some 600 bytes each.
const INDEX: usize = 4 << 20;
/// Containers that are remembered; past that all are forgotten.
const KNOWN: usize = 16 << 10;

/// Where containerd keeps bundles: its own, that of k3s and RKE2, k0s, microk8s,
/// and the one that docker starts itself.
const CONTAINERD: [&str; 5] = [
    "run/containerd",
    "run/k3s/containerd",
    "run/k0s/containerd",
    "var/snap/microk8s/common/run/containerd",
    "run/docker/containerd/daemon",
];
/// containerd's namespaces: the kubelet's, and that of `nerdctl` and `ctr`.
const NAMESPACES: [&str; 2] = ["k8s.io", "default"];
/// Where containers/storage keeps what cri-o and podman write.
const STORAGE: [&str; 2] = ["run/containers/storage", "var/lib/containers/storage"];

/// What is known of containers, by what their cgroup's path says of them.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<HashMap<Container, Arc<Container>>>);

impl Proc {
    /// A container with its names, looked for once; as it was if nothing is found.
    pub(crate) fn name_container(&self, container: Container) -> Arc<Container> {
        let mut known = self.known.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(named) = known.get(&container) {
            return Arc::clone(named);
        }
        if known.len() >= KNOWN {
            known.clear();
        }
        let named = Arc::new(self.look_up(&container).unwrap_or(container.clone()));
        known.insert(container, Arc::clone(&named));
        named
    }

    fn look_up(&self, container: &Container) -> Option<Container> {
        // The id becomes part of a path.
        let id = container.id.as_str();
        if !id.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let files = HostFiles::open(self)?;
        let (runtime, names) = match container.runtime.as_deref() {
            Some("containerd") => ("containerd", containerd(&files, id)?),
            Some("docker" | "ecs") => ("docker", docker(&files, id)?),
            Some("cri-o") => ("cri-o", crio(&files, id)?),
            Some("podman") => ("podman", podman(&files, id)?),
            Some(_) => return None,
            // `/kubepods/burstable/podUID/ID` does not say whose it is.
            None => containerd(&files, id)
                .map(|names| ("containerd", names))
                .or_else(|| Some(("cri-o", crio(&files, id)?)))
                .or_else(|| Some(("docker", docker(&files, id)?)))?,
        };
        fill(container, runtime, names)
    }
}

/// Puts names to a container, unless the runtime and the cgroup's path disagree
/// about the pod: whoever may make cgroups can borrow another container's id.
fn fill(container: &Container, runtime: &str, names: Names) -> Option<Container> {
    if let (Some(path), Some(file)) = (&container.pod_uid, &names.pod_uid)
        && path != file
    {
        return None;
    }
    Some(Container {
        runtime: container.runtime.clone().or(Some(runtime.to_owned())),
        id: container.id.clone(),
        pod_uid: container.pod_uid.clone().or(names.pod_uid),
        pod: names.pod,
        namespace: names.namespace,
        name: names.name,
    })
}

fn containerd(files: &HostFiles, id: &str) -> Option<Names> {
    CONTAINERD.iter().find_map(|root| {
        NAMESPACES.iter().find_map(|namespace| {
            let path = format!("{root}/io.containerd.runtime.v2.task/{namespace}/{id}/config.json");
            parse::containerd(&files.read(&path, FILE)?)
        })
    })
}

fn crio(files: &HostFiles, id: &str) -> Option<Names> {
    STORAGE.iter().find_map(|root| {
        let path = format!("{root}/overlay-containers/{id}/userdata/config.json");
        parse::crio(&files.read(&path, FILE)?)
    })
}

fn docker(files: &HostFiles, id: &str) -> Option<Names> {
    let at = |root: &str| {
        let path = format!("{root}/containers/{id}/config.v2.json");
        parse::docker(&files.read(&path, FILE)?)
    };
    at("var/lib/docker")
        .or_else(|| at("var/snap/docker/common/var-lib-docker"))
        .or_else(|| {
            let config = files.read("etc/docker/daemon.json", FILE)?;
            at(&parse::docker_root(&config)?)
        })
}

/// podman's own names are in a data base; the storage has them too, the
/// containers that do not outlive a boot in a file apart.
fn podman(files: &HostFiles, id: &str) -> Option<Names> {
    STORAGE.iter().find_map(|root| {
        ["containers", "volatile-containers"]
            .iter()
            .find_map(|index| {
                let path = format!("{root}/overlay-containers/{index}.json");
                parse::storage_index(&files.read(&path, INDEX)?, id)
            })
    })
}
