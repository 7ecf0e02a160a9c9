//! XDP. The device's own reference, and one in the XDP dispatcher for each distinct
//! program (`bpf_dispatcher_add_prog`), are the driver's; whoever attached it has one more.

use crate::attached::{at, at_in, attached, by_xdp, check_open_then_closed, one, open_then_closed};
use e2e::bpf::{self, Kind, LinkDetail, Object, ProgSpec, attach_type, prog_type};
use e2e::files::private_bpffs;
use e2e::net::{self, Dispatcher, XdpMode, dispatcher, set_xdp};
use e2e::sys::Result;
use e2e::{Expect, Who, by, fd, here, insn, lastref, scene};
use serde_json::{Value, json};
use std::process::Command;

const PASS: i32 = 2;

fn load(name: &str) -> Result<Object> {
    ProgSpec::new(prog_type::XDP, name, insn::returns(PASS))
        .attach(attach_type::XDP)
        .load()
}

fn link(prog: &Object, device: u32) -> Result<Object> {
    let generic = XdpMode::Generic as u32;
    let kind = attach_type::XDP;
    bpf::link(prog, device, kind, generic, LinkDetail::default())
}

#[test]
fn generic() {
    let Some(mut s) = scene(here!(), |stage| {
        net::private()?;
        let prog = load("e2e_xdp_skb")?;
        set_xdp(net::LOOPBACK, &prog, XdpMode::Generic)?;
        open_then_closed(stage, prog)
    }) else {
        return;
    };
    let lo = at(&s, "lo", "xdp");
    check_open_then_closed(&mut s, by_xdp(&lo), [lo]);
}

/// veth has a native mode; its driver keeps the program in its own struct.
#[test]
fn native() {
    let Some(mut s) = scene(here!(), |stage| {
        net::private()?;
        let prog = load("e2e_xdp_drv")?;
        set_xdp(net::veth("e2e0", "e2e1")?, &prog, XdpMode::Native)?;
        open_then_closed(stage, prog)
    }) else {
        return;
    };
    let veth = at(&s, "e2e0", "xdp");
    check_open_then_closed(&mut s, by_xdp(&veth), [veth]);
}

/// The dispatcher holds it once, for both devices.
#[test]
fn on_two_devices() {
    let Some(mut s) = scene(here!(), |stage| {
        net::private()?;
        let prog = load("e2e_xdp_two")?;
        set_xdp(net::LOOPBACK, &prog, XdpMode::Generic)?;
        set_xdp(net::veth("e2e0", "e2e1")?, &prog, XdpMode::Native)?;
        open_then_closed(stage, prog)
    }) else {
        return;
    };
    let devices = [at(&s, "lo", "xdp"), at(&s, "e2e0", "xdp")];
    check_open_then_closed(&mut s, on_both(&devices), devices);
}

fn on_both(devices: &[Who; 2]) -> [e2e::expect::Reference; 5] {
    let [a, b] = devices;
    [
        one(a),
        one(b),
        by("driver", 1, [a.clone()]),
        by("driver", 1, [b.clone()]),
        by("driver", 1, devices.clone()),
    ]
}

/// The name of a device says nothing without its namespace.
#[test]
fn on_devices_of_one_name_in_two_namespaces() {
    let Some(s) = scene(here!(), |stage| {
        let first = net::private()?;
        let first_number = net::number()?;
        let prog = load("e2e_xdp_netns")?;
        set_xdp(net::LOOPBACK, &prog, XdpMode::Generic)?;
        net::private()?;
        set_xdp(net::LOOPBACK, &prog, XdpMode::Generic)?;
        let mut report = scene::ids([("prog", &prog)]);
        report["netns"] = json!([first_number, net::number()?]);
        stage.ready(report)?;
        drop(first);
        Ok(())
    }) else {
        return;
    };
    let devices = [0, 1].map(|i| {
        let netns = s.report["netns"][i].as_u64();
        at_in(netns.expect("a number"), "dev:lo", "xdp")
    });
    let mut references = on_both(&devices).to_vec();
    references.push(fd(&s, "prog"));
    s.check_and_why(&[attached(s.id("prog"), references)]);
}

/// What it says is done where the program is, and nowhere else: in lastref's own network namespace
/// another may run on a device of that name.
#[test]
fn whose_command_names_the_namespace() {
    let Some(s) = scene(here!(), |stage| {
        let other = net::private()?;
        let unreached = load("e2e_xdp_nopath")?;
        set_xdp(net::LOOPBACK, &unreached, XdpMode::Generic)?;
        net::private()?;
        let reached = load("e2e_xdp_path")?;
        set_xdp(net::LOOPBACK, &reached, XdpMode::Generic)?;
        let report = json!({"reached": reached.id, "unreached": unreached.id});
        drop((reached, unreached));
        stage.ready(report)?;
        drop(other);
        Ok(())
    }) else {
        return;
    };
    let step = |prog: &str, mut command: Command| {
        let name = lastref::name(Kind::Prog, s.id(prog));
        let output = command.args(["why", &name, "--json"]).output();
        let report = lastref::json(&output.expect("it runs"));
        let step = report["to_release"][0].clone();
        (step["holder"]["detach"].clone(), step["do"].clone())
    };
    let command = "ip link set dev lo xdpgeneric off";
    let there = json!(format!("nsenter -t {} -n {command}", s.pid));
    let outside = || lastref::command(&[]);
    assert_eq!(step("reached", outside()), (there.clone(), there));
    let (detach, words) = step("unreached", outside());
    let words = words.as_str().expect("what to do");
    assert_eq!(detach, Value::Null);
    assert!(words.starts_with("detach prog:"), "{words}");
    assert!(words.contains(" from dev:lo@netns:"), "{words}");
    // In the namespace itself, no way in is wanted.
    let mut inside = Command::new("nsenter");
    inside.args(["-t", &s.pid.to_string(), "-n"]);
    inside.arg(lastref::program());
    assert_eq!(step("reached", inside), (json!(command), json!(command)));
}

/// Another program in its place: the first is let go, by the driver too.
#[test]
fn that_was_replaced() {
    let Some(s) = scene(here!(), |stage| {
        net::private()?;
        let (old, new) = (load("e2e_xdp_old")?, load("e2e_xdp_new")?);
        set_xdp(net::LOOPBACK, &old, XdpMode::Generic)?;
        set_xdp(net::LOOPBACK, &new, XdpMode::Generic)?;
        let mut report = scene::ids([("old", &old), ("new", &new)]);
        report["netns"] = net::number()?.into();
        stage.ready(report)
    }) else {
        return;
    };
    let lo = at(&s, "lo", "xdp");
    s.check_and_why(&[
        attached(s.id("new"), by_xdp(&lo).into_iter().chain([fd(&s, "new")])),
        Expect::prog(s.id("old"), [fd(&s, "old")]).field("attached", false),
    ]);
}

/// By links on two devices: what the driver has, it has for a link.
#[test]
fn by_two_links() {
    let Some(s) = scene(here!(), |stage| {
        net::private()?;
        let prog = load("e2e_xdp_links")?;
        let first = link(&prog, net::LOOPBACK)?;
        let second = link(&prog, net::veth("e2e0", "e2e1")?)?;
        stage.ready(scene::ids([
            ("prog", &prog),
            ("first", &first),
            ("second", &second),
        ]))
    }) else {
        return;
    };
    let links = ["first", "second"].map(|name| Who::link(s.id(name)));
    let [first, second] = links.clone();
    s.check_and_why(&[
        attached(
            s.id("prog"),
            [
                fd(&s, "prog"),
                by("link", 1, [first.clone()]),
                by("link", 1, [second.clone()]),
                by("driver", 1, [first]),
                by("driver", 1, [second]),
                by("driver", 1, links),
            ],
        ),
        Expect::link(s.id("first"), [fd(&s, "first")]),
        Expect::link(s.id("second"), [fd(&s, "second")]),
    ]);
}

/// The device goes, and its attachments with it: a link stays, detached.
#[test]
fn whose_device_went_away() {
    let Some(s) = scene(here!(), |stage| {
        net::private()?;
        let (plain, linked) = (load("e2e_xdp_gone")?, load("e2e_xdp_goneln")?);
        set_xdp(net::veth("e2e0", "e2e1")?, &plain, XdpMode::Native)?;
        let link = link(&linked, net::index("e2e1")?)?;
        net::remove(net::index("e2e0")?)?;
        stage.ready(scene::ids([
            ("plain", &plain),
            ("linked", &linked),
            ("link", &link),
        ]))
    }) else {
        return;
    };
    let link = Who::link(s.id("link"));
    s.check_and_why(&[
        Expect::prog(s.id("plain"), [fd(&s, "plain")]).field("attached", false),
        Expect::prog(s.id("linked"), [fd(&s, "linked"), by("link", 1, [link])])
            .field("attached", false),
        Expect::link(s.id("link"), [fd(&s, "link")]).field("detached", true),
    ]);
}

/// Every way in which one XDP program can be held.
#[test]
fn all_on_one_program() {
    let Some(s) = scene(here!(), |stage| {
        let bpffs = private_bpffs()?;
        net::private()?;
        let prog = load("e2e_xdp_all")?;
        let again = prog.reopen()?;
        set_xdp(net::LOOPBACK, &prog, XdpMode::Generic)?;
        let link = link(&prog, net::veth("e2e0", "e2e1")?)?;
        prog.pin(&bpffs.join("prog"))?;
        let tails = bpf::prog_array("e2e_xdp_tails")?;
        for slot in 0..3 {
            bpf::put(&tails, slot, &prog)?;
        }
        let mut report = scene::ids([("prog", &prog), ("link", &link), ("tails", &tails)]);
        report["again"] = again.fd().into();
        report["netns"] = net::number()?.into();
        stage.ready(report)
    }) else {
        return;
    };
    let lo = at(&s, "lo", "xdp");
    let link = Who::link(s.id("link"));
    let me = Who::process(s.pid, [s.id("prog_fd"), s.id("again")]);
    let prog = attached(
        s.id("prog"),
        [
            by("fd", 2, [me]),
            by("pin", 1, [Who::pin(s.pid, &["/sys/fs/bpf/prog"])]),
            by("prog-array", 3, [Who::map(s.id("tails"))]),
            by("link", 1, [link.clone()]),
            one(&lo),
            by("driver", 1, [lo.clone()]),
            by("driver", 1, [link.clone()]),
            by("driver", 1, [lo, link]),
        ],
    );
    assert_eq!(prog.refcnt(), 11, "by construction");
    s.check_and_why(&[prog]);
}

/// The dispatcher takes 48 (`BPF_DISPATCHER_MAX`); which, the kernel does not tell.
#[test]
fn more_than_the_dispatcher_takes() {
    const PAIRS: u32 = 25;
    let Some(mut s) = scene(here!(), |stage| {
        dispatcher(Dispatcher::Full)?;
        net::private()?;
        let mut ids = Vec::new();
        for pair in 0..PAIRS {
            let names = [0, 1].map(|side| format!("e2e{pair}x{side}"));
            net::veth(&names[0], &names[1])?;
            for name in names {
                let prog = load("e2e_xdp_many")?;
                set_xdp(net::index(&name)?, &prog, XdpMode::Generic)?;
                ids.push(json!([prog.id, name]));
            }
        }
        let report = json!({"progs": ids, "netns": net::number()?});
        stage.ready(report.clone())?;
        // A namespace that goes with its process does so some time later.
        for pair in 0..PAIRS {
            net::remove(net::index(&format!("e2e{pair}x0"))?)?;
        }
        stage.ready(report)
    }) else {
        return;
    };
    let report = lastref::ls();
    let mut driver = 0;
    for pair in s.report["progs"].as_array().expect("a list") {
        let (id, name) = (
            pair[0].as_u64().expect("an id"),
            pair[1].as_str().expect("a name"),
        );
        let prog = lastref::find(&report, Kind::Prog, id as u32).expect("it is listed");
        let sum = |by: &str| -> u64 {
            let references = prog["references"].as_array().expect("references").iter();
            references
                .filter(|r| r["by"] == by)
                .filter_map(|r| r["count"].as_u64())
                .sum()
        };
        assert_eq!(
            (&prog["unexplained"], &prog["settled"]),
            (&json!(0), &json!(true)),
            "{prog}"
        );
        assert_eq!(prog["refcnt"].as_u64(), Some(1 + sum("driver")), "{prog}");
        assert_eq!(sum("attachment"), 1, "{prog}");
        let target = &prog["kept_by"][0]["target"];
        assert_eq!(
            target.as_str(),
            Some(&*format!("dev:{name}@netns:{}", s.number("netns")))
        );
        driver += sum("driver");
    }
    s.advance();
    // One of each device, and those that fit beside other people's.
    assert!((51..=50 + 48).contains(&driver), "{driver}");
}
