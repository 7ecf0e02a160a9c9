//! tc: filters and actions.

use crate::attached::{at, at_in, attached, check_open_then_closed, one, open_then_closed};
use e2e::bpf::{Object, ProgSpec, prog_type};
use e2e::net::{self, Chain, LOOPBACK, Place, filter};
use e2e::scene::{Cannot, OrImpossible};
use e2e::sys::Result;
use e2e::{Who, by, fd, here, insn, scene};

fn load(name: &str) -> Result<Object> {
    ProgSpec::new(prog_type::SCHED_CLS, name, insn::returns(0)).load()
}

/// A filter at this place of the loopback device, once that has the discipline.
fn check_filter(
    test: &'static str,
    discipline: impl FnOnce(u32) -> Result<()>,
    place: impl FnOnce(u32) -> Place,
    attach_type: &'static str,
) {
    let Some(mut s) = scene(test, |stage| {
        net::private()?;
        let prog = load("e2e_tc")?;
        discipline(LOOPBACK)?;
        filter(place(LOOPBACK), Chain(1, None), &prog)?;
        open_then_closed(stage, prog)
    }) else {
        return;
    };
    let lo = at(&s, "lo", attach_type);
    check_open_then_closed(&mut s, [one(&lo)], [lo]);
}

#[test]
fn clsact_ingress() {
    check_filter(here!(), net::clsact, Place::ClsactIngress, "tc_ingress");
}

#[test]
fn clsact_egress() {
    check_filter(here!(), net::clsact, Place::ClsactEgress, "tc_egress");
}

/// The older discipline for ingress alone.
#[test]
fn ingress() {
    let discipline = |device| net::ingress(device, None);
    check_filter(here!(), discipline, Place::Ingress, "tc_ingress");
}

/// A filter of a discipline that shapes what is sent.
#[test]
fn root() {
    check_filter(here!(), net::htb, Place::Root, "tc");
}

/// Two devices share the filters of one block.
#[test]
fn shared_block() {
    const BLOCK: u32 = 7;
    let Some(mut s) = scene(here!(), |stage| {
        net::private()?;
        let prog = load("e2e_tc_block")?;
        net::ingress(LOOPBACK, Some(BLOCK))?;
        net::ingress(net::veth("e2e0", "e2e1")?, Some(BLOCK))?;
        filter(Place::Block(BLOCK), Chain(1, None), &prog)?;
        open_then_closed(stage, prog)
    }) else {
        return;
    };
    let block = at_in(s.number("netns"), &format!("block:{BLOCK}"), "tc");
    check_open_then_closed(&mut s, [one(&block)], [block]);
}

/// Each filter holds the program, whatever its chain and priority.
#[test]
fn several_filters() {
    let Some(mut s) = scene(here!(), |stage| {
        net::private()?;
        let prog = load("e2e_tc_chains")?;
        net::clsact(LOOPBACK)?;
        let veth = net::veth("e2e0", "e2e1")?;
        net::clsact(veth)?;
        for chain in [
            Chain(1, None),
            Chain(2, None),
            Chain(1, Some(5)),
            Chain(7, Some(9)),
        ] {
            filter(Place::ClsactIngress(LOOPBACK), chain, &prog)?;
        }
        filter(Place::ClsactEgress(LOOPBACK), Chain(3, None), &prog)?;
        filter(Place::ClsactEgress(veth), Chain(3, Some(4)), &prog)?;
        open_then_closed(stage, prog)
    }) else {
        return;
    };
    let ends = [
        at(&s, "lo", "tc_ingress"),
        at(&s, "lo", "tc_egress"),
        at(&s, "e2e0", "tc_egress"),
    ];
    let [ingress, egress, other] = &ends;
    let references = [
        by("attachment", 4, [ingress.clone()]),
        one(egress),
        one(other),
    ];
    check_open_then_closed(&mut s, references, ends.clone());
}

/// What a kernel answers that has no `act_bpf`: `tcf_action_init_1`, after it asked
/// for the module.
const NO_ACT_BPF: [Cannot; 1] = [Cannot {
    errno: libc::ENOENT,
    since: None,
    why: "no act_bpf: CONFIG_NET_ACT_BPF is not set",
}];

fn load_action(name: &str) -> Result<Object> {
    ProgSpec::new(prog_type::SCHED_ACT, name, insn::returns(0)).load()
}

fn action(s: &e2e::Scene, index: u32) -> Who {
    at_in(s.number("netns"), &format!("action:{index}"), "act_bpf")
}

/// An action that no filter uses; another with the same program.
#[test]
fn actions() {
    let Some(mut s) = scene(here!(), |stage| {
        net::private()?;
        let prog = load_action("e2e_act")?;
        net::action(3, &prog).or_impossible(&NO_ACT_BPF)?;
        net::action(40, &prog)?;
        open_then_closed(stage, prog)
    }) else {
        return;
    };
    let ends = [action(&s, 3), action(&s, 40)];
    let references = ends.clone().map(|end| one(&end));
    check_open_then_closed(&mut s, references, ends);
}

/// A filter and its action, each with a program.
#[test]
fn action_of_a_filter() {
    let Some(s) = scene(here!(), |stage| {
        net::private()?;
        let (judge, act) = (load("e2e_tc_judge")?, load_action("e2e_tc_act")?);
        net::clsact(LOOPBACK)?;
        let place = Place::ClsactIngress(LOOPBACK);
        net::filter_with_action(place, Chain(1, None), &judge, &act).or_impossible(&NO_ACT_BPF)?;
        let mut report = scene::ids([("judge", &judge), ("act", &act)]);
        report["netns"] = net::number()?.into();
        stage.ready(report)
    }) else {
        return;
    };
    let lo = at(&s, "lo", "tc_ingress");
    let action = action(&s, net::BOUND);
    s.check_and_why(&[
        attached(s.id("judge"), [fd(&s, "judge"), one(&lo)]),
        attached(s.id("act"), [fd(&s, "act"), one(&action)]),
    ]);
}
