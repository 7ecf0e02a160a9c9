//! The links of the module `bpf_preload`: pinned in every bpffs, and held by itself.

use e2e::bpf::Kind;
use e2e::files::{BPFFS, private_bpffs};
use e2e::scene::{Cannot, OrImpossible, Stop};
use e2e::{Scene, Truth, Who, bpf, here, lastref, scene};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::path::Path;

const NAMES: [&str; 2] = ["maps.debug", "progs.debug"];

/// Other tests mount and lose bpffs meanwhile, so the count is compared with the
/// bpffs that there are, until both stood still.
#[test]
fn links_of_the_module() {
    let Some(s) = scene(here!(), |stage| {
        let bpffs = private_bpffs()?;
        let mut ids = Vec::new();
        for name in NAMES {
            let path = bpffs.join(name);
            if !path.exists() {
                let why = format!("CONFIG_BPF_PRELOAD is not set: no {name} in a new bpffs");
                return Err(Stop::Impossible(why));
            }
            // Seen on a 6.18 where the kernel lists no link at all.
            let link = bpf::open_pin(Kind::Link, &path).or_impossible(&[Cannot {
                errno: libc::ENOENT,
                since: None,
                why: "there is a name, but no link of the module behind it",
            }])?;
            ids.push(link.id);
        }
        stage.ready(json!({"ids": ids}))
    }) else {
        return;
    };
    for (name, id) in NAMES.into_iter().zip(s.ids("ids")) {
        let mut wrong = String::new();
        let right = (0..100).any(|_| {
            wrong = differences(&s, name, id);
            std::thread::sleep(std::time::Duration::from_millis(20));
            wrong.is_empty()
        });
        assert!(right, "link {id}, {name}: {wrong}");
    }
}

/// Empty if construction, kernel and program agree.
fn differences(s: &Scene, name: &str, id: u32) -> String {
    let truth = || Truth::get().read().refcnt(Kind::Link, id);
    let (bpffs, before) = (count_bpffs(), truth());
    let by_construction = bpffs.len() as u64 + 1;
    if before != Some(by_construction) {
        return format!("refcnt by construction {by_construction}, in the kernel {before:?}");
    }
    let report = lastref::ls();
    if truth() != before {
        return "the kernel's counter is moving".into();
    }
    let Some(link) = lastref::find(&report, Kind::Link, id) else {
        return "not in the report".into();
    };
    let references: Vec<&Value> = link["references"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    let of = |by: &'static str| references.iter().filter(move |r| r["by"] == by);
    let pins: u64 = of("pin").filter_map(|r| r["count"].as_u64()).sum();
    let module = json!([{"type": "module", "name": "bpf_preload"}]);
    let by_module = of("module").all(|r| r["count"] == 1 && r["holders"] == module);
    let path = format!("{BPFFS}/{name}");
    let ours = of("pin")
        .filter_map(|r| r["holders"].as_array())
        .flatten()
        .filter(|h| Who::pin(s.pid, &[&path]).is(h))
        .count();
    let right = link["refcnt"] == by_construction
        && link["unexplained"] == 0
        && pins == bpffs.len() as u64
        && of("module").count() == 1
        && by_module
        && ours == 1;
    if right {
        return String::new();
    }
    format!("{} bpffs, but {link:#}", bpffs.len())
}

/// The device numbers of all bpffs that processes have mounted. The links are
/// pinned in each, when its root is first opened.
fn count_bpffs() -> HashSet<String> {
    let mut found = HashSet::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let path = entry.path().join("mountinfo");
        let text = std::fs::read_to_string(Path::new(&path)).unwrap_or_default();
        for line in text.lines() {
            // `ID PARENT MAJOR:MINOR ROOT … - TYPE …` (proc_pid_mountinfo(5))
            if line.contains(" - bpf ") {
                found.extend(line.split(' ').nth(2).map(str::to_owned));
            }
        }
    }
    found
}
