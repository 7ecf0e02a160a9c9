//! The ways to name an object.

use crate::refused;
use e2e::bpf::{self, Kind};
use e2e::{here, lastref, scene};
use serde_json::json;
use std::os::fd::AsRawFd;

/// Every way leads to the same object.
#[test]
fn every_way_leads_to_the_same_object() {
    let Some(s) = scene(here!(), |stage| {
        let name = format!("e2e_n{}", std::process::id());
        let map = bpf::hash(&name)?;
        let prog = bpf::filter(&format!("e2e_p{}", std::process::id()))?;
        let twin = map.dup()?;
        stage.ready(json!({
            "map": map.id, "prog": prog.id, "fd": map.fd(), "twin": twin.as_raw_fd(),
            "prog_fd": prog.fd(),
        }))
    }) else {
        return;
    };
    let pid = s.pid;
    let ways = [
        (Kind::Map, s.id("map"), format!("map:{}", s.id("map"))),
        (Kind::Map, s.id("map"), format!("map:e2e_n{pid}")),
        (
            Kind::Map,
            s.id("map"),
            format!("pid:{pid}/fd:{}", s.id("fd")),
        ),
        (
            Kind::Map,
            s.id("map"),
            format!("pid:{pid}/fd:{}", s.id("twin")),
        ),
        (Kind::Prog, s.id("prog"), format!("prog:{}", s.id("prog"))),
        (Kind::Prog, s.id("prog"), format!("prog:e2e_p{pid}")),
        (
            Kind::Prog,
            s.id("prog"),
            format!("pid:{pid}/fd:{}", s.id("prog_fd")),
        ),
    ];
    for (kind, id, way) in ways {
        let report = lastref::json(&lastref::run(&["why", &way, "--json"]));
        assert_eq!(report["object"]["kind"], kind.as_str(), "{way}");
        assert_eq!(report["object"]["id"], id, "{way}");
    }
    // A descriptor that is open, but not on a BPF object.
    refused(
        &lastref::run(&["why", &format!("pid:{pid}/fd:0")]),
        2,
        &["0"],
    );
}

/// A name that several objects have: 2, and the message lists them.
#[test]
fn a_name_that_is_not_unique() {
    let Some(s) = scene(here!(), |stage| {
        let name = format!("e2e_t{}", std::process::id());
        let (a, b) = (bpf::hash(&name)?, bpf::hash(&name)?);
        stage.ready(scene::ids([("a", &a), ("b", &b)]))
    }) else {
        return;
    };
    let output = lastref::run(&["why", &format!("map:e2e_t{}", s.pid)]);
    let (a, b) = (format!("map:{}", s.id("a")), format!("map:{}", s.id("b")));
    refused(&output, 2, &[&a, &b]);
}
