//! docs/privileges.md, row by row: what lastref sees with what it may, and what it says
//! of the rest.

mod set;

use crate::refused;
use e2e::bpf::{self, Kind, MapSpec, map_type};
use e2e::confine::{
    CAP_BPF, CAP_DAC_READ_SEARCH, CAP_PERFMON, CAP_SYS_ADMIN, CAP_SYS_PTRACE, CAP_SYSLOG,
    as_nobody, as_nobody_among_hidden, as_nobody_in_netns_of, refuse,
};
use e2e::{Scene, here, lastref, net, scene, unix};
use serde_json::{Value, json};
use set::{Bundle, set};
use std::process::{Command, Output};

const TWO: [u32; 2] = [CAP_BPF, CAP_PERFMON];

/// What a row of the table says beyond counts and attachments.
#[expect(clippy::struct_excessive_bools, reason = "columns of a table")]
#[derive(Clone, Copy, Default)]
struct Row {
    /// Executables.
    exe: bool,
    /// Paths of pins, and the mount namespace.
    path: bool,
    /// tc filters in other network namespaces.
    tc: bool,
    /// Memory that fdinfo tells.
    memory: bool,
    /// The container's name.
    name: bool,
    /// BTF by its id, and before 5.19 links.
    ids: bool,
}

fn run(mut command: Command) -> Output {
    let output = command.output();
    output.unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"))
}

/// A report of a command, and what it says without `--json` and with `--strict`.
fn report(command: impl Fn(&[&str]) -> Command) -> Value {
    let report = lastref::json(&run(command(&["ls", "--json"])));
    let strict = run(command(&["ls", "--strict"]));
    let partial = !blind(&report).is_empty();
    assert_eq!(strict.status.code(), Some(if partial { 3 } else { 0 }));
    let text = String::from_utf8_lossy(&strict.stdout).into_owned();
    assert_eq!(text.contains("cannot see"), partial, "{text}");
    report
}

fn blind(report: &Value) -> &[Value] {
    let list = report["snapshot"]["cannot_see"].as_array();
    list.map_or(&[], Vec::as_slice)
}

/// What it would take to see what begins with `what`; `None` if that was seen.
fn needs<'a>(report: &'a Value, what: &str) -> Option<&'a str> {
    let begins = |c: &&Value| c["what"].as_str().is_some_and(|w| w.starts_with(what));
    let found = blind(report).iter().find(begins)?;
    assert!(found["why"].as_str().is_some_and(|why| !why.is_empty()));
    found["needs"].as_str()
}

fn object<'a>(report: &'a Value, s: &Scene, kind: Kind, name: &str) -> &'a Value {
    let found = lastref::find(report, kind, s.id(name));
    found.unwrap_or_else(|| panic!("{name} is not listed"))
}

/// Everything is accounted for, by this.
fn closed<'a>(object: &'a Value, by: &str, count: u64) -> &'a Value {
    assert_eq!(object["unexplained"], 0, "{object}");
    assert_eq!(object["explained"], count, "{object}");
    let reference = object["references"].as_array();
    let reference = reference.and_then(|list| list.iter().find(|r| r["by"] == by));
    let reference = reference.unwrap_or_else(|| panic!("no {by} in {object}"));
    &reference["holders"][0]
}

/// Nothing is known to hold it, and nothing is claimed.
fn open(object: &Value) {
    assert_eq!(object["explained"], 0, "{object}");
    assert_eq!(object["unexplained"], Value::Null, "{object}");
    assert_eq!(object["state"], "unknown", "{object}");
    let says = object["unreadable"].as_array().into_iter().flatten();
    let mut says = says.filter_map(Value::as_str);
    assert!(says.any(|s| s.contains("out of sight")), "{object}");
}

/// In the host's pid namespace all counts are there, and all holders but tc's.
fn check(s: &Scene, report: &Value, row: Row) {
    let map = |name| object(report, s, Kind::Map, name);
    let prog = |name| object(report, s, Kind::Prog, name);
    let holder = closed(map("fd"), "fd", 1);
    assert_eq!(holder["pid"], s.pid);
    assert_eq!(holder["fds"], json!([s.id("fd_fd")]));
    assert!(holder["comm"].as_str().is_some_and(|c| !c.is_empty()));
    assert!(holder["cgroup"].is_string());
    assert_eq!(holder["exe"].is_string(), row.exe, "{holder}");
    let flight = closed(map("flight"), "in-flight", 1);
    assert_eq!(flight["inode"], s.number("inode"));
    assert_eq!(flight["processes"], json!([s.pid]));
    assert_eq!(closed(map("fixed"), "io-uring", 1)["pid"], s.pid);

    let pin = closed(map("pinned"), "pin", 1);
    assert_eq!(map("pinned")["state"], "orphan-pin");
    assert_eq!(pin["mount_namespace"].is_number(), row.path, "{pin}");
    let inside = pin["path"].as_str().expect("a path").starts_with("(bpffs ");
    assert_eq!(inside, !row.path, "{pin}");

    let at = closed(prog("cgroup"), "attachment", 1);
    assert!(
        at["target"]
            .as_str()
            .is_some_and(|t| t.starts_with("cgroup:/"))
    );
    assert_eq!(closed(prog("xdp"), "attachment", 3)["attach_type"], "xdp");
    assert_eq!(
        closed(prog("socket"), "socket", 1)["processes"],
        json!([s.pid])
    );
    let events = needs(report, "what perf events hold");
    if row.ids || !paranoid() {
        let event = closed(prog("perf"), "attachment", 1);
        assert_eq!(event["open_by"][0]["pid"], s.pid);
        assert_eq!(events, None);
    } else {
        open(prog("perf"));
        assert!(events.is_some_and(|n| n.starts_with("CAP_SYS_ADMIN or kernel.perf_event_")));
    }
    if row.tc {
        assert_eq!(
            closed(prog("tc"), "attachment", 1)["attach_type"],
            "tc_ingress"
        );
    } else {
        open(prog("tc"));
    }

    closed(map("trie"), "fd", 1);
    assert_eq!(
        map("trie")["memory_bytes"].is_number(),
        row.memory,
        "{}",
        map("trie")
    );
    let container = &closed(map("contained"), "fd", 1)["container"];
    assert_eq!(container["id"], s.text("container"));
    assert_eq!(container["name"].is_string(), row.name, "{container}");
    let objects = report["objects"].as_array().into_iter().flatten();
    let vmlinux = objects.filter(|o| o["type"] == "vmlinux").count();
    // BTF by id tells vmlinux's since 5.11.
    let listed = row.ids && e2e::kernel::version() >= (5, 11);
    assert_eq!(vmlinux, usize::from(listed));

    // What is missing is said, with what it would take; what is not, is not.
    let ptrace = (!row.exe).then_some("CAP_SYS_PTRACE");
    assert_eq!(needs(report, "executables of "), ptrace);
    let told = needs(report, "under which paths processes see pins");
    // Others' pins may have no path in any namespace.
    assert!(row.path || told == ptrace, "{told:?}");
    let both = |have: bool| match (have, row.exe) {
        (true, _) => None,
        (false, true) => Some("CAP_DAC_READ_SEARCH"),
        (false, false) => Some("CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"),
    };
    assert_eq!(
        needs(report, "memory of maps of type lpm_trie"),
        both(row.memory)
    );
    assert_eq!(needs(report, "names and pods of "), both(row.name));
    let admin = (!row.ids).then_some("CAP_SYS_ADMIN");
    assert_eq!(needs(report, "BTF of vmlinux and modules"), admin);
    let tc = needs(report, "tc filters and routes in ");
    match (row.tc, row.exe) {
        (true, _) => {}
        (false, true) => assert_eq!(tc, Some("CAP_SYS_ADMIN")),
        (false, false) if row.ids => assert_eq!(tc, Some("CAP_SYS_PTRACE")),
        (false, false) => assert_eq!(tc, Some("CAP_SYS_ADMIN and CAP_SYS_PTRACE")),
    }
    let links =
        (e2e::kernel::version() < (5, 19) && !row.ids).then_some("CAP_SYS_ADMIN, or kernel ≥ 5.19");
    assert_eq!(needs(report, "links"), links);
}

/// Perf events take more than `CAP_PERFMON`: Debian's kernels have a level 3.
fn paranoid() -> bool {
    let level = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid");
    level.is_ok_and(|level| level.trim().parse::<i32>().is_ok_and(|level| level > 2))
}

/// The scene seen with these capabilities.
fn with(name: &'static str, capabilities: &[u32], row: Row) {
    let bundle = Bundle::new();
    let Some(s) = scene(name, |stage| set(stage, &bundle.id)) else {
        return;
    };
    check(
        &s,
        &report(|arguments| as_nobody(capabilities, arguments)),
        row,
    );
}

const ALL: Row = Row {
    exe: true,
    path: true,
    tc: true,
    memory: true,
    name: true,
    ids: true,
};

#[test]
fn root() {
    let bundle = Bundle::new();
    let Some(s) = scene(here!(), |stage| set(stage, &bundle.id)) else {
        return;
    };
    check(&s, &report(lastref::command), ALL);
}

#[test]
fn bpf_and_perfmon() {
    with(here!(), &TWO, Row::default());
}

/// A filter in lastref's own network namespace needs no capability of its own.
#[test]
fn tc_in_its_own_network_namespace() {
    let bundle = Bundle::new();
    let Some(s) = scene(here!(), |stage| set(stage, &bundle.id)) else {
        return;
    };
    let report = report(|arguments| as_nobody_in_netns_of(s.pid, &TWO, arguments));
    let holder = closed(object(&report, &s, Kind::Prog, "tc"), "attachment", 1);
    assert_eq!(holder["attach_type"], "tc_ingress");
}

const PTRACE: Row = Row {
    exe: true,
    path: true,
    tc: false,
    memory: false,
    name: false,
    ids: false,
};

#[test]
fn and_sys_ptrace() {
    with(here!(), &[CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE], PTRACE);
}

const READ: Row = Row {
    memory: true,
    name: true,
    ..PTRACE
};

#[test]
fn and_dac_read_search() {
    let capabilities = [CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH];
    with(here!(), &capabilities, READ);
}

/// No symbol is looked up, so it shows nothing more.
#[test]
fn and_syslog() {
    let capabilities = [
        CAP_BPF,
        CAP_PERFMON,
        CAP_SYS_PTRACE,
        CAP_DAC_READ_SEARCH,
        CAP_SYSLOG,
    ];
    with(here!(), &capabilities, READ);
}

#[test]
fn and_sys_admin() {
    let capabilities = [
        CAP_BPF,
        CAP_PERFMON,
        CAP_SYS_PTRACE,
        CAP_DAC_READ_SEARCH,
        CAP_SYS_ADMIN,
    ];
    with(here!(), &capabilities, ALL);
}

/// It is `CAP_BPF` and `CAP_PERFMON` as well (`bpf_capable`, `perfmon_capable`).
#[test]
fn sys_admin_alone() {
    let row = Row {
        ids: true,
        ..Row::default()
    };
    with(here!(), &[CAP_SYS_ADMIN], row);
}

#[test]
fn bpf_alone_perfmon_alone_or_nothing() {
    if !e2e::needs_root(here!()) {
        return;
    }
    let words = ["CAP_BPF", "CAP_PERFMON"];
    for capabilities in [&[CAP_BPF][..], &[CAP_PERFMON], &[]] {
        for arguments in [&["ls"][..], &["ls", "--json"], &["why", "map:1"]] {
            refused(&run(as_nobody(capabilities, arguments)), 3, &words);
        }
    }
}

/// `/proc` shows nobody's own processes alone: counts, pids and descriptors are there.
#[test]
fn hidden_processes() {
    let bundle = Bundle::new();
    let Some(s) = scene(here!(), |stage| set(stage, &bundle.id)) else {
        return;
    };
    let report = report(|arguments| as_nobody_among_hidden(&TWO, arguments));
    let holder = closed(object(&report, &s, Kind::Map, "fd"), "fd", 1);
    assert_eq!(holder["pid"], s.pid);
    assert_eq!(holder["fds"], json!([s.id("fd_fd")]));
    assert_eq!(holder["comm"], "");
    let flight = closed(object(&report, &s, Kind::Map, "flight"), "in-flight", 1);
    assert_eq!(flight["processes"], json!([s.pid]));
    closed(object(&report, &s, Kind::Map, "pinned"), "pin", 1);
    open(object(&report, &s, Kind::Prog, "tc"));
    for what in ["names, executables", "under which paths processes see pins"] {
        assert_eq!(needs(&report, what), Some("CAP_SYS_PTRACE"), "{what}");
    }
    let tc = needs(&report, "tc filters and routes in ");
    assert_eq!(tc, Some("CAP_SYS_ADMIN and CAP_SYS_PTRACE"));
    // With that capability it is shown all the same.
    let three = [CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE];
    let report = self::report(|arguments| as_nobody_among_hidden(&three, arguments));
    check(&s, &report, PTRACE);
}

/// The usual profiles of containers refuse both: what such files hold cannot be told.
#[test]
fn no_perf_events_and_no_io_urings() {
    let bundle = Bundle::new();
    let Some(s) = scene(here!(), |stage| set(stage, &bundle.id)) else {
        return;
    };
    let refusing = |calls: &'static [libc::c_long]| {
        report(move |arguments| {
            let mut command = lastref::command(arguments);
            refuse(&mut command, calls);
            command
        })
    };
    let calls = &[libc::SYS_perf_event_open, libc::SYS_io_uring_setup];
    let report = refusing(calls);
    open(object(&report, &s, Kind::Map, "fixed"));
    open(object(&report, &s, Kind::Prog, "perf"));
    closed(object(&report, &s, Kind::Map, "flight"), "in-flight", 1);
    closed(object(&report, &s, Kind::Prog, "socket"), "socket", 1);
    let takes = |what, word| needs(&report, what).is_some_and(|n| n.contains(word));
    assert!(takes("what perf events hold", "allows perf_event_open"));
    assert!(takes("what io_urings hold", "allows io_uring_setup"));
    // What looks into none of these files closes as ever.
    closed(object(&report, &s, Kind::Map, "fd"), "fd", 1);
    closed(object(&report, &s, Kind::Prog, "cgroup"), "attachment", 1);
}

/// Processes outside are out of sight, with all that their files hold. What stands in the
/// kernel is not.
#[test]
fn child_pid_namespace() {
    let bundle = Bundle::new();
    let Some(s) = scene(here!(), |stage| set(stage, &bundle.id)) else {
        return;
    };
    let report = report(in_a_child);
    assert_eq!(report["snapshot"]["pid_namespace"], "child");
    let map = |name| object(&report, &s, Kind::Map, name);
    let prog = |name| object(&report, &s, Kind::Prog, name);
    for name in ["fd", "flight", "fixed", "trie", "contained"] {
        open(map(name));
    }
    for name in ["socket", "perf", "tc"] {
        open(prog(name));
    }
    let pin = closed(map("pinned"), "pin", 1);
    assert_eq!(pin["mount_namespace"], Value::Null);
    closed(prog("cgroup"), "attachment", 1);
    closed(prog("xdp"), "attachment", 3);
    for what in [
        "descriptors and mappings of processes outside",
        "under which paths processes see pins",
        "tc filters and routes in ",
    ] {
        assert_eq!(needs(&report, what), Some("hostPID"), "{what}");
    }
}

fn in_a_child(arguments: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc"]);
    command.arg(lastref::program()).args(arguments);
    command
}

/// A socket that no process in sight has open is not one that nobody has.
#[test]
fn socket_of_a_process_outside() {
    let Some(s) = scene(here!(), |stage| {
        net::private()?;
        net::up(net::LOOPBACK)?;
        let map = MapSpec::new(map_type::XSKMAP, "e2e_priv_xsk").create()?;
        let socket = net::xdp_socket(net::LOOPBACK)?;
        bpf::put(&map, 0, &socket)?;
        let inode = unix::inode(&socket)?;
        let id = map.id;
        drop(map);
        stage.ready(json!({"map": id, "inode": inode}))
    }) else {
        return;
    };
    let report = lastref::ls();
    let map = object(&report, &s, Kind::Map, "map");
    assert_eq!(closed(map, "map-entry", 1)["inode"], s.number("inode"));
    assert_eq!(map["state"], "in-use");
    let report = self::report(in_a_child);
    let map = object(&report, &s, Kind::Map, "map");
    assert_eq!(closed(map, "map-entry", 1)["inode"], s.number("inode"));
    assert_eq!(map["state"], "unknown");
}
