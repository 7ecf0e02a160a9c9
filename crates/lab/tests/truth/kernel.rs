//! What bpftool tells.

use model::Kind;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
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
            Some(Object(kind, number(&value["id"])?))
        })
}

/// Which objects hold which: by the kind of reference, holder and held.
pub fn holders() -> BTreeMap<&'static str, Vec<(Object, Object)>> {
    let mut of_programs = Vec::new();
    for program in rows(&["prog", "show"]) {
        let Some(id) = number(&program["id"]) else {
            continue;
        };
        let maps = program["map_ids"].as_array().into_iter().flatten();
        let held = maps.filter_map(number).map(|map| Object(Kind::Map, map));
        of_programs.extend(held.map(|map| (Object(Kind::Prog, id), map)));
    }
    let links = rows(&["link", "show"]).into_iter().filter_map(|link| {
        let program = Object(Kind::Prog, number(&link["prog_id"])?);
        Some((Object(Kind::Link, number(&link["id"])?), program))
    });
    let mut of_maps = BTreeMap::from([("outer-map", Vec::new()), ("prog-array", Vec::new())]);
    for map in rows(&["map", "show"]) {
        let (by, kind) = match map["type"].as_str() {
            Some("array_of_maps" | "hash_of_maps") => ("outer-map", Kind::Map),
            Some("prog_array") => ("prog-array", Kind::Prog),
            _ => continue,
        };
        if let Some(id) = number(&map["id"]) {
            let held = entries(id).into_iter().map(|held| Object(kind, held));
            let pairs = held.map(|held| (Object(Kind::Map, id), held));
            of_maps.entry(by).or_default().extend(pairs);
        }
    }
    let mut all = of_maps;
    all.insert("prog", of_programs);
    all.insert("link", links.collect());
    all
}

/// Ids in the values of a map whose values are objects.
fn entries(map: u32) -> Vec<u32> {
    let bytes = |entry: &Value| -> Option<u32> {
        let bytes: Vec<u8> = entry["value"]
            .as_array()?
            .iter()
            .filter_map(|byte| u8::from_str_radix(byte.as_str()?.trim_start_matches("0x"), 16).ok())
            .collect();
        Some(u32::from_ne_bytes(bytes.try_into().ok()?))
    };
    rows(&["map", "dump", "id", &map.to_string()])
        .iter()
        .filter_map(bytes)
        .collect()
}

/// Programs on the devices of a process's network: by XDP, and by filters of traffic control.
pub fn on_devices(pid: u32) -> [BTreeSet<u32>; 2] {
    let mut command = Command::new("nsenter");
    command.args([
        "--target",
        &pid.to_string(),
        "--net",
        bpftool_path(),
        "-j",
        "net",
        "show",
    ]);
    let value = answer(&mut command).unwrap_or_default();
    ["xdp", "tc"].map(|by| {
        let places = value[0][by].as_array().into_iter().flatten();
        places.filter_map(|place| number(&place["id"])).collect()
    })
}

/// Programs attached to a cgroup.
pub fn on_cgroup(path: &Path) -> BTreeSet<u32> {
    let rows = match path.to_str() {
        Some(path) if Path::new(path).exists() => rows(&["cgroup", "show", path]),
        _ => Vec::new(),
    };
    rows.iter().filter_map(|row| number(&row["id"])).collect()
}

/// Programs with a link of this type.
pub fn linked_as(type_name: &str) -> BTreeSet<u32> {
    let links = rows(&["link", "show"]);
    let of_type = links.iter().filter(|link| link["type"] == type_name);
    of_type
        .filter_map(|link| number(&link["prog_id"]))
        .collect()
}

fn number(value: &Value) -> Option<u32> {
    value.as_u64()?.try_into().ok()
}

/// What is a list; nothing if there is nothing to list.
fn rows(arguments: &[&str]) -> Vec<Value> {
    match bpftool(arguments) {
        Some(Value::Array(rows)) => rows,
        _ => Vec::new(),
    }
}

fn bpftool(arguments: &[&str]) -> Option<Value> {
    answer(Command::new(bpftool_path()).arg("-j").args(arguments))
}

fn bpftool_path() -> &'static str {
    let tool = ["/usr/sbin/bpftool", "/usr/bin/bpftool"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    tool.expect("bpftool is installed (make deps)")
}

fn answer(command: &mut Command) -> Option<Value> {
    let output = command.output().expect("bpftool runs");
    let value: Value = serde_json::from_slice(&output.stdout).ok()?;
    (output.status.success() && value.get("error").is_none()).then_some(value)
}
