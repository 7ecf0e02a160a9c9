//! Programs attached to a cgroup without a link (`BPF_PROG_ATTACH`): the cgroup holds
//! each once. What runs in the cgroups below it (the effective arrays) is not held again.

use crate::attached::{attached, check_open_then_closed, one, open_then_closed};
use e2e::bpf::{self, F_ALLOW_MULTI, Kind, LinkDetail, Object, ProgSpec, attach_type, prog_type};
use e2e::files::{Cgroup, mount, private_bpffs, private_mounts};
use e2e::process::unshare;
use e2e::scene::{Cannot, OrImpossible, Outcome};
use e2e::sys::{self, Result, io};
use e2e::{Expect, Scene, Truth, Who, btf, by, fd, here, insn, lastref, scene};
use serde_json::Value;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

pub fn load(prog_type: u32, kind: u32, name: &str) -> Result<Object> {
    ProgSpec::new(prog_type, name, insn::returns(1))
        .attach(kind)
        .load()
}

pub fn at(cgroup: &str, attach_type: &'static str) -> Who {
    Who::attachment(format!("cgroup:{cgroup}"), attach_type)
}

pub fn fd_of(cgroup: &Cgroup) -> u32 {
    cgroup.fd.as_raw_fd() as u32
}

fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(io("open a cgroup"))
}

const INGRESS: u32 = attach_type::CGROUP_INET_INGRESS;
const EGRESS: u32 = attach_type::CGROUP_INET_EGRESS;

fn skb_prog(kind: u32, name: &str) -> Result<Object> {
    load(prog_type::CGROUP_SKB, kind, name)
}

/// Nothing but the cgroup keeps it.
#[test]
fn whose_descriptor_was_closed() {
    let Some(mut s) = scene(here!(), |stage| {
        private_mounts()?;
        let cgroup = Cgroup::new()?;
        let prog = skb_prog(INGRESS, "e2e_cg_closed")?;
        bpf::attach(&prog, fd_of(&cgroup), INGRESS, 0)?;
        open_then_closed(stage, prog)
    }) else {
        return;
    };
    let at = at(&format!("/lastref-e2e-{}", s.pid), "cgroup_inet_ingress");
    check_open_then_closed(&mut s, [one(&at)], [at]);
}

/// Several at one cgroup, a link among them; and one at a second cgroup, and for
/// another attach type.
#[test]
fn several() {
    let Some(s) = scene(here!(), |stage| {
        private_mounts()?;
        let cgroup = Cgroup::new()?;
        let other = open(&cgroup.below(&["other"])?)?;
        let other = other.as_raw_fd() as u32;
        // Without an expected attach type it fits for both.
        let first = skb_prog(INGRESS, "e2e_cg_first")?;
        let second = skb_prog(EGRESS, "e2e_cg_second")?;
        let linked = skb_prog(EGRESS, "e2e_cg_linked")?;
        let here = fd_of(&cgroup);
        bpf::attach(&first, here, INGRESS, F_ALLOW_MULTI)?;
        bpf::attach(&second, here, EGRESS, F_ALLOW_MULTI)?;
        let link = bpf::link(&linked, here, EGRESS, 0, LinkDetail::default())?;
        let third = skb_prog(EGRESS, "e2e_cg_third")?;
        bpf::attach(&third, here, EGRESS, F_ALLOW_MULTI)?;
        bpf::attach(&third, other, EGRESS, F_ALLOW_MULTI)?;
        bpf::attach(&first, other, INGRESS, F_ALLOW_MULTI)?;
        let mut report = scene::ids([
            ("first", &first),
            ("second", &second),
            ("third", &third),
            ("linked", &linked),
            ("link", &link),
        ]);
        report["cgroup"] = cgroup.name.clone().into();
        stage.ready(report)
    }) else {
        return;
    };
    let here = s.text("cgroup");
    let other = format!("{here}/other");
    let ingress = |cgroup: &str| one(&at(cgroup, "cgroup_inet_ingress"));
    let egress = |cgroup: &str| one(&at(cgroup, "cgroup_inet_egress"));
    let link = by("link", 1, [Who::link(s.id("link"))]);
    s.check_and_why(&[
        attached(
            s.id("first"),
            [fd(&s, "first"), ingress(here), ingress(&other)],
        ),
        attached(s.id("second"), [fd(&s, "second"), egress(here)]),
        attached(
            s.id("third"),
            [fd(&s, "third"), egress(here), egress(&other)],
        ),
        attached(s.id("linked"), [fd(&s, "linked"), link]),
    ]);
}

/// The cgroups below run it too, and take no reference.
#[test]
fn inherited_below() {
    let Some(s) = scene(here!(), |stage| {
        private_mounts()?;
        let cgroup = Cgroup::new()?;
        cgroup.below(&["a", "b"])?;
        let (upper, lower) = (
            skb_prog(INGRESS, "e2e_cg_upper")?,
            skb_prog(INGRESS, "e2e_cg_lower")?,
        );
        bpf::attach(&upper, fd_of(&cgroup), INGRESS, F_ALLOW_MULTI)?;
        let deep = open(&cgroup.below(&["a", "b", "c"])?)?;
        bpf::attach(&lower, deep.as_raw_fd() as u32, INGRESS, F_ALLOW_MULTI)?;
        let mut report = scene::ids([("upper", &upper), ("lower", &lower)]);
        report["cgroup"] = cgroup.name.clone().into();
        stage.ready(report)
    }) else {
        return;
    };
    let upper = s.text("cgroup").to_owned();
    let at = |cgroup: &str| one(&at(cgroup, "cgroup_inet_ingress"));
    s.check_and_why(&[
        attached(s.id("upper"), [fd(&s, "upper"), at(&upper)]),
        attached(
            s.id("lower"),
            [fd(&s, "lower"), at(&format!("{upper}/a/b/c"))],
        ),
    ]);
}

/// Of a cgroup that is too deep only the end of its path is known, which is no command's.
#[test]
fn far_below_the_root() {
    let Some(s) = scene(here!(), |stage| {
        private_mounts()?;
        let cgroup = Cgroup::new()?;
        let deep = open(&cgroup.below(&["d"; 30])?)?;
        let prog = skb_prog(INGRESS, "e2e_cg_deep")?;
        bpf::attach(&prog, deep.as_raw_fd() as u32, INGRESS, F_ALLOW_MULTI)?;
        let report = scene::ids([("prog", &prog)]);
        drop(prog);
        stage.ready(report)
    }) else {
        return;
    };
    // There, where the hierarchy is mounted.
    let name = lastref::name(Kind::Prog, s.id("prog"));
    let report = lastref::run_in_mounts_of(s.pid, &["why", &name, "--json"]);
    let report = lastref::json(&report);
    let step = &report["to_release"][0];
    let target = step["holder"]["target"].as_str().expect("a target");
    assert!(target.starts_with("cgroup:…/d/"), "{target}");
    assert_eq!(step["holder"]["detach"], Value::Null);
    let action = format!("detach {name} from {target} (cgroup_inet_ingress)");
    assert_eq!(step["do"], action);
}

/// From inside a cgroup namespace `/proc` tells the paths of mounts and processes relative to its
/// root, the kernel those of attachments from the hierarchy's: no command is made of both.
#[test]
fn from_a_cgroup_namespace() {
    let Some(s) = scene(here!(), |stage| {
        private_mounts()?;
        let cgroup = Cgroup::new()?;
        let prog = skb_prog(INGRESS, "e2e_cg_ns")?;
        bpf::attach(&prog, fd_of(&cgroup), INGRESS, 0)?;
        let path = cgroup.below(&[])?;
        let join = |path: &Path| {
            std::fs::write(path.join("cgroup.procs"), "0").map_err(io("join a cgroup"))
        };
        join(&path)?;
        unshare(libc::CLONE_NEWCGROUP)?;
        // It goes with the scene, so nothing may be left in it.
        join(path.parent().unwrap_or(&path))?;
        mount("tmpfs", Path::new("/mnt"))?;
        mount("cgroup2", Path::new("/mnt"))?;
        stage.ready(scene::ids([("prog", &prog)]))
    }) else {
        return;
    };
    let why = |entered: &[&str]| {
        let mut command = Command::new("nsenter");
        command.args(["-t", &s.pid.to_string(), "-m"]);
        command.args(entered).arg(lastref::program());
        let name = lastref::name(Kind::Prog, s.id("prog"));
        let output = command.args(["why", &name, "--json"]).output();
        lastref::json(&output.expect("it runs"))
    };
    let detach = |report: &Value| {
        let steps = report["to_release"].as_array().expect("steps").iter();
        let mut at_cgroup = steps.filter(|step| step["holder"]["type"] == "attachment");
        let step = at_cgroup.next().expect("the attachment").clone();
        (step["holder"]["detach"].clone(), step["do"].clone())
    };
    let is_told = |report: &Value| {
        let list = report["snapshot"]["cannot_see"].as_array().expect("a list");
        list.iter().any(|c| {
            let what = c["what"].as_str().unwrap_or_default();
            what.contains("cgroups of processes")
        })
    };
    let target = format!("cgroup:/lastref-e2e-{}", s.pid);
    let name = lastref::name(Kind::Prog, s.id("prog"));
    let inside = why(&["-C"]);
    let words = format!("detach {name} from {target} (cgroup_inet_ingress)");
    assert_eq!(detach(&inside), (Value::Null, words.into()));
    assert!(is_told(&inside), "{}", inside["snapshot"]);
    // The same mounts, from the initial namespace.
    let outside = why(&[]);
    let (command, _) = detach(&outside);
    let command = command.as_str().expect("a command");
    assert!(command.starts_with("bpftool cgroup detach /"), "{command}");
    assert!(!is_told(&outside), "{}", outside["snapshot"]);
}

/// The cgroup is removed: the program is let go, by a worker of the kernel.
#[test]
fn that_was_removed() {
    let Some(s) = scene(here!(), |stage| {
        private_mounts()?;
        let cgroup = Cgroup::new()?;
        let prog = skb_prog(INGRESS, "e2e_cg_removed")?;
        bpf::attach(&prog, fd_of(&cgroup), INGRESS, 0)?;
        drop(cgroup);
        stage.ready(scene::ids([("prog", &prog)]))
    }) else {
        return;
    };
    settle(s.id("prog"), 1);
    s.check_and_why(&[Expect::prog(s.id("prog"), [fd(&s, "prog")]).field("attached", false)]);
}

/// Waits until a program's count is this.
fn settle(prog: u32, refcnt: u64) {
    let there = (0..500).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        Truth::get().read().refcnt(Kind::Prog, prog) == Some(refcnt)
    });
    assert!(there, "program {prog} never has {refcnt} references");
}

/// At a function of the LSM, for the processes of a cgroup.
#[test]
fn lsm() {
    let kind = attach_type::LSM_CGROUP;
    let Some(mut s) = scene(here!(), |stage| {
        private_mounts()?;
        let cgroup = Cgroup::new()?;
        let function = btf::kernel_function("bpf_lsm_socket_bind").or_impossible(&[Cannot {
            errno: libc::ENOENT,
            since: None,
            why: "no functions for programs in the LSM: CONFIG_BPF_LSM is not set",
        }])?;
        let prog = ProgSpec::new(prog_type::LSM, "e2e_lsm_cgroup", insn::returns(1))
            .attach(kind)
            .aims_at(function, None)
            .load()
            .or_impossible(&no_lsm())?;
        bpf::attach(&prog, fd_of(&cgroup), kind, F_ALLOW_MULTI).or_impossible(&[Cannot {
            errno: sys::ENOTSUPP,
            since: None,
            why: "no trampolines at functions of the kernel",
        }])?;
        open_then_closed(stage, prog)
    }) else {
        return;
    };
    let at = at(&format!("/lastref-e2e-{}", s.pid), "lsm_cgroup");
    check_open_then_closed(&mut s, [one(&at)], [at]);
}

/// A kernel that refuses the type altogether says so to root.
fn no_lsm() -> [Cannot; 3] {
    let [a, b] = crate::attached::too_old((6, 0), "no LSM programs for cgroups before Linux 6.0");
    let refused = Cannot {
        errno: libc::EPERM,
        since: None,
        why: "programs of the LSM are refused",
    };
    [a, b, refused]
}

/// All ways to hold one program for cgroups.
#[test]
fn all_on_one_program() {
    let Some(s) = scene(here!(), |stage| {
        let bpffs = private_bpffs()?;
        let cgroup = Cgroup::new()?;
        let prog = skb_prog(INGRESS, "e2e_cg_all")?;
        let again = prog.reopen()?;
        prog.pin(&bpffs.join("prog"))?;
        let here = fd_of(&cgroup);
        let below = open(&cgroup.below(&["a"])?)?;
        bpf::attach(&prog, here, INGRESS, F_ALLOW_MULTI)?;
        bpf::attach(&prog, below.as_raw_fd() as u32, INGRESS, F_ALLOW_MULTI)?;
        let third = open(&cgroup.below(&["b"])?)?;
        let target = third.as_raw_fd() as u32;
        let link = bpf::link(&prog, target, INGRESS, 0, LinkDetail::default())?;
        let tails = bpf::prog_array("e2e_cg_tails")?;
        bpf::put(&tails, 0, &prog)?;
        bpf::put(&tails, 7, &prog)?;
        let mut report = scene::ids([("prog", &prog), ("link", &link), ("tails", &tails)]);
        report["again"] = again.fd().into();
        report["cgroup"] = cgroup.name.clone().into();
        stage.ready(report)
    }) else {
        return;
    };
    let cgroup = s.text("cgroup");
    let at = |cgroup: &str| one(&at(cgroup, "cgroup_inet_ingress"));
    let me = Who::process(s.pid, [s.id("prog_fd"), s.id("again")]);
    let prog = attached(
        s.id("prog"),
        [
            by("fd", 2, [me]),
            by("pin", 1, [Who::pin(s.pid, &["/sys/fs/bpf/prog"])]),
            by("prog-array", 2, [Who::map(s.id("tails"))]),
            by("link", 1, [Who::link(s.id("link"))]),
            at(cgroup),
            at(&format!("{cgroup}/a")),
        ],
    );
    assert_eq!(prog.refcnt(), 8, "by construction");
    s.check_and_why(&[prog]);
}

/// As on a large node: five hundred cgroups, each with the same two programs.
#[test]
fn five_hundred() {
    const CGROUPS: usize = 500;
    let Some(s) = scene(here!(), |stage| {
        private_mounts()?;
        let cgroup = Cgroup::new()?;
        let (ingress, egress) = (
            skb_prog(INGRESS, "e2e_cg_many_in")?,
            skb_prog(EGRESS, "e2e_cg_many_out")?,
        );
        attach_to_many(&cgroup, CGROUPS, &[(&ingress, INGRESS), (&egress, EGRESS)])?;
        let mut report = scene::ids([("ingress", &ingress), ("egress", &egress)]);
        report["cgroup"] = cgroup.name.clone().into();
        stage.ready(report)
    }) else {
        return;
    };
    s.check(&[
        of_many(&s, CGROUPS, "ingress", "cgroup_inet_ingress"),
        of_many(&s, CGROUPS, "egress", "cgroup_inet_egress"),
    ]);
}

fn attach_to_many(cgroup: &Cgroup, count: usize, progs: &[(&Object, u32)]) -> Outcome {
    for i in 0..count {
        let below = open(&cgroup.below(&["many", &i.to_string()])?)?;
        for (prog, kind) in progs {
            bpf::attach(prog, below.as_raw_fd() as u32, *kind, 0)?;
        }
    }
    Ok(())
}

fn of_many(s: &Scene, count: usize, prog: &str, attach_type: &'static str) -> Expect {
    let cgroup = s.text("cgroup");
    let mut references = vec![fd(s, prog)];
    for i in 0..count {
        references.push(one(&at(&format!("{cgroup}/many/{i}"), attach_type)));
    }
    attached(s.id(prog), references)
}
