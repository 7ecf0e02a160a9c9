//! What bpftool tells.

use model::Kind;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Kind and id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object(pub Kind, pub u32);

/// What bpftool says of an object.
pub struct Seen {
    pub name: String,
    pub type_name: String,
}

/// The object, if it is there.
pub fn listed(Object(kind, id): Object) -> Option<Seen> {
    let id = id.to_string();
    let value = bpftool(&[kind.as_str(), "show", "id", &id])?;
    // Links have no name; lastref has none either.
    let text = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
    Some(Seen {
        name: text("name"),
        type_name: text("type"),
    })
}

/// It is there.
pub fn lives(object: Object) -> bool {
    listed(object).is_some()
}

/// What is pinned in the bpffs of a process.
pub fn pinned_below(pid: u32) -> BTreeSet<Object> {
    let mut found = BTreeSet::new();
    let mut folders = vec![PathBuf::from(format!("/proc/{pid}/root/sys/fs/bpf"))];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else {
                found.extend(pinned(&path));
            }
        }
    }
    found
}

fn pinned(path: &Path) -> Option<Object> {
    [Kind::Map, Kind::Prog, Kind::Link]
        .into_iter()
        .find_map(|kind| {
            let value = bpftool(&[kind.as_str(), "show", "pinned", path.to_str()?])?;
            Some(Object(kind, value["id"].as_u64()?.try_into().ok()?))
        })
}

fn bpftool(arguments: &[&str]) -> Option<Value> {
    let tool = ["/usr/sbin/bpftool", "/usr/bin/bpftool"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    let tool = tool.expect("bpftool is installed (make deps)");
    let output = Command::new(tool)
        .arg("-j")
        .args(arguments)
        .output()
        .expect("bpftool runs");
    let value: Value = serde_json::from_slice(&output.stdout).ok()?;
    (output.status.success() && value.get("error").is_none()).then_some(value)
}
