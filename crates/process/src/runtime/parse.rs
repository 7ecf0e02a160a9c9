//! What a runtime's files say about a container. Bytes in, names out.

use serde::Deserialize;

/// Longest name that is taken: a pod's has at most 253 bytes, a container's and
/// a namespace's at most 63.
const LONGEST: usize = 255;

/// What a runtime calls a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// The container.
    pub name: Option<String>,
    /// Its pod.
    pub pod: Option<String>,
    /// The pod's namespace.
    pub namespace: Option<String>,
    /// The pod's uid.
    pub pod_uid: Option<String>,
}

impl Names {
    /// At least one of them is known.
    fn told(self) -> Option<Self> {
        (self != Self::default()).then_some(self)
    }
}

/// Labels of the kubelet (kubernetes `pkg/kubelet/types/labels.go`), which docker
/// keeps as labels and cri-o as annotations. Beside them cri-o writes what the
/// pod's author chose, so that containerd's words mean nothing here.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Labels {
    #[serde(rename = "io.kubernetes.container.name")]
    container: Option<String>,
    #[serde(rename = "io.kubernetes.pod.name")]
    pod: Option<String>,
    #[serde(rename = "io.kubernetes.pod.namespace")]
    namespace: Option<String>,
    #[serde(rename = "io.kubernetes.pod.uid")]
    uid: Option<String>,
}

impl Labels {
    fn names(self) -> Names {
        Names {
            name: name(self.container),
            pod: name(self.pod),
            namespace: name(self.namespace),
            pod_uid: name(self.uid),
        }
    }
}

/// The OCI `config.json` of a container of cri-o.
pub fn crio(json: &[u8]) -> Option<Names> {
    #[derive(Deserialize)]
    struct Spec {
        annotations: Option<Labels>,
    }
    let spec: Spec = serde_json::from_slice(json).ok()?;
    spec.annotations?.names().told()
}

/// The OCI `config.json` of a container of containerd: annotations of its CRI
/// plugin (`pkg/cri/annotations`), or of nerdctl (`pkg/labels`).
pub fn containerd(json: &[u8]) -> Option<Names> {
    #[derive(Deserialize)]
    struct Spec {
        annotations: Option<Annotations>,
    }
    #[derive(Deserialize)]
    struct Annotations {
        #[serde(rename = "io.kubernetes.cri.container-name")]
        container: Option<String>,
        #[serde(rename = "io.kubernetes.cri.sandbox-name")]
        pod: Option<String>,
        #[serde(rename = "io.kubernetes.cri.sandbox-namespace")]
        namespace: Option<String>,
        /// Since containerd 1.6.11.
        #[serde(rename = "io.kubernetes.cri.sandbox-uid")]
        uid: Option<String>,
        #[serde(rename = "nerdctl/name")]
        nerdctl: Option<String>,
    }
    let spec: Spec = serde_json::from_slice(json).ok()?;
    let found = spec.annotations?;
    Names {
        name: name(found.container).or_else(|| name(found.nerdctl)),
        pod: name(found.pod),
        namespace: name(found.namespace),
        pod_uid: name(found.uid),
    }
    .told()
}

/// docker's `config.v2.json`, whose name begins with a slash. The container is
/// called by its pod's word for it where it belongs to one (cri-dockerd).
pub fn docker(json: &[u8]) -> Option<Names> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct File {
        name: Option<String>,
        config: Option<Config>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Config {
        labels: Option<Labels>,
    }
    let file: File = serde_json::from_slice(json).ok()?;
    let labels = file.config.and_then(|config| config.labels);
    let mut names = labels.unwrap_or_default().names();
    if names.name.is_none() {
        let plain = file.name.map(|n| n.trim_start_matches('/').to_owned());
        names.name = name(plain);
    }
    names.told()
}

/// Where docker keeps its files, of `daemon.json`.
pub fn docker_root(json: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct File {
        #[serde(rename = "data-root", alias = "graph")]
        root: Option<String>,
    }
    let file: File = serde_json::from_slice(json).ok()?;
    file.root.filter(|root| root.starts_with('/'))
}

/// The container's entry in the index of containers/storage, which podman uses.
pub fn storage_index(json: &[u8], id: &str) -> Option<Names> {
    #[derive(Deserialize)]
    struct Entry {
        id: String,
        names: Option<Vec<String>>,
    }
    let entries: Vec<Entry> = serde_json::from_slice(json).ok()?;
    let entry = entries.into_iter().find(|entry| entry.id == id)?;
    let first = entry.names?.into_iter().next();
    Names {
        name: name(first),
        ..Names::default()
    }
    .told()
}

fn name(text: Option<String>) -> Option<String> {
    text.filter(|text| (1..=LONGEST).contains(&text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(name: Option<&str>, pod: Option<&str>, namespace: Option<&str>) -> Names {
        Names {
            name: name.map(Into::into),
            pod: pod.map(Into::into),
            namespace: namespace.map(Into::into),
            pod_uid: None,
        }
    }

    #[test]
    fn containerds_annotations_and_cri_os_labels() {
        let bundle = br#"{"ociVersion":"1.1.0","process":{"args":["x"]},"annotations":{
            "io.kubernetes.cri.container-name":"app","io.kubernetes.cri.container-type":"container",
            "io.kubernetes.cri.sandbox-name":"web-1","io.kubernetes.cri.sandbox-namespace":"shop"}}"#;
        let expected = Some(names(Some("app"), Some("web-1"), Some("shop")));
        assert_eq!(containerd(bundle), expected);
        let bundle =
            br#"{"annotations":{"io.kubernetes.container.name":"app","org.systemd.property.x":"1",
            "io.kubernetes.pod.name":"web-1","io.kubernetes.pod.namespace":"shop",
            "io.kubernetes.cri.sandbox-name":"the author says"}}"#;
        assert_eq!(crio(bundle), expected);
        // A pod's sandbox has no container name.
        let sandbox = br#"{"annotations":{"io.kubernetes.cri.sandbox-name":"web-1"}}"#;
        assert_eq!(containerd(sandbox), Some(names(None, Some("web-1"), None)));
    }

    #[test]
    fn dockers_name_or_that_of_the_kubelet() {
        let plain = br#"{"Name":"/db","Config":{"Labels":{"a":"b"}},"State":{}}"#;
        assert_eq!(docker(plain), Some(names(Some("db"), None, None)));
        let pod = br#"{"Name":"/k8s_app_web-1_shop_5_0","Config":{"Labels":{
            "io.kubernetes.container.name":"app","io.kubernetes.pod.name":"web-1",
            "io.kubernetes.pod.namespace":"shop"}}}"#;
        let expected = names(Some("app"), Some("web-1"), Some("shop"));
        assert_eq!(docker(pod), Some(expected));
        let bare = br#"{"Name":"/db","Config":{"Labels":null}}"#;
        assert_eq!(docker(bare), Some(names(Some("db"), None, None)));
        let root = br#"{"data-root":"/mnt/docker","log-driver":"json-file"}"#;
        assert_eq!(docker_root(root).as_deref(), Some("/mnt/docker"));
        assert_eq!(docker_root(br#"{"data-root":"docker"}"#), None);
    }

    #[test]
    fn the_right_entry_of_an_index() {
        let index = br#"[{"id":"ab","names":["db"],"metadata":"{}"},{"id":"cd","names":["web","w"]},{"id":"ef"}]"#;
        assert_eq!(
            storage_index(index, "cd"),
            Some(names(Some("web"), None, None))
        );
        assert_eq!(storage_index(index, "ef"), None);
        assert_eq!(storage_index(index, "gh"), None);
    }

    #[test]
    fn what_is_not_in_the_format_names_nothing() {
        let long = format!(
            r#"{{"annotations":{{"io.kubernetes.pod.name":"{}"}}}}"#,
            "x".repeat(LONGEST + 1)
        );
        let deep = "[".repeat(100_000);
        for bad in [
            "",
            "{}",
            "[]",
            "null",
            r#"{"annotations":[]}"#,
            r#"{"annotations":{"io.kubernetes.pod.name":7}}"#,
            r#"{"annotations":{"io.kubernetes.pod.name":""}}"#,
            r#"{"Name":"/"}"#,
            &long,
            &deep,
        ] {
            let bad = bad.as_bytes();
            assert_eq!(
                (containerd(bad), crio(bad), docker(bad)),
                (None, None, None)
            );
            assert_eq!((storage_index(bad, ""), docker_root(bad)), (None, None));
        }
    }
}
