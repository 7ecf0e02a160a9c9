//! Which container a cgroup's path names.

use model::Container;

/// What is put before the id, by runtime. Runtimes that run under systemd make a
/// scope, `docker-ID.scope`; others just the name before the dot. The helpers
/// beside a container (`crio-conmon-ID.scope`, `libpod-conmon-ID.scope`) do not
/// match, since an id has no `m`.
const PREFIXES: [(&str, &str); 6] = [
    ("docker-", "docker"),
    ("cri-containerd-", "containerd"),
    ("nerdctl-", "containerd"),
    ("crio-", "cri-o"),
    ("libpod-payload-", "podman"),
    ("libpod-", "podman"),
];

/// The innermost container in a path. Where one runs inside another (docker in
/// docker, Kubernetes in docker), that is the one whose processes these are; the
/// outer one can be read in the path. Its names stay unknown, as the files of the
/// inner runtime are inside the outer container.
pub(super) fn find(components: &[&str]) -> Option<Container> {
    (0..components.len()).rev().find_map(|index| {
        let (runtime, id) = identify(components, index)?;
        let pod_uid = components[..=index]
            .iter()
            .rev()
            .find_map(|name| pod_uid(name));
        Some(Container {
            runtime: runtime.map(str::to_owned),
            id,
            pod_uid,
            ..Container::default()
        })
    })
}

/// Runtime and id, if this component is a container's.
pub(super) fn identify(
    components: &[&str],
    index: usize,
) -> Option<(Option<&'static str>, String)> {
    let name = components[index];
    let parent = index.checked_sub(1).map(|i| components[i]);
    let plain = name.strip_suffix(".scope").unwrap_or(name);

    for (prefix, runtime) in PREFIXES {
        if let Some(id) = plain.strip_prefix(prefix).filter(|id| is_id(id)) {
            return Some((Some(runtime), id.to_owned()));
        }
    }
    // `SLICE:cri-containerd:ID`: a name meant for systemd, in the hands of a
    // runtime that makes its cgroups itself.
    if let Some((_, last)) = name.split_once(':')
        && let Some((prefix, id)) = last.split_once(':')
        && let Some((_, runtime)) = PREFIXES
            .iter()
            .find(|(p, _)| p.strip_suffix('-') == Some(prefix))
        && is_id(id)
    {
        return Some((Some(runtime), id.to_owned()));
    }
    // Runtimes that use a folder of their own.
    match parent {
        Some("lxc" | "lxc.payload") => return Some((Some("lxc"), name.to_owned())),
        Some("garden") if !matches!(name, "good" | "bad") => {
            return Some((Some("garden"), name.to_owned()));
        }
        Some("good") if index >= 2 && components[index - 2] == "garden" => {
            return Some((Some("garden"), name.to_owned()));
        }
        _ => {}
    }
    if let Some(name) = name
        .strip_prefix("lxc.payload.")
        .filter(|name| !name.is_empty())
    {
        return Some((Some("lxc"), name.to_owned()));
    }
    if (is_full_id(name) || is_fargate_id(name)) && components[..index].contains(&"ecs") {
        return Some((Some("ecs"), name.to_owned()));
    }
    // `/docker/ID`, `/kubepods/burstable/podUID/ID`, or a folder that somebody
    // chose (`docker run --cgroup-parent`).
    if is_full_id(name) {
        return match parent {
            Some("docker") => Some((Some("docker"), name.to_owned())),
            // A pod of podman: its containers are below, and conmon beside them.
            Some("libpod_parent") => None,
            _ => Some((None, name.to_owned())),
        };
    }
    machine(name, components.get(index + 1).copied())
}

/// A machine of systemd-machined. Beside the machine's own processes, in
/// `payload`, its cgroup holds systemd-nspawn itself, in `supervisor`.
fn machine(name: &str, below: Option<&str>) -> Option<(Option<&'static str>, String)> {
    let escaped = match name.strip_prefix("machine-") {
        Some(rest) => rest.strip_suffix(".scope"),
        None => name
            .strip_prefix("systemd-nspawn@")?
            .strip_suffix(".service"),
    }?;
    let id = unescape(escaped);
    // Virtual machines register there too: they are no containers.
    if below == Some("supervisor") || id.is_empty() || id.starts_with("qemu-") {
        return None;
    }
    let runtime = if id.starts_with("lxc-") {
        "libvirt-lxc"
    } else {
        "systemd-nspawn"
    };
    Some((Some(runtime), id))
}

/// An id after a prefix that already says what it is.
fn is_id(text: &str) -> bool {
    (32..=64).contains(&text.len()) && is_hex(text)
}

/// An id that stands alone: docker's, containerd's, cri-o's and podman's are 64 digits.
fn is_full_id(text: &str) -> bool {
    text.len() == 64 && is_hex(text)
}

/// AWS Fargate: the task's id, a dash, a decimal number.
fn is_fargate_id(text: &str) -> bool {
    text.split_once('-').is_some_and(|(task, number)| {
        task.len() == 32
            && is_hex(task)
            && !number.is_empty()
            && number.bytes().all(|b| b.is_ascii_digit())
    })
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The uid in `podUID` or `kubepods-burstable-podUID.slice`. In a slice's name it
/// has underscores, since a dash means "below". A static pod's has no dashes.
fn pod_uid(name: &str) -> Option<String> {
    let name = name.split(':').next().unwrap_or(name);
    let uid = match name.strip_suffix(".slice") {
        Some(slice) if slice.contains("kubepods") => slice.rsplit_once("-pod")?.1,
        Some(_) => return None,
        None => name.strip_prefix("pod")?,
    };
    let valid = (32..=36).contains(&uid.len())
        && uid
            .bytes()
            .all(|b| b.is_ascii_hexdigit() || matches!(b, b'-' | b'_'));
    valid.then(|| uid.replace('_', "-"))
}

/// systemd's `\xNN` for what a unit's name cannot hold (`unit_name_escape`).
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\\x") {
        plain.push_str(&rest[..at]);
        let code = rest
            .get(at + 2..at + 4)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        if let Some(byte) = code.filter(u8::is_ascii_graphic) {
            plain.push(char::from(byte));
            rest = &rest[at + 4..];
        } else {
            plain.push_str("\\x");
            rest = &rest[at + 2..];
        }
    }
    plain + rest
}
