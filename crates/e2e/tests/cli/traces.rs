//! What lastref leaves behind, and what it does while it looks: nothing.

use e2e::bpf::{self, Kind, prog_type};
use e2e::confine::forbid_bpf;
use e2e::truth::Counts;
use e2e::{Truth, here, lastref, scene};
use std::collections::HashSet;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// No descriptor is taken on any object that an iterator can show, no pin is
/// opened, nothing is taken out of another process: the kernel would kill it.
#[test]
fn no_descriptor_is_taken() {
    const OBJ_GET: u32 = 7;
    const PROG_GET_FD_BY_ID: u32 = 13;
    const MAP_GET_FD_BY_ID: u32 = 14;
    const LINK_GET_FD_BY_ID: u32 = 30;
    let Some(s) = scene(here!(), |stage| {
        let bpffs = e2e::files::private_bpffs()?;
        let map = bpf::hash("e2e_forbid")?;
        map.pin(&bpffs.join("e2e_forbid"))?;
        let spec = bpf::ProgSpec::new(
            prog_type::RAW_TRACEPOINT,
            "e2e_forbid",
            e2e::insn::uses(&map, 0),
        );
        let prog = spec.load()?;
        let link = bpf::raw_tracepoint(&prog, Some("sched_kthread_stop"))?;
        stage.ready(scene::ids([
            ("map", &map),
            ("prog", &prog),
            ("link", &link),
        ]))
    }) else {
        return;
    };
    let objects = ["map", "prog", "link"].map(|kind| format!("{kind}:{}", s.id(kind)));
    let mut commands = vec![vec!["ls", "--json"], vec!["ls"], vec!["ls", "--own"]];
    commands.extend(objects.iter().map(|o| vec!["why", o.as_str()]));
    for arguments in commands {
        let mut command = lastref::command(&arguments);
        let mut forbidden = vec![OBJ_GET, PROG_GET_FD_BY_ID, MAP_GET_FD_BY_ID];
        // Before, no iterator shows links.
        if e2e::kernel::version() >= (5, 19) {
            forbidden.push(LINK_GET_FD_BY_ID);
        }
        forbid_bpf(&mut command, &forbidden);
        let output = command.output().expect("it starts");
        assert!(output.status.success(), "{arguments:?}: {}", output.status);
    }
    // The harness's own proof: what creates a map is killed when that is forbidden.
    let mut command = lastref::command(&["ls"]);
    forbid_bpf(&mut command, &[0, 5]);
    assert!(!command.output().expect("it starts").status.success());
}

/// Names of what lastref loads, as far as the kernel keeps them.
fn own_names() -> HashSet<String> {
    let report = lastref::json(&lastref::run(&["ls", "--json", "--own"]));
    let objects = report["objects"].as_array().cloned().unwrap_or_default();
    objects
        .iter()
        .filter(|o| o["own"] == true && o["kind"] != "link" && o["kind"] != "btf")
        .filter_map(|o| o["name"].as_str())
        .filter(|name| !name.is_empty())
        .map(|name| name.chars().take(15).collect())
        .collect()
}

/// Ids of the maps and programs with such names.
fn named(names: &HashSet<String>) -> HashSet<(Kind, u32)> {
    let all = Truth::get().read().names.into_iter();
    all.filter(|(_, name)| names.contains(name))
        .map(|(id, _)| id)
        .collect()
}

/// Killed at any moment, it leaves no program, map, link or pin.
#[test]
fn nothing_is_left_after_a_kill() {
    if !e2e::needs_root(here!()) {
        return;
    }
    let names = own_names();
    assert!(!names.is_empty(), "lastref loads nothing?");
    let pins_before = pins();
    let links_before = links(&Truth::get().read());
    // How long an undisturbed run takes, so that the moments spread over it.
    let start = Instant::now();
    lastref::ls();
    let whole = start.elapsed();
    let moments = 40;
    let mut seen = 0;
    for i in 0..moments {
        let mut child = lastref::command(&["ls"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        std::thread::sleep(whole * i / moments);
        seen += usize::from(!named(&names).is_empty());
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }
    assert!(seen > 0, "never killed while it had something loaded");
    // Freed a moment later, by the kernel's workers. Other runs of lastref on this
    // host have objects of the same names: each must go within the time.
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut left = named(&names);
    while !left.is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
        let now = named(&names);
        left.retain(|object| now.contains(object));
    }
    assert!(left.is_empty(), "left behind: {left:?}");
    assert_eq!(pins(), pins_before);
    let mut new_links: Vec<u32> = links(&Truth::get().read());
    new_links.retain(|id| !links_before.contains(id));
    // Links of others may come and go; one of a dead lastref would stay for ever.
    let deadline = Instant::now() + Duration::from_secs(30);
    while !new_links.is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
        let now = links(&Truth::get().read());
        new_links.retain(|id| now.contains(id));
    }
    assert!(new_links.is_empty(), "links left behind: {new_links:?}");
}

fn links(counts: &Counts) -> Vec<u32> {
    counts.links.keys().copied().collect()
}

/// What is in the bpffs of the host.
fn pins() -> Vec<std::ffi::OsString> {
    let entries = std::fs::read_dir("/sys/fs/bpf").into_iter().flatten();
    entries.flatten().map(|e| e.file_name()).collect()
}
