//! What attached programs have in common.

use e2e::bpf::Object;
use e2e::expect::Reference;
use e2e::scene::Cannot;
use e2e::{Expect, Scene, Stage, Who, by, fd, net, scene};

/// What a kernel answers that is too old for an attach type.
pub fn too_old(since: (u32, u32), why: &'static str) -> [Cannot; 2] {
    [libc::EINVAL, libc::EOPNOTSUPP].map(|errno| Cannot {
        errno,
        since: Some(since),
        why,
    })
}

/// Reports a program that is attached, its descriptor, and the network namespace;
/// then closes the descriptor.
pub fn open_then_closed(stage: &mut Stage, prog: Object) -> scene::Outcome {
    let mut report = scene::ids([("prog", &prog)]);
    report["netns"] = net::number()?.into();
    stage.ready(report.clone())?;
    drop(prog);
    stage.ready(report)
}

/// The program of [`open_then_closed`]: with its descriptor, and kept by nothing
/// but its attachments.
pub fn check_open_then_closed(
    s: &mut Scene,
    references: impl IntoIterator<Item = Reference>,
    ends: impl IntoIterator<Item = Who>,
) {
    let mut references: Vec<_> = references.into_iter().collect();
    let closed = attached(s.id("prog"), references.clone())
        .state(&["held-by-kernel"])
        .kept_by(ends);
    references.push(fd(s, "prog"));
    s.check_and_why(&[attached(s.id("prog"), references)]);
    s.advance();
    s.check_and_why(&[closed]);
}

/// A program that is attached, and all its references.
pub fn attached(prog: u32, references: impl IntoIterator<Item = Reference>) -> Expect {
    Expect::prog(prog, references).field("attached", true)
}

/// A link and its program, both by descriptor. The link holds its program `times`.
pub fn link_and_prog(s: &Scene, times: u64) -> [Expect; 2] {
    let (link, prog) = (s.id("link"), s.id("prog"));
    let by_link = by("link", times, [Who::link(link)]);
    [
        Expect::link(link, [fd(s, "link")]).field("prog_id", prog),
        attached(prog, [fd(s, "prog"), by_link]),
    ]
}

/// One attachment.
pub fn one(who: &Who) -> Reference {
    by("attachment", 1, [who.clone()])
}

/// An XDP program at one device: the device and the dispatcher hold it as well.
pub fn by_xdp(at: &Who) -> [Reference; 2] {
    [one(at), by("driver", 2, [at.clone()])]
}

/// At a device of the network namespace that the report names.
pub fn at(s: &Scene, device: &str, attach_type: &'static str) -> Who {
    at_in(s.number("netns"), &format!("dev:{device}"), attach_type)
}

/// At something in this network namespace, written as the targets of links are.
pub fn at_in(netns: u64, what: &str, attach_type: &'static str) -> Who {
    Who::attachment(format!("{what}@netns:{netns}"), attach_type)
}
