//! Queueing disciplines, classes, filters and actions (`net/sched`), out of their messages.

use super::netlink::{Attributes, Malformed, Message, text, u32_at};

/// `struct tcmsg`: family, device, handle, parent, info
const TCMSG: usize = 20;
/// `struct tcamsg`
const TCAMSG: usize = 4;
/// A filter of a shared block has this in place of a device.
pub const MAGIC_BLOCK: u32 = 0xffff_ffff;
/// A root discipline's parent.
const ROOT: u32 = 0xffff_ffff;
/// Where clsact's filters are.
pub const CLSACT_INGRESS: u32 = 0xffff_fff2;
/// Where clsact's filters are.
pub const CLSACT_EGRESS: u32 = 0xffff_fff3;
/// The handle of the ingress discipline.
pub const INGRESS: u32 = 0xffff_0000;

const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_CHAIN: u16 = 11;
const TCA_INGRESS_BLOCK: u16 = 13;
const TCA_EGRESS_BLOCK: u16 = 14;
const TCA_RED_EARLY_DROP_BLOCK: u16 = 5;
const TCA_RED_MARK_BLOCK: u16 = 6;
const TCA_BPF_ID: u16 = 11;
const TCA_ACT_TAB: u16 = 1;
const TCA_ACT_KIND: u16 = 1;
const TCA_ACT_OPTIONS: u16 = 2;
const TCA_ACT_BPF_PARMS: u16 = 2;
const TCA_ACT_BPF_ID: u16 = 9;

/// Where filters can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The device, or [`MAGIC_BLOCK`].
    pub device: u32,
    /// The discipline, class or side of clsact; for [`MAGIC_BLOCK`] the block's number.
    pub parent: u32,
}

impl Place {
    /// A block that several disciplines can share.
    pub fn block(number: u32) -> Self {
        Self {
            device: MAGIC_BLOCK,
            parent: number,
        }
    }
}

/// What a discipline leads to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Qdisc {
    /// Where its filters are.
    pub places: Vec<Place>,
    /// Its classes have filters of their own: the device.
    pub classes_of: Option<u32>,
}

/// Kinds without filters: no `tcf_block` in their `Qdisc_class_ops`. The list need not be
/// complete, it only saves asking for what is on every device.
const WITHOUT_FILTERS: [&[u8]; 7] = [
    b"noqueue",
    b"pfifo_fast",
    b"pfifo",
    b"bfifo",
    b"mq",
    b"fq",
    b"noop",
];

/// Kinds whose `tcf_block` gives a class's own block. cbq and atm were removed in 6.3.
const CLASSES_WITH_FILTERS: [&[u8]; 4] = [b"htb", b"hfsc", b"cbq", b"atm"];

/// A discipline, from an answer to `RTM_GETQDISC`.
pub fn qdisc(message: &Message<'_>) -> Result<Qdisc, Malformed> {
    let (head, attributes) = message.split(TCMSG)?;
    let device = u32_at(head, 4)?;
    let handle = u32_at(head, 8)?;
    let parent = u32_at(head, 12)?;
    let kind = text(attributes.find(TCA_KIND)?.unwrap_or_default());
    let at = |parent| Place { device, parent };
    // A shared block's filters are told of the block, whichever side of a device has it.
    let shared = |kind| Ok(attributes.number(kind)?.map(Place::block));
    let ingress: Option<Place> = shared(TCA_INGRESS_BLOCK)?;
    let mut found = Qdisc::default();
    match kind {
        b"clsact" => {
            let egress: Option<Place> = shared(TCA_EGRESS_BLOCK)?;
            found.places.push(ingress.unwrap_or(at(CLSACT_INGRESS)));
            found.places.push(egress.unwrap_or(at(CLSACT_EGRESS)));
        }
        b"ingress" => found.places.push(ingress.unwrap_or(at(INGRESS))),
        b"red" => {
            let options = attributes.nested(TCA_OPTIONS)?;
            for block in [TCA_RED_EARLY_DROP_BLOCK, TCA_RED_MARK_BLOCK] {
                let block = options.number(block)?.filter(|&block| block != 0);
                found.places.extend(block.map(Place::block));
            }
        }
        kind if WITHOUT_FILTERS.contains(&kind) => {}
        // Without a handle it can be named only as the root of its device.
        _ if handle != 0 => found.places.push(at(handle)),
        _ if parent == ROOT => found.places.push(at(0)),
        _ => {}
    }
    found.classes_of = CLASSES_WITH_FILTERS.contains(&kind).then_some(device);
    Ok(found)
}

/// A class, from an answer to `RTM_GETTCLASS`. Those of other kinds have no filters.
pub fn class(message: &Message<'_>) -> Result<Option<Place>, Malformed> {
    let (head, attributes) = message.split(TCMSG)?;
    let kind = text(attributes.find(TCA_KIND)?.unwrap_or_default());
    let place = Place {
        device: u32_at(head, 4)?,
        parent: u32_at(head, 8)?,
    };
    Ok(CLASSES_WITH_FILTERS.contains(&kind).then_some(place))
}

/// A filter that runs a program (`net/sched/cls_bpf.c`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Filter {
    /// Where it is.
    pub place: Place,
    /// Its chain; 0 unless somebody chose another.
    pub chain: u32,
    /// Its priority (`pref`).
    pub priority: u16,
    /// `ETH_P_…`, in the host's order.
    pub protocol: u16,
    /// Its number among those of its priority.
    pub handle: u32,
    /// The program.
    pub prog_id: u32,
}

/// A filter, from an answer to `RTM_GETTFILTER`; `None` for one of another kind, or of
/// classic BPF.
pub fn filter(message: &Message<'_>) -> Result<Option<Filter>, Malformed> {
    let (head, attributes) = message.split(TCMSG)?;
    if text(attributes.find(TCA_KIND)?.unwrap_or_default()) != b"bpf" {
        return Ok(None);
    }
    let options = attributes.nested(TCA_OPTIONS)?;
    let Some(prog_id) = options.number(TCA_BPF_ID)? else {
        return Ok(None);
    };
    let info = u32_at(head, 16)?;
    Ok(Some(Filter {
        place: Place {
            device: u32_at(head, 4)?,
            parent: u32_at(head, 12)?,
        },
        chain: attributes.number(TCA_CHAIN)?.unwrap_or_default(),
        priority: (info >> 16) as u16,
        protocol: u16::from_be(info as u16),
        handle: u32_at(head, 8)?,
        prog_id,
    }))
}

/// An action that runs a program (`net/sched/act_bpf.c`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Action {
    /// Its index among the namespace's actions of this kind.
    pub index: u32,
    /// How many filters use it. It can be deleted only if none does.
    pub bound: u32,
    /// The program.
    pub prog_id: u32,
}

/// Actions, from an answer to `RTM_GETACTION`.
pub fn actions(message: &Message<'_>) -> Result<Vec<Action>, Malformed> {
    let (_, attributes) = message.split(TCAMSG)?;
    let mut found = Vec::new();
    for action in attributes.nested(TCA_ACT_TAB)?.all() {
        let action = Attributes(action?.1);
        if text(action.find(TCA_ACT_KIND)?.unwrap_or_default()) != b"bpf" {
            continue;
        }
        let options = action.nested(TCA_ACT_OPTIONS)?;
        // `struct tc_act_bpf`: index, capab, action, refcnt, bindcnt
        let parameters = options.find(TCA_ACT_BPF_PARMS)?;
        if let (Some(parameters), Some(prog_id)) = (parameters, options.number(TCA_ACT_BPF_ID)?) {
            found.push(Action {
                index: u32_at(parameters, 0)?,
                bound: u32_at(parameters, 16)?,
                prog_id,
            });
        }
    }
    Ok(found)
}

/// `struct tcmsg` of a request.
pub fn about(place: Place) -> Vec<u8> {
    let words = [0, place.device, 0, place.parent, 0];
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// The request for all actions of kind `bpf`.
pub fn all_actions() -> Vec<u8> {
    use super::netlink::attribute;
    let kind = attribute(TCA_ACT_KIND, b"bpf\0");
    let table = attribute(TCA_ACT_TAB, &attribute(1, &kind));
    [&[0; TCAMSG], table.as_slice()].concat()
}
